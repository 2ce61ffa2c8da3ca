"""Requests that bear a token: whom they act as, what the provider is asked, and what when it is not there."""

from __future__ import annotations

import asyncio
import time
from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest
from msgspec.structs import replace

from kintoun.features.openid import policy as policies
from kintoun.features.openid.provider import Provider
from kintoun.settings import Policy
from tests.openid.fake import FakeProvider, fake_provider, http, key
from tests.openid.world import bearing, openid_policies, options, who, world
from tests.support.inprocess import App, Databases

JSON = "application/json"
TOKEN = {"data": {"name": "n", "scopes": ["read:/"]}}


@pytest.fixture
def url(databases: Databases) -> str:
    """SQLite's: nothing here asks the database for anything but groups. (Both engines: `test_groups`.)"""
    return databases.url("sqlite")


def one(url: str, provider: FakeProvider, **changes: Any) -> AbstractAsyncContextManager[App]:
    return world(url, Policy(name="idp", use="openid", options=options(provider, **changes)))


async def test_signed_token_is_verified_here(url: str, provider: FakeProvider) -> None:
    async with one(url, provider) as app:
        token = provider.token(name="Ada")
        response = await bearing(app, token)
        user = response.json()["user"]
        assert user["id"] == "idp:ada"
        assert user["principals"] == ["idp:ada", "system.Authenticated", "system.Everyone"]
        assert user["profile"]["name"] == "Ada"
        assert provider.times("/me") == 0
        for _ in range(3):
            assert await who(app, provider.token(sub="bob")) == "idp:bob"
        assert provider.times("/jwks") == 1


async def test_opaque_token_is_taken_to_the_provider_once(url: str, provider: FakeProvider) -> None:
    profile = {"sub": "ada", "email": "ada@example.org", "deep": {"a": [1, 2.5, None, "ü"]}}
    provider.knows(**{"opaque-token": profile})
    async with one(url, provider) as app:
        answers = await asyncio.gather(*(bearing(app, "opaque-token") for _ in range(8)))
        assert {answer.json()["user"]["id"] for answer in answers} == {"idp:ada"}
        assert answers[0].json()["user"]["profile"] == profile
        assert await who(app, "opaque-token") == "idp:ada"
        assert provider.times("/me") == 1
        assert provider.asked[-1].headers["authorization"] == "Bearer opaque-token"


async def test_tokens_are_told_apart(url: str, provider: FakeProvider) -> None:
    provider.knows(one={"sub": "ada"}, two={"sub": "bob"})
    async with one(url, provider) as app:
        for _ in range(2):
            assert [await who(app, name) for name in ("one", "two", "On e", "tw")] == [
                "idp:ada",
                "idp:bob",
                None,
                None,
            ]


async def test_refused_token_is_not_asked_about_again_and_again(url: str, provider: FakeProvider) -> None:
    async with one(url, provider) as app:
        for _ in range(5):
            assert await who(app, "nobody's") is None
        assert provider.times("/me") == 1
        response = await bearing(app, "nobody's", "GET /buckets")
        assert response.status_code == 401
        assert response.headers.get_list("www-authenticate")[0] == 'Bearer realm="Realm"'


async def test_tokens_of_accounts_are_not_shown_to_the_provider(url: str, provider: FakeProvider) -> None:
    async with one(url, provider) as app:
        assert (
            await app.call("PUT /accounts/ada", {"data": {"password": "p"}}, user=None)
        ).status_code == 201
        made = await app.ok("POST /accounts/ada/tokens", TOKEN, auth=("ada", "p"))
        token = made["data"]["token"]
        assert await who(app, token) == "account:ada"
        assert await who(app, token + "x") is None
        assert provider.asked == []


async def test_memory_keeps_no_token(url: str, provider: FakeProvider) -> None:
    provider.knows(**{"a-token-to-look-for": {"sub": "ada"}})
    async with one(url, provider) as app:
        signed = provider.token()
        assert await who(app, "a-token-to-look-for") == await who(app, signed) == "idp:ada"
        assert await who(app, "another-to-look-for") is None
        (policy,) = openid_policies(app)
        held = repr((policy._verified, policy._refused, policy._verifying, vars(policy.provider)))
        assert "to-look-for" not in held
        assert signed not in held
        assert signed.rpartition(".")[2] not in held


