"""Fonts for Firefox on Android, from their upload to what a device verifies (parts section 4.4)."""

from __future__ import annotations

import gzip
import hashlib
import json
import random
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.support.configurations import configuration
from tests.support.postgres import Postgres
from tests.support.servers import Server, password_of, start_configured

SOURCE = "/buckets/fennec-workspace/collections/catalog"
FONT = random.Random(1).randbytes(20_000) + bytes(50_000)
QUERY = (
    "_fields=attachment.location,attachment.original.filename,attachment.original.hash,attachment.hash,"
    "type,kind,attachment.original.size,match&_sort=last_modified"
)
"""As the client of the field writes it, after `_since`, whose number has no quotes."""

FEATURES = ("accounts", "attachments", "signing", "publication")
SECTIONS = """\
[attachments]
folder = "{bucket_id}/{collection_id}"
extensions = "ttf"
gzipped = true
[signing]
resources = "/buckets/fennec-workspace -> /buckets/fennec"
sign_with = ["remote-settings"]
[[signing.local]]
name = "remote-settings"
private_key = "pki/remote-settings.pem"
[publication]
resources = ["/buckets/fennec"]
"""


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def server(request: pytest.FixtureRequest, postgres: Postgres) -> Iterator[Server]:
    url = postgres.create_database() if request.param == "postgresql" else "sqlite:data.sqlite"
    with start_configured(
        configuration(FEATURES, SECTIONS, url=url), ("pki", "init"), accounts=["admin"]
    ) as started:
        yield started


def sync(server: Server, since: int) -> list[dict[str, Any]]:
    """What a device is answered, which asks for one page and nothing else."""
    path = f"{server.url}/buckets/fennec/collections/catalog/records?_since={since}&{QUERY}"
    answer = httpx.get(path).raise_for_status()
    assert "next-page" not in answer.headers
    found: list[dict[str, Any]] = answer.json()["data"]
    return found


def test_from_the_upload_to_the_device(server: Server) -> None:
    match = {"appId": "^org\\.mozilla\\.", "androidApi": "^(1[1-9]|2[0-9])$"}
    attributes = json.dumps({"type": "asset-archive", "kind": "font", "match": match})
    with httpx.Client(base_url=server.url, auth=("admin", password_of("admin")), timeout=60) as editor:
        editor.put("/buckets/fennec-workspace").raise_for_status()
        editor.put(SOURCE).raise_for_status()
        editor.post(
            f"{SOURCE}/records/charis/attachment",
            files={"attachment": ("CharisSIL-R.ttf", FONT, "application/x-font-ttf")},
            data={"data": attributes},
        ).raise_for_status()
        assert sync(server, 0) == [], "nothing is published yet"
        editor.patch(SOURCE, json={"data": {"status": "to-sign"}}).raise_for_status()

        (entry,) = sync(server, 0)
        assert (entry["type"], entry["kind"], entry["match"]) == ("asset-archive", "font", match)
        attachment, original = entry["attachment"], entry["attachment"]["original"]
        assert attachment.keys() == {"location", "hash", "original"}
        assert original == {
            "filename": "CharisSIL-R.ttf",
            "hash": hashlib.sha256(FONT).hexdigest(),
            "size": len(FONT),
        }
        base = httpx.get(f"{server.url}/").json()["capabilities"]["attachments"]["base_url"]
        download = httpx.get(base + attachment["location"], headers={"Accept-Encoding": "identity"})
        assert "content-encoding" not in download.headers
        assert hashlib.sha256(download.content).hexdigest() == attachment["hash"]
        assert gzip.decompress(download.content) == FONT

        editor.delete(f"{SOURCE}/records/charis").raise_for_status()
        editor.patch(SOURCE, json={"data": {"status": "to-sign"}}).raise_for_status()
    (gone,) = sync(server, entry["last_modified"])
    assert gone.keys() == {"id", "last_modified"}, "a deletion, of which its query asks for no more"
    assert gone["id"] == "charis"
    assert httpx.get(base + attachment["location"]).content == download.content, "it stays for a while"
