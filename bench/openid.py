"""What it costs to recognise the bearer of a token: CPU of the server, warm and cold."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import NamedTuple, cast

from kintoun.features.openid.options import Options
from kintoun.features.openid.policy import OpenIdPolicy
from kintoun.features.openid.provider import Provider
from kintoun.features.openid.wire import Wire
from kintoun.http.requests import Request
from kintoun.serving import configure_log
from kintoun.settings import Server
from kintoun.storage import Store
from tests.openid.fake import CLIENT, FakeProvider, fake_provider, key

NO_STORE = cast("Store", None)
"""The policy asks the provider, never the database."""

ALGORITHMS = ("RS256", "PS256", "ES256", "EdDSA")


class Cost(NamedTuple):
    """What one request of a kind costs on average, in microseconds."""

    what: str
    cpu: float
    wall: float


async def measure(requests: int) -> list[Cost]:
    """The costs of recognising bearers, with a provider on this machine."""
    async with fake_provider() as provider:
        provider.publish(*(key(name, name) for name in ALGORITHMS))
        costs = [await _warm(provider, requests)]
        for name in ALGORITHMS:
            made = [key(name, name).sign(provider.claims(jti=str(n))) for n in range(requests // 10)]
            costs.append(await _cold(provider, f"signed, first seen, {name}", made))
        tokens = [key("RS256").sign(provider.claims(jti=str(n)), kid="RS256") for n in range(requests // 10)]
        costs.append(await _cold(provider, "signed by nobody, RS256", tokens, known=False))
        tokens = [provider.token(iss="https://other.example.org", jti=str(n)) for n in range(requests // 10)]
        costs.append(await _cold(provider, "of another issuer", tokens, known=False))
        opaque = [f"opaque-{n}" for n in range(requests // 100)]
        provider.answers["/me"] = (200, {"sub": "ada"})
        costs.append(await _cold(provider, "opaque, first seen (CPU of the provider included)", opaque))
        return costs


def _policy(provider: FakeProvider) -> OpenIdPolicy:
    options = Options(issuer=provider.issuer, client_id=CLIENT)
    return OpenIdPolicy(Provider("idp", options, Wire()), 3)


def _request(token: str) -> Request:
    return Request("GET", "/v1/", headers={"authorization": f"Bearer {token}"})


async def _warm(provider: FakeProvider, requests: int) -> Cost:
    policy = _policy(provider)
    request = _request(key("RS256", "RS256").sign(provider.claims()))
    assert await policy.identify(request, NO_STORE) is not None

    async def again() -> None:
        for _ in range(requests):
            await policy.identify(request, NO_STORE)

    return await _cost(policy, "signed or opaque, known", requests, again)


async def _cold(provider: FakeProvider, what: str, tokens: list[str], *, known: bool = True) -> Cost:
    policy = _policy(provider)
    await policy.provider.maintain()
    requests = [_request(token) for token in tokens]

    async def first() -> None:
        for request in requests:
            claim = await policy.identify(request, NO_STORE)
            assert (claim is not None) is known, what

    return await _cost(policy, what, len(requests), first)


async def _cost(policy: OpenIdPolicy, what: str, requests: int, work: Callable[[], Awaitable[None]]) -> Cost:
    cpu, wall = time.process_time(), time.perf_counter()
    await work()
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    await policy.provider.close()
    return Cost(what, cpu / requests * 1e6, wall / requests * 1e6)


def run(requests: int = 20_000) -> list[Cost]:
    """Measure all of it; `requests` are those with a known token, of the others there are fewer."""
    configure_log(Server(log_level="warning"))
    return asyncio.run(measure(requests))