async def test_memory_is_bounded(url: str, provider: FakeProvider, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(policies, "REMEMBERED_BYTES", 3000)
    monkeypatch.setattr(policies, "REFUSED_TOKENS", 5)
    async with one(url, provider, remembered_tokens=10) as app:
        (policy,) = openid_policies(app)
        for n in range(20):
            assert await who(app, provider.token(sub=f"user{n}")) == f"idp:user{n}"
            assert len(policy._verified) <= 10
        for n in range(20):
            assert await who(app, provider.token(sub=f"big{n}", text="x" * 1000)) == f"idp:big{n}"
            assert policy._bytes <= 3000
        assert len(policy._verified) < 3
        for n in range(20):
            assert await who(app, f"refused-{n}") is None
        assert len(policy._refused) == 5
        remembered = sum(len(entry.claim.profile) for entry in policy._verified.values())
        assert policy._bytes == remembered <= 3000


async def test_what_was_verified_ends(
    url: str, provider: FakeProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    provider.knows(opaque={"sub": "ada"})
    async with one(url, provider, verification_ttl_seconds=100, clock_skew_seconds=0) as app:
        short, long = provider.token(exp=int(time.time()) + 50), provider.token(exp=int(time.time()) + 5000)
        for token in (short, long, "opaque"):
            assert await who(app, token) == "idp:ada"
        real = time.time

        def go_to(seconds: float) -> None:
            monkeypatch.setattr(policies.time, "time", lambda: real() + seconds)

        go_to(60)
        assert await who(app, short) is None  # remembered for 100 seconds, but at its end
        assert await who(app, "opaque") == "idp:ada"
        assert provider.times("/me") == 1
        go_to(110)
        provider.knows()
        assert await who(app, long) == "idp:ada"  # verified again
        assert await who(app, "opaque") is None  # asked about again


async def test_withdrawn_key_counts_at_once(
    url: str, provider: FakeProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, new = key(), key("second", "ES256")
    async with one(url, provider) as app:
        token = provider.token(old)
        assert await who(app, token) == "idp:ada"
        (policy,) = openid_policies(app)
        provider.publish(old, new)
        await policy.provider.keys._fetched_now()
        assert await who(app, token) == await who(app, provider.token(new)) == "idp:ada"
        provider.publish(new)
        await policy.provider.keys._fetched_now()
        assert await who(app, token) is None
        assert await who(app, provider.token(new)) == "idp:ada"


async def test_unknown_key_is_looked_for_but_not_for_everybody(url: str, provider: FakeProvider) -> None:
    new = key("second", "ES256")
    async with one(url, provider) as app:
        (policy,) = openid_policies(app)
        assert await who(app, provider.token()) == "idp:ada"
        provider.publish(key(), new)
        # Within `keys_refetch_seconds` of the first fetch nobody makes the server fetch again.
        for n in range(5):
            assert await who(app, key().sign(provider.claims(), kid=f"made-up-{n}")) is None
        assert await who(app, provider.token(new)) is None
        assert provider.times("/jwks") == 1
        policy.provider.keys._tried -= 3600
        answers = await asyncio.gather(*(who(app, provider.token(new, sub=f"user{n}")) for n in range(5)))
        assert answers == [f"idp:user{n}" for n in range(5)]
        assert provider.times("/jwks") == 2


FORGED: dict[str, Any] = {
    "of another issuer": {"iss": "https://elsewhere.example.org"},
    "for another audience": {"aud": "another-client"},
    "for nobody": {"aud": None},
    "for several others": {"aud": ["a", "b"]},
    "expired": {"exp": 1_000_000_000},
    "without an end": {"exp": None},
    "not valid yet": {"nbf": 4_000_000_000, "exp": 4_100_000_000},
    "of the future": {"iat": 4_000_000_000, "exp": 4_100_000_000},
    "without a user": {"sub": None},
    "with an empty user": {"sub": ""},
    "with a user that is no name": {"sub": ["ada"]},
    "a logout token": {"events": {"http://schemas.openid.net/event/backchannel-logout": {}}},
    "with a group for a user": {"sub": "group:staff"},
    "with a line break in the user": {"sub": "a\nb"},
    "with an endless user": {"sub": "a" * 513},
}


async def test_signed_tokens_that_do_not_count(url: str, provider: FakeProvider) -> None:
    provider.answers["/me"] = (200, {"sub": "ada"})  # a provider that says yes to everything
    async with one(url, provider) as app:
        for name, forged in FORGED.items():
            assert await who(app, provider.token(**forged)) is None, name
            response = await bearing(app, provider.token(**forged), "GET /buckets")
            assert response.status_code == 401, name
        assert provider.times("/me") == 0
        assert await who(app, provider.token()) == "idp:ada"


async def test_token_of_another_client_of_the_provider(url: str, provider: FakeProvider) -> None:
    async with one(url, provider) as app:
        for claims, known in (
            ({"aud": "account", "azp": "client-of-the-tests"}, True),
            ({"aud": "https://api.example.org", "client_id": "client-of-the-tests"}, True),
            ({"aud": ["x", "client-of-the-tests"]}, True),
            ({"aud": "account", "azp": "another"}, False),
        ):
            assert await who(app, provider.token(**claims)) == ("idp:ada" if known else None)


async def test_audience_of_the_settings(url: str, provider: FakeProvider) -> None:
    provider.knows(opaque={"sub": "ada"})
    async with one(url, provider, audience="https://api.example.org") as app:
        assert await who(app, provider.token(aud="https://api.example.org")) == "idp:ada"
        assert await who(app, provider.token(aud=["a", "https://api.example.org"])) == "idp:ada"
        assert await who(app, provider.token()) is None  # an ID token
        assert await who(app, provider.token(aud="x", azp="client-of-the-tests")) is None
        assert await who(app, "opaque") is None
        assert provider.times("/me") == 0


async def test_provider_of_a_token_is_the_only_one_to_be_asked(url: str, provider: FakeProvider) -> None:
    async with fake_provider() as other:
        policies = [
            Policy(name=name, use="openid", options=options(each))
            for name, each in (("first", provider), ("second", other))
        ]
        async with world(url, *policies) as app:
            assert await who(app, provider.token()) == "first:ada"
            assert await who(app, other.token()) == "second:ada"
            # Both sign with the same keys here; what is not in a token's `iss` cannot be had.
            assert len(provider.asked) == len(other.asked) == 2
            other.knows(opaque={"sub": "bob"})
            assert await who(app, "opaque") == "second:bob"


async def test_other_policies_go_on_when_a_provider_is_down(url: str, provider: FakeProvider) -> None:
    async with fake_provider() as other:
        provider.answers["/.well-known/openid-configuration"] = (500, {})
        policies = [
            Policy(name=name, use="openid", options=options(each))
            for name, each in (("down", provider), ("up", other))
        ]
        other.knows(opaque={"sub": "bob"})
        async with world(url, *policies) as app:
            assert await who(app, "opaque") == "up:bob"
            assert await who(app, other.token()) == "up:ada"
            response = await bearing(app, "of-somebody")
            assert response.status_code == 503
            assert "down" in response.json()["message"]
            assert int(response.headers["retry-after"]) > 0
            assert (await app.call("GET /", user="alice")).json()["user"]["id"].startswith("basicauth:")
            assert (await app.call("GET /", user=None)).status_code == 200


async def silence(writer: asyncio.StreamWriter) -> None:
    await asyncio.sleep(3600)


async def drip(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
    while True:
        writer.write(b" ")
        await writer.drain()
        await asyncio.sleep(0.01)


async def flood(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    for _ in range(4096):
        writer.write(b"10000\r\n" + b"[" * 65536 + b"\r\n")
        await writer.drain()


async def bomb(writer: asyncio.StreamWriter) -> None:
    writer.write(http(200, "x" * 1000, "Content-Encoding: gzip"))


async def hang_up(writer: asyncio.StreamWriter) -> None:
    writer.close()


async def nonsense(writer: asyncio.StreamWriter) -> None:
    writer.write(b"\x00\x01 what?\r\n\r\n")


async def redirect(writer: asyncio.StreamWriter) -> None:
    writer.write(http(302, {}, "Location: http://169.254.169.254/latest/meta-data"))


BAD: dict[str, Any] = {
    "is silent": silence,
    "drips": drip,
    "floods": flood,
    "compresses": bomb,
    "hangs up": hang_up,
    "talks nonsense": nonsense,
    "redirects": redirect,
    "answers 500": (500, {"error": "server_error"}),
    "is overloaded": (429, {}),
    "is no JSON": (200, "<html>"),
    "is a list": (200, [1]),
    "is nested": (200, "[" * 5000 + "]" * 5000),
    "is no text": (200, '{"sub": "\\ud800"}'),
}


SLOW = ("is silent", "drips")


def limit_time(provider: Provider, behaviour: str) -> None:
    """Wait long for whoever answers, on a machine that has much to do, and not for who never will."""
    provider.options = replace(provider.options, timeout_seconds=0.5 if behaviour in SLOW else 30)


@pytest.mark.parametrize("path", ["/me", "/jwks", "/.well-known/openid-configuration"])
async def test_provider_that_misbehaves(url: str, provider: FakeProvider, path: str) -> None:
    async with one(url, provider) as app:
        (policy,) = openid_policies(app)
        if path == "/me":
            await policy.provider.metadata.get()
        for name, bad in BAD.items():
            if name in SLOW and path != "/me":
                continue
            limit_time(policy.provider, name)
            provider.answers[path] = bad
            policy.provider.keys._tried = policy.provider.metadata._tried = float("-inf")
            response = await bearing(app, "opaque" if path == "/me" else provider.token())
            assert response.status_code == 503, (name, response.text)
            assert response.json()["errno"] == 201
            assert "retry-after" in response.headers
            assert provider.asked[-1].path == path
        assert (await app.call("GET /")).status_code == 200


async def test_provider_that_comes_back(url: str, provider: FakeProvider) -> None:
    async with one(url, provider) as app:
        provider.answers["/jwks"] = (503, {})
        token = provider.token()
        assert (await bearing(app, token)).status_code == 503
        asked = len(provider.asked)
        assert (await bearing(app, token)).status_code == 503
        assert len(provider.asked) == asked  # a moment later nobody tries again
        (policy,) = openid_policies(app)
        policy.provider.keys._tried -= 60
        provider.publish(key())
        assert await who(app, token) == "idp:ada"
        # What is known goes on counting while the provider is away.
        provider.answers.clear()
        policy.provider.keys._fetched -= 10_000_000
        policy.provider.metadata._fetched -= 10_000_000
        assert await who(app, provider.token(sub="bob")) == "idp:bob"


async def test_discovery_documents_that_do_not_count(url: str, provider: FakeProvider) -> None:
    async with one(url, provider) as app:
        (policy,) = openid_policies(app)
        for change in (
            {"issuer": "https://elsewhere.example.org"},
            {"jwks_uri": "file:///etc/passwd"},
            {"jwks_uri": "gopher://127.0.0.1/"},
            {"token_endpoint": None},
            {"userinfo_endpoint": "http://user:pw@127.0.0.1/"},
        ):
            provider.answers["/.well-known/openid-configuration"] = (200, provider.document(**change))
            policy.provider.keys._tried = policy.provider.metadata._tried = float("-inf")
            assert (await bearing(app, provider.token())).status_code == 503, change
        assert {asked.path for asked in provider.asked} == {"/.well-known/openid-configuration"}


async def test_the_capability_waits_for_the_provider(url: str, provider: FakeProvider) -> None:
    provider.answers["/.well-known/openid-configuration"] = (500, {})
    async with one(url, provider) as app:
        (policy,) = openid_policies(app)

        async def shown() -> Any:
            await policy.provider.maintain()
            root = await app.ok("GET /", user=None)
            return root["capabilities"]["openid"]["providers"][0]["userinfo_endpoint"]

        assert await shown() is None
        provider.answers["/.well-known/openid-configuration"] = (200, provider.document())
        policy.provider.metadata._tried = policy.provider.keys._tried = float("-inf")
        assert await shown() == f"{provider.issuer}/me"
        assert policy.provider.keys.value is not None  # no request will have to wait for them


async def test_other_fields_and_the_profile(url: str, provider: FakeProvider) -> None:
    provider.knows(
        good={"sub": "ada", "email": "ada@example.org", "email_verified": True},
        silent={"sub": "ada", "email": "ada@example.org"},
        unverified={"sub": "eve", "email": "ada@example.org", "email_verified": False},
        nameless={"sub": "ada"},
    )
    async with one(url, provider, userid_field="email") as app:
        found = [await who(app, name) for name in ("good", "silent", "unverified", "nameless")]
        assert found == ["idp:ada@example.org", "idp:ada@example.org", None, None]
        # What a signed token lacks is asked for, and has to be about the same user.
        token = provider.token()
        provider.knows(**{token: {"sub": "ada", "email": "a@b.c"}})
        assert await who(app, token) == "idp:a@b.c"
        other = provider.token(jti="2")
        provider.knows(**{other: {"sub": "bob", "email": "b@b.c"}})
        assert await who(app, other) is None
    async with one(url, provider, userid_field="number") as app:
        assert await who(app, provider.token(number=12)) == "idp:12"
        assert await who(app, provider.token(number=True)) is None
        assert await who(app, provider.token(number=1.5)) is None


async def test_header_type(url: str, provider: FakeProvider) -> None:
    async with one(url, provider, header_type="Idp", realm="here") as app:
        for scheme in ("Idp", "IDP", "idp"):
            headers = {"Authorization": f"{scheme} {provider.token()}"}
            assert (await app.call("GET /", user=None, headers=headers)).json()["user"]["id"] == "idp:ada"
        refused = await bearing(app, provider.token(), "GET /buckets")
        assert refused.status_code == 401
        assert refused.headers.get_list("www-authenticate")[0] == 'Idp realm="here"'


async def test_headers_that_hold_no_token(url: str, provider: FakeProvider) -> None:
    async with one(url, provider) as app:
        long = "Bearer " + "a" * 16_000
        for header in ("Bearer", "Bearer ", "Bearer  ", "Bearer a\tb", "Bearer é", long, "bearer: x", "."):
            answer = await app.call("GET /", user=None, headers={"Authorization": header})
            assert answer.status_code == 200
            assert "user" not in answer.json()


async def test_groups(engine: str, databases: Databases, provider: FakeProvider) -> None:
    async with one(databases.url(engine), provider, groups_claim="realm.roles") as app:
        staff = provider.token(realm={"roles": ["staff", "staff", "ops", 7, "", "a\nb", None]})
        user = (await bearing(app, staff)).json()["user"]
        own = ["idp:ada", "idp:group:ops", "idp:group:staff"]
        assert user["principals"] == [*own, "system.Authenticated", "system.Everyone"]
        grants = {"permissions": {"read": ["idp:group:staff"], "collection:create": ["/buckets/b/groups/g"]}}
        assert (await app.call("PUT /buckets/b", grants)).status_code == 201
        members = {"data": {"members": ["idp:group:ops"]}}
        assert (await app.call("PUT /buckets/b/groups/g", members)).status_code == 201
        assert (await bearing(app, staff, "GET /buckets/b")).status_code == 200
        assert [each["id"] for each in (await bearing(app, staff, "GET /buckets")).json()["data"]] == ["b"]
        made = await bearing(app, staff, "PUT /buckets/b/collections/c", {}, **{"Content-Type": JSON})
        assert made.status_code == 201, made.text
        assert made.json()["permissions"] == {"write": ["idp:ada"]}
        item = {"method": "PUT", "path": "/buckets/b/collections/d"}
        batch = await bearing(app, staff, "POST /batch", {"requests": [item]}, **{"Content-Type": JSON})
        assert batch.json()["responses"][0]["status"] == 201
        # A claim that is one text, one of that very name, and none at all.
        provider.knows(**{(token := provider.token(sub="bob")): {"sub": "bob", "realm.roles": "staff"}})
        assert (await bearing(app, token, "GET /buckets/b")).status_code == 200
        for roles in ([], [["staff"]], {"staff": True}, "STAFF", "staff "):
            token = provider.token(sub="eve", realm={"roles": roles})
            assert (await bearing(app, token, "GET /buckets/b")).status_code == 403
        many = provider.token(sub="max", realm={"roles": [f"g{n}" for n in range(1000)]})
        assert len((await bearing(app, many)).json()["user"]["principals"]) == 1 + 200 + 2


async def test_batch_verifies_before_its_transaction(
    engine: str, databases: Databases, provider: FakeProvider
) -> None:
    """While the provider takes its time, others write."""
    asked, answer = asyncio.Event(), asyncio.Event()

    async def slowly(writer: asyncio.StreamWriter) -> None:
        asked.set()
        await answer.wait()
        writer.write(http(200, {"sub": "ada"}))

    provider.answers["/me"] = slowly
    async with one(databases.url(engine), provider, timeout_seconds=60) as app:
        assert (await app.call("PUT /buckets/b", {"permissions": {"write": ["idp:ada"]}})).status_code == 201
        item = {"method": "PATCH", "path": "/buckets/b", "body": {"data": {"a": 1}}}
        requests = {"requests": [item | {"headers": {"Authorization": "Bearer opaque"}}]}
        batch = asyncio.ensure_future(app.call("POST /batch", requests))
        await asyncio.wait_for(asked.wait(), 60)
        for name in ("x", "y"):
            done = await asyncio.wait_for(app.call(f"PUT /buckets/{name}"), 60)
            assert done.status_code == 201
        assert not batch.done()
        answer.set()
        assert (await batch).json()["responses"][0]["status"] == 200
        # A request whose token nobody knows does not spoil those beside it.
        provider.answers["/me"] = (401, {})
        requests["requests"] = [
            {"method": "GET", "path": "/buckets/b", "headers": {"Authorization": f"Bearer {token}"}}
            for token in ("opaque", "nobody's")
        ]
        found = (await app.call("POST /batch", requests)).json()["responses"]
        assert [each["status"] for each in found] == [200, 401]
