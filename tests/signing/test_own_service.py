"""A server's signer that is another process of this project: `kintoun signer`."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import pytest

from kintoun.features.signing.auditing import audit
from kintoun.features.signing.inspecting import Inspector, inspector_of
from kintoun.features.signing.resources import resources_of
from kintoun.features.signing.settings import Autograph
from kintoun.features.signing.signers import elsewhere_of
from kintoun.signatures import chain, content_signature, key_files, pki
from kintoun.signatures.autograph import AutographSigner
from kintoun.signatures.hawk import Credentials
from kintoun.signatures.signer import SignerUnavailable
from tests.signing.desk import DESTINATION, Desk, at_desk, path_of
from tests.signing.worlds import DAY, NAME, directory_with, new_issuer, now
from tests.support.inprocess import Databases
from tests.support.ports import free_port

SECRET = "the key that only both know"
SECONDS = 60
CONFIGURATION = """\
[[signing.local]]
name = "remote-settings"
private_key = "pki/remote-settings.pem"

[signer]
port = {port}
url = "http://127.0.0.1:{port}"

[[signer.callers]]
id = "kinto"
secret = "{secret}"
keys = ["remote-settings"]
"""


@pytest.fixture
def service(tmp_path: Path) -> Iterator[str]:
    """The URL of a service whose keys are in `pki`."""
    with running(tmp_path) as url:
        yield url


@contextmanager
def running(tmp_path: Path) -> Iterator[str]:
    directory = directory_with(tmp_path / "pki", new_issuer())
    leaf = pki.new_leaf(directory.issuer(), [NAME], now(), 90 * DAY, DAY)
    key_files.write_holder(directory.leaf_file("remote-settings"), leaf)
    port = free_port()
    (tmp_path / "kintoun.toml").write_text(CONFIGURATION.format(port=port, secret=SECRET))
    log = tmp_path / "signer.log"
    with log.open("wb") as written:
        process = subprocess.Popen(
            [Path(sys.executable).parent / "kintoun", "signer"],
            cwd=tmp_path,
            stdin=subprocess.DEVNULL,
            stdout=written,
            stderr=written,
            start_new_session=True,
        )
    (tmp_path / "pid").write_text(str(process.pid))
    url = f"http://127.0.0.1:{port}"
    try:
        deadline = time.monotonic() + SECONDS
        while not answers(url):
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.05)
        yield url
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        process.wait(SECONDS)


def answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/__heartbeat__", timeout=5).status_code == 200
    except httpx.HTTPError:
        return False


async def test_it_signs_for_a_server_that_it_knows(service: str, tmp_path: Path) -> None:
    signer = AutographSigner("ours", service, "remote-settings", Credentials("kinto", SECRET), 30)
    await signer.check()
    data = b'{"data":[],"last_modified":"1603992731957"}'
    signature = await signer.sign(data)
    root = chain.fingerprint(key_files.read_chain(tmp_path / "pki" / "root.pem")[0])
    async with httpx.AsyncClient() as client:
        served = await client.get(signature.x5u)
    key = chain.verify(chain.parse(served.content), NAME, {root}, now())
    content_signature.verify(key, data, signature.signature)
    assert (signature.signer_id, signature.mode) == ("remote-settings", "p384ecdsa")

    for credentials, key_id in (
        (Credentials("kinto", "another key than that"), "remote-settings"),
        (Credentials("nobody", SECRET), "remote-settings"),
        (Credentials("kinto", SECRET), "onecrl"),
    ):
        with pytest.raises(SignerUnavailable) as refused:
            await AutographSigner("ours", service, key_id, credentials, 30).sign(data)
        assert "answered 401" in refused.value.reason


@asynccontextmanager
async def published(
    service: str, engine: str, databases: Databases, directory: Path, **declared: Any
) -> AsyncIterator[tuple[Desk, Inspector]]:
    """Something that the service has signed, and who looks at it."""
    known = {"hawk_id": "kinto", "hawk_secret": SECRET, "server_url": service}
    signer = Autograph(**{"name": "ours", **known, **declared})
    async with at_desk(databases.url(engine), directory, local=[], autograph=[signer]) as desk:
        await desk.open()
        await desk.put("r1", n=1)
        await desk.publish()
        yield desk, inspector_of(desk.app.application.composition.settings, desk.store)


async def test_its_chains_are_verified_by_who_publishes_what_it_signed(
    service: str, engine: str, databases: Databases, tmp_path: Path
) -> None:
    root = chain.fingerprint(key_files.read_chain(tmp_path / "pki" / "root.pem")[0]).hex(":")
    async with published(service, engine, databases, tmp_path, root_hash=root) as (desk, inspector):
        condition = await inspector.inspect(path_of(DESTINATION))
        assert condition is not None
        assert (condition.state, condition.reason) == ("good", "")
        (signer,) = inspector.signers.all()
        assert await inspector.expiry(signer) is None, "it has not signed anything here"
        await signer.check()
        expires = await inspector.expiry(signer)
        assert expires is not None
        assert expires > now().timestamp()
        settings = desk.app.application.composition.settings
        resources, elsewhere = resources_of(settings), elsewhere_of(settings)
        assert [p async for p in audit(desk.store.fetch, resources, elsewhere=elsewhere)] == []
        await desk.store.transact(lambda work: work.fetch(FORGED))
        problems = [p async for p in audit(desk.store.fetch, resources, elsewhere=elsewhere)]
        assert "signature" in {problem.rule for problem in problems}
        await desk.store.transact(lambda work: work.fetch(TAMPERED))
        condition = await inspector.inspect(path_of(DESTINATION))
        assert condition is not None
        assert condition.state == "bad"


FORGED = """UPDATE publication_log SET manifest = replace(manifest, '"expires":1', '"expires":2')"""
TAMPERED = """UPDATE object SET body = replace(body, '"n":1', '"n":7') WHERE id = 'r1'"""


@pytest.mark.parametrize(
    ("declared", "state", "reason"),
    [
        ({"root_hash": "ab" * 32}, "bad", "another root"),
        ({"chains_url": "https://chains.example.org"}, "unchecked", "where the configuration says"),
        ({"chains_url": "http://127.0.0.1:{port}/elsewhere"}, "unchecked", "where the configuration says"),
    ],
)
async def test_a_chain_of_another_root_is_bad_and_other_places_are_not_asked(
    service: str, databases: Databases, tmp_path: Path, declared: dict[str, str], state: str, reason: str
) -> None:
    port = service.rpartition(":")[2]
    declared = {name: value.format(port=port) for name, value in declared.items()}
    async with published(service, "sqlite", databases, tmp_path, **declared) as (_, inspector):
        condition = await inspector.inspect(path_of(DESTINATION))
        assert condition is not None
        assert condition.state == state
        assert reason in condition.reason


async def test_a_chain_that_is_gone_is_bad_and_one_that_cannot_be_asked_for_is_not_judged(
    engine: str, databases: Databases, tmp_path: Path
) -> None:
    with running(tmp_path) as service:
        async with published(service, engine, databases, tmp_path) as (desk, _):
            settings = desk.app.application.composition.settings
            for file in (tmp_path / "signer" / "chains" / "remote-settings").iterdir():
                file.rename(tmp_path / file.name)
            condition = await inspector_of(settings, desk.store).inspect(path_of(DESTINATION))
            assert condition is not None
            assert (condition.state, "answers 404" in condition.reason) == ("bad", True)
            os.killpg(int((tmp_path / "pid").read_text()), signal.SIGKILL)
            looks = inspector_of(settings, desk.store)
            for _ in range(2):
                condition = await looks.inspect(path_of(DESTINATION))
                assert condition is not None
                assert (condition.state, "cannot be fetched" in condition.reason) == ("unchecked", True)
