"""A provider in this process that does what a test tells it to, and keys to sign tokens with."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

CLIENT = "client-of-the-tests"
SECRET = "secret-of-the-tests"

Behaviour = Callable[[asyncio.StreamWriter], Awaitable[None]]
Reply = tuple[int, Any]


@dataclass(frozen=True)
class Key:
    """A private key and what is published of it."""

    kid: str
    algorithm: str
    private: Any

    @property
    def public(self) -> dict[str, Any]:
        algorithm = jwt.get_algorithm_by_name(self.algorithm)
        jwk = algorithm.to_jwk(self.private.public_key(), as_dict=True)
        return {**jwk, "kid": self.kid, "use": "sig", "alg": self.algorithm}

    def sign(self, claims: Mapping[str, Any], **headers: Any) -> str:
        named = {"kid": self.kid, **headers}
        return jwt.encode(dict(claims), self.private, algorithm=self.algorithm, headers=named)


@cache
def key(kid: str = "first", algorithm: str = "RS256") -> Key:
    """A key that is the same for all tests: making one takes a while."""
    made: Any
    if algorithm.startswith(("RS", "PS")):
        made = rsa.generate_private_key(65537, 2048)
    elif algorithm == "EdDSA":
        made = ed25519.Ed25519PrivateKey.generate()
    else:
        curves = {"ES256": ec.SECP256R1, "ES384": ec.SECP384R1, "ES512": ec.SECP521R1}
        made = ec.generate_private_key(curves[algorithm]())
    return Key(kid, algorithm, made)


class Asked(NamedTuple):
    """A request that the provider got."""

    method: str
    path: str
    headers: dict[str, str]
    body: str


class FakeProvider:
    """`answers` says what each path is answered: a status and a JSON value, text, or a behaviour."""

    def __init__(self, issuer: str) -> None:
        self.issuer = issuer
        self.asked: list[Asked] = []
        self.answers: dict[str, Reply | Behaviour | Callable[[Asked], Reply]] = {
            "/.well-known/openid-configuration": (200, self.document()),
            "/me": lambda asked: (401, {"error": "invalid_token"}),
            "/token": (400, {"error": "invalid_grant"}),
        }
        self.publish(key())

    def document(self, **changes: Any) -> dict[str, Any]:
        return {
            "issuer": self.issuer,
            "authorization_endpoint": f"{self.issuer}/auth",
            "token_endpoint": f"{self.issuer}/token",
            "userinfo_endpoint": f"{self.issuer}/me",
            "jwks_uri": f"{self.issuer}/jwks",
            **changes,
        }

    def publish(self, *keys: Key) -> None:
        self.answers["/jwks"] = (200, {"keys": [each.public for each in keys]})

    def knows(self, **users: Mapping[str, Any]) -> None:
        """Give each user an opaque token, which is its name."""

        def answer(asked: Asked) -> Reply:
            name = asked.headers.get("authorization", "").removeprefix("Bearer ")
            return (200, dict(users[name])) if name in users else (401, {"error": "invalid_token"})

        self.answers["/me"] = answer

    def times(self, path: str) -> int:
        """How often a path was asked for."""
        return sum(asked.path == path for asked in self.asked)

    def claims(self, **changes: Any) -> dict[str, Any]:
        now = int(time.time())
        claims = {"iss": self.issuer, "sub": "ada", "aud": CLIENT, "iat": now, "exp": now + 600, **changes}
        return {name: value for name, value in claims.items() if value is not None}

    def token(self, signed_by: Key | None = None, **changes: Any) -> str:
        return (signed_by or key()).sign(self.claims(**changes))

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            first, *lines = head.split("\r\n")
            headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
            body = (await reader.readexactly(int(headers.get("content-length", "0")))).decode()
            method, path, _ = first.split(" ")
            asked = Asked(method, path, headers, body)
            self.asked.append(asked)
            answer = self.answers.get(path, (404, {}))
            if asyncio.iscoroutinefunction(answer):
                await answer(writer)
            else:
                status, value = answer if isinstance(answer, tuple) else answer(asked)  # type: ignore[operator]
                writer.write(http(status, value))
            await writer.drain()
        writer.close()


def http(status: int, value: Any, *headers: str) -> bytes:
    """An answer on the wire; text is sent as it is, everything else as JSON."""
    body = value.encode() if isinstance(value, str) else json.dumps(value).encode()
    lines = [f"HTTP/1.1 {status} Answer", "Content-Type: application/json", f"Content-Length: {len(body)}"]
    return "\r\n".join([*lines, "Connection: close", *headers, "", ""]).encode() + body


@asynccontextmanager
async def fake_provider() -> AsyncIterator[FakeProvider]:
    """A provider that listens, until the test is over."""
    made: list[FakeProvider] = []
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            await made[0].serve(reader, writer)
        except asyncio.CancelledError:
            writer.close()
        finally:
            tasks.discard(task)

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    made.append(FakeProvider(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"))
    try:
        yield made[0]
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await server.wait_closed()
