"""`kintoun signer` as a process: what real clients get from it over HTTP, and how it starts and stops."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import time
from base64 import b64encode
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest
import requests
from requests_hawk import HawkAuth

from kintoun.features.signing.settings import Autograph
from kintoun.model import timestamps
from kintoun.signatures import chain, content_signature
from kintoun.signatures.autograph import AutographSigner
from kintoun.signatures.hawk import Credentials
from kintoun.signatures.manifest import verify
from kintoun.signatures.signer import SignerUnavailable
from kintoun.signatures.trust import Trust
from tests.signing.desk import DESTINATION, at_desk, signed_form
from tests.signing.signing_service import MONITOR_SECRET, NAME, OTHER_SECRET, SECRET, hawk, make_pki
from tests.support.ports import accepts, free_port
from tests.support.processes import KINTOUN, SECONDS

DATA = b'{"data":[],"last_modified":"1700000000000"}'
BODY = [{"input": b64encode(DATA).decode(), "keyid": "remote-settings"}]

TOML = """\
[[signing.local]]
name = "remote-settings"
private_key = "pki/remote-settings.pem"

[[signing.local]]
name = "bare"
private_key = "pki/bare.key"

[signing]
pki = "pki"

[signer]
workers = 2
monitor_secret = "{monitor}"
data = "kept"
body_bytes = 1048576

[[signer.callers]]
id = "kinto"
secret = "{secret}"
keys = ["remote-settings", "bare"]

[[signer.callers]]
id = "other"
secret = "{other}"
keys = ["bare"]
"""


class Process:
    """The service in a directory of its own."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.root = make_pki(directory / "pki")
        text = TOML.format(monitor=MONITOR_SECRET, secret=SECRET, other=OTHER_SECRET)
        (directory / "kintoun.toml").write_text(text)
        self.port = free_port()
        self.log = directory / "log"
        self.start()

    def start(self) -> None:
        with self.log.open("wb") as log:
            command = [str(KINTOUN), "signer", "--port", str(self.port)]
            self.process = subprocess.Popen(
                command, cwd=self.directory, stdout=log, stderr=log, start_new_session=True
            )
        deadline = time.monotonic() + SECONDS
        while "signs at" not in self.log.read_text():
            assert self.process.poll() is None, self.log.read_text()
            assert time.monotonic() < deadline, self.log.read_text()
            time.sleep(0.02)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(SECONDS)

    def kill(self) -> None:
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait(SECONDS)

    def signer(self, secret: str = SECRET, key: str = "remote-settings") -> AutographSigner:
        return AutographSigner("test", self.url, key, Credentials("kinto", secret), 30)


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    made = Process(tmp_path_factory.mktemp("signer"))
    yield made
    made.kill()


def believe(service: Process, signature: str, x5u: str) -> None:
    """Verify as a client does, with the chain that the service serves."""
    answer = httpx.get(x5u, timeout=30)
    assert answer.status_code == 200
    assert "immutable" in answer.headers["Cache-Control"]
    key = chain.verify(chain.parse(answer.content), NAME, [service.root], datetime.now(UTC))
    content_signature.verify(key, DATA, signature)


async def test_our_own_servers_have_it_sign(service: Process) -> None:
    signature = await service.signer().sign(DATA)
    believe(service, signature.signature, signature.x5u)
    assert signature.signer_id == "remote-settings"
    await service.signer().check()
    assert (await service.signer(key="bare").sign(DATA)).x5u == ""
    for wrong in (service.signer("another key, and long"), service.signer(key="nope")):
        with pytest.raises(SignerUnavailable) as refused:
            await wrong.sign(DATA)
        assert "answered 401" in refused.value.reason


