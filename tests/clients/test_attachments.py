"""Files on records with kinto-http and with curl."""

from __future__ import annotations

import json
import subprocess
from hashlib import sha256
from pathlib import Path

import pytest
from kinto_http import KintoException

from tests.clients.test_kinto_http import PASSWORD, client, user  # noqa: F401 - a fixture
from tests.support.servers import Server


def test_kinto_http(client, server: Server, tmp_path: Path) -> None:  # noqa: F811 - the fixture
    sent = tmp_path / "été.txt"
    sent.write_bytes(b"hello")
    attachment = client.add_attachment(
        id="r", filepath=str(sent), data={"title": "Hi"}, permissions={"read": ["system.Everyone"]}
    )
    assert attachment["filename"] == "été.txt"
    assert attachment["mimetype"] == "text/plain"
    record = client.get_record(id="r")
    assert record["data"]["attachment"] == attachment
    assert record["data"]["title"] == "Hi"
    assert record["permissions"]["read"] == ["system.Everyone"]

    folder = tmp_path / "fetched"
    folder.mkdir()
    client.download_attachment(record["data"], filepath=str(folder), save_metadata=True)
    fetched = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert fetched.pop("été.txt") == b"hello"
    [(_, metadata)] = fetched.items()
    assert json.loads(metadata)["attachment"] == attachment

    named = client.add_attachment(
        id="r", filepath=str(sent), filename="data.json", mimetype="application/json"
    )
    assert (named["filename"], named["mimetype"]) == ("data.json", "application/json")
    with pytest.raises(KintoException) as failure:
        client.add_attachment(id="r", filepath=str(sent), filename="program.exe")
    assert failure.value.response.status_code == 400
    client.remove_attachment(id="r")
    assert client.get_record(id="r")["data"]["attachment"] is None


def curl(*arguments: str) -> str:
    done = subprocess.run(["curl", "--silent", "--show-error", *arguments], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_curl(client, server: Server, tmp_path: Path) -> None:  # noqa: F811
    large = tmp_path / "large.json"
    large.write_bytes(b"[" + b"1, " * 1_000_000 + b"1]")
    record = f"{server.url}/buckets/{client.bucket_name}/collections/tasks/records/r"
    login = ("--user", f"alice:{PASSWORD}")
    sent = ("--form", f"attachment=@{large};type=application/json", "--form", 'data={"title": "Hi"}')
    attachment = json.loads(curl(*login, *sent, f"{record}/attachment"))
    assert attachment["hash"] == sha256(large.read_bytes()).hexdigest()
    fetched = tmp_path / "fetched"
    curl(*login, "--location", "--output", str(fetched), f"{record}/attachment")
    assert fetched.read_bytes() == large.read_bytes()

    name = "Content-Disposition: attachment; filename*=UTF-8''%C3%A9t%C3%A9.json"
    how = ("--upload-file", str(large), "--header", name, "--header", "Content-Type: application/json")
    status = ("--write-out", "\n%{http_code}")
    body, code = curl(*login, *how, *status, f"{record}/attachment").rsplit("\n", 1)
    assert (code, json.loads(body)["filename"]) == ("200", "été.json")
    # It is told before it sends anything, and sends nothing.
    refused = ("--write-out", "\n%{http_code} %{size_upload}")
    _, told = curl(*login, *how, *refused, "--header", 'If-Match: "1"', f"{record}/attachment").rsplit(
        "\n", 1
    )
    assert told == "412 0"
    unsized = ("--header", "Transfer-Encoding: chunked", *status)
    _, code = curl(*login, *how, *unsized, f"{record}/attachment").rsplit("\n", 1)
    assert code == "411"
