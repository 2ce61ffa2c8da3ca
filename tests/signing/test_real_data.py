"""Blocklists and revocations, published by an unmodified kinto-http, changed, and rolled back."""

from __future__ import annotations

import hashlib
import json
from base64 import b64encode
from collections.abc import Iterator
from operator import itemgetter
from pathlib import Path
from typing import Any

import pytest
from kinto_http import Client

from tests.support.configurations import configuration
from tests.support.postgres import Postgres
from tests.support.published import changeset, verified
from tests.support.servers import Server, password_of, start_configured

DATA = Path(__file__).parents[1] / "amo" / "data"
BLOCKLISTS = ("addons", "plugins", "gfx", "certificates")
NAMES = {"blocklists": "remote-settings", "security-state": "onecrl"}
"""First labels of the names of those who sign for a bucket."""

FEATURES = ("accounts", "signing", "publication", "history")
SECTIONS = """\
[signing]
resources = '''
/buckets/staging -> /buckets/blocklists-preview -> /buckets/blocklists
/buckets/security-state-staging -> /buckets/security-state
'''
to_review_enabled = true
sign_with = ["remote-settings"]
[signing.sign_with_in]
security-state-staging = ["onecrl"]
[[signing.local]]
name = "remote-settings"
private_key = "pki/remote-settings.pem"
[[signing.local]]
name = "onecrl"
private_key = "pki/onecrl.pem"
[publication]
resources = ["/buckets/blocklists", "/buckets/security-state"]
"""


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def server(request: pytest.FixtureRequest, postgres: Postgres) -> Iterator[Server]:
    url = postgres.create_database() if request.param == "postgresql" else "sqlite:data.sqlite"
    users = ("admin", "editor", "reviewer")
    with start_configured(
        configuration(FEATURES, SECTIONS, url=url), ("pki", "init"), accounts=users
    ) as started:
        yield started


def client(server: Server, user: str, bucket: str, collection: str) -> Client:
    return Client(server_url=server.url, auth=(user, password_of(user)), bucket=bucket, collection=collection)


def editor_and_reviewer(server: Server, bucket: str, collection: str) -> tuple[Client, Client]:
    """Of a new source."""
    admin = client(server, "admin", bucket, collection)
    admin.create_bucket(if_not_exists=True)
    admin.create_collection()
    for role in ("editor", "reviewer"):
        admin.patch_group(id=f"{collection}-{role}s", data={"members": [f"account:{role}"]})
    return client(server, "editor", bucket, collection), client(server, "reviewer", bucket, collection)


def revocations(count: int) -> list[dict[str, Any]]:
    """Of the shape that OneCRL has; nobody's certificates."""
    return [
        {
            "id": f"59f41045-0000-4000-8000-{n:012d}",
            "enabled": True,
            "details": {"bug": "", "who": "", "why": "", "name": "", "created": "2019-01-18T11:45:13Z"},
            "issuerName": b64encode(hashlib.sha256(b"%d" % (n % 40)).digest()).decode(),
            "serialNumber": b64encode(hashlib.sha256(b"s%d" % n).digest()[:16]).decode(),
        }
        for n in range(count)
    ]


def real(name: str) -> list[dict[str, Any]]:
    records = json.loads((DATA / f"{name}.json").read_text(encoding="utf-8"))["data"]
    return [bare(record) for record in records]


def bare(record: dict[str, Any]) -> dict[str, Any]:
    """What an editor wrote of a record."""
    return {name: value for name, value in record.items() if name not in ("last_modified", "schema")}


def published(server: Server, bucket: str, collection: str) -> dict[str, Any]:
    return verified(server, bucket, collection, NAMES[bucket])


def load(editor: Client, records: list[dict[str, Any]]) -> None:
    with editor.batch() as batch:
        for record in records:
            batch.create_record(data=record)


def approve(editor: Client, reviewer: Client) -> None:
    editor.patch_collection(data={"status": "to-review"})
    reviewer.patch_collection(data={"status": "to-sign"})


@pytest.mark.parametrize(
    ("source", "destination", "collection", "records"),
    [
        *(
            ("staging", "blocklists", name, real(name))
            for name in ("addons", "plugins", "gfx", "certificates")
        ),
        ("security-state-staging", "security-state", "onecrl", revocations(400)),
    ],
    ids=[*BLOCKLISTS, "onecrl"],
)
def test_it_is_published_changed_and_rolled_back(
    server: Server, source: str, destination: str, collection: str, records: list[dict[str, Any]]
) -> None:
    editor, reviewer = editor_and_reviewer(server, source, collection)
    assert published(server, destination, collection)["changes"] == [], "empty, and signed"
    load(editor, records)
    assert published(server, destination, collection)["changes"] == [], "nobody has approved"
    approve(editor, reviewer)
    first = published(server, destination, collection)
    expected = sorted(records, key=itemgetter("id"))
    assert sorted(map(bare, first["changes"]), key=itemgetter("id")) == expected

    changed, *gone = records[:4]
    editor.patch_record(id=changed["id"], data={"enabled": False})
    for record in gone:
        editor.delete_record(id=record["id"])
    approve(editor, reviewer)
    diff = changeset(server, destination, collection, _since=first["timestamp"])
    assert {(each["id"], each.get("deleted", False)) for each in diff["changes"]} == {
        (changed["id"], False),
        *((record["id"], True) for record in gone),
    }
    second = published(server, destination, collection)
    assert len(second["changes"]) == len(records) - len(gone)

    editor.delete_records()
    editor.patch_collection(data={"status": "to-rollback"})
    assert published(server, destination, collection)["timestamp"] == second["timestamp"]
    assert {each["id"] for each in editor.get_records()} == {each["id"] for each in second["changes"]}
    assert editor.get_collection()["data"]["status"] == "signed"
