"""The login in the browser, with a provider that does what the test wants. (A real one: `test_real.py`.)"""

from __future__ import annotations

import asyncio
import hashlib
import json
import random
from base64 import b64decode, urlsafe_b64encode
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import parse_qs, parse_qsl, quote, unquote, urlsplit

import httpx
import pytest
import pytest_asyncio

from kintoun.features.openid import states
from kintoun.settings import Policy
from tests.openid.fake import CLIENT, SECRET, Asked, FakeProvider, fake_provider, key
from tests.openid.test_bearer import BAD, SLOW, limit_time
from tests.openid.world import CALLBACK, openid_policies, options, world
from tests.support.inprocess import App, Databases, exchange

TOKENS = {"access_token": "opaque", "token_type": "Bearer", "expires_in": 60, "extra": "ü/?~>"}


@pytest_asyncio.fixture
async def app(engine: str, databases: Databases, provider: FakeProvider) -> AsyncIterator[App]:
    policy = Policy(name="idp", use="openid", options=options(provider))
    async with world(databases.url(engine), policy) as made:
        yield made


async def get(app: App, path: str, **query: str) -> httpx.Response:
    asked = "&".join(f"{name}={quote(value, safe='')}" for name, value in query.items())
    return await app.call(f"GET {path}?{asked}", user=None)


async def login(app: App, name: str = "idp", **query: str) -> dict[str, str]:
    """What the provider is told at the beginning of a login."""
    asked = {"callback": CALLBACK, "scope": "openid email", **query}
    response = await get(app, f"/openid/{name}/login", **asked)
    assert response.status_code == 307, response.text
    return dict(parse_qsl(urlsplit(response.headers["location"]).query))


def errors(response: httpx.Response) -> list[tuple[str, str, str]]:
    assert response.status_code == 400, response.text
    assert response.json()["errno"] == 107
    return [(each["location"], each["name"], each["description"]) for each in response.json()["details"]]


async def test_the_browser_is_sent_to_the_provider(app: App, provider: FakeProvider) -> None:
    response = await get(app, "/openid/idp/login", callback=CALLBACK, scope="openid email", prompt="none")
    location = response.headers["location"]
    assert location.startswith(f"{provider.issuer}/auth?")
    query = dict(parse_qsl(urlsplit(location).query))
    assert len(query.pop("state")) == 64
    assert len(query.pop("nonce")) >= 22
    assert len(query.pop("code_challenge")) == 43
    assert query == {
        "client_id": CLIENT,
        "response_type": "code",
        "scope": "openid email",
        "redirect_uri": "http://server.example/v1/openid/idp/token",
        "prompt": "none",
        "code_challenge_method": "S256",
    }
    assert response.headers["cache-control"] == "no-store"
    assert response.headers["referrer-policy"] == "no-referrer"
    assert SECRET not in location


async def test_the_code_is_traded_and_the_tokens_handed_on(app: App, provider: FakeProvider) -> None:
    query = await login(app)
    raw = json.dumps(TOKENS, ensure_ascii=False, indent=1)
    provider.answers["/token"] = (200, raw)
    response = await get(app, "/openid/idp/token", code="a code/+", state=query["state"])
    assert response.status_code == 307
    location = response.headers["location"]
    assert location.startswith(CALLBACK)
    assert b64decode(unquote(location.removeprefix(CALLBACK))) == raw.encode()
    assert "/" not in location.removeprefix(CALLBACK)
    assert response.headers["cache-control"] == "no-store"
    form = parse_qs(provider.asked[-1].body)
    (verifier,) = form.pop("code_verifier")
    digest = hashlib.sha256(verifier.encode()).digest()
    assert urlsafe_b64encode(digest).rstrip(b"=").decode() == query["code_challenge"]
    assert form == {
        "code": ["a code/+"],
        "client_id": [CLIENT],
        "client_secret": [SECRET],
        "redirect_uri": [query["redirect_uri"]],
        "grant_type": ["authorization_code"],
    }


