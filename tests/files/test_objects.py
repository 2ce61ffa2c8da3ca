"""Files in an object store: S3, as another implementation of it speaks it; Google's and Azure's, as far as
they are configured."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pytest
import pytest_asyncio
from moto.server import ThreadedMotoServer

from kintoun.files import BackendFailed, Files
from kintoun.files.backends import make_backend, objects
from kintoun.files.backends.objects import ObjectStore
from kintoun.files.sweeping import Sweeper
from kintoun.model import timestamps
from kintoun.storage import Store
from tests.support.fault_proxy import FaultProxy, fault_proxy
from tests.support.fixtures import databases, engine  # noqa: F401 - fixtures

LARGE = hashlib.shake_256(b"large").digest(12 * 1024 * 1024 + 123)
"""More than two parts of an upload."""

BUCKET = "kintoun-files"


@pytest.fixture(scope="module")
def s3() -> Iterator[int]:
    """The port of a server that speaks S3."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        _, port = server.get_host_and_port()
        urlopen(Request(f"http://127.0.0.1:{port}/{BUCKET}", method="PUT"), timeout=30).close()
        yield port
    finally:
        server.stop()


@pytest.fixture(autouse=True)
def credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where operators put them."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDOFTHETESTS")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret of the tests")


def backend_at(port: int, folder: Path, prefix: str = "some/prefix") -> ObjectStore:
    options = {"endpoint": f"http://127.0.0.1:{port}", "region": "us-east-1", "allow_http": "true"}
    made = make_backend(f"s3://{BUCKET}/{prefix}", options, folder)
    assert isinstance(made, ObjectStore)
    return made


@pytest.fixture
def backend(s3: int, tmp_path: Path, request: pytest.FixtureRequest) -> ObjectStore:
    return backend_at(s3, tmp_path / "uploads", request.node.name.replace("[", "-").replace("]", ""))


@pytest_asyncio.fixture
async def proxy(s3: int) -> AsyncIterator[FaultProxy]:
    async with fault_proxy(s3) as made:
        yield made


async def content(backend: ObjectStore, key: str, start: int, stop: int) -> bytes:
    return b"".join([part async for part in backend.read(key, start, stop)])


def spooled(tmp_path: Path, data: bytes) -> Path:
    path = tmp_path / "spooled"
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("data", [b"", b"small", LARGE], ids=["empty", "small", "parts"])
async def test_what_is_kept_is_read(backend: ObjectStore, tmp_path: Path, data: bytes) -> None:
    await backend.keep("blobs/ab/key", spooled(tmp_path, data))
    assert await backend.size("blobs/ab/key") == len(data)
    assert await content(backend, "blobs/ab/key", 0, len(data)) == data
    middle = len(data) // 2
    assert await content(backend, "blobs/ab/key", middle, len(data)) == data[middle:]
    [found] = [each async for each in backend.walk()]
    assert (found.key, found.size) == ("blobs/ab/key", len(data))


