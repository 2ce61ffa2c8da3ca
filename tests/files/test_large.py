"""Large files go through the server into an object store and back, and little of them is in its memory.

The store is a process of its own, because it has each file in its memory several times.
"""

from __future__ import annotations

import http.client
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from hashlib import sha256
from urllib.parse import urlsplit

import pytest

from bench.attachments import MIB, Memory, Uploader
from bench.processes import ProcessTree
from tests.support.configurations import configuration
from tests.support.ports import free_port
from tests.support.servers import Server, start_configured

BUCKET = "kintoun-large"
MOST_MEMORY = 32 * MIB
BLOCK = bytes(range(256)) * 1024
RECORDS = "/buckets/b/collections/c/records"


@pytest.fixture(scope="module")
def s3() -> Iterator[int]:
    """The port of a server that speaks S3."""
    port = free_port()
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 60
        while not _made_bucket(port):
            assert process.poll() is None, "it ended"
            assert time.monotonic() < deadline, "it does not answer"
            time.sleep(0.1)
        yield port
    finally:
        process.kill()
        process.wait()


def _made_bucket(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request("PUT", f"/{BUCKET}")
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()


@pytest.fixture(scope="module")
def server(s3: int) -> Iterator[Server]:
    """Ours. The files do not go through its database, so one engine is enough."""
    sections = f"""\
[attachments]
store = "s3://{BUCKET}/files"
store_options = {{ endpoint = "http://127.0.0.1:{s3}", region = "us-east-1", allow_http = "true" }}
upload_folder = "uploads"
extensions = "any"
"""
    credentials = {"AWS_ACCESS_KEY_ID": "AKIDOFTHETESTS", "AWS_SECRET_ACCESS_KEY": "secret of the tests"}
    with start_configured(configuration(("basicauth", "attachments"), sections), env=credentials) as started:
        yield started


def _read(server: Server, record: str) -> str:
    """Read a record's file, as it comes; returns its digest."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=600)
    connection.request("GET", "/v1/")
    base = json.loads(connection.getresponse().read())["capabilities"]["attachments"]["base_url"]
    connection.request("GET", f"/v1{record}", headers={"Authorization": Uploader(server).authorization})
    location = json.loads(connection.getresponse().read())["data"]["attachment"]["location"]
    connection.request("GET", urlsplit(base + location).path)
    response = connection.getresponse()
    assert response.status == 200
    digest = sha256()
    while part := response.read(MIB):
        digest.update(part)
    connection.close()
    return digest.hexdigest()


@pytest.mark.parametrize("mib", [256, pytest.param(2048, marks=pytest.mark.campaign)])
def test_a_large_file_in_an_object_store_takes_little_memory(server: Server, mib: int) -> None:
    uploader = Uploader(server)
    uploader.send("PUT", "/buckets/b")
    uploader.send("PUT", "/buckets/b/collections/c")
    # The libraries are loaded by a file of several parts, as all large ones are.
    for name, blocks in (("warm", 12 * MIB // len(BLOCK)), (f"of-{mib}", mib * MIB // len(BLOCK))):
        record = f"{RECORDS}/{name}"
        expected = sha256()
        for _ in range(blocks):
            expected.update(BLOCK)
        memory = Memory(ProcessTree(server.pid))
        uploader.upload(
            f"{record}/attachment", lambda n=blocks: (BLOCK for _ in range(n)), blocks * len(BLOCK)
        )
        up = memory.more()
        memory = Memory(ProcessTree(server.pid))
        assert _read(server, record) == expected.hexdigest()
        down = memory.more()
    with suppress(FileNotFoundError):
        assert list((server.directory / "uploads").iterdir()) == [], "nothing waits any longer"
    print(f"{mib} MiB: {up / MIB:.1f} MiB more to receive them, {down / MIB:.1f} to send them")
    assert max(up, down) < MOST_MEMORY
