"""The example plugin of the documentation, installed from its own folder and run by a server."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
import time
import venv
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.docs.walks import DOCS, PASSWORD, Walk

EXAMPLE = DOCS / "examples" / "kintoun-trash"


SCRIPT = """\
#!{python}
from kintoun.cli import main
main()
"""


@pytest.fixture(scope="module")
def walk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Walk]:
    """A server in an environment of its own, in which nothing is installed but the plugin.

    What they depend on is taken from where these tests run, so that no network is needed.
    """
    directory = tmp_path_factory.mktemp("plugin")
    source, environment = directory / "source", directory / "environment"
    shutil.copytree(EXAMPLE, source)
    venv.create(environment, with_pip=False)
    python = environment / "bin" / "python"
    (packages,) = (environment / "lib").glob("python*/site-packages")
    borrowed = [path for path in sys.path if path and Path(path).is_dir()]
    (packages / "borrowed.pth").write_text("\n".join(borrowed))
    install = [sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--no-deps"]
    subprocess.run([*install, "--no-build-isolation", "--no-index", source], check=True, timeout=300)
    script = environment / "bin" / "kintoun"
    script.write_text(SCRIPT.format(python=python))
    script.chmod(0o755)
    walk = Walk(directory)
    walk.env["PATH"] = f"{environment / 'bin'}{os.pathsep}{walk.env['PATH']}"
    walk.env["KINTOUN_FEATURES"] = "accounts,trash"
    walk.env["KINTOUN_TRASH__COLLECTION"] = "bin"
    with walk:
        yield walk


@pytest.fixture(scope="module")
def client(walk: Walk) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=walk.env["SERVER"], auth=("admin", PASSWORD)) as client:
        for path in ("", "/collections/bin", "/collections/articles"):
            client.put(f"/buckets/blog{path}").raise_for_status()
        yield client


def test_the_page_shows_all_of_it() -> None:
    page = (DOCS / "how-to" / "write-a-plugin.md").read_text(encoding="utf-8")
    files = [file for file in EXAMPLE.rglob("*") if file.suffix in (".py", ".toml")]
    assert len(files) == 3
    for file in files:
        assert f'--8<-- "{file.relative_to(DOCS.parent)}"' in page


def test_it_says_that_it_is_there(client: httpx.Client) -> None:
    assert client.get("/").json()["capabilities"]["trash"]["collection"] == "bin"


def test_it_keeps_what_is_deleted(client: httpx.Client) -> None:
    record = "/buckets/blog/collections/articles/records/a"
    client.put(record, json={"data": {"title": "A"}})
    client.delete(record).raise_for_status()
    kept = client.get("/buckets/blog/collections/bin/records/articles-a").json()["data"]
    assert kept["was"]["title"] == "A"
    assert (kept["by"], kept["from"]) == ("account:admin", record)
    assert client.get("/buckets/blog/__trash__").json()["kept_by_this_worker"] == 1


def test_it_vetoes_and_undoes_only_that(client: httpx.Client) -> None:
    records = "/buckets/blog/collections/articles/records"
    client.put(f"{records}/locked", json={"data": {"locked": True}})
    client.put(f"{records}/open", json={"data": {}})
    requests = [{"method": "DELETE", "path": f"{records}/{name}"} for name in ("locked", "open")]
    answers = client.post("/batch", json={"requests": requests}).json()["responses"]
    assert [answer["status"] for answer in answers] == [403, 200]
    assert client.get(f"{records}/locked").status_code == 200
    assert client.get("/buckets/blog/collections/bin/records/articles-locked").status_code == 404
    assert client.get("/buckets/blog/collections/bin/records/articles-open").status_code == 200


def test_its_endpoint_is_guarded_like_any(client: httpx.Client) -> None:
    anonymous = httpx.get(f"{client.base_url}buckets/blog/__trash__")
    assert (anonymous.status_code, anonymous.json()["errno"]) == (401, 104)


def test_its_table_is_migrated_and_its_command_reads_it(walk: Walk, client: httpx.Client) -> None:
    record = "/buckets/blog/collections/articles/records/listed"
    client.put(record, json={"data": {}}).raise_for_status()
    deleted = client.delete(record).raise_for_status().json()["data"]
    first, *_ = walk.run(["kintoun", "trash", "--limit", "1"]).splitlines()
    assert first == f"{deleted['last_modified']}  account:admin  {record}"
    assert "locked" not in walk.run(["kintoun", "trash"]), "what was refused is not in the log"
    assert "Tell who deleted" in walk.run(["kintoun", "--help"])
    assert "already" in walk.run(["kintoun", "migrate"])
    with sqlite3.connect(walk.directory / "kintoun.sqlite") as database:
        steps = database.execute("SELECT version FROM feature_version WHERE feature = 'trash'").fetchall()
    assert sorted(steps) == [(1,), (2,)]


def test_its_check_is_part_of_the_heartbeat(client: httpx.Client) -> None:
    assert client.get("/__heartbeat__").json()["trash"] is True


def test_its_background_work_has_a_lease(walk: Walk, client: httpx.Client) -> None:
    database = sqlite3.connect(walk.directory / "kintoun.sqlite")
    deadline = time.monotonic() + 60
    while not database.execute("SELECT 1 FROM lease WHERE name = 'trash'").fetchall():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    database.close()
