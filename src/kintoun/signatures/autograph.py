"""A signer that is a service: autograph, or whatever speaks its API (signing section 6)."""

from __future__ import annotations

import asyncio
import re
import secrets
import time
from base64 import b64encode
from functools import cache
from ssl import SSLContext
from typing import Any
from urllib.parse import urlsplit

import httpx

from kintoun.model import json
from kintoun.signatures.hawk import Credentials, Message, authorization
from kintoun.signatures.signer import MODE, Signature, SignerUnavailable

HEARTBEAT = b"This is a heartbeat test."
MOST_ANSWER = 64 * 1024
"""Bytes of an answer that are read; a signature has less than one thousand."""
LONGEST_REASON = 200
SIGNATURE = re.compile(r"[A-Za-z0-9_-]{128}")
"""r‖s on P-384, in base64url."""
DEFAULT_PORTS = {"http": 80, "https": 443}
CREATED = 201
JSON = "application/json"


@cache
def tls() -> SSLContext:
    """Which services are believed; it takes long to make."""
    return httpx.create_ssl_context()


class AutographSigner:
    """Signs with one key of a service, to which requests are authenticated by Hawk.

    Redirects are failures, and so is every answer that is not exactly one signature by that key.
    """

    def __init__(
        self, name: str, server_url: str, key_id: str, credentials: Credentials, timeout: float
    ) -> None:
        """`timeout` is in seconds, for the whole exchange."""
        self.id = name
        self.key_id = key_id
        self._url = f"{server_url.rstrip('/')}/sign/data"
        self._credentials = credentials
        self._timeout = timeout
        self.x5u = ""
        """Where the chain of its last signature is."""

    async def sign(self, data: bytes) -> Signature:
        body = json.encode([{"input": b64encode(data).decode(), "keyid": self.key_id}])
        try:
            async with asyncio.timeout(self._timeout):
                status, media_type, answer = await self._post(body)
        except TimeoutError:
            raise SignerUnavailable(self.id, f"no answer within {self._timeout:g} seconds") from None
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise SignerUnavailable(self.id, f"{type(error).__name__}: {error}") from error
        if status != CREATED:
            said = " ".join(answer[:LONGEST_REASON].decode("utf-8", "replace").split())
            raise SignerUnavailable(self.id, f"answered {status}: {said}")
        signature = self._read(media_type, answer)
        self.x5u = signature.x5u
        return signature

    async def check(self) -> None:
        await self.sign(HEARTBEAT)

    async def _post(self, body: bytes) -> tuple[int, str, bytes]:
        headers = {"Content-Type": JSON, "Authorization": self._authorization(body)}
        context = await asyncio.to_thread(tls)
        async with (
            httpx.AsyncClient(timeout=None, follow_redirects=False, verify=context) as client,  # noqa: S113
            client.stream("POST", self._url, content=body, headers=headers) as answer,
        ):
            parts = bytearray()
            async for part in answer.aiter_bytes():
                parts += part
                if len(parts) > MOST_ANSWER:
                    break
            media_type = answer.headers.get("content-type", "").partition(";")[0].strip().lower()
            return answer.status_code, media_type, bytes(parts)

    def _authorization(self, body: bytes) -> str:
        url = urlsplit(self._url)
        host, port = url.hostname or "", url.port or DEFAULT_PORTS[url.scheme]
        message = Message("POST", url.path, host, port, JSON, body)
        return authorization(
            self._credentials, message, timestamp=int(time.time()), nonce=secrets.token_urlsafe(12)
        )

    def _read(self, media_type: str, answer: bytes) -> Signature:
        """The one signature of an answer. Raises SignerUnavailable for anything else."""
        try:
            items = json.decode(answer) if media_type == JSON and len(answer) <= MOST_ANSWER else None
        except json.InvalidJSON as error:
            raise self._nonsense(str(error)) from error
        if not isinstance(items, list) or len(items) != 1 or not isinstance(items[0], dict):
            raise self._nonsense("not one signature in JSON")
        item: dict[str, Any] = items[0]
        for name in ("signature", "x5u", "mode", "public_key", "ref", "type", "signer_id"):
            if not isinstance(item.get(name, ""), str):
                raise self._nonsense(f"`{name}` is no text")
        if item.get("mode") != MODE:
            raise self._nonsense(f"a signature of the mode {item.get('mode')!r}")
        if item.get("signer_id", self.key_id) != self.key_id:
            raise self._nonsense(f"signed by {item['signer_id']!r}")
        if not SIGNATURE.fullmatch(item.get("signature", "")):
            raise self._nonsense("no signature on P-384")
        x5u = item.get("x5u", "")
        if x5u and not x5u.startswith(("https://", "http://")):
            raise self._nonsense("an x5u that no client can fetch")
        return Signature(
            item["signature"],
            x5u,
            public_key=item.get("public_key"),
            ref=item.get("ref"),
            type=item.get("type"),
            signer_id=item.get("signer_id"),
        )

    def _nonsense(self, what: str) -> SignerUnavailable:
        return SignerUnavailable(self.id, f"its answer is no signature: {what}")
