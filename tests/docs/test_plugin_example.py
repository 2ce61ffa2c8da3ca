"""The example plugin of the documentation, installed from its own folder and run by a server."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator

import httpx
import pytest

from tests.docs.walks import DOCS, PASSWORD, Walk

EXAMPLE = DOCS / "examples" / "kintoun-trash"


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    directory = tmp_path_factory.mktemp("plugin")
    source, target = directory / "source", directory / "target"
    shutil.copytree(EXAMPLE, source)
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*install, "--no-index", "--target", target, source], check=True, timeout=120)
    walk = Walk(directory)
    walk.env["PYTHONPATH"] = os.pathsep.join(filter(None, (str(target), os.environ.get("PYTHONPATH"))))
    walk.env["KINTOUN_FEATURES"] = "accounts,trash"
    walk.env["KINTOUN_TRASH__COLLECTION"] = "bin"
    with walk, httpx.Client(base_url=walk.env["SERVER"], auth=("admin", PASSWORD)) as client:
        for path in ("", "/collections/bin", "/collections/articles"):
            client.put(f"/buckets/blog{path}").raise_for_status()
        yield client


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
