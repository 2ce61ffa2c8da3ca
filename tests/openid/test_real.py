"""Logins with a certified provider from npm, in real processes: two workers, both engines."""

from __future__ import annotations

import json
import queue
import shutil
import threading
import time
from base64 import b64decode
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import parse_qsl, quote, unquote, urlsplit

import httpx
import kinto_http
import kinto_http.login
import pytest

from tests.openid.provider import RESOURCE, SECRET, RealProvider, Stuck, go_through
from tests.support.fixtures import ENGINES
from tests.support.postgres import Postgres
from tests.support.servers import Server, start_kinto, start_kintoun

pytestmark = pytest.mark.skipif(shutil.which("node") is None, reason="needs Node.js")

CALLBACK = "http://localhost:9/#tokens="
PARTS = ("storage", "permission", "cache")
SCOPE = "openid email profile"
USERS = {
    "ada": {"email": "ada@example.org", "email_verified": True, "name": "Ada", "groups": ["staff", "ops"]},
    "eve": {"email": "ada@example.org", "email_verified": False, "name": "Eve", "groups": []},
}
POLICIES = {
    "opaque": {"client_id": "opaque"},
    "basic": {"client_id": "opaque-basic", "header_type": "Basically"},
    "signed": {
        "client_id": "signed",
        "audience": RESOURCE,
    },
    "byemail": {"client_id": "opaque", "userid_field": "email", "header_type": "Email"},
}
ALL = {"groups_claim": "groups", "keys_refetch_seconds": "1", "timeout_seconds": "30"}


@pytest.fixture(scope="module")
def provider() -> Iterator[RealProvider]:
    with RealProvider([*POLICIES, "test"], USERS) as started:
        yield started


def settings(provider: RealProvider, policies: dict[str, dict[str, str]]) -> dict[str, str]:
    ini = {
        "kinto.includes": "kinto.plugins.openid",
        "multiauth.policies": " ".join(policies),
        "kinto.userid_hmac_secret": "of the tests",
        "kinto.bucket_create_principals": "system.Authenticated",
    }
    for name, options in policies.items():
        prefix = f"multiauth.policy.{name}"
        ini[f"{prefix}.use"] = "kinto.plugins.openid.OpenIDConnectPolicy"
        ini[f"{prefix}.issuer"] = provider.issuer
        ini[f"{prefix}.client_secret"] = SECRET
        for option, value in options.items():
            ini[f"{prefix}.{option}"] = value
    return ini


@pytest.fixture(scope="module", params=ENGINES)
def server(request: pytest.FixtureRequest, postgres: Postgres, provider: RealProvider) -> Iterator[Server]:
    ini = settings(provider, {name: {**each, **ALL} for name, each in POLICIES.items()})
    if request.param == "postgresql":
        uri = postgres.create_database()
        for part in PARTS:
            ini[f"kinto.{part}_backend"] = f"kinto.core.{part}.postgresql"
            ini[f"kinto.{part}_url"] = uri
    with start_kintoun(ini, workers=2) as started:
        yield started
        assert "Traceback" not in started.log()


def login_url(server: Server, name: str) -> str:
    query = f"callback={quote(CALLBACK, safe='')}&scope={quote(SCOPE)}"
    return f"{server.url}/openid/{name}/login?{query}"


def log_in(server: Server, name: str, user: str = "ada") -> dict[str, Any]:
    """What an application finds at its callback when a user has logged in."""
    with httpx.Client(timeout=60) as browser:
        end = go_through(browser, login_url(server, name), user, "http://localhost:9/")
    assert end.startswith(CALLBACK), end
    tokens: dict[str, Any] = json.loads(b64decode(unquote(end.removeprefix(CALLBACK))))
    return tokens


def log_in_with_new_keys(server: Server, name: str) -> dict[str, Any]:
    """A login when the provider has other keys: it may be too soon for the server to fetch them again."""
    for _ in range(60):
        try:
            return log_in(server, name)
        except Stuck as stuck:
            if "ID token" not in str(stuck):
                raise
    raise AssertionError("the new keys are never fetched")


def ask(server: Server, token: str, scheme: str = "Bearer") -> Any:
    response = httpx.get(f"{server.url}/", headers={"Authorization": f"{scheme} {token}"}, timeout=60)
    assert response.status_code == 200, response.text
    return response.json().get("user")


def test_the_capability(server: Server, provider: RealProvider) -> None:
    def capability() -> Any:
        return httpx.get(f"{server.url}/", timeout=60).json()["capabilities"]["openid"]

    log_in(server, "opaque")  # by now every worker may have asked, and one has
    found = capability()
    assert found["description"] == "OpenID connect support."
    assert [each["name"] for each in found["providers"]] == list(POLICIES)
    signed = found["providers"][2]
    endpoint = signed.pop("userinfo_endpoint")
    assert endpoint in (None, f"{provider.issuer}/me")
    assert signed == {
        "name": "signed",
        "issuer": provider.issuer,
        "auth_path": "/openid/signed/login",
        "client_id": "signed",
        "audience": RESOURCE,
        "header_type": "Bearer",
    }


