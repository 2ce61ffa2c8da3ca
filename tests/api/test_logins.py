"""Who the credentials of an account are taken for: hashes, other policies, batches, what is remembered."""

from __future__ import annotations

import asyncio
import itertools
import threading
from base64 import b64encode
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import bcrypt
import httpx
import pytest

from kintoun.app import create_app
from kintoun.cli.accounts import add_account
from kintoun.features.accounts import objects, passwords, policy
from kintoun.features.accounts.policy import AccountPolicy
from kintoun.features.accounts.settings import AccountsSection
from kintoun.model import json
from kintoun.model.paths import CREDENTIALS
from kintoun.model.permissions import NO_GRANTS
from kintoun.settings import Policy, Protocol
from kintoun.storage.needs import Needs
from kintoun.storage.rows import Stored, Wanted
from kintoun.storage.unit import Unit
from tests.support.inprocess import SECRET, App, Databases, opened, settings_for

pytestmark = pytest.mark.usefixtures("cheap_hashes")

ZOE = ("zoe", "secret")
ACCOUNT = Policy(name="account", use="account")
BASICAUTH = Policy(name="basicauth", use="basicauth")


@asynccontextmanager
async def accounts(databases: Databases, engine: str, **changes: Any) -> AsyncIterator[App]:
    """An application with an account, zoe, and settings of its own."""
    section = changes.pop("section", AccountsSection())
    async with opened(settings_for(databases.url(engine), sections={"accounts": section}, **changes)) as app:
        await app.ok("PUT /accounts/zoe", {"data": {"password": "secret"}}, user=None)
        yield app


class PutHash:
    """The write of a hash as an import makes it."""

    def __init__(self, name: str, hashed: str) -> None:
        self._path = CREDENTIALS.object(name)
        self._hashed = hashed
        self.needs = Needs((CREDENTIALS,), (), (self._path,))

    async def run(self, unit: Unit) -> None:
        await unit.put(self._path, {"hash": self._hashed}, NO_GRANTS)


async def import_bcrypt(app: App, name: str, password: str) -> None:
    hashed = bcrypt.hashpw(password.encode()[:72], bcrypt.gensalt(4)).decode()
    await app.application.composition.service.store.write(PutHash(name, hashed))


async def credential(app: App, name: str) -> Stored:
    store = app.application.composition.service.store
    [row] = (await store.read(Wanted(points=(CREDENTIALS.object(name),)))).points
    assert row is not None
    return row


def counting(monkeypatch: pytest.MonkeyPatch, name: str) -> list[str]:
    """The passwords that a function of the policy is called with from now on."""
    calls: list[str] = []
    real: Callable[..., Any] = getattr(passwords, name)

    def counted(password: str, *rest: Any) -> Any:
        calls.append(password)
        return real(password, *rest)

    for module in (objects, policy):
        if hasattr(module, name):
            monkeypatch.setattr(module, name, counted)
    return calls


async def who(app: App, auth: tuple[str, str], **arguments: Any) -> str | None:
    told = await app.ok("GET /", auth=auth, **arguments)
    return told.get("user", {}).get("id")


async def test_a_hash_of_bcrypt_is_verified_and_replaced_at_the_next_login(
    engine: str, databases: Databases
) -> None:
    async with accounts(databases, engine) as app:
        await import_bcrypt(app, "zoe", "imported")
        before = await app.call("GET /accounts/zoe", auth=("zoe", "imported"))
        assert before.status_code == 200
        assert json.decode((await credential(app, "zoe")).body.encode())["hash"].startswith("$argon2id$")
        after = await app.call("GET /accounts/zoe", auth=("zoe", "imported"))
        assert (after.text, after.headers["etag"]) == (before.text, before.headers["etag"])
        assert before.json()["data"]["last_modified"] == after.json()["data"]["last_modified"]
        assert [str(change.path) for change in app.changes if change.action == "update"] == []
        assert await who(app, ZOE) is None
        renewed = await credential(app, "zoe")
        for each in app.application.composition.service.policies:
            if isinstance(each, AccountPolicy):
                each._remembered.clear()
        assert await who(app, ("zoe", "imported")) == "account:zoe"
        assert await credential(app, "zoe") == renewed


async def test_a_hash_of_bcrypt_of_a_long_password_is_left_alone(engine: str, databases: Databases) -> None:
    async with accounts(databases, engine) as app:
        await import_bcrypt(app, "zoe", "x" * 100)
        assert await who(app, ("zoe", "x" * 100)) == "account:zoe"
        assert await who(app, ("zoe", "x" * 72 + "mistyped")) == "account:zoe"  # all that bcrypt can tell
        assert await who(app, ("zoe", "x" * 71)) is None
        assert '"$2b$' in (await credential(app, "zoe")).body
        await app.ok("PATCH /accounts/zoe", {"data": {"password": "x" * 100}}, auth=("zoe", "x" * 100))
        assert await who(app, ("zoe", "x" * 72 + "mistyped")) is None
        assert await who(app, ("zoe", "x" * 100)) == "account:zoe"


