"""A page of another origin that verifies what a server publishes, with the browser's own cryptography."""

from __future__ import annotations

import functools
import http.server
import json
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser

from kintoun.signatures import chain
from tests.signing.test_verifier import SIGNER, publish, server
from tests.support.servers import ROOT, Server

__all__ = ["server"]

SECONDS = 60
VERIFYING = """async ([url, roots, signer, n]) => {
  const { verify } = await import("/index.js");
  const { changes, timestamp, metadata } = await (await fetch(url)).json();
  const records = n === null ? changes : changes.map((record) => ({ ...record, n }));
  const published = { bucket: "main", collection: "c1", records, timestamp, metadata };
  return verify(published, { roots, signer });
}"""


@pytest.fixture
def application() -> Iterator[str]:
    """Where a page can have the verifier from."""

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            """Say nothing."""

    handler = functools.partial(Handler, directory=str(ROOT / "clients" / "js" / "verifier"))
    httpd = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=httpd.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{httpd.server_address[1]}"
    httpd.shutdown()
    httpd.server_close()


def test_a_page_believes_what_is_published_and_nothing_else(
    browser: Browser, server: Server, application: str
) -> None:
    publish(server, "c1", 1)
    (root,) = chain.parse((server.directory / "pki" / "root.pem").read_bytes())
    url = f"{server.url}/buckets/main/collections/c1/changeset?_expected=0"
    page = browser.new_page()
    page.set_default_timeout(SECONDS * 1000)
    page.goto(f"{application}/package.json")

    def said(n: int | None) -> dict[str, Any]:
        arguments = [url, [chain.fingerprint(root).hex()], SIGNER, n]
        found: dict[str, Any] = page.evaluate(VERIFYING, arguments)
        return found

    good = said(None)
    assert good["ok"] is True, json.dumps(good)
    assert (good["manifest"]["bucket"], good["manifest"]["collection"]) == ("main", "c1")
    assert said(7)["reason"] == "signature"
    page.close()