def test_opaque_tokens(server: Server) -> None:
    tokens = log_in(server, "opaque")
    assert tokens["token_type"] == "Bearer"
    assert "." not in tokens["access_token"]
    for _ in range(4):  # in both workers, verified and remembered
        user = ask(server, tokens["access_token"])
        assert user["id"] == "opaque:ada"
        assert user["profile"]["email"] == "ada@example.org"
        groups = ["opaque:group:ops", "opaque:group:staff"]
        assert user["principals"] == ["opaque:ada", *groups, "system.Authenticated", "system.Everyone"]
    assert ask(server, tokens["access_token"] + "x") is None
    assert ask(server, tokens["id_token"])["id"] == "opaque:ada"


def test_signed_tokens(server: Server) -> None:
    tokens = log_in(server, "signed")
    assert tokens["access_token"].count(".") == 2
    for _ in range(4):
        user = ask(server, tokens["access_token"])
        assert user["id"] == "signed:ada"
        assert "signed:group:staff" in user["principals"]
    assert ask(server, tokens["id_token"]) is None  # another audience
    head, payload, signature = tokens["access_token"].split(".")
    assert ask(server, f"{head}.{payload}.{signature[:-4]}AAAA") is None


def test_other_ways_of_a_client(server: Server) -> None:
    tokens = log_in(server, "basic")
    assert ask(server, tokens["access_token"], "Basically")["id"] == "basic:ada"
    tokens = log_in(server, "byemail")
    assert ask(server, tokens["access_token"], "Email")["id"] == "byemail:ada@example.org"
    tokens = log_in(server, "byemail", "eve")  # with an address that is not known to be hers
    assert ask(server, tokens["access_token"], "Email") is None


def test_a_user_who_declines(server: Server, provider: RealProvider) -> None:
    with httpx.Client(timeout=60) as browser:
        end = go_through(browser, login_url(server, "opaque") + "&prompt=none", "ada", "http://localhost:9/")
    told = dict(parse_qsl(end.removeprefix(CALLBACK)))
    assert told["error"] == "login_required"
    assert told["error_description"]


def code_of(server: Server, browser: httpx.Client, name: str = "opaque") -> str:
    """Where the provider leads the browser back to, not followed."""
    return go_through(browser, login_url(server, name), "ada", f"{server.url}/openid/{name}/token")


def test_a_state_counts_once_in_all_workers_and_over_a_restart(server: Server) -> None:
    with httpx.Client(timeout=60) as browser:
        back = code_of(server, browser)
        with ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(lambda _: httpx.get(back, timeout=60), range(8)))
        assert sorted(answer.status_code for answer in answers) == [307] + [400] * 7
        used = back
        back = code_of(server, browser)
        server.restart()
        assert httpx.get(used, timeout=60).json()["message"] == "Invalid state"
        found = httpx.get(back, timeout=60)
        assert found.status_code == 307, found.text
        assert found.headers["location"].startswith(CALLBACK)
        # The code of one login does not fit the state of another: PKCE binds them.
        first, second = (dict(parse_qsl(urlsplit(code_of(server, browser)).query)) for _ in range(2))
        mixed = {**first, "code": second["code"]}
        found = httpx.get(f"{server.url}/openid/opaque/token", params=mixed, timeout=60)
        handed_on = json.loads(b64decode(unquote(found.headers["location"].removeprefix(CALLBACK))))
        assert handed_on["error"] == "invalid_grant"


def test_the_provider_changes_its_keys(server: Server, provider: RealProvider) -> None:
    old = log_in(server, "signed")["access_token"]
    assert ask(server, old)["id"] == "signed:ada"
    provider.rotate()
    new = log_in_with_new_keys(server, "signed")["access_token"]
    deadline = time.monotonic() + 60
    answers: list[Any] = []
    while answers[-4:] != ["signed:ada"] * 4:  # each worker fetches them when it may
        assert time.monotonic() < deadline, answers
        answers.append((ask(server, new) or {}).get("id"))


def test_while_the_provider_is_away(server: Server, provider: RealProvider) -> None:
    known = log_in(server, "signed")["access_token"]
    for _ in range(20):
        assert ask(server, known)["id"] == "signed:ada"
    provider.stop()
    try:
        for _ in range(4):
            assert ask(server, known)["id"] == "signed:ada"
        response = httpx.get(f"{server.url}/", headers={"Authorization": "Bearer unknown"}, timeout=60)
        assert response.status_code == 503
        assert "retry-after" in response.headers
        assert httpx.get(f"{server.url}/__heartbeat__", timeout=60).status_code == 200
    finally:
        provider.start()
    assert log_in_with_new_keys(server, "signed")


