"""A server's signer that is another process of this project: `kintoun signer`."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from kintoun.signatures import chain, content_signature, key_files, pki
from kintoun.signatures.autograph import AutographSigner
from kintoun.signatures.hawk import Credentials
from kintoun.signatures.signer import SignerUnavailable
from tests.signing.worlds import DAY, NAME, directory_with, new_issuer, now
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
    url = f"http://127.0.0.1:{port}"
    try:
        deadline = time.monotonic() + SECONDS
        while not answers(url):
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.05)
        yield url
    finally:
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