async def test_a_server_publishes_what_the_service_signs(service: Process, tmp_path: Path) -> None:
    signer = Autograph(name="service", server_url=service.url, hawk_id="kinto", hawk_secret=SECRET)
    url = f"sqlite:{tmp_path / 'kintoun.sqlite'}"
    async with at_desk(url, tmp_path, local=[], autograph=[signer]) as desk:
        await desk.open()
        await desk.put("r1", n=1)
        await desk.publish()
        metadata = await desk.metadata(DESTINATION)
        timestamp = await desk.timestamp(DESTINATION)
        content = signed_form(list((await desk.records(DESTINATION)).values()), timestamp)
    (signature,) = metadata["signatures"]
    pem = (await asyncio.to_thread(httpx.get, signature["x5u"], timeout=30)).content
    trust = Trust({signature["x5u"]: pem}.get, [service.root], name=NAME)
    now = timestamps.now()
    trust.believe(content, metadata["signatures"], now)
    manifest = verify(
        metadata["manifest"],
        "main",
        "c1",
        timestamp=timestamp,
        content=content,
        known=None,
        now=now,
        believe=trust.believe,
    )
    assert manifest.expires > now


def test_a_kinto_has_it_sign(service: Process) -> None:
    """The library by which a Kinto authenticates its calls, as it is used there."""
    auth = HawkAuth(id="kinto", key=SECRET)
    answer = requests.post(f"{service.url}/sign/data", json=BODY, auth=auth, timeout=30)
    assert answer.status_code == 201
    (signed,) = answer.json()
    believe(service, signed["signature"], signed["x5u"])
    headers = answer.headers
    assert headers["Content-Security-Policy"] == "default-src 'none'; object-src 'none';"
    assert headers["X-Content-Type-Options"] == "nosniff"


def test_whoever_monitors_reads_lines_of_json(service: Process) -> None:
    said = hawk(f"{service.url}/__monitor__", "GET", b"", "", caller="monitor", key=MONITOR_SECRET)
    answer = httpx.get(f"{service.url}/__monitor__", headers={"Authorization": said}, timeout=30)
    assert answer.status_code == 201
    assert [json.loads(line)["signer_id"] for line in answer.text.splitlines()] == ["remote-settings", "bare"]
    beat = httpx.get(f"{service.url}/__heartbeat__", timeout=30)
    assert (beat.status_code, beat.json()["dbAccessible"]) == (200, True)
    assert httpx.get(f"{service.url}/__lbheartbeat__", timeout=30).text == "ohai"


def test_of_a_request_sent_many_times_one_is_served_by_all_workers(service: Process) -> None:
    body = json.dumps(BODY).encode()
    headers = {
        "Content-Type": "application/json",
        "Authorization": hawk(f"{service.url}/sign/data", "POST", body),
    }
    statuses = [
        httpx.post(f"{service.url}/sign/data", content=body, headers=headers, timeout=30).status_code
        for _ in range(12)  # each on a connection of its own, so that both workers get some
    ]
    assert sorted(statuses) == [201] + [401] * 11


def test_what_is_too_large_is_refused_in_text(service: Process) -> None:
    answer = httpx.post(f"{service.url}/sign/data", content=b"x" * 1_048_577, timeout=30)
    assert answer.status_code == 413
    assert answer.headers["Content-Type"].startswith("text/plain")
    assert "request-id: " in answer.text


def test_it_stops_when_asked_and_remembers_what_it_has_seen(tmp_path: Path) -> None:
    service = Process(tmp_path)
    try:
        body = json.dumps(BODY).encode()
        said = hawk(f"{service.url}/sign/data", "POST", body)
        headers = {"Content-Type": "application/json", "Authorization": said}
        url = f"{service.url}/sign/data"
        assert httpx.post(url, content=body, headers=headers, timeout=30).status_code == 201
        assert service.stop() == 0
        assert not accepts(service.port)
        service.start()
        answer = httpx.post(url, content=body, headers=headers, timeout=30)
        assert answer.status_code == 401
        assert "replayed" in answer.text or "skew" in answer.text
    finally:
        service.kill()


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "the service has no key"),
        ('[[signing.local]]\nname = "a"\nprivate_key = "a.pem"\n', "nobody may call"),
    ],
)
def test_a_configuration_that_serves_nobody_is_named(tmp_path: Path, text: str, reason: str) -> None:
    (tmp_path / "kintoun.toml").write_text(text)
    done = subprocess.run(
        [str(KINTOUN), "signer"], cwd=tmp_path, capture_output=True, text=True, timeout=SECONDS, check=False
    )
    assert done.returncode == 3
    assert reason in done.stderr
