"""Signing in with OpenID in a browser: the unmodified kinto-admin, and a page of an application."""

from __future__ import annotations

import http.server
import shutil
import threading
from collections.abc import Iterator
from urllib.parse import quote

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from tests.browser.conftest import BUILD
from tests.browser.console import SECONDS, Console
from tests.openid.provider import SECRET, RealProvider
from tests.support.servers import Server, start_kintoun

pytestmark = pytest.mark.skipif(shutil.which("node") is None, reason="needs Node.js")

USERS = {"ada": {"email": "ada@example.org", "email_verified": True, "groups": ["staff"]}}

APPLICATION = b"""<!doctype html><title>An application</title><p id="who">nobody</p><script>
const found = /#tokens=(.*)/.exec(location.hash);
if (found) {
  const tokens = JSON.parse(atob(decodeURIComponent(found[1])));
  const headers = { Authorization: `${tokens.token_type} ${tokens.access_token}` };
  const show = (text) => { document.querySelector("#who").textContent = text; };
  fetch(`${new URLSearchParams(location.search).get("server")}/`, { headers })
    .then((answer) => answer.json())
    .then((root) => show(root.user.principals.join(" ")), (error) => show(`failed: ${error}`));
}
</script>
"""


class ApplicationPage(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(APPLICATION)))
        self.end_headers()
        self.wfile.write(APPLICATION)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def provider() -> Iterator[RealProvider]:
    with RealProvider(["idp"], USERS) as started:
        yield started


@pytest.fixture(scope="module")
def application() -> Iterator[str]:
    """Where the application is: another origin than the server."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), ApplicationPage)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}/"
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def openid_server(provider: RealProvider) -> Iterator[Server]:
    """One engine is enough: what a login keeps in the database is tested on both without a browser."""
    assert (BUILD / "index.html").exists(), "there is no build of kinto-admin: `make console` fetches it"
    policy = {
        "use": "kinto.plugins.openid.OpenIDConnectPolicy",
        "issuer": provider.issuer,
        "client_id": "opaque",
        "client_secret": SECRET,
        "groups_claim": "groups",
        "timeout_seconds": "30",
    }
    settings = {
        "kinto.includes": "kinto.plugins.openid kinto.plugins.admin",
        "kinto.admin_assets_path": str(BUILD),
        "multiauth.policies": "idp",
        "kinto.bucket_create_principals": "system.Authenticated",
        "kinto.userid_hmac_secret": "not much of a secret",
        **{f"multiauth.policy.idp.{name}": value for name, value in policy.items()},
    }
    with start_kintoun(settings, workers=2) as started:
        yield started


def alone(browser: Browser) -> BrowserContext:
    """A window of its own. The provider's pages ask for a font, which nobody here needs."""
    context = browser.new_context()
    context.route(
        "https://fonts.googleapis.com/**", lambda route: route.fulfill(body="", content_type="text/css")
    )
    return context


def log_in(page: Page, user: str) -> None:
    """What a user does at the provider: give a name, and agree."""
    page.locator("input[name=login]").fill(user)
    page.locator("input[name=password]").fill("any")
    page.locator("button[type=submit]").click()
    page.get_by_role("button", name="Continue").click()


def test_signing_in_to_kinto_admin(browser: Browser, openid_server: Server) -> None:
    context = alone(browser)
    console = Console(context, openid_server.url)
    console.open()
    console.page.get_by_label("OpenID Connect (Idp)").check()
    console.press("Sign in using OpenID Connect (Idp)")
    log_in(console.page, "ada")
    console.sees("Connected as")
    console.sees("idp:ada")
    console.open("/buckets/create")
    console.fill("id", "of-ada")
    console.press("Create bucket")
    console.notified("Bucket created")
    console.open("/buckets")
    console.sees("of-ada")
    assert not console.troubles
    context.close()


def test_signing_in_to_an_application(browser: Browser, openid_server: Server, application: str) -> None:
    context = alone(browser)
    page = context.new_page()
    callback = f"{application}?server={quote(openid_server.url, safe='')}#tokens="
    page.goto(
        f"{openid_server.url}/openid/idp/login?callback={quote(callback, safe='')}&scope=openid%20email"
    )
    log_in(page, "ada")
    who = page.locator("#who")
    expect(who).to_have_text(
        "idp:ada idp:group:staff system.Authenticated system.Everyone", timeout=SECONDS * 1000
    )
    assert page.url.startswith(f"{application}?server=")
    context.close()