async def test_passwords_have_a_greatest_length(engine: str, databases: Databases) -> None:
    async with accounts(databases, engine) as app:
        for request, auth in (
            ("PUT /accounts/zoe", ZOE),
            ("PATCH /accounts/zoe", ZOE),
            ("PUT /accounts/y", None),
        ):
            for password in ("x" * 4097, "é" * 2049):
                refused = await app.call(request, {"data": {"password": password}}, auth=auth, user=None)
                assert refused.status_code == 400
                assert refused.json()["details"][0]["name"] == "data.password"
        longest = "é" * 2048
        await app.ok("PATCH /accounts/zoe", {"data": {"password": longest}}, auth=ZOE)
        assert await who(app, ("zoe", longest)) == "account:zoe"
        assert await who(app, ("zoe", longest + "x")) is None
        assert await who(app, ("zoe", "x" * 11_000)) is None


@pytest.mark.parametrize("order", list(itertools.permutations((ACCOUNT, BASICAUTH))), ids=lambda o: o[0].use)
async def test_a_wrong_password_makes_nobody_else_whatever_the_order(
    engine: str, databases: Databases, order: tuple[Policy, ...]
) -> None:
    async with accounts(databases, engine, policies=list(order)) as app:
        assert await who(app, ZOE) == "account:zoe"
        for wrong in ("wrong", "", "secre", "kt_em9l.x"):
            assert await who(app, ("zoe", wrong)) is None
            assert (await app.call("GET /accounts/zoe", auth=("zoe", wrong))).status_code == 401
            assert (await app.call("PUT /buckets/hers", auth=("zoe", wrong))).status_code == 401
        assert str(await who(app, ("nobody", "x"))).startswith("basicauth:")
        challenges = (await app.call("GET /accounts/zoe", user=None)).headers.get_list("www-authenticate")
        assert challenges == ['Basic realm="Realm"'] * 2