async def test_a_state_counts_once(app: App, provider: FakeProvider) -> None:
    provider.answers["/token"] = (200, TOKENS)
    state = (await login(app))["state"]
    requests = [get(app, "/openid/idp/token", code="c", state=state) for _ in range(8)]
    answers = await asyncio.gather(*requests)
    assert sorted(answer.status_code for answer in answers) == [307] + [400] * 7
    assert provider.times("/token") == 1
    refused = await get(app, "/openid/idp/token", code="c", state=state)
    assert refused.json() == {
        "code": 400,
        "errno": 107,
        "error": "Invalid parameters",
        "message": "Invalid state",
        "details": [
            {"location": "body", "name": "state", "description": "Invalid state", "errno": 105},
        ],
    }


async def test_a_state_is_of_one_provider_and_ends(
    engine: str, databases: Databases, provider: FakeProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with fake_provider() as other:
        made = [
            Policy(name=name, use="openid", options=options(each, state_ttl_seconds=60))
            for name, each in (("one", provider), ("two", other))
        ]
        async with world(databases.url(engine), *made) as app:
            for each in (provider, other):
                each.answers["/token"] = (200, TOKENS)
            state = (await login(app, "one"))["state"]
            assert errors(await get(app, "/openid/two/token", code="c", state=state))[0][1] == "state"
            assert other.times("/token") == provider.times("/token") == 0
            state = (await login(app, "one"))["state"]
            wrong = await get(app, "/openid/one/token", code="c", state=state, iss=other.issuer)
            assert errors(wrong) == [("querystring", "iss", "Not the issuer of this provider")]
            late = (await login(app, "two"))["state"]
            real = states.now
            monkeypatch.setattr(states, "now", lambda: real() + 61_000)
            assert errors(await get(app, "/openid/two/token", code="c", state=late))[0][1] == "state"


async def test_logins_are_bounded(
    engine: str, databases: Databases, provider: FakeProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(states, "EVERY", 4)
    policy = Policy(name="idp", use="openid", options=options(provider, pending_logins=5))
    async with world(databases.url(engine), policy) as app:
        store = app.application.composition.service.store
        begun = [(await login(app))["state"] for _ in range(14)]
        rows = await store.fetch("SELECT id FROM openid_login")
        assert 5 <= len(rows) <= 8
        assert not {row[0] for row in rows} & set(begun)  # digests
        provider.answers["/token"] = (200, TOKENS)
        assert (await get(app, "/openid/idp/token", code="c", state=begun[-1])).status_code == 307
        assert (await get(app, "/openid/idp/token", code="c", state=begun[0])).status_code == 400
        logins = states.Logins(store)
        real = states.now
        monkeypatch.setattr(states, "now", lambda: real() + 4_000_000)
        await logins.sweep("idp", 5)
        assert await store.fetch("SELECT id FROM openid_login") == []


async def test_the_provider_says_no(app: App, provider: FakeProvider) -> None:
    state = (await login(app))["state"]
    told = {"error": "access_denied", "error_description": "No way & back"}
    response = await get(app, "/openid/idp/token", state=state, **told)
    assert response.headers["location"] == f"{CALLBACK}error=access_denied&error_description=No+way+%26+back"
    assert provider.times("/token") == 0
    state = (await login(app))["state"]
    response = await get(app, "/openid/idp/token", state=state, code="c")
    assert json.loads(b64decode(unquote(response.headers["location"].removeprefix(CALLBACK)))) == {
        "error": "invalid_grant"
    }


async def test_an_id_token_is_that_of_the_login(app: App, provider: FakeProvider) -> None:
    async def trade(id_token: Any, **query: str) -> httpx.Response:
        begun = await login(app, **query)
        made = id_token(begun.get("nonce")) if callable(id_token) else id_token
        provider.answers["/token"] = (200, {**TOKENS, "id_token": made})
        return await get(app, "/openid/idp/token", code="c", state=begun["state"])

    good = await trade(lambda nonce: provider.token(nonce=nonce))
    assert good.status_code == 307
    for bad in (
        provider.token(),
        provider.token(nonce="another"),
        lambda nonce: provider.token(nonce=nonce, aud="another"),
        lambda nonce: provider.token(nonce=nonce, aud="another", azp=CLIENT),
        lambda nonce: provider.token(nonce=nonce, exp=1),
        lambda nonce: provider.token(nonce=nonce, iss="https://evil.example.org"),
        lambda nonce: key("second").sign(provider.claims(nonce=nonce)),
        lambda nonce: key("second").sign(provider.claims(nonce=nonce), kid="first"),
        "not a token",
        "",
        {"alg": "none"},
        7,
    ):
        assert errors(await trade(bad)) == [
            ("querystring", "code", "The ID token that it was traded for is not valid")
        ]
    # A login without `openid` asks for none.
    assert (await trade("whatever", scope="email")).status_code == 307


@pytest.mark.parametrize("path", ["/token", "/.well-known/openid-configuration", "/jwks"])
async def test_provider_that_misbehaves(databases: Databases, provider: FakeProvider, path: str) -> None:
    policy = Policy(name="idp", use="openid", options=options(provider))
    async with world(databases.url("sqlite"), policy) as app:
        (known,) = openid_policies(app)
        good = dict(provider.answers)
        for name, bad in BAD.items():
            if path == "/token" and name == "is overloaded":
                continue  # its JSON is handed on
            if name in SLOW and path != "/token":
                continue
            provider.answers = dict(good)
            limit_time(known.provider, "answers")
            known.provider.metadata._tried = known.provider.keys._tried = float("-inf")
            if path == "/.well-known/openid-configuration":
                provider.answers[path] = bad
                response = await get(app, "/openid/idp/login", callback=CALLBACK, scope="openid")
            else:
                begun = await login(app)
                made = provider.token(nonce=begun["nonce"])
                provider.answers |= {"/token": (200, {**TOKENS, "id_token": made}), path: bad}
                limit_time(known.provider, name)
                response = await get(app, "/openid/idp/token", code="c", state=begun["state"])
            assert response.status_code == 503, (name, response.text)
            assert "retry-after" in response.headers
            assert response.json()["errno"] == 201


async def test_how_the_secret_is_told(app: App, provider: FakeProvider) -> None:
    (policy,) = openid_policies(app)
    provider.answers["/token"] = (200, TOKENS)
    for methods, in_form in (
        (None, True),
        (["client_secret_post", "client_secret_basic"], True),
        (["client_secret_basic"], False),
    ):
        document = provider.document(token_endpoint_auth_methods_supported=methods)
        provider.answers["/.well-known/openid-configuration"] = (200, document)
        await policy.provider.metadata._fetched_now()
        await get(app, "/openid/idp/token", code="c", state=(await login(app))["state"])
        asked: Asked = provider.asked[-1]
        assert (SECRET in asked.body) is in_form
        assert asked.headers.get("authorization", "").startswith("Basic ") is not in_form


async def test_what_is_wrong_with_a_login(app: App) -> None:
    async def wrong(path: str = "/openid/idp/login", **query: str) -> list[tuple[str, str, str]]:
        return errors(await get(app, path, **query))

    good = {"callback": CALLBACK, "scope": "openid"}
    required = [("querystring", "callback", "Required"), ("querystring", "scope", "Required")]
    assert await wrong() == required
    assert await wrong(callback="", scope=" ") == required
    unknown = ("path", "provider", "Unknown provider 'nope'")
    assert await wrong("/openid/nope/login", **good) == [unknown]
    assert await wrong("/openid/nope/login") == [required[0], unknown, required[1]]
    assert await wrong("/openid/basicauth/login", **good) == [
        ("path", "provider", "Unknown provider 'basicauth'")
    ]
    assert await wrong(**{**good, "callback": "foo"}) == [("querystring", "callback", "Must be a URL")]
    untrusted = [("body", "callback", "Untrusted callback URL")]
    for callback in ("http://evil.com/", "http://localhost@evil.com/", "http://localhost\\.evil.com/"):
        assert await wrong(**{**good, "callback": callback}) == untrusted
    assert await wrong(**{**good, "scope": "openid x offline_access"}) == [
        ("body", "scope", "Scopes not allowed: offline_access, x")
    ]
    for prompt in ("login", "nonesuch"):
        assert (await wrong(**good, prompt=prompt))[0][1] == "prompt"
    twice = f"GET /openid/idp/login?callback={quote(CALLBACK, safe='')}&scope=openid&scope=email"
    assert errors(await app.call(twice)) == [("querystring", "scope", "Given more than once")]


async def test_what_is_wrong_with_its_end(app: App) -> None:
    async def wrong(**query: str) -> tuple[str, str, str]:
        (only,) = errors(await get(app, "/openid/idp/token", **query))
        return only

    assert await wrong() == await wrong(code="x") == ("querystring", "state", "Required")
    for query in ({}, {"code": "x", "error": "y"}, {"code": ""}):
        location, name, description = await wrong(state="z", **query)
        assert (location, name) == ("querystring", "")
        assert "not both" in description
    assert (await wrong(state="z", code="c" * 5000))[1] == "code"
    assert (await wrong(state="\0", code="c"))[1] == "state"
    assert (await wrong(state="é", code="c"))[2] == "Invalid state"


async def test_a_login_is_no_part_of_a_batch(app: App) -> None:
    path = f"/openid/idp/login?callback={quote(CALLBACK, safe='')}&scope=openid"
    batch = await app.ok("POST /batch", {"requests": [{"method": "GET", "path": path}]})
    assert batch["responses"][0]["status"] == 400
    assert (await app.call("POST /openid/idp/login")).status_code == 405


async def test_the_email_has_to_be_asked_for(databases: Databases, provider: FakeProvider) -> None:
    policy = Policy(name="idp", use="openid", options=options(provider, userid_field="email", audience="api"))
    async with world(databases.url("sqlite"), policy) as app:
        response = await get(app, "/openid/idp/login", callback=CALLBACK, scope="openid")
        assert errors(response) == [("body", "scope", "Provider idp requires 'email' scope")]
        assert (await login(app))["audience"] == "api"


async def test_the_description_of_the_endpoints(app: App) -> None:
    document = await app.ok("GET /__api__")
    operation = document["paths"]["/openid/{provider}/login"]["get"]
    assert {each["name"] for each in operation["parameters"]} == {"callback", "scope", "prompt"}
    assert "307" in operation["responses"]
    assert document["components"]["securitySchemes"]["bearer"]["scheme"] == "bearer"


PIECES = [
    *("callback=", "scope=", "prompt=", "state=", "code=", "error=", "iss=", "error_description=", "other="),
    *(
        "openid",
        "none",
        "http://localhost:1/%23t=",
        "http%3A%2F%2Flocalhost%3A1%2F",
        "https://evil.com/",
        "a",
    ),
    *("&", ";", "=", "%", "%00", "%ff", "%0d%0a", "+", "%20", "é", "[", "\\", "#", "a" * 300, "'"),
    *('"', "%F0%9F"),
]


@pytest.mark.parametrize("end", ["login", "token"])
async def test_any_query_is_judged(databases: Databases, provider: FakeProvider, end: str) -> None:
    """Whatever is asked is a redirect to the provider or to a trusted callback, or a 400."""
    chance, redirects = random.Random(f"queries of {end}"), 0
    policy = Policy(name="idp", use="openid", options=options(provider))
    async with world(databases.url("sqlite"), policy) as app:
        for _ in range(100):
            query = "".join(chance.choices(PIECES, k=chance.randrange(1, 12))).encode()
            if chance.random() < 0.5:
                query += b"&callback=http://localhost:1/%23t=&scope=openid"
            for name in (b"idp", b"nope", b"%00", b"%2e%2e", b"a%2Fb"):
                target = b"/v1/openid/" + name + b"/" + end.encode() + b"?" + query
                response = await exchange(app.application, "GET", target)
                assert response.status_code in (307, 400, 404), (target, response.text)
                if response.status_code == 307:
                    redirects += 1
                    assert response.headers["location"].startswith(f"{provider.issuer}/auth?"), target
                    assert not {"\r", "\n"} & set(response.headers["location"])
    assert (redirects > 0) is (end == "login")
