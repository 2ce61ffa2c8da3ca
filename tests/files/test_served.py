"""Files from a server as it is run: ranges, clients that go away, and how much memory it takes."""

from __future__ import annotations

import hashlib
import json
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil
import pytest

from tests.support.servers import Server, start_kintoun

AUTH = ("alice", "pw")
CONTENT = hashlib.shake_256(b"served").digest(3_000_000)
TEXT = b"All the same. " * 5000
MEGABYTE = 1024 * 1024


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    ini = {
        "kinto.includes": "kinto_attachment",
        "kinto.attachment.base_path": str(tmp_path_factory.mktemp("served")),
        "kinto.attachment.extensions": "any",
        "kinto.userid_hmac_secret": "of the tests",
        "kinto.bucket_create_principals": "system.Authenticated",
        "kinto.storage_backend": "kinto.core.storage.memory",
        "multiauth.policies": "basicauth",
    }
    with start_kintoun(ini) as made:
        with httpx.Client(base_url=made.url, auth=AUTH) as client:
            for path in ("/buckets/b", "/buckets/b/collections/c"):
                assert client.put(path).status_code == 201
        yield made


def put(server: Server, name: str, content: bytes, mimetype: str = "application/octet-stream") -> str:
    """Attach a file; returns its URL."""
    headers = {"Content-Type": mimetype, "Content-Disposition": f'attachment; filename="{name}"'}
    url = f"{server.url}/buckets/b/collections/c/records/{name.partition('.')[0]}/attachment"
    response = httpx.put(url, content=content, headers=headers, auth=AUTH, timeout=120)
    assert response.status_code in (200, 201), response.text
    base = httpx.get(f"{server.url}/").json()["capabilities"]["attachments"]["base_url"]
    assert base == f"{server.url}/attachments/"
    return base + response.json()["location"]


def test_a_file_and_its_parts(server: Server) -> None:
    url = put(server, "a.bin", CONTENT)
    whole = httpx.get(url)
    assert whole.content == CONTENT
    assert whole.headers["Content-Length"] == str(len(CONTENT))
    part = httpx.get(url, headers={"Range": "bytes=1000000-1999999"})
    assert (part.status_code, part.content) == (206, CONTENT[1_000_000:2_000_000])
    several = httpx.get(url, headers={"Range": "bytes=0-9,100-109"})
    assert several.status_code == 206
    assert CONTENT[:10] in several.content
    assert CONTENT[100:110] in several.content
    assert int(several.headers["Content-Length"]) == len(several.content)
    head = httpx.head(url)
    assert (head.content, head.headers["Content-Length"]) == (b"", str(len(CONTENT)))
    unchanged = httpx.get(url, headers={"If-None-Match": whole.headers["ETag"]})
    assert (unchanged.status_code, unchanged.content) == (304, b"")


def test_paths_lead_nowhere(server: Server) -> None:
    put(server, "a.bin", CONTENT)
    for path in (
        "../kintoun.toml",
        "..%2fkintoun.toml",
        "%2e%2e/kintoun.toml",
        "//etc/passwd",
        "tmp/",
        "blobs",
    ):
        with socket.create_connection(("127.0.0.1", server.port), timeout=30) as raw:
            raw.sendall(
                f"GET /v1/attachments/{path} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n".encode()
            )
            status = raw.recv(64).split(b" ")[1]
        assert status in (b"404", b"307", b"400"), path


def test_text_is_compressed_within_seconds(server: Server) -> None:
    url = put(server, "t.txt", TEXT, "text/plain")
    deadline = time.monotonic() + 60
    while "Content-Encoding" not in (response := httpx.get(url, headers={"Accept-Encoding": "gzip"})).headers:
        assert time.monotonic() < deadline
        assert response.content == TEXT
        time.sleep(0.2)
    assert response.headers["Content-Encoding"] == "gzip"
    assert response.content == TEXT


def test_clients_that_go_away_leave_the_server_as_it_is(server: Server) -> None:
    url = put(server, "a.bin", CONTENT)
    for headers in ({}, {"Range": "bytes=0-999999"}, {"Range": "bytes=0-999999,1500000-2500000"}):
        for _ in range(5):
            with httpx.stream("GET", url, headers=headers) as response:
                next(response.iter_raw(1000))
    assert httpx.get(url).content == CONTENT


def memory(server: Server) -> int:
    processes = [psutil.Process(server.pid), *psutil.Process(server.pid).children(recursive=True)]
    return sum(process.memory_info().rss for process in processes)


def test_large_files_take_no_memory(server: Server, tmp_path: Path) -> None:
    """64 MB in and out, in any form: the server's processes grow by less than 32 MB."""
    put(server, "warm.bin", CONTENT)
    size = 64 * MEGABYTE
    before = memory(server)
    path = tmp_path / "large.bin"
    with path.open("wb") as file:
        for n in range(size // MEGABYTE):
            file.write(n.to_bytes(4, "big") * (MEGABYTE // 4))
    command = ["curl", "-s", "-u", ":".join(AUTH), "-F", f"attachment=@{path}"]
    target = f"{server.url}/buckets/b/collections/c/records/large/attachment"
    peak = before
    done = subprocess.Popen([*command, target], stdout=subprocess.PIPE)
    while done.poll() is None:
        peak = max(peak, memory(server))
        time.sleep(0.02)
    assert done.stdout is not None
    attachment = json.loads(done.stdout.read())
    with path.open("rb") as file:
        assert attachment["hash"] == hashlib.file_digest(file, "sha256").hexdigest()
    url = f"{server.url}/attachments/{attachment['location']}"
    for headers in ({}, {"Range": "bytes=0-30000000,30000002-"}):
        received = 0
        with httpx.stream("GET", url, headers=headers, timeout=120) as response:
            for chunk in response.iter_raw(MEGABYTE):
                received += len(chunk)
                peak = max(peak, memory(server))
        assert received >= size - 1
    assert peak - before < 32 * MEGABYTE
