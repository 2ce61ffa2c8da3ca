"""The documented walk (signing section 15) with kinto-http from PyPI, on servers made from a Kinto's ini."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from kinto_http import Client, KintoException

from kintoun.signatures import content_signature
from tests.signing.desk import KEY, key_file, signed_form
from tests.support.fixtures import ENGINES
from tests.support.postgres import Postgres
from tests.support.servers import Server, start_kintoun

PASSWORD = "a password"
SETTINGS = {
    "kinto.includes": "kinto.plugins.accounts kinto.plugins.history kinto_remote_settings.signer",
    "multiauth.policies": "account",
    "multiauth.policy.account.use": "kinto.plugins.accounts.AccountsPolicy",
    "kinto.account_create_principals": "system.Everyone",
    "kinto.userid_hmac_secret": "not much of a secret",
    "kinto.signer.resources": "/buckets/ws -> /buckets/pre -> /buckets/out\n    lone/c -> public/c",
    "kinto.signer.to_review_enabled": "true",
    "kinto.signer.lone.c.to_review_enabled": "false",
    "kinto.signer.signer_backend": "kinto_remote_settings.signer.backends.local_ecdsa",
}


@pytest.fixture(params=ENGINES)
def server(request: pytest.FixtureRequest, postgres: Postgres, tmp_path: Path) -> Iterator[Server]:
    settings = {**SETTINGS, "kinto.signer.ecdsa.private_key": key_file(tmp_path)}
    if request.param == "postgresql":
        uri = postgres.create_database()
        for part in ("storage", "permission", "cache"):
            settings[f"kinto.{part}_backend"] = f"kinto.core.{part}.postgresql"
            settings[f"kinto.{part}_url"] = uri
    with start_kintoun(settings, workers=2) as started:
        yield started


def user(server: Server, name: str) -> Client:
    answer = requests.put(f"{server.url}/accounts/{name}", json={"data": {"password": PASSWORD}}, timeout=30)
    assert answer.status_code == 201, answer.text
    return Client(server_url=server.url, auth=(name, PASSWORD), bucket="ws", collection="c1")


def verified(server: Server, bucket: str, collection: str = "c1") -> dict[str, dict[str, object]]:
    """What anybody reads of a target, after its signature has proved good."""
    reader = Client(server_url=server.url, bucket=bucket, collection=collection)
    records = reader.get_records()
    timestamp = int(reader.get_records_timestamp().strip('"'))
    (signature,) = reader.get_collection()["data"]["signatures"]
    content_signature.verify(KEY.public_key(), signed_form(records, timestamp), signature["signature"])
    return {record["id"]: record for record in records}


def refusal(client: Client, status: str, **more: object) -> str:
    with pytest.raises(KintoException) as failure:
        client.patch_collection(data={"status": status, **more})
    body = json.loads(failure.value.response.content)
    return f"{body['code']}/{body['errno']} {body['message']}"


def test_the_walk(server: Server) -> None:
    admin, ed, rev, both = (user(server, name) for name in ("admin", "ed", "rev", "both"))
    admin.create_bucket()
    admin.create_collection(data={"displayFields": ["title"], "uiSchema": {}})
    assert admin.get_collection()["data"]["status"] == "signed"
    assert verified(server, "pre") == verified(server, "out") == {}
    for group, members in (("editors", ["ed", "both"]), ("reviewers", ["rev", "both"])):
        data = {"members": [f"account:{name}" for name in members]}
        admin.patch_group(id=f"c1-{group}", data=data)

    ed.create_record(id="r1", data={"title": "one", "n": 1})
    ed.create_record(id="r2", data={"title": "two \u2764"})
    assert ed.get_collection()["data"]["status"] == "work-in-progress"
    assert refusal(rev, "to-review") == "403/121 Not in c1-editors group"
    assert refusal(rev, "to-sign") == "400/109 Collection not under review"
    assert refusal(ed, "to-sign") == "403/121 Not in c1-reviewers group"
    assert refusal(ed, "signed") == "400/109 Cannot set status to 'signed'"
    assert refusal(ed, "bogus") == "400/109 Invalid status 'bogus'"
    assert refusal(ed, "to-review", last_edit_by="me") == "400/109 Cannot change 'last_edit_by'"

    ed.patch_collection(data={"status": "to-review", "last_editor_comment": "please"})
    assert verified(server, "pre").keys() == {"r1", "r2"}
    assert verified(server, "out") == {}
    rev.patch_collection(data={"status": "work-in-progress", "last_reviewer_comment": "nah"})
    both.patch_collection(data={"status": "to-review"})
    assert refusal(both, "to-sign") == "403/121 Last editor cannot review"

    seen = rev.get_collection()
    rev.patch_collection(data={"status": "to-sign"}, if_match=seen["data"]["last_modified"])
    assert verified(server, "out").keys() == {"r1", "r2"}
    metadata = admin.get_collection()["data"]
    assert (metadata["status"], metadata["last_review_by"]) == ("signed", "account:rev")
    assert refusal(rev, "to-sign") == "400/109 Collection already signed"

    ed.delete_record(id="r2")
    ed.patch_record(id="r1", data={"title": "uno"})
    with ed.batch() as batch:
        batch.create_record(id="r3", data={"title": "three"})
        batch.create_record(id="r4", data={"title": "four"})
    ed.patch_collection(data={"status": "to-review"})
    approved = rev.patch_collection(data={"status": "to-sign"})
    published = verified(server, "out")
    assert published.keys() == {"r1", "r3", "r4"}
    assert published["r1"]["title"] == "uno"

    ed.patch_collection(data={"status": "to-resign"}, if_match=approved["data"]["last_modified"])
    assert verified(server, "out") == published
    ed.create_record(id="r5", data={})
    ed.patch_collection(data={"status": "to-rollback"})
    assert {record["id"] for record in ed.get_records()} == published.keys()
    assert admin.get_collection()["data"]["status"] == "signed"

    with pytest.raises(KintoException, match="403"):
        admin.delete_collection(id="c1", bucket="out")
    admin.delete_collection()
    assert verified(server, "pre") == verified(server, "out") == {}


def test_without_review(server: Server) -> None:
    admin = user(server, "admin")
    lone = admin.clone(bucket="lone", collection="c")
    lone.create_bucket()
    lone.create_collection()
    lone.create_record(id="r1", data={"n": 1})
    lone.patch_collection(data={"status": "to-sign"})
    assert verified(server, "public", "c").keys() == {"r1"}
    resources = lone.server_info()["capabilities"]["signer"]["resources"]
    (shown,) = [each for each in resources if each["source"]["bucket"] == "lone"]
    assert shown["to_review_enabled"] is False
    assert "preview" not in shown
