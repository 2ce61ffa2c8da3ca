"""What operators can say of files."""

from __future__ import annotations

import gzip
import re
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from kintoun.kinto_ini import translate
from tests.attachments.world import FILE, RECORD, Attachers, attaching
from tests.support.inprocess import Databases
from tests.support.servers import write_ini

UUID = "[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}"


async def test_files_are_compressed(databases: Databases, tmp_path: Path) -> None:
    async with attaching("sqlite", databases, tmp_path, extensions="ttf+txt") as files:
        content = b"glyphs " * 100_000
        url = f"{FILE}?gzipped=true"
        attachment = await files.attached(content, "Charis-R.ttf", "application/x-font-ttf", url=url)
        original = attachment.pop("original")
        assert original == {
            "filename": "Charis-R.ttf",
            "hash": sha256(content).hexdigest(),
            "mimetype": "application/x-font-ttf",
            "size": len(content),
        }
        kept = await files.content(attachment["location"])
        assert kept is not None
        assert gzip.decompress(kept) == content
        assert attachment["hash"] == sha256(kept).hexdigest()
        assert attachment["size"] == len(kept) < len(content)
        assert (attachment["filename"], attachment["mimetype"]) == ("Charis-R.ttf.gz", "application/x-gzip")
        assert re.fullmatch(rf"{UUID}\.ttf\.gz", attachment["location"])
        again = await files.attached(content, "Charis-R.ttf", "application/x-font-ttf", url=url)
        assert again["hash"] == attachment["hash"], "the same file gives the same bytes"
        assert "original" not in await files.attached(content, "a.ttf", url=f"{FILE}?gzipped=false")
        wrong = await files.attach(url=f"{FILE}?gzipped=maybe")
        assert wrong.json()["details"][0]["name"] == "gzipped"
        assert not files.uploads()


async def test_collections_have_settings_of_their_own(databases: Databases, tmp_path: Path) -> None:
    named = {
        "b.randomize": False,
        "b.max_size_bytes": 10,
        "b.c.max_size_bytes": 100,
        "b.z.gzipped": True,
        "b.p.filename_pattern": "{datetime}-{rid}-{filename}",
        "b.c.keep_old_files": True,
    }
    folder = "{bucket_id}/{collection_id}"
    async with attaching("sqlite", databases, tmp_path, named=named, folder=folder) as files:
        for name in ("d", "p", "z"):
            await files.app.ok(f"PUT /buckets/b/collections/{name}")
        too_large = await files.attach(b"x" * 101)
        assert too_large.json()["message"] == "body: File size (101 bytes) exceeds the limit (100 bytes)."
        assert (
            await files.attach(b"x" * 11, url="/buckets/b/collections/d/records/r/attachment")
        ).status_code == 400
        names = [(await files.attached(b"x" * n, "été 1.TXT"))["location"] for n in (100, 1, 2)]
        assert names == ["b/c/ete_1.TXT", "b/c/ete_1-1.TXT", "b/c/ete_1-2.TXT"]
        assert await files.content(names[0]) == b"x" * 100
        patterned = await files.attached(b"x", url="/buckets/b/collections/p/records/r/attachment")
        assert re.fullmatch(r"b/p/\d{14}-r-hello\.txt", patterned["location"])
        zipped = await files.attached(b"x", url="/buckets/b/collections/z/records/r/attachment")
        assert zipped["original"]["filename"] == "hello.txt"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"folder": "{bucket}"}, "attachments.folder: {bucket} is not one of"),
        ({"filename_pattern": "{rid!r}"}, "attachments.filename_pattern"),
        ({"filename_pattern": "{rid"}, "attachments.filename_pattern"),
        ({"mimetypes": "txt"}, "attachments.mimetypes: 'txt'"),
        ({"named": {"b.folder": "x"}}, "attachments.named: 'b.folder'"),
        ({"named": {"b.c.d.randomize": True}}, "attachments.named"),
        ({"named": {"b.randomize": 3}}, "attachments.named: b.randomize"),
    ],
)
async def test_settings_that_cannot_be(
    databases: Databases, tmp_path: Path, settings: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        async with attaching("sqlite", databases, tmp_path, **settings):
            pass


BUCKET = {"attachment.aws.bucket_name": "files", "attachment.aws.secret_key": "12345"}


@pytest.mark.parametrize(
    ("keys", "section"),
    [
        (BUCKET, {"store": "s3://files", "store_options": {"secret_access_key": "12345"}}),
        ({**BUCKET, "attachment.aws.secret_key": ""}, {"store": "s3://files"}),
        ({"attachment.gcloud.bucket_name": "files"}, {"store": "gs://files"}),
        (
            {"attachment.gcloud.credentials": "key.json"},
            {"store_options": {"application_credentials": "key.json"}},
        ),
        ({"attachment.base_path": "/a", "attachment.aws.bucket_name": "files"}, {"store": "/a"}),
        ({"attachment.aws.bucket_name": "files", "attachment.base_path": "/a"}, {"store": "/a"}),
        ({"attachment.aws.bucket_name": ""}, {}),
    ],
)
def test_the_keys_of_kinto_tell_where_files_are(
    tmp_path: Path, keys: dict[str, str], section: dict[str, Any]
) -> None:
    translation = translate(
        write_ini(tmp_path / "kinto.ini", {f"kinto.{key}": keys[key] for key in keys}), {}
    )
    values = translation.tree.sections.get("attachments", {})
    assert {name: value.value for name, value in values.items()} == section


def test_the_keys_of_kinto_that_have_no_counterpart_are_named(tmp_path: Path) -> None:
    keys = {**BUCKET, "attachment.aws.acl": "public-read", "attachment.gcloud.auto_create_bucket": "true"}
    notes = translate(write_ini(tmp_path / "kinto.ini", keys), {}).notes
    assert [note.place.split()[-1] for note in notes if note.kind == "lost"] == [
        "attachment.aws.acl",
        "attachment.gcloud.auto_create_bucket",
    ]


async def test_locations_can_begin_with_an_address(databases: Databases, tmp_path: Path) -> None:
    addresses = {"location_prefix": "http://cdn.example/files", "base_url": "http://cdn.example/files/"}
    async with attaching("sqlite", databases, tmp_path, **addresses) as files:
        attachment = await files.attached()
        assert attachment["location"].startswith("http://cdn.example/files/")
        assert await files.content(attachment["location"]) == b"hello"
        response = await files.app.call(f"GET {FILE}")
        assert response.headers["Location"] == attachment["location"]
        capability = (await files.app.ok("GET /"))["capabilities"]["attachments"]
        assert capability["base_url"] == "http://cdn.example/files/"


async def test_the_heartbeat_tells_whether_files_can_be_kept(files: Attachers, tmp_path: Path) -> None:
    assert (await files.app.ok("GET /__heartbeat__"))["attachments"] is True
    folder = tmp_path / "files"
    assert not [path for path in folder.rglob("*") if path.is_file()]
    for each in sorted(folder.rglob("*"), reverse=True):
        each.rmdir()
    folder.rmdir()
    folder.write_text("no folder")
    broken = await files.app.call("GET /__heartbeat__")
    assert (broken.status_code, broken.json()["attachments"]) == (503, False)
    refused = await files.attach(bytes(20_000))  # what is smaller stands in the database
    assert (refused.status_code, refused.json()["errno"]) == (503, 201)
    assert refused.headers["Retry-After"]
    assert (await files.app.call(f"GET {RECORD}")).status_code == 404
