"""Wrong passwords: nobody goes on guessing, and nobody locks out the owner of an account."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest

from kintoun.features.accounts import lockout
from kintoun.features.accounts.lockout import Counted, MemoryCounts, TableCounts
from kintoun.features.accounts.policy import AccountPolicy
from kintoun.features.accounts.settings import AccountsSection
from kintoun.model import timestamps
from kintoun.settings import Http, Policy
from tests.support.inprocess import App, Databases, opened, settings_for

pytestmark = pytest.mark.usefixtures("cheap_hashes")

HOME, AWAY, ELSEWHERE = "198.51.100.1", "203.0.113.5", "2001:db8:7:7::1"


@asynccontextmanager
async def world(
    databases: Databases, engine: str, *, basicauth: bool = True, **section: Any
) -> AsyncIterator[App]:
    """Accounts zoe and yan, and a proxy that says where requests come from."""
    limits = {"failures": 3, "address_failures": 8, **section}
    policies = [Policy(name="account", use="account")]
    policies += [Policy(name="basicauth", use="basicauth")] if basicauth else []
    settings = settings_for(
        databases.url(engine),
        sections={"accounts": AccountsSection(**limits)},
        http=Http(trusted_proxies=["127.0.0.1"]),
        policies=policies,
        features=["accounts", "basicauth", "flush"],
    )
    async with opened(settings) as app:
        for name in ("zoe", "yan"):
            await app.ok(f"PUT /accounts/{name}", {"data": {"password": "right"}}, user=None)
        yield app


async def attempt(app: App, password: str, address: str, name: str = "zoe") -> httpx.Response:
    headers = {"X-Forwarded-For": address}
    return await app.call("GET /accounts/" + name, auth=(name, password), headers=headers)


async def guess(app: App, times: int, address: str, name: str = "zoe") -> list[int]:
    """The statuses of so many guesses, each of another password."""
    return [(await attempt(app, f"wrong {n}", address, name)).status_code for n in range(times)]


def forget(app: App) -> None:
    """Make every credential one that this worker does not remember."""
    for policy in app.application.composition.service.policies:
        if isinstance(policy, AccountPolicy):
            policy._remembered.clear()


async def test_guessing_ends_after_some_wrong_passwords(engine: str, databases: Databases) -> None:
    async with world(databases, engine) as app:
        assert await guess(app, 5, AWAY) == [401, 401, 401, 429, 429]
        answer = await attempt(app, "right", AWAY)
        assert (answer.status_code, answer.json()["errno"]) == (429, 117)
        assert 0 < int(answer.headers["retry-after"]) <= 900
        assert "Retry-After" in answer.headers["access-control-expose-headers"]
        public = await app.call("GET /", auth=("zoe", "right"), headers={"X-Forwarded-For": AWAY})
        assert public.status_code == 429


async def test_guesses_from_elsewhere_change_nothing_for_the_owner(engine: str, databases: Databases) -> None:
    async with world(databases, engine) as app:
        assert await guess(app, 4, AWAY) == [401, 401, 401, 429]
        assert (await attempt(app, "right", HOME)).status_code == 200
        forget(app)
        assert (await attempt(app, "right", HOME)).status_code == 200
        assert (await attempt(app, "right", ELSEWHERE)).status_code == 200


async def test_credentials_that_are_remembered_work_from_everywhere(
    engine: str, databases: Databases
) -> None:
    async with world(databases, engine) as app:
        assert (await attempt(app, "right", HOME)).status_code == 200
        assert await guess(app, 4, AWAY) == [401, 401, 401, 429]
        assert (await attempt(app, "right", AWAY)).status_code == 200
        assert (await attempt(app, "wrong", AWAY)).status_code == 429


async def test_at_a_known_address_guesses_are_slowed_and_the_owner_is_not_locked_out(
    engine: str, databases: Databases, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with world(databases, engine) as app:
        assert (await attempt(app, "right", HOME)).status_code == 200
        monkeypatch.setattr(lockout.Lockout, "PACE_SECONDS", 3600.0)
        assert await guess(app, 3, HOME) == [401, 401, 401]
        assert await guess(app, 3, HOME) == [401, 429, 429]  # the one attempt of this hour
        forget(app)
        answer = await attempt(app, "right", HOME)
        assert (answer.status_code, answer.headers["retry-after"]) == (429, "1")
        monkeypatch.setattr(lockout.Lockout, "PACE_SECONDS", 0.0)
        for policy in app.application.composition.service.policies:
            if isinstance(policy, AccountPolicy):
                policy._lockout._paces.clear()
        assert (await attempt(app, "right", HOME)).status_code == 200
        assert await guess(app, 3, HOME) == [401, 401, 401]  # the right one set the count back


async def test_an_address_that_tries_many_accounts_is_stopped(engine: str, databases: Databases) -> None:
    async with world(databases, engine, basicauth=False) as app:
        await app.ok("PUT /accounts/amy", {"data": {"password": "right"}}, user=None)
        assert (await attempt(app, "right", AWAY, "yan")).status_code == 200
        forget(app)
        tried = [(await guess(app, 1, AWAY, f"name{n}"))[0] for n in range(9)]
        assert tried == [401] * 8 + [429]
        assert (await attempt(app, "right", AWAY)).status_code == 429
        assert (await attempt(app, "right", HOME)).status_code == 200
        # Who is known there is slowed like everybody known, not locked out.
        assert (await attempt(app, "right", AWAY, "yan")).status_code == 200


async def test_a_name_without_account_looks_like_one_with(engine: str, databases: Databases) -> None:
    async with world(databases, engine, basicauth=False, address_failures=0) as app:
        there = [await attempt(app, f"wrong {n}", AWAY, "zoe") for n in range(5)]
        missing = [await attempt(app, f"wrong {n}", AWAY, "nobody") for n in range(5)]
        for one, other in zip(there, missing, strict=True):
            assert (one.status_code, one.text) == (other.status_code, other.text)
            assert {name for name, _ in one.headers.items()} == {name for name, _ in other.headers.items()}


async def test_users_of_basicauth_are_not_counted(engine: str, databases: Databases) -> None:
    async with world(databases, engine) as app:
        for n in range(12):
            told = await app.ok("GET /", auth=("someone", f"{n}"), headers={"X-Forwarded-For": AWAY})
            assert told["user"]["id"].startswith("basicauth:")
        assert (await attempt(app, "right", AWAY)).status_code == 200


async def test_counting_ends_with_its_time(
    engine: str, databases: Databases, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with world(databases, engine) as app:
        assert await guess(app, 4, AWAY) == [401, 401, 401, 429]
        later = timestamps.now() + 901_000
        monkeypatch.setattr(timestamps, "now", lambda: later)
        assert (await attempt(app, "right", AWAY)).status_code == 200
        assert await guess(app, 4, ELSEWHERE) == [401, 401, 401, 429]


async def test_guesses_at_once_are_counted_like_those_one_after_the_other(
    engine: str, databases: Databases
) -> None:
    async with world(databases, engine, hashing_threads=1) as app:
        answers = await asyncio.gather(*(attempt(app, f"wrong {n}", AWAY) for n in range(12)))
        assert sorted(answer.status_code for answer in answers) == [401] * 3 + [429] * 9


async def test_limits_can_be_off(engine: str, databases: Databases) -> None:
    async with world(databases, engine, failures=0, address_failures=0) as app:
        assert await guess(app, 12, AWAY) == [401] * 12
        assert (await attempt(app, "right", AWAY)).status_code == 200


async def test_no_address_is_kept_and_what_counts_no_longer_goes(
    engine: str, databases: Databases, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with world(databases, engine) as app:
        await guess(app, 2, AWAY)
        await attempt(app, "right", HOME)
        store = app.application.composition.service.store
        rows = [tuple(row) for row in await store.fetch("SELECT * FROM login")]
        assert len(rows) == 3
        assert AWAY not in repr(rows)
        assert "zoe" not in repr(rows)
        counts = TableCounts(store)
        await counts.purge()
        assert len(await store.fetch("SELECT key FROM login")) == 3
        later = timestamps.now() + 901_000
        monkeypatch.setattr(timestamps, "now", lambda: later)
        await counts.purge()
        assert len(await store.fetch("SELECT key FROM login")) == 1  # the address that is known
        months = timestamps.now() + 40 * lockout.DAY
        monkeypatch.setattr(timestamps, "now", lambda: months)
        await counts.purge()
        assert await store.fetch("SELECT key FROM login") == []


async def test_counts_in_memory_are_those_of_the_table(engine: str, databases: Databases) -> None:
    async with world(databases, engine) as app:
        table, memory = TableCounts(app.application.composition.service.store), MemoryCounts()
        for counts in (table, memory):
            assert await counts.read("p", "a") == (Counted(), Counted())
            await counts.fail(("p", "a"), 100, 200)
            await counts.fail(("p", "a"), 150, 250)
            assert await counts.read("p", "a") == (Counted(2, 200), Counted(2, 200))
            await counts.fail(("a",), 200, 300)
            await counts.know("p", 900)
            assert await counts.read("p", "a") == (Counted(0, 0, 900), Counted(1, 300))
            await counts.fail(("p",), 400, 500)
            assert await counts.read("p", "b") == (Counted(1, 500, 900), Counted())


async def test_counts_in_memory_are_bounded() -> None:
    counts = MemoryCounts()
    for n in range(MemoryCounts.MOST + 10):
        await counts.fail((f"k{n}",), 0, 10)
    assert (await counts.read("k0", f"k{MemoryCounts.MOST}"))[0] == Counted()
    assert len(counts._counted) == MemoryCounts.MOST


async def test_without_a_trusted_proxy_the_header_says_nothing(engine: str, databases: Databases) -> None:
    section = AccountsSection(failures=3)
    async with opened(settings_for(databases.url(engine), sections={"accounts": section})) as app:
        await app.ok("PUT /accounts/zoe", {"data": {"password": "right"}}, user=None)
        statuses = [(await attempt(app, "wrong", f"192.0.2.{n}")).status_code for n in range(4)]
        assert statuses == [401, 401, 401, 429]
