"""One browser, and a server with the unmodified kinto-admin on each engine, where somebody has signed in."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Browser, sync_playwright

from tests.browser.console import Console
from tests.support.fixtures import ENGINES
from tests.support.postgres import Postgres
from tests.support.servers import ROOT, Server, start_kintoun

BUILD = ROOT / ".console" / "build"
NAMES = ("chromium", "chromium-browser", "google-chrome")

ALICE = ("alice", "correct horse")
SHOTS = os.environ.get("KINTOUN_SCREENSHOTS")
"""A directory where a picture of the page is kept after each test."""

SETTINGS = {
    "kinto.includes": " ".join(
        f"kinto.plugins.{name}" for name in ("accounts", "admin", "default_bucket", "history")
    ),
    "kinto.admin_assets_path": str(BUILD),
    "multiauth.policies": "account basicauth",
    "multiauth.policy.account.use": "kinto.plugins.accounts.AccountsPolicy",
    "kinto.account_create_principals": "system.Everyone",
    "kinto.bucket_create_principals": "system.Authenticated",
    "kinto.userid_hmac_secret": "not much of a secret",
    "kinto.experimental_collection_schema_validation": "true",
}


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    program = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)
    assert program, "there is no Chromium: `make test` tells what to do"
    with sync_playwright() as playwright:
        # A browser of a container has no sandbox of its own, and little shared memory.
        flags = ["--no-sandbox", "--disable-dev-shm-usage"]
        started = playwright.chromium.launch(executable_path=program, args=flags)
        yield started
        started.close()


@pytest.fixture(scope="module", params=ENGINES)
def server(request: pytest.FixtureRequest, postgres: Postgres) -> Iterator[Server]:
    assert (BUILD / "index.html").exists(), "there is no build of kinto-admin: `make console` fetches it"
    settings = dict(SETTINGS)
    if request.param == "postgresql":
        uri = postgres.create_database()
        for part in ("storage", "permission", "cache"):
            settings[f"kinto.{part}_backend"] = f"kinto.core.{part}.postgresql"
            settings[f"kinto.{part}_url"] = uri
    with start_kintoun(settings) as started:
        name, password = ALICE
        account = {"data": {"password": password}}
        httpx.put(f"{started.url}/accounts/{name}", json=account).raise_for_status()
        yield started


@pytest.fixture(scope="module")
def signed_in(browser: Browser, server: Server) -> Iterator[Console]:
    context = browser.new_context(viewport={"width": 1280, "height": 1000})
    console = Console(context, server.url)
    console.open()
    console.sign_in(*ALICE)
    yield console
    context.close()


@pytest.fixture
def console(signed_in: Console, request: pytest.FixtureRequest) -> Iterator[Console]:
    """The console of somebody who has signed in, where nothing may go wrong."""
    signed_in.requests.clear()
    signed_in.reload()
    yield signed_in
    if SHOTS:
        signed_in.page.screenshot(path=Path(SHOTS) / f"{request.node.name}.png")
    troubles, signed_in.troubles = signed_in.troubles, []
    assert not troubles


@pytest.fixture
def api(server: Server) -> Iterator[httpx.Client]:
    """Alice at the API: to prepare what she will see, and to look at what she did."""
    with httpx.Client(base_url=server.url, auth=ALICE, timeout=30) as client:
        yield client


@pytest.fixture
def bucket(api: httpx.Client, request: pytest.FixtureRequest) -> str:
    """A bucket of the test's own, with a group and a collection that has a schema."""
    name = request.function.__name__.removeprefix("test_").replace("_", "-")
    put(api, f"/buckets/{name}", {"color": "red"})
    put(api, f"/buckets/{name}/groups/writers", {"members": ["account:bob"]})
    put(api, f"/buckets/{name}/collections/articles", ARTICLES)
    return name


ARTICLES = {
    "schema": {
        "type": "object",
        "properties": {"title": {"type": "string", "title": "Title"}, "stars": {"type": "integer"}},
    },
    "uiSchema": {},
    "displayFields": ["title"],
    "sort": "-last_modified",
}


def put(api: httpx.Client, path: str, data: object) -> None:
    api.put(path, json={"data": data}).raise_for_status()
