"""The API of the signing service: autograph's, as Kinto calls it (signing sections 6.1 to 6.6)."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from hashlib import sha256
from typing import Any

import structlog

import kintoun
from kintoun.http.answers import JSON, Answer, Headers
from kintoun.http.requests import Request
from kintoun.http.routing import Endpoint, Router
from kintoun.model import json
from kintoun.model.errors import ProtocolError
from kintoun.model.kinds import random_uuid
from kintoun.settings import SigningService
from kintoun.signatures.hawk import Message, Unauthorized, Verifier, host_and_port
from kintoun.signatures.signer import SignerUnavailable
from kintoun.signer import asked
from kintoun.signer.asked import Refused
from kintoun.signer.keys import Key
from kintoun.signer.nonces import NonceFile

log = structlog.get_logger()

MONITOR = "monitor"
"""The caller who may see whether every key signs, and may sign nothing."""
MONITORED = b"AUTOGRAPH MONITORING"

POLICY = "default-src 'none'; object-src 'none';"
SECURITY: Headers = (
    ("X-Frame-Options", "SAMEORIGIN"),
    ("Strict-Transport-Security", "max-age=31536000;"),
)
FOREVER: Headers = (("Cache-Control", "public, max-age=31536000, immutable"),)
TEXT = "text/plain; charset=utf-8"
LINES_OF_JSON = "application/x-ndjson"
RETRY_AFTER = "10"

Handler = Callable[[None, Request], Awaitable[Answer]]


class Service:
    """Answers the requests of one worker."""

    def __init__(self, settings: SigningService, keys: Mapping[str, Key], nonces: NonceFile) -> None:
        self._settings = settings
        self._keys = keys
        self._nonces = nonces
        self._allowed = {caller.id: caller.keys for caller in settings.callers}
        secret_of = {caller.id: caller.secret for caller in settings.callers}
        if settings.monitor_secret:
            secret_of[MONITOR] = settings.monitor_secret
        self._verifier = Verifier(secret_of.get, nonces, settings.skew_seconds)
        self._monitored: tuple[float, bytes] | None = None
        self._monitoring = asyncio.Lock()
        self._router = Router()
        for name, pattern, method, handler in self._routes():
            self._router.add(Endpoint(name, pattern, {method: handler}))

    def _routes(self) -> Sequence[tuple[str, str, str, Handler]]:
        return (
            ("sign-data", "/sign/data", "POST", self._sign_data),
            ("sign-hash", "/sign/hash", "POST", self._sign_hash),
            ("sign-file", "/sign/file", "POST", self._sign_files),
            ("sign-files", "/sign/files", "POST", self._sign_files),
            ("keyids", "/auths/{id}/keyids", "GET", self._key_ids),
            ("monitor", "/__monitor__", "GET", self._monitor),
            ("heartbeat", "/__heartbeat__", "GET", self._heartbeat),
            ("lbheartbeat", "/__lbheartbeat__", "GET", self._lbheartbeat),
            ("version", "/__version__", "GET", self._version),
            ("x5u", "/x5u/{key}/{file}", "GET", self._chain),
        )

    async def respond(self, request: Request) -> Answer:
        """The answer to a request, whatever happens."""
        try:
            answer = await self._answer(request)
        except Refused as refused:
            answer = text(refused.status, str(refused))
        except Unauthorized as error:
            answer = text(401, f"authorization verification failed: {error}")
        except SignerUnavailable as error:
            log.error("a signer is unavailable", signer=error.signer, reason=error.reason)
            answer = unavailable(f"the key {error.signer} cannot sign now")
        except sqlite3.Error as error:
            log.error("the file of nonces cannot be used", error=str(error))
            answer = unavailable("requests cannot be verified now")
        except Exception:
            log.exception("unexpected error", method=request.method, path=request.path)
            answer = text(500, "internal error")
        return _secured(answer)

    async def _answer(self, request: Request) -> Answer:
        found = self._router.find(request.path)
        if found is None:
            shorter = request.path.rstrip("/")
            if shorter != request.path and self._router.find(shorter) is not None:
                return Answer(301, headers=(("Location", f"{request.base}{shorter}"),), media_type=TEXT)
            raise Refused(404, "404 page not found")
        endpoint, request.parameters = found
        handler = endpoint.methods.get(request.method)
        if handler is None:
            return Answer(405, headers=(("Allow", ", ".join(endpoint.methods)),), media_type=TEXT)
        return await handler(None, request)

    # Who calls

    def _caller(self, request: Request, *, payload: bool = True) -> str:
        """Who sent a request. Raises Unauthorized."""
        headers = request.headers
        host, port = host_and_port(headers.get("host", ""), self._settings.default_port)
        target = request.raw_path + (f"?{request.query.decode('latin-1')}" if request.query else "")
        content_type = headers.get("content-type", "")
        message = Message(request.method, target, host, port, content_type, request.body)
        return self._verifier.verify(headers.get("authorization"), message, time.time(), payload=payload)

    # Signing

    async def _sign_data(self, _context: None, request: Request) -> Answer:
        return await self._sign(request, digests=False)

    async def _sign_hash(self, _context: None, request: Request) -> Answer:
        return await self._sign(request, digests=True)

    async def _sign_files(self, _context: None, request: Request) -> Answer:
        caller = self._caller(request)
        if caller == MONITOR or not self._allowed[caller]:
            raise Refused(401, f"{caller} is not authorized to sign")
        key = self._allowed[caller][0]
        raise Refused(400, f'requested signer "{key}" does not implement the signing of files')

    async def _sign(self, request: Request, *, digests: bool) -> Answer:
        if request.headers.get("content-type") != JSON:
            raise Refused(400, "invalid content type, expected application/json")
        caller = self._caller(request)
        if request.query:
            raise Refused(400, "invalid request, no query string is expected")
        wanted = asked.read(request.body, self._settings.signatures, digests=digests)
        keys = [self._key(caller, each.key) for each in wanted]
        signed = [
            await self._signed(key, caller, each.data, digest=digests)
            for key, each in zip(keys, wanted, strict=True)
        ]
        return Answer(201, json.encode(signed), media_type=JSON)

    def _key(self, caller: str, key: str) -> Key:
        """The key of an id, the caller's first when that is empty. Raises Refused unless it may sign."""
        allowed = self._allowed.get(caller, [])
        if not key and allowed:
            return self._keys[allowed[0]]
        if key not in allowed:
            raise Refused(401, f"{caller} is not authorized to sign with key ID {key}")
        return self._keys[key]

    async def _signed(self, key: Key, caller: str, data: bytes, *, digest: bool = False) -> dict[str, str]:
        signature = await (key.sign_digest(data) if digest else key.sign(data))
        input_sha256 = sha256(data).hexdigest()
        log.info("signed", caller=caller, key=key.id, ref=signature.ref, input_sha256=input_sha256)
        return {name: value for name, value in signature.as_json().items() if value or name != "x5u"}

    # Looking

    async def _key_ids(self, _context: None, request: Request) -> Answer:
        caller = self._caller(request, payload=False)
        (user,) = request.parameters
        if request.body:
            raise Refused(400, "endpoint received unexpected request body")
        if user != caller:
            raise Refused(403, f'Authorized user "{caller}" cannot request keyids for user "{user}"')
        return Answer(200, json.encode(sorted(self._allowed.get(caller, []))))

    async def _monitor(self, _context: None, request: Request) -> Answer:
        """One signature by every key, made anew now and then."""
        if self._caller(request) != MONITOR:
            raise Refused(401, "user is not permitted to call this endpoint")
        async with self._monitoring:
            now = time.monotonic()
            if self._monitored is None or now - self._monitored[0] >= self._settings.monitor_seconds:
                signed = [await self._signed(key, MONITOR, MONITORED) for key in self._keys.values()]
                self._monitored = now, b"".join(json.encode(each) + b"\n" for each in signed)
        return Answer(201, self._monitored[1], media_type=LINES_OF_JSON)

    async def _heartbeat(self, _context: None, _request: Request) -> Answer:
        """Whether every key could sign now, and requests could be told from those that were seen."""
        keys = {key.id: await _works(key) for key in self._keys.values()}
        try:
            self._nonces.check()
            remembers = True
        except sqlite3.Error:
            remembers = False
        hardware = [keys[key.id] for key in self._keys.values() if key.in_hardware]
        told: dict[str, Any] = {"hsmAccessible": all(hardware)} if hardware else {}
        told |= {"dbAccessible": remembers, "keys": keys}
        healthy = remembers and all(keys.values())
        return Answer(200 if healthy else 500, json.encode(told))

    async def _lbheartbeat(self, _context: None, _request: Request) -> Answer:
        return Answer(200, b"ohai", media_type=TEXT)

    async def _version(self, _context: None, _request: Request) -> Answer:
        told = {
            "name": "kintoun signer",
            "version": kintoun.__version__,
            "source": kintoun.SOURCE,
            "commit": "",
            "build": "",
        }
        return Answer(200, json.encode(told))

    async def _chain(self, _context: None, request: Request) -> Answer:
        key, file = request.parameters
        pem = await self._keys[key].chains.read(file) if key in self._keys else None
        if pem is None:
            raise Refused(404, "404 page not found")
        return Answer(200, pem, FOREVER, media_type=TEXT)


async def _works(key: Key) -> bool:
    try:
        await key.check()
    except SignerUnavailable as error:
        log.error("a signer is unavailable", signer=error.signer, reason=error.reason)
        return False
    return True


def text(status: int, sentence: str, headers: Headers = ()) -> Answer:
    """An error, as autograph's clients log it."""
    body = f"{sentence}\r\nrequest-id: {random_uuid()}"
    return Answer(status, body.encode("utf-8", "replace"), headers, media_type=TEXT)


def unavailable(sentence: str) -> Answer:
    """What cannot be done now, and may be done later."""
    return text(503, sentence, (("Retry-After", RETRY_AFTER),))


def refusal(error: ProtocolError) -> Answer:
    """A request that was not even read, being longer or slower than it may be."""
    return _secured(text(error.status, error.message or "invalid request", error.headers))


def _secured(answer: Answer) -> Answer:
    return Answer(
        answer.status,
        answer.body,
        (*answer.headers, *SECURITY),
        media_type=answer.media_type,
        policy=POLICY,
    )
