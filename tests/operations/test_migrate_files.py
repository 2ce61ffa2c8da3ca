"""Files that a real kinto-attachment kept are read from our server after a migration, where they stand."""

from __future__ import annotations

import json
import subprocess
import sys
from hashlib import sha256
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.operations.kinto_world import ALICE, on
from tests.support.fixtures import ENGINES
from tests.support.postgres import Postgres
from tests.support.servers import start_kinto, start_kintoun, write_ini

CDN = "http://cdn.example/files/"
SMALL, LARGE = b"small\n", b"0123456789abcdef" * 40_000
UPLOADS = {
    "small": ("notes.txt", SMALL, "text/plain"),
    "large": ("picture.png", LARGE, "image/png"),
    "same": ("other.txt", SMALL, "text/plain"),
    "replaced": ("new.txt", b"new", "text/plain"),
}
RECORDS = "/buckets/b/collections/c/records"
OLD = "kinto_with_files"


def settings(uri: str, folder: Path, base_url: str) -> dict[str, str]:
    """The ini of a Kinto with files in a folder."""
    ini = dict(on(uri))
    ini["kinto.includes"] = f"{ini.get('kinto.includes', '')} kinto_attachment".strip()
    ini["kinto.attachment.base_path"] = str(folder)
    ini["kinto.attachment.base_url"] = base_url
    ini["kinto.attachment.folder"] = "{bucket_id}/{collection_id}"
    return ini


def attach(http: httpx.Client, record: str, upload: tuple[str, bytes, str]) -> None:
    form = {"data": json.dumps({"title": record})}
    url = f"{RECORDS}/{record}/attachment"
    http.post(url, files={"attachment": upload}, data=form).raise_for_status()


def fill(url: str) -> dict[str, Any]:
    """Records with files, in an old server; returns what they tell of them."""
    with httpx.Client(base_url=url, auth=ALICE, timeout=60) as http:
        user, password = ALICE
        http.put(f"/accounts/{user}", json={"data": {"password": password}})
        for path in ("/buckets/b", "/buckets/b/collections/c"):
            http.put(path).raise_for_status()
        attach(http, "replaced", ("old.txt", b"old", "text/plain"))
        for record, upload in UPLOADS.items():
            attach(http, record, upload)
        http.put(f"{RECORDS}/none", json={"data": {"title": "none"}}).raise_for_status()
        http.get(RECORDS).raise_for_status()
        return {record: http.get(f"{RECORDS}/{record}").json()["data"]["attachment"] for record in UPLOADS}


@pytest.fixture(scope="module", params=["", CDN], ids=["relative", "absolute"])
def old(request: pytest.FixtureRequest, postgres: Postgres, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The ini of the old server, where its database is, and what its records tell of their files."""
    uri = postgres.create_database(f"{OLD}_{'absolute' if request.param else 'relative'}")
    folder = tmp_path_factory.mktemp("files")
    with start_kinto(settings(uri, folder, request.param), threads=4) as kinto:
        return uri, folder, request.param, fill(kinto.url)


@pytest.mark.parametrize("engine", ENGINES)
def test_files_are_taken_over_in_place(
    old: tuple[str, Path, str, dict[str, Any]], engine: str, postgres: Postgres, tmp_path: Path
) -> None:
    uri, folder, base_url, attachments = old
    before = sorted(path for path in folder.rglob("*") if path.is_file())
    ini = settings(postgres.create_database() if engine == "postgresql" else "unused", folder, base_url)
    if engine == "sqlite":
        ini = {name: value for name, value in ini.items() if "_backend" not in name}
    where = ["--kinto-ini", str(write_ini(tmp_path / "new.ini", ini)), "--data", str(tmp_path / "data")]

    def run(*arguments: str) -> str:
        command = [sys.executable, "-c", "from kintoun.cli import main; main()", *arguments, *where]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    assert "0 differences" in run("migrate-from-kinto", uri)
    assert run("attachments", "adopt", str(folder)).startswith(f"{len(UPLOADS)} files were taken over")
    with start_kintoun(ini, data=tmp_path / "data") as server:
        for record, told in attachments.items():
            assert (
                httpx.get(f"{server.url}{RECORDS}/{record}", auth=ALICE).json()["data"]["attachment"] == told
            )
            location = told["location"].removeprefix(base_url)
            content = httpx.get(f"{server.url}/attachments/{location}").raise_for_status().content
            assert content == UPLOADS[record][1]
            assert sha256(content).hexdigest() == told["hash"]
    assert sorted(path for path in folder.rglob("*") if path in before) == before
    run("doctor")
