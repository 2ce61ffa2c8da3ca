"""The chains that clients fetch, on both engines."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any, ClassVar

import autograph_utils
import pytest
import pytest_asyncio

from kintoun.app import create_app
from kintoun.features.signing import chains as module
from kintoun.features.signing.chains import MIGRATIONS, Chains
from kintoun.plugin import Plugin, Registry
from kintoun.signatures import chain, key_files, pki
from kintoun.signatures.local import LocalSigner
from tests.signing.worlds import DAY, NAME, SUFFIX, directory_with, new_issuer, now
from tests.support.inprocess import HOST, App, Databases, opened, settings_for

BASE = f"http://{HOST}/v1"


class ServingChains(Plugin):
    """Nothing but chains."""

    name = "chains"
    migrations: ClassVar = MIGRATIONS

    def setup(self, registry: Registry, settings: Any) -> None:
        self.chains = Chains(registry.service.store, BASE)
        registry.endpoint(self.chains.endpoint())


@pytest_asyncio.fixture
async def serving(engine: str, databases: Databases) -> AsyncIterator[tuple[App, Chains]]:
    plugin = ServingChains()
    async with opened(settings_for(databases.url(engine, "chains")), plugin) as app:
        yield app, plugin.chains


def path_of(url: str) -> str:
    return url.removeprefix(BASE)


async def test_a_chain_is_served_for_ever_to_anybody(serving: tuple[App, Chains]) -> None:
    app, chains = serving
    pem = chain.to_pem(new_issuer().chain)
    url = await chains.keep(pem, 1)
    assert url == f"{BASE}/__x5u__/{hashlib.sha256(pem).hexdigest()}.pem"
    assert await chains.keep(pem, 2) == url
    for request in (f"GET {path_of(url)}", f"GET {path_of(url).removesuffix('pem')}chain"):
        answer = await app.call(request, user=None, headers={"Origin": "https://elsewhere.example"})
        assert (answer.status_code, answer.content) == (200, pem)
        assert answer.headers["Cache-Control"] == "public, max-age=31536000, immutable"
        assert answer.headers["Content-Type"] == "text/plain; charset=us-ascii"
        assert answer.headers["Access-Control-Allow-Origin"] == "*"
    head = await app.call(f"HEAD {path_of(url)}", user=None)
    assert (head.status_code, head.content) == (200, b"")
    written = await app.call(f"PUT {path_of(url)}", user=None)
    assert written.status_code == 405


@pytest.mark.parametrize(
    "name",
    [
        "0" * 64 + ".pem",
        "0" * 64,
        "0" * 63 + ".pem",
        "A" * 64 + ".pem",
        "x.pem",
        "..pem",
        "0" * 64 + ".txt",
    ],
)
async def test_nothing_else_is_served_nor_remembered(serving: tuple[App, Chains], name: str) -> None:
    app, _ = serving
    answer = await app.call(f"GET /__x5u__/{name}", user=None)
    assert (answer.status_code, answer.headers.get("Cache-Control")) == (404, "no-store")
    assert answer.json()["errno"] == 111


async def test_every_worker_serves_the_chains_of_all(
    serving: tuple[App, Chains], engine: str, databases: Databases
) -> None:
    _, chains = serving
    pems = [chain.to_pem(new_issuer().chain) for _ in range(3)]
    urls = [await chains.keep(pem, 1) for pem in pems]
    elsewhere = ServingChains()
    store = create_app(settings_for(databases.url(engine, "chains")), elsewhere).composition.service.store
    await store.open()
    try:
        assert [await elsewhere.chains.read(url.rpartition("/")[2]) for url in urls] == pems
    finally:
        await store.close()


async def test_memory_is_bounded_and_spares_the_database(
    serving: tuple[App, Chains], monkeypatch: pytest.MonkeyPatch
) -> None:
    app, chains = serving
    monkeypatch.setattr(module, "REMEMBERED", 2)
    issuer = new_issuer()
    urls = [await chains.keep(chain.to_pem(issuer.chain) + b"\n" * extra, 1) for extra in range(4)]
    store = app.application.composition.service.store
    asked: list[str] = []
    fetch = store.fetch

    async def counted(sql: str, args: Any = ()) -> list[Any]:
        asked.append(sql)
        return await fetch(sql, args)

    monkeypatch.setattr(store, "fetch", counted)
    for url in (urls[0], urls[0], urls[0]):
        await app.call(f"GET {path_of(url)}", user=None)
    assert len(asked) == 1
    for url in (*urls, *urls):
        assert (await app.call(f"GET {path_of(url)}", user=None)).status_code == 200
    assert len(asked) > len(urls)


class Fetched:
    """A session of another verifier, whose requests go into the application."""

    def __init__(self, app: App) -> None:
        self.app = app

    def get(self, url: str) -> Fetched:
        self.url = url
        return self

    async def __aenter__(self) -> Fetched:
        self.answer = await self.app.call(f"GET {path_of(self.url)}", user=None)
        return self

    async def __aexit__(self, *_: object) -> None:
        pass

    def raise_for_status(self) -> None:
        self.answer.raise_for_status()

    async def read(self) -> bytes:
        return self.answer.content


async def test_another_verifier_believes_what_is_signed(serving: tuple[App, Chains], tmp_path: Path) -> None:
    app, chains = serving
    directory = directory_with(tmp_path, new_issuer())
    file = directory.leaf_file("remote-settings")
    key_files.write_holder(
        file, pki.new_leaf(directory.issuer(), [NAME], now(), 90 * DAY, timedelta(hours=1))
    )
    signature = await LocalSigner("remote-settings", file, chains.keep).sign(b"data")
    root = chain.fingerprint(directory.issuer().chain[-1])

    async def verify(data: bytes, pinned: bytes, name: str) -> bool:
        verifier = autograph_utils.SignatureVerifier(
            Fetched(app), autograph_utils.MemoryCache(), pinned, autograph_utils.ExactMatch(name)
        )
        believed: bool = await verifier.verify(data, signature.signature, signature.x5u)
        return believed

    assert await verify(b"data", root, NAME)
    with pytest.raises(autograph_utils.SignatureDoesNotMatch):
        await verify(b"date", root, NAME)
    with pytest.raises(autograph_utils.CertificateHasWrongRoot):
        await verify(b"data", bytes(32), NAME)
    with pytest.raises(autograph_utils.CertificateHasWrongSubject):
        await verify(b"data", root, f"onecrl{SUFFIX}")
