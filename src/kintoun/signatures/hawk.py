"""Hawk: requests that are authenticated by a MAC over what they are, for both ends (signing section 6.5).

The client makes the value of `Authorization` with `authorization`. The server checks it with a `Verifier`,
which refuses what has been seen before. Nothing here reads a clock or a socket.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from base64 import b64encode
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

DEFAULT_PORT = 443
"""The port of a `Host` that names none: services do not know which scheme their client spoke."""
MOST_HEADER = 4096
"""The characters that a header may have."""

ATTRIBUTE = re.compile(r'([a-z]+)="((?:[ !#-\[\]-~])*)"')
SEPARATOR = re.compile(r" *(?:, *|$)| +")
KNOWN = frozenset(("id", "ts", "nonce", "hash", "ext", "mac", "app", "dlg"))
NEEDED = ("id", "ts", "nonce", "mac")
SECONDS = re.compile(r"[0-9]{1,12}")
HOST = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^:\[\]]+)(?::([0-9]{1,5}))?")


class Unauthorized(Exception):
    """A request that is not what its sender is known to have made; the message says why."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """Who calls, and the key that only both ends know. The key's characters are its bytes."""

    id: str
    key: str

    def __repr__(self) -> str:
        return f"Credentials(id={self.id!r})"


@dataclass(frozen=True, slots=True)
class Message:
    """What of a request the MAC covers; `target` is its path and query string as they were sent."""

    method: str
    target: str
    host: str
    port: int
    content_type: str = ""
    body: bytes = b""

    def payload_hash(self) -> str:
        """The digest of the body and its media type, in base 64."""
        media_type = self.content_type.partition(";")[0].strip().lower()
        digest = hashlib.sha256(f"hawk.1.payload\n{media_type}\n".encode())
        digest.update(self.body)
        digest.update(b"\n")
        return b64encode(digest.digest()).decode()


@dataclass(frozen=True, slots=True)
class Attributes:
    """What an `Authorization` header says. `ts` is in seconds."""

    id: str
    ts: int
    nonce: str
    mac: str
    hash: str = ""
    ext: str = ""
    app: str = ""
    dlg: str = ""


def authorization(credentials: Credentials, message: Message, *, timestamp: int, nonce: str) -> str:
    """The value of `Authorization` by which a client proves that it sends `message`, body included.

    `timestamp` is in seconds; `nonce` must be another one for every request.
    """
    said = Attributes(credentials.id, timestamp, nonce, "", hash=message.payload_hash())
    mac = _mac(credentials.key, said, message)
    return f'Hawk id="{said.id}", ts="{said.ts}", nonce="{said.nonce}", hash="{said.hash}", mac="{mac}"'


def host_and_port(host: str, default: int = DEFAULT_PORT) -> tuple[str, int]:
    """A `Host` header, taken apart. Raises Unauthorized for one that names no host."""
    match = HOST.fullmatch(host)
    if match is None:
        raise Unauthorized("hawk: invalid Host")
    return match[1], int(match[2]) if match[2] else default


def parse(header: str) -> Attributes:
    """What a header says. Raises Unauthorized for one that is not Hawk's, or says anything twice."""
    scheme, _, rest = header.partition(" ")
    if scheme.lower() != "hawk":
        raise Unauthorized("hawk: invalid scheme, must be Hawk")
    said = _attributes(rest.strip(" "))
    if len(header) > MOST_HEADER or said is None:
        raise Unauthorized("hawk: invalid header")
    for name in NEEDED:
        if not said.get(name):
            raise Unauthorized(f"hawk: invalid header, missing {name}")
    if not SECONDS.fullmatch(said["ts"]):
        raise Unauthorized("hawk: invalid header, ts is no number of seconds")
    return Attributes(**{**said, "ts": int(said["ts"])})  # type: ignore[arg-type]


def _attributes(text: str) -> dict[str, str] | None:
    said: dict[str, str] = {}
    at = 0
    while at < len(text):
        match = ATTRIBUTE.match(text, at)
        if match is None or match[1] not in KNOWN or match[1] in said:
            return None
        said[match[1]] = match[2]
        separator = SEPARATOR.match(text, match.end())
        if separator is None:
            return None
        at = separator.end()
    return said


def _mac(key: str, said: Attributes, message: Message) -> str:
    lines = [
        "hawk.1.header",
        str(said.ts),
        said.nonce,
        message.method.upper(),
        message.target,
        message.host.lower(),
        str(message.port),
        said.hash,
        said.ext,
    ]
    if said.app:
        lines += [said.app, said.dlg]
    normalized = "".join(f"{line}\n" for line in lines)
    return b64encode(hmac.digest(key.encode(), normalized.encode(), "sha256")).decode()


class Nonces(Protocol):
    """Remembers which nonces were used, for as long as a request with them would be let in again."""

    def use(self, sender: str, nonce: str, timestamp: int, now: float) -> None:
        """Remember a nonce of a sender. Raises Unauthorized when it is known, or there is no room for it.

        `timestamp` and `now` are in seconds; the timestamp is not out of reach.
        """
        ...


class Verifier:
    """The server's end: says who sent a request, or refuses it.

    `key_of` finds the key of a caller, None for one that is unknown. `skew` is how many seconds a client's
    clock may differ.
    """

    def __init__(self, key_of: Callable[[str], str | None], nonces: Nonces, skew: int) -> None:
        self._key_of = key_of
        self._nonces = nonces
        self._skew = skew

    def verify(self, header: str | None, message: Message, now: float, *, payload: bool = True) -> str:
        """The id of the caller who sent `message` at `now` (seconds). Raises Unauthorized with the reason.

        The nonce is looked at last, so that only who has the key can use one up. With `payload` the body
        has to be covered by the MAC.
        """
        if not header:
            raise Unauthorized("missing Authorization header")
        said = parse(header)
        key = self._key_of(said.id)
        if key is None:
            raise Unauthorized(f"credential error with id {said.id} and app {said.app}: unknown id")
        if not hmac.compare_digest(_mac(key, said, message), said.mac):
            raise Unauthorized("hawk: invalid MAC")
        if payload and not hmac.compare_digest(message.payload_hash(), said.hash):
            raise Unauthorized("payload validation failed")
        if abs(now - said.ts) > self._skew:
            raise Unauthorized("timestamp skew too high")
        self._nonces.use(said.id, said.nonce, said.ts, now)
        return said.id
