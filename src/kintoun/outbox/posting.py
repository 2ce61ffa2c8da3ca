"""Giving messages to receivers over HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from importlib.util import find_spec
from time import time
from typing import TYPE_CHECKING

import kintoun
from kintoun.outbox.delivery import Failed

if TYPE_CHECKING:
    import httpx

GONE = 410
LONGEST_REASON = 200
"""Bytes that are read of what a receiver says to a refusal."""


def check_installed(feature: str) -> None:
    """Raise ValueError when what posting needs is not installed."""
    if find_spec("httpx") is None:
        raise ValueError(f"the feature `{feature}` needs more: pip install 'kintoun[notifications]'")


class Poster:
    """Posts to any number of receivers; connections are kept until `close`.

    Redirects are failures: where a message goes is for the configuration to say, not for a receiver.
    """

    def __init__(self, timeout: float) -> None:
        self._timeout = timeout
        self._client: httpx.AsyncClient | None = None

    async def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> None:
        """Post a body. Raises Failed for every answer but a success, and when there is none in time."""
        import httpx  # a worker that posts nothing need not carry it

        if self._client is None:
            self._client = httpx.AsyncClient(timeout=None, follow_redirects=False)  # noqa: S113
        sent = {"User-Agent": f"kintoun/{kintoun.__version__}", **headers}
        try:
            async with (
                asyncio.timeout(self._timeout),
                self._client.stream("POST", url, content=body, headers=sent) as answer,
            ):
                if not answer.is_success:
                    raise await _refusal(answer)
        except TimeoutError:
            raise Failed(f"no answer within {self._timeout:g} seconds") from None
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise Failed(f"{type(error).__name__}: {error}") from error

    async def close(self) -> None:
        """Close the connections."""
        if self._client is not None:
            await self._client.aclose()
            self._client = None


async def _refusal(answer: httpx.Response) -> Failed:
    said = b""
    async for part in answer.aiter_raw():
        said += part
        if len(said) >= LONGEST_REASON:
            break
    reason = " ".join(said[:LONGEST_REASON].decode("utf-8", "replace").split())
    text = f"answered {answer.status_code}" + (f": {reason}" if reason else "")
    return Failed(
        text, final=answer.status_code == GONE, wait=retry_after(answer.headers.get("retry-after", ""))
    )


def retry_after(value: str) -> float:
    """The seconds that a `Retry-After` header asks for; 0 for none that can be read."""
    try:
        return max(float(int(value)), 0.0)
    except ValueError:
        pass
    try:
        return max(parsedate_to_datetime(value).timestamp() - time(), 0.0)
    except (ValueError, TypeError):
        return 0.0
