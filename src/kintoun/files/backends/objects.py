"""An object store: Amazon S3 and what speaks like it, Google Cloud Storage, Azure Blob Storage."""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from datetime import timedelta
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from kintoun.files.backends import BackendFailed, Stored
from kintoun.files.spool import remove_left_overs

if TYPE_CHECKING:
    from obstore.store import ObjectStore as Store

PART = 5 * 1024 * 1024
"""Bytes of one part of an upload: no store takes smaller ones, and larger ones would take more memory."""

PARTS_AT_ONCE = 1
"""Each part under way is in memory three times, on its way through the libraries."""

CHUNK = 256 * 1024

CLIENT_OPTIONS = frozenset(("allow_http", "connect_timeout", "timeout", "proxy_url", "user_agent"))
"""Options that are not the store's but of how it is spoken to."""

TIMEOUT = {"timeout": "5 minutes", "connect_timeout": "10 seconds"}
RETRIES: dict[str, Any] = {
    "max_retries": 4,
    "retry_timeout": timedelta(seconds=60),
    "backoff": {"init_backoff": timedelta(seconds=0.1), "max_backoff": timedelta(seconds=5), "base": 2},
}


class ObjectStore:
    """The objects below a URL as `s3://bucket/prefix`.

    `options` are obstore's by their names. Credentials that are not among them come from the environment, or
    from the machine's own role. Raises ValueError for a URL or an option that it does not know.
    """

    def __init__(self, url: str, options: Mapping[str, str], uploads: Path | None) -> None:
        if find_spec("obstore") is None:
            raise ValueError(f"{url}: object stores need more: pip install 'kintoun[objects]'")
        self.uploads = uploads or Path(tempfile.gettempdir()) / "kintoun-uploads"
        self._store = _made(url, options)

    async def open(self) -> None:
        try:
            self.uploads.mkdir(mode=0o700, parents=True, exist_ok=True)
            await asyncio.to_thread(remove_left_overs, self.uploads)
        except OSError as error:
            raise BackendFailed(str(error)) from error

    def path(self, key: str) -> None:
        return None

    async def keep(self, key: str, spooled: Path | bytes) -> None:
        import obstore

        try:
            # A large file goes in parts, of which few are in memory; it is there whole or not at all.
            await obstore.put_async(self._store, key, spooled, chunk_size=PART, max_concurrency=PARTS_AT_ONCE)
        except (obstore.exceptions.BaseError, OSError) as error:
            raise BackendFailed(_said(error)) from error

    async def size(self, key: str) -> int | None:
        import obstore

        try:
            return int((await obstore.head_async(self._store, key))["size"])
        except (FileNotFoundError, obstore.exceptions.NotFoundError):
            return None
        except (obstore.exceptions.BaseError, OSError) as error:
            raise BackendFailed(_said(error)) from error

    async def read(self, key: str, start: int, stop: int) -> AsyncGenerator[bytes]:
        import obstore

        if start == stop:
            return
        try:
            found = await obstore.get_async(self._store, key, options={"range": (start, stop)})
            async for part in found.stream(min_chunk_size=CHUNK):
                start += len(part)
                yield bytes(part)
        except (FileNotFoundError, obstore.exceptions.NotFoundError):
            raise KeyError(key) from None
        except (obstore.exceptions.BaseError, OSError) as error:
            raise BackendFailed(_said(error)) from error
        if start != stop:
            raise BackendFailed(f"{key} is shorter than it was")

    async def delete(self, key: str) -> None:
        import obstore

        try:
            await obstore.delete_async(self._store, key)
        except (FileNotFoundError, obstore.exceptions.NotFoundError):
            return
        except (obstore.exceptions.BaseError, OSError) as error:
            raise BackendFailed(_said(error)) from error

    async def walk(self) -> AsyncIterator[Stored]:
        import obstore

        try:
            async for step in obstore.list(self._store):
                for each in step:
                    yield Stored(each["path"], int(each["size"]), each["last_modified"].timestamp())
        except (obstore.exceptions.BaseError, OSError) as error:
            raise BackendFailed(_said(error)) from error


def _made(url: str, options: Mapping[str, str]) -> Store:
    import obstore  # a process that keeps its files elsewhere need not carry it

    client: dict[str, Any] = TIMEOUT | {name: options[name] for name in CLIENT_OPTIONS & options.keys()}
    # The library looks for this into the environment, as for the rest, but not when it is given any of these.
    allow_http = options.get("allow_http", os.environ.get("AWS_ALLOW_HTTP", ""))
    client["allow_http"] = allow_http.lower() in ("true", "1", "yes")
    config = {name: value for name, value in options.items() if name not in CLIENT_OPTIONS}
    make: Any = obstore.store.from_url  # its overloads know the options of each store by heart
    try:
        return cast("Store", make(url, client_options=client, retry_config=RETRIES, **config))
    except (obstore.exceptions.BaseError, TypeError, ValueError) as error:
        raise ValueError(f"store, store_options: {_said(error)}") from error


def _said(error: Exception) -> str:
    """The first line of what an object store says; the rest is for those who debug it."""
    return str(error).partition("\n")[0][:500]
