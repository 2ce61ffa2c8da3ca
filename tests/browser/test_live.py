"""A page of another origin that follows a collection with the browser's own EventSource."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator
from urllib.parse import quote

import httpx
import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.console import SECONDS
from tests.support.fixtures import ENGINES
from tests.support.postgres import Postgres
from tests.support.servers import Server, start_kintoun

AUTH = ("alice", "correct horse")
RECORDS = "/buckets/blog/collections/articles/records"

PAGE = b"""<!doctype html><title>Articles</title><p id="all"></p><p id="places"></p><script>
const articles = new Map();
const places = [];
const url = new URLSearchParams(location.search).get("list");
const stream = new EventSource(`${url}?_since=0`);
const show = ({ lastEventId }) => {
  places.push(lastEventId);
  const all = [...articles].map(([id, { title }]) => `${id}=${title}`);
  document.querySelector("#all").textContent = all.sort().join(" ");
  document.querySelector("#places").textContent = `${places.length} events, ${new Set(places).size} places`;
};
stream.onmessage = (event) => {
  const article = JSON.parse(event.data);
  if (article.deleted) articles.delete(article.id);
  else articles.set(article.id, article);
  show(event);
};
</script>
"""


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(PAGE)))
        self.end_headers()
        self.wfile.write(PAGE)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture(scope="module", params=ENGINES)
def live_server(request: pytest.FixtureRequest, postgres: Postgres) -> Iterator[Server]:
    settings = {
        "kinto.includes": "kinto.plugins.live",
        "multiauth.policies": "basicauth",
        "kinto.userid_hmac_secret": "not much of a secret",
        "kinto.bucket_create_principals": "system.Authenticated",
    }
    if request.param == "postgresql":
        uri = postgres.create_database()
        for part in ("storage", "permission", "cache"):
            settings[f"kinto.{part}_backend"] = f"kinto.core.{part}.postgresql"
            settings[f"kinto.{part}_url"] = uri
    with start_kintoun(settings, workers=2) as server:
        yield server


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    page = browser.new_page()
    page.set_default_timeout(SECONDS * 1000)
    yield page
    page.close()


@pytest.fixture
def application() -> Iterator[str]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}/"
    server.shutdown()
    server.server_close()


def put(server: Server, path: str, **body: object) -> None:
    httpx.put(f"{server.url}{path}", json=body, auth=AUTH, timeout=60).raise_for_status()


def test_a_page_follows_a_collection(live_server: Server, page: Page, application: str) -> None:
    server = live_server
    put(server, "/buckets/blog", permissions={"read": ["system.Everyone"]})
    put(server, "/buckets/blog/collections/articles")
    put(server, f"{RECORDS}/one", data={"title": "One"})
    page.goto(f"{application}?list={quote(server.url + RECORDS)}")
    everything = page.locator("#all")
    expect(everything).to_have_text("one=One", timeout=SECONDS * 1000)
    put(server, f"{RECORDS}/two", data={"title": "Two"})
    expect(everything).to_have_text("one=One two=Two", timeout=SECONDS * 1000)
    httpx.delete(f"{server.url}{RECORDS}/one", auth=AUTH, timeout=60).raise_for_status()
    expect(everything).to_have_text("two=Two", timeout=SECONDS * 1000)
    server.kill9()
    server.start()
    put(server, f"{RECORDS}/three", data={"title": "Three"})
    expect(everything).to_have_text("three=Three two=Two", timeout=SECONDS * 1000)
    expect(page.locator("#places")).to_have_text("4 events, 4 places")