async def test_the_environment_tells_where_the_store_is(
    s3: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{s3}")
    monkeypatch.setenv("AWS_ALLOW_HTTP", "true")
    backend = make_backend(f"s3://{BUCKET}/environment", {}, tmp_path / "uploads")
    await backend.keep("key", b"x")
    assert await backend.size("key") == 1


async def test_what_is_not_there(backend: ObjectStore) -> None:
    assert await backend.size("none") is None
    with pytest.raises(KeyError):
        await content(backend, "none", 0, 1)
    await backend.delete("none")
    assert backend.path("none") is None


async def test_what_is_deleted_is_gone(backend: ObjectStore, tmp_path: Path) -> None:
    await backend.keep("key", spooled(tmp_path, b"x"))
    await backend.delete("key")
    assert await backend.size("key") is None


async def test_files_in_an_object_store(backend: ObjectStore, store: Store) -> None:
    files = Files(store, backend)

    async def parts() -> AsyncIterator[bytes]:
        for start in range(0, len(LARGE), 1_000_000):
            yield LARGE[start : start + 1_000_000]

    blob = await files.put(parts())
    assert blob.sha256 == hashlib.sha256(LARGE).hexdigest()
    await files.publish("bundle", LARGE, "application/zip")
    found = await files.find("bundle")
    assert found is not None
    assert await files.content(found) == LARGE
    assert list(backend.uploads.iterdir()) == [], "nothing waits any longer"
    await files.withdraw("bundle")
    for later in (1, 2):
        await Sweeper(store, backend, files.relative, 60).sweep(timestamps.now() + later * 10**9)
    assert [each async for each in backend.walk()] == []


async def test_wrong_credentials_and_buckets_are_told(s3: int, tmp_path: Path) -> None:
    options = {"endpoint": f"http://127.0.0.1:{s3}", "region": "us-east-1", "allow_http": "true"}
    backend = make_backend("s3://there-is-no-such-bucket", options, tmp_path)
    with pytest.raises(BackendFailed):
        await backend.keep("key", spooled(tmp_path, b"x"))


@pytest.mark.parametrize("cut", [500, 3_000_000, 9_000_000])
async def test_an_upload_that_breaks_half_way_is_not_there(
    proxy: FaultProxy, s3: int, tmp_path: Path, store: Store, cut: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once the store is well again, the same upload succeeds; nothing is left of the first."""
    monkeypatch.setitem(objects.RETRIES, "max_retries", 1)
    prefix = f"half-{cut}-{store.engine.dialect.name}"
    files = Files(store, backend_at(proxy.port, tmp_path / "uploads", prefix))
    proxy.cut_up = cut if cut < 5_000_000 else 4_000_000
    with pytest.raises(BackendFailed):
        await files.put(LARGE)
    assert proxy.faults > 0
    direct = backend_at(s3, tmp_path / "uploads", prefix)
    assert [each async for each in direct.walk()] == []
    assert await store.fetch("SELECT * FROM blob") == []
    proxy.cut_up = None
    await files.publish("f", LARGE, "x/y")
    found = await files.find("f")
    assert found is not None
    assert await files.content(found) == LARGE


async def test_an_upload_survives_a_connection_that_breaks(
    proxy: FaultProxy, tmp_path: Path, store: Store
) -> None:
    files = Files(store, backend_at(proxy.port, tmp_path / "uploads", f"again-{store.engine.dialect.name}"))
    proxy.cut_up, proxy.times = 2_000_000, 1
    await files.publish("f", LARGE, "x/y")
    assert proxy.faults == 1
    found = await files.find("f")
    assert found is not None
    assert await files.content(found) == LARGE


async def test_a_download_that_breaks_for_good_is_no_short_file(
    proxy: FaultProxy, s3: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(objects.RETRIES, "max_retries", 1)
    await backend_at(s3, tmp_path, "down").keep("key", spooled(tmp_path, LARGE))
    proxy.cut_down = 1_000_000
    with pytest.raises(BackendFailed):
        await asyncio.wait_for(content(backend_at(proxy.port, tmp_path, "down"), "key", 0, len(LARGE)), 120)


async def test_a_store_that_does_not_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(objects.RETRIES, "max_retries", 1)
    async with fault_proxy(1) as proxy:
        port = proxy.port
    backend = backend_at(port, tmp_path)
    for attempt in (backend.size("k"), backend.delete("k"), backend.keep("k", spooled(tmp_path, b"x"))):
        with pytest.raises(BackendFailed):
            await asyncio.wait_for(attempt, 120)


@pytest.mark.parametrize(
    ("url", "options", "kind"),
    [
        ("s3://bucket/prefix", {"region": "eu-west-1"}, "S3Store"),
        ("gs://bucket/prefix", {"skip_signature": "true"}, "GCSStore"),
        ("az://container/prefix", {"account_name": "acme", "account_key": "c2VjcmV0"}, "AzureStore"),
    ],
)
def test_stores_are_configured(url: str, options: dict[str, str], kind: str, tmp_path: Path) -> None:
    backend = make_backend(url, options, tmp_path)
    assert isinstance(backend, ObjectStore)
    made: Any = backend._store
    assert type(made).__name__ == kind
    assert made.prefix == "prefix"


def test_unknown_options_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="store_options"):
        make_backend("s3://bucket", {"regoin": "eu-west-1"}, tmp_path)