async def test_only_the_first_request_hashes(
    engine: str, databases: Databases, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with accounts(databases, engine) as app:
        verified = counting(monkeypatch, "verifies")
        together = await asyncio.gather(*(who(app, ZOE) for _ in range(20)))
        assert together == ["account:zoe"] * 20
        assert verified == ["secret"]
        await app.ok("PUT /buckets/b", auth=ZOE)
        await app.ok("PATCH /accounts/zoe", {"data": {"age": 7}}, auth=ZOE)
        assert await who(app, ZOE) == "account:zoe"
        assert verified == ["secret"]


async def test_nobody_makes_the_server_hash_who_may_not_set_the_password(
    engine: str, databases: Databases, monkeypatch: pytest.MonkeyPatch
) -> None:
    access = {"account_create": ["account:zoe"], "account_write": ["account:root"]}
    async with accounts(databases, engine) as app:
        await app.ok("PUT /accounts/root", {"data": {"password": "root"}}, user=None)
        await app.ok("PUT /accounts/yan", {"data": {"password": "secret"}}, user=None)
    async with opened(settings_for(databases.url(engine), access=access)) as app:
        store = app.application.composition.service.store
        for name, password in (("zoe", "secret"), ("root", "root"), ("yan", "secret")):
            assert await add_account(store, name, password)
        hashed = counting(monkeypatch, "hash_password")
        body = {"data": {"password": "new", "id": "yan"}}
        refused = [
            ("PUT /accounts/new", None, 401), ("POST /accounts", None, 401),
            ("PATCH /accounts/yan", None, 401), ("PUT /accounts/yan", None, 401),
            ("PUT /accounts/yan", ZOE, 403), ("PATCH /accounts/yan", ZOE, 403),
            ("PATCH /accounts/missing", ZOE, 403),
        ]  # fmt: skip
        for request, auth, status in refused:
            own = body if "yan" in request or "POST" in request else {"data": {"password": "new"}}
            assert (await app.call(request, own, auth=auth, user=None)).status_code == status, request
        many = [
            {"method": "PUT", "path": f"/accounts/a{n}", "body": {"data": {"password": "x"}}}
            for n in range(9)
        ]
        answers = await app.ok("POST /batch", {"requests": many}, user=None)
        assert {item["status"] for item in answers["responses"]} == {401}
        assert hashed == []
        await app.ok("PATCH /accounts/yan", {"data": {"password": "new"}}, auth=("root", "root"))
        assert hashed == ["new"]
        assert await who(app, ("yan", "new")) == "account:yan"


async def test_a_batch_goes_on_as_whom_it_began(engine: str, databases: Databases) -> None:
    async with accounts(databases, engine) as app:
        await app.ok("PUT /accounts/yan", {"data": {"password": "secret"}}, user=None)
        requests = [
            {"method": "PATCH", "path": "/accounts/zoe", "body": {"data": {"password": "new"}}},
            {"method": "GET", "path": "/accounts/zoe"},
            {"method": "PUT", "path": "/buckets/hers"},
            {"method": "GET", "path": "/buckets/hers"},
        ]
        answers = await asyncio.wait_for(app.ok("POST /batch", {"requests": requests}, auth=ZOE), 60)
        assert [item["status"] for item in answers["responses"]] == [200, 200, 201, 200]
        assert await who(app, ZOE) is None
        assert await who(app, ("zoe", "new")) == "account:zoe"


async def test_a_batch_that_changes_a_password_refuses_the_old_one_in_it(
    engine: str, databases: Databases
) -> None:
    access = {
        "account_create": ["system.Everyone"],
        "account_write": ["account:zoe"],
        "bucket_create": ["system.Authenticated"],
    }
    async with accounts(databases, engine, access=access) as app:
        await app.ok("PUT /accounts/yan", {"data": {"password": "secret"}}, user=None)
        yan = "Basic " + b64encode(b"yan:secret").decode()
        assert await who(app, ("yan", "secret")) == "account:yan"
        as_yan = {"headers": {"Authorization": yan}}
        requests: list[dict[str, Any]] = [
            {"method": "PATCH", "path": "/accounts/yan", "body": {"data": {"password": "taken"}}},
            {"method": "GET", "path": "/accounts/yan", **as_yan},
            {"method": "PUT", "path": "/buckets/his", **as_yan},
            {"method": "PUT", "path": "/buckets/hers"},
        ]
        answers = await asyncio.wait_for(app.ok("POST /batch", {"requests": requests}, auth=ZOE), 60)
        assert [item["status"] for item in answers["responses"]] == [200, 401, 401, 201]


async def test_accounts_are_made_in_a_batch_and_hashed_before_it(
    engine: str, databases: Databases, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with accounts(databases, engine) as app:
        hashed = counting(monkeypatch, "hash_password")
        requests = [
            {"method": "PUT", "path": f"/accounts/a{n}", "body": {"data": {"password": f"p{n}"}}}
            for n in range(5)
        ]
        requests.append(
            {"method": "POST", "path": "/accounts", "body": {"data": {"id": "b", "password": "pb"}}}
        )
        answers = await app.ok("POST /batch", {"requests": requests}, user=None)
        assert {item["status"] for item in answers["responses"]} == {201}
        assert hashed == ["p0", "p1", "p2", "p3", "p4", "pb"]
        for n in range(5):
            assert await who(app, (f"a{n}", f"p{n}")) == f"account:a{n}"
        assert await who(app, ("b", "pb")) == "account:b"


async def test_who_comes_to_have_the_right_in_a_batch_sets_the_password_in_it(
    engine: str, databases: Databases
) -> None:
    access = {
        "account_create": ["system.Everyone"],
        "account_write": ["/buckets/b/groups/g"],
        "bucket_create": ["system.Authenticated"],
    }
    async with accounts(databases, engine, access=access) as app:
        me = (await app.ok("GET /"))["user"]["id"]
        requests: list[dict[str, Any]] = [
            {"method": "PUT", "path": "/buckets/b"},
            {"method": "PUT", "path": "/buckets/b/groups/g", "body": {"data": {"members": [me]}}},
            {"method": "PATCH", "path": "/accounts/zoe", "body": {"data": {"password": "given"}}},
        ]
        answers = await app.ok("POST /batch", {"requests": requests})
        assert [item["status"] for item in answers["responses"]] == [201, 201, 200]
        assert await who(app, ("zoe", "given")) == "account:zoe"


async def test_more_passwords_than_can_wait_are_refused(
    engine: str, databases: Databases, monkeypatch: pytest.MonkeyPatch
) -> None:
    section = AccountsSection(hashing_threads=1, hashing_queue=1)
    async with accounts(databases, engine, section=section) as app:
        release = threading.Event()

        def waits(password: str) -> str:
            assert release.wait(60)
            return passwords.hash_password(password)

        monkeypatch.setattr(objects, "hash_password", waits)
        body = {"data": {"password": "secret"}}
        calls = [app.call(f"PUT /accounts/c{n}", body, user=None) for n in range(8)]
        pending = {asyncio.ensure_future(call) for call in calls}
        refused: list[httpx.Response] = []
        while len(pending) > 2:  # one is being hashed, one waits
            done, pending = await asyncio.wait(pending, timeout=60, return_when=asyncio.FIRST_COMPLETED)
            assert done
            refused += [task.result() for task in done]
        release.set()
        assert [answer.status_code for answer in await asyncio.gather(*pending)] == [201, 201]
        for answer in refused:
            assert (answer.status_code, answer.json()["errno"]) == (429, 117)
            assert answer.headers["retry-after"] == "1"


async def test_a_readonly_server_writes_nothing_for_a_login(engine: str, databases: Databases) -> None:
    async with accounts(databases, engine) as app:
        await import_bcrypt(app, "zoe", "imported")
        url = databases.url(engine)
        readonly = settings_for(url, protocol=Protocol(userid_secret=SECRET, readonly=True))
        application = create_app(readonly)
        store = application.composition.service.store
        await store.open()
        try:
            other = App(application)
            before = await credential(app, "zoe")
            assert await who(other, ("zoe", "imported")) == "account:zoe"
            for _ in range(10):
                assert await who(other, ("zoe", "wrong")) is None
            assert await credential(app, "zoe") == before
            assert await store.fetch("SELECT key FROM login WHERE failures > 0") == []
        finally:
            await store.close()