def test_kinto_http_opens_a_browser(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """The published client, unmodified; its browser is ours."""

    def open_browser(url: str) -> None:
        def visit() -> None:
            with httpx.Client(timeout=60) as browser:
                browser.get(go_through(browser, url.replace(" ", "%20"), "ada", "http://localhost:"))

        threading.Thread(target=visit, daemon=True).start()

    monkeypatch.setattr(kinto_http.login.webbrowser, "open", open_browser)
    log_in_with_new_keys(server, "opaque")
    client = kinto_http.Client(server_url=server.url, auth=kinto_http.BrowserOAuth(provider="opaque"))
    users: queue.Queue[str] = queue.Queue()
    asking = threading.Thread(target=lambda: users.put(client.server_info()["user"]["id"]), daemon=True)
    asking.start()
    assert users.get(timeout=120) == "opaque:ada"
    client.create_bucket(id="of-ada")
    assert client.get_bucket(id="of-ada")["permissions"]["write"] == ["opaque:ada"]


REQUESTS = [
    f"/openid/test/login?callback={quote(CALLBACK, safe='')}&scope=openid%20email",
    f"/openid/test/login?callback={quote(CALLBACK, safe='')}&scope=openid&prompt=none",
    f"/openid/test/login?callback={quote(CALLBACK, safe='')}&scope=openid&prompt=",
    f"/openid/test/login?callback={quote(CALLBACK, safe='')}&scope=openid&prompt=login",
    f"/openid/test/login?callback={quote(CALLBACK, safe='')}&scope=openid&other=1",
    f"/openid/test/login?callback={quote(CALLBACK, safe='')}&scope=openid%20offline_access%20x",
    f"/openid/test/login?callback={quote(CALLBACK, safe='')}",
    "/openid/test/login?scope=openid",
    "/openid/test/login",
    "/openid/test/login?callback=&scope=",
    "/openid/test/login?callback=foo&scope=openid",
    "/openid/test/login?callback=http://evil.com/&scope=openid",
    "/openid/test/login?callback=http://localhost.evil.com/&scope=openid",
    "/openid/test/login?callback=http://a@localhost/&scope=openid",
    "/openid/test/login?callback=https://localhost/&scope=openid",
    "/openid/test/login?callback=http://127.0.0.1:80/a/%252e%252e/b&scope=openid",
    "/openid/nope/login?callback=http://localhost:3000/&scope=openid",
    "/openid/nope/login",
    "/openid/test/token",
    "/openid/test/token?code=x",
    "/openid/test/token?state=z",
    "/openid/test/token?code=x&state=z",
    "/openid/test/token?error=x&state=z",
    "/openid/test/token?code=x&error=y&state=z",
    "/openid/nope/token?code=x&state=z",
]
OURS = {"nonce", "code_challenge", "code_challenge_method"}
"""What we send beyond Kinto, to bind the code and the ID token to the login."""


def seen(server: Server, path: str) -> Any:
    response = httpx.get(f"{server.url}{path}", timeout=60)
    if response.status_code != 307:
        return response.status_code, response.json()
    location = urlsplit(response.headers["location"])
    query = dict(parse_qsl(location.query, keep_blank_values=True))
    assert len(query.pop("state")) == 64
    query["redirect_uri"] = query["redirect_uri"].replace(server.url, "")
    shown = {name: value for name, value in query.items() if name not in OURS}
    return 307, location.netloc, location.path, shown


def test_answers_are_those_of_kinto() -> None:
    """Statuses, errors and redirects of both servers, and what comes of a login at both."""
    with RealProvider(["test"], USERS, pkce=False) as provider:
        ini = settings(provider, {"test": {"client_id": "opaque", "timeout_seconds": "30"}})
        backends = {
            f"kinto.{part}_backend": f"kinto.core.{part}.memory"
            for part in ("storage", "permission", "cache")
        }
        with start_kinto(ini | backends) as kinto, start_kintoun(ini) as ours:
            for path in REQUESTS:
                assert seen(ours, path) == seen(kinto, path), path
            users = []
            for server in (ours, kinto):
                tokens = log_in(server, "test")
                users.append(ask(server, tokens["access_token"]))
                assert {"access_token", "id_token", "expires_in", "token_type"} <= set(tokens)
                assert ask(server, "made up") is None
                refused = httpx.get(
                    f"{server.url}/buckets", headers={"Authorization": "Bearer x"}, timeout=60
                )
                assert (refused.status_code, refused.headers["www-authenticate"]) == (
                    401,
                    'Bearer realm="Realm"',
                )
            for user in users:
                user["principals"].sort()  # Kinto's are a set, in whatever order
            assert users[0] == users[1]
            shown = [
                httpx.get(f"{server.url}/", timeout=60).json()["capabilities"]["openid"]["providers"]
                for server in (ours, kinto)
            ]
            assert shown[0] == shown[1]
