"""Attaching, replacing and removing the file of a record."""

from __future__ import annotations

import json
import re
from base64 import b64encode
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from tests.attachments.world import COLLECTION, FILE, RECORD, Attachers, attaching, form, part
from tests.files.writing import contents
from tests.support.inprocess import HOST, Databases, principal

UUID = "[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}"


async def test_a_file_is_attached_to_a_new_record(files: Attachers) -> None:
    response = await files.attach(b"hello", "hello.txt", data={"title": "Hi"})
    assert response.status_code == 201
    attachment = response.json()
    location = attachment.pop("location")
    assert re.fullmatch(rf"{UUID}\.txt", location)
    assert attachment == {
        "filename": "hello.txt",
        "hash": sha256(b"hello").hexdigest(),
        "mimetype": "text/plain",
        "size": 5,
    }
    record = await files.record()
    assert record["title"] == "Hi"
    assert record["attachment"] == {**attachment, "location": location}
    assert response.headers["Location"] == f"http://{HOST}/v1{RECORD}"
    assert response.headers["ETag"] == f'"{record["last_modified"]}"'
    assert "Last-Modified" in response.headers
    assert await files.content(location) == b"hello"
    assert files.app.events == [f"create {RECORD}"]
    assert not files.uploads()


async def test_a_file_is_attached_to_a_record_and_its_attributes_are_merged(files: Attachers) -> None:
    await files.app.ok(f"PUT {RECORD}", {"data": {"title": "Hi", "n": {"a": 1}}})
    response = await files.attach(data={"n": {"b": 2}}, permissions={"read": ["system.Everyone"]})
    assert response.status_code == 200
    whole = await files.app.ok(f"GET {RECORD}")
    assert {"title": "Hi", "n": {"b": 2}}.items() <= whole["data"].items()
    assert whole["permissions"] == {"read": ["system.Everyone"], "write": [principal("alice")]}
    assert files.app.events == [f"create {RECORD}", f"update {RECORD}"]


async def test_a_file_is_replaced_and_the_former_one_stays_where_it_was(files: Attachers) -> None:
    first = await files.attached(b"one")
    second = await files.attached(b"two", "two.json", "application/json")
    assert (await files.record())["attachment"] == second
    assert first["location"] != second["location"]
    assert await files.content(first["location"]) == b"one"
    assert await files.content(second["location"]) == b"two"


async def test_the_same_content_is_kept_once_under_two_names(files: Attachers) -> None:
    one = await files.attached(b"same")
    other = await files.attached(b"same", url=f"{COLLECTION}/records/other/attachment")
    assert one["location"] != other["location"]
    assert await contents(files.files) == [b"same"]


async def test_a_file_is_removed(files: Attachers) -> None:
    attachment = await files.attached(data={"title": "Hi"})
    response = await files.app.call(f"DELETE {FILE}")
    assert (response.status_code, response.content) == (204, b"")
    record = await files.record()
    assert record["attachment"] is None
    assert record["title"] == "Hi"
    assert response.headers["ETag"] == f'"{record["last_modified"]}"'
    assert await files.content(attachment["location"]) == b"hello", "until the time of grace has passed"
    again = await files.app.call(f"DELETE {FILE}")
    assert (again.status_code, again.headers["ETag"]) == (204, response.headers["ETag"])
    assert files.app.events == [f"create {RECORD}", f"update {RECORD}"]


async def test_what_is_not_there_is_not_removed(files: Attachers) -> None:
    response = await files.app.call(f"DELETE {FILE}")
    assert (response.status_code, response.json()["errno"]) == (404, 110)
    assert (await files.app.call(f"GET {RECORD}")).status_code == 404


async def test_an_empty_file_is_a_file(files: Attachers) -> None:
    attachment = await files.attached(b"", "empty.txt")
    assert (attachment["size"], attachment["hash"]) == (0, sha256(b"").hexdigest())
    assert await files.content(attachment["location"]) == b""


@pytest.mark.parametrize(
    ("given", "mimetype", "told"),
    [
        ("a.txt", "text/html", "text/html"),
        ("a.txt", "Text/Plain; charset=no-such-thing", "text/plain"),
        ("a.txt", None, "application/octet-stream"),
        ("a.txt", "no type", "application/octet-stream"),
        ("a.PEM", "text/plain", "application/x-pem-file"),
        ("a.geojson", "text/plain", "application/geojson"),
        ("a.ftl", "text/plain", "application/vnd.fluent"),
    ],
)
async def test_the_type_is_what_is_said_or_known_by_the_extension(
    databases: Databases, tmp_path: Path, given: str, mimetype: str | None, told: str
) -> None:
    settings = {"extensions": "any", "mimetypes": ".ftl:application/vnd.fluent"}
    async with attaching("sqlite", databases, tmp_path, **settings) as files:
        assert (await files.attached(b"x", given, mimetype))["mimetype"] == told


@pytest.mark.parametrize(
    ("sent", "told"),
    [
        ("../../../etc/passwd.txt", "passwd.txt"),
        ("C:\\\\Users\\\\me\\\\a.txt", "a.txt"),
        ("été ß 日本.txt", "été ß 日本.txt"),
        ("%22quoted%22.txt", '"quoted".txt'),
        ("שלום.txt", "שלום.txt"),
    ],
)
async def test_names_are_kept_without_their_folders(files: Attachers, sent: str, told: str) -> None:
    assert (await files.attached(b"x", sent))["filename"] == told


async def test_a_name_may_be_encoded(files: Attachers) -> None:
    headers = {"Content-Disposition": "form-data; name=\"attachment\"; filename*=utf-8''%C3%A9t%C3%A9.txt"}
    assert (await files.send(form((headers, b"x")))).json()["filename"] == "été.txt"
    headers = {"Content-Disposition": "form-data; name=\"attachment\"; filename*=no-such''x%E9.txt"}
    assert (await files.send(form((headers, b"x")))).status_code == 200


# What is demanded of the record


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
@pytest.mark.parametrize("header", ["If-Match", "If-None-Match"])
async def test_a_demand_is_met_before_anything_is_touched(files: Attachers, method: str, header: str) -> None:
    attachment = await files.attached()
    record = await files.record()
    value = '"1"' if header == "If-Match" else "*"
    body = form(part("attachment", "new", "new.txt"))
    headers = {
        header: value,
        "Content-Type": "multipart/form-data; boundary=--------------------------boundary",
        "Content-Disposition": "attachment; filename=new.txt",
    }
    response = await files.app.call(f"{method} {FILE}", raw=body, headers=headers)
    assert (response.status_code, response.json()["errno"]) == (412, 114)
    assert response.json()["details"]["existing"] == record
    assert await files.record() == record
    assert await files.content(attachment["location"]) == b"hello"


async def test_demands_that_are_met(files: Attachers) -> None:
    first = await files.attach(headers={"If-None-Match": "*"})
    assert first.status_code == 201
    second = await files.attach(headers={"If-Match": first.headers["ETag"]})
    assert second.status_code == 200
    gone = await files.attach(headers={"If-Match": '"1"'}, url=f"{COLLECTION}/records/none/attachment")
    assert gone.status_code == 412
    third = await files.app.call(f"DELETE {FILE}", headers={"If-Match": second.headers["ETag"]})
    assert third.status_code == 204
    assert (await files.attach(headers={"If-Match": "1"})).status_code == 400


async def test_demands_can_be_switched_off(databases: Databases, tmp_path: Path) -> None:
    async with attaching("sqlite", databases, tmp_path, ignore_preconditions=True) as files:
        assert (await files.attach()).status_code == 201
        assert (await files.attach(headers={"If-None-Match": "*"})).status_code == 200
        assert (await files.app.call(f"DELETE {FILE}", headers={"If-Match": '"1"'})).status_code == 204


# Who may


async def test_rights_are_those_on_the_record(files: Attachers) -> None:
    grants = {"permissions": {"record:create": [principal("bob")], "read": [principal("carol")]}}
    await files.app.ok(f"PATCH {COLLECTION}", grants)
    await files.attached()
    bobs = f"{COLLECTION}/records/bobs/attachment"
    expected = {
        ("bob", bobs): 201,
        ("bob", FILE): 403,
        ("carol", FILE): 403,
        ("carol", f"{COLLECTION}/records/new/attachment"): 403,
        ("mallory", FILE): 403,
        (None, FILE): 401,
    }
    for (user, url), status in expected.items():
        assert (await files.attach(b"theirs", user=user, url=url)).status_code == status, (user, url)
    assert (await files.attach(b"again", user="bob", url=bobs)).status_code == 200
    removing = {("bob", FILE): 403, ("carol", FILE): 403, (None, FILE): 401, ("bob", bobs): 204}
    for (user, url), status in removing.items():
        assert (await files.app.call(f"DELETE {url}", user=user)).status_code == status, (user, url)
    reading = {("carol", FILE): 302, ("alice", FILE): 302, ("bob", FILE): 403, (None, FILE): 401}
    for (user, url), status in reading.items():
        assert (await files.app.call(f"GET {url}", user=user)).status_code == status, (user, url)


async def test_what_is_missing_above(files: Attachers) -> None:
    unknown = await files.attach(url="/buckets/b/collections/none/records/r/attachment")
    assert (unknown.status_code, unknown.json()["errno"]) == (404, 111)
    assert unknown.json()["details"] == {"id": "none", "resource_name": "collection"}
    bucket = await files.attach(url="/buckets/none/collections/c/records/r/attachment")
    assert (bucket.status_code, bucket.json()["errno"]) == (403, 121)
    bad = await files.attach(url=f"{COLLECTION}/records/no%20id/attachment")
    assert (bad.status_code, bad.json()["message"]) == (400, "path: Invalid object id")


async def test_the_personal_bucket_is_made(files: Attachers) -> None:
    response = await files.attach(url="/buckets/default/collections/mine/records/r/attachment")
    assert response.status_code == 201
    bucket = (await files.app.ok("GET /buckets/default"))["data"]["id"]
    assert response.headers["Location"] == f"http://{HOST}/v1/buckets/{bucket}/collections/mine/records/r"
    gone = await files.app.call("DELETE /buckets/default/collections/mine/records/r/attachment")
    assert gone.status_code == 204


async def test_the_schema_is_that_of_the_merged_record(files: Attachers) -> None:
    schema = {"type": "object", "required": ["title"], "properties": {"title": {"type": "string"}}}
    await files.app.ok(f"PATCH {COLLECTION}", {"data": {"schema": schema}})
    assert (await files.attach()).status_code == 400
    assert (await files.attach(data={"title": 1})).json()["message"].startswith("title in body")
    assert (await files.app.call(f"GET {RECORD}")).status_code == 404
    assert (await files.attach(data={"title": "Hi"})).status_code == 201
    assert (await files.attach(b"two")).status_code == 200
    assert not files.uploads()


# Batches


async def test_in_a_batch_files_can_only_be_removed(files: Attachers) -> None:
    await files.attached()
    requests: list[dict[str, Any]] = [
        {"method": method, "path": FILE, "body": {}} for method in ("POST", "PUT", "DELETE")
    ]
    answers = (await files.app.ok("POST /batch", {"requests": requests}))["responses"]
    assert [answer["status"] for answer in answers] == [400, 400, 204]
    assert answers[0]["body"]["message"] == "Content-Type should be multipart/form-data"
    assert (await files.record())["attachment"] is None


# The body as the file


def bodied(name: str = "hello.txt", **more: str) -> dict[str, str]:
    disposition = f'attachment; filename="{name}"'
    return {"Content-Type": "text/plain", "Content-Disposition": disposition, **more}


async def test_a_body_is_a_file(files: Attachers) -> None:
    digest = b64encode(sha256(b"hello").digest()).decode()
    headers = bodied(**{"Content-Digest": f"sha-512=:AAAA:, sha-256=:{digest}:"})
    response = await files.app.call(f"PUT {FILE}", raw=b"hello", headers=headers)
    assert response.status_code == 201
    assert response.json()["filename"] == "hello.txt"
    assert await files.content(response.json()["location"]) == b"hello"
    assert (await files.record())["attachment"] == response.json()


@pytest.mark.parametrize(
    ("headers", "status", "message"),
    [
        ({"Content-Type": "text/plain"}, 400, "body: Filename is required."),
        (bodied("x.exe"), 400, "body: File extension is not allowed."),
        (bodied("x"), 400, "body: File extension is not allowed."),
        (bodied(**{"Content-Digest": "sha-256=:AAAA:"}), 400, "Content-Digest is not sha-256=:BASE64:"),
        (
            bodied(**{"Content-Digest": f"sha-256=:{b64encode(sha256(b'x').digest()).decode()}:"}),
            400,
            "Content-Digest does not fit the body",
        ),
        (bodied(**{"Content-Encoding": "gzip"}), 400, "Content-Encoding: files are sent as they are"),
    ],
)
async def test_a_body_that_is_refused(
    files: Attachers, headers: dict[str, str], status: int, message: str
) -> None:
    response = await files.app.call(f"PUT {FILE}", raw=b"hello", headers=headers)
    assert (response.status_code, response.json()["message"]) == (status, message)
    assert (await files.app.call(f"GET {RECORD}")).status_code == 404
    assert not files.uploads()


# Finding it


async def test_a_record_leads_to_its_file(files: Attachers) -> None:
    attachment = await files.attached()
    for method in ("GET", "HEAD"):
        response = await files.app.call(f"{method} {FILE}")
        assert (response.status_code, response.content) == (302, b"")
        base = (await files.app.ok("GET /"))["capabilities"]["attachments"]["base_url"]
        assert base.endswith("/")
        assert response.headers["Location"] == base + attachment["location"]
    await files.app.ok(f"PATCH {RECORD}", {"data": {"attachment": None}})
    assert (await files.app.call(f"GET {FILE}")).status_code == 404
    assert (await files.app.call(f"GET {COLLECTION}/records/none/attachment")).status_code == 404


# What records say of files


FORGED = {"location": "x/y.txt", "hash": "0" * 64, "size": 1, "filename": "y.txt", "mimetype": "text/plain"}


async def test_what_a_record_says_is_not_changed_by_the_record_api(files: Attachers) -> None:
    attachment = await files.attached()
    for method, body in (("PATCH", {"attachment": FORGED}), ("PUT", {"attachment": {"location": "x"}})):
        response = await files.app.call(f"{method} {RECORD}", {"data": body})
        assert response.status_code == 400
        assert response.json() == {
            "code": 400,
            "errno": 999,
            "error": "Bad Request",
            "message": "Attachment metadata cannot be modified.",
        }
    alias = {"method": "PATCH", "path": RECORD, "body": {"data": {"attachment": FORGED}}}
    answers = (await files.app.ok("POST /batch", {"requests": [alias]}))["responses"]
    assert answers[0]["status"] == 400
    await files.app.ok(f"PUT {RECORD}", {"data": {"attachment": attachment, "title": "Hi"}})
    await files.app.ok(f"PATCH {RECORD}", {"data": {"attachment": None}})
    await files.app.ok(f"PATCH {RECORD}", {"data": {"attachment": FORGED}})
    await files.app.ok(f"PUT {RECORD}", {"data": {}})
    await files.app.ok(f"PUT {COLLECTION}/records/forged", {"data": {"attachment": FORGED}})
    assert (await files.attach(url=f"{COLLECTION}/records/forged/attachment")).status_code == 200


async def test_in_the_personal_bucket_nothing_is_forged_either(files: Attachers) -> None:
    record = "/buckets/default/collections/mine/records/r"
    await files.attached(url=f"{record}/attachment")
    response = await files.app.call(f"PATCH {record}", {"data": {"attachment": FORGED}})
    assert (response.status_code, response.json()["errno"]) == (400, 999)


async def test_what_is_uploaded_wins_over_what_is_said(files: Attachers) -> None:
    attachment = await files.attached(data={"attachment": FORGED, "id": "r", "last_modified": 123456})
    record = await files.record()
    assert (record["attachment"], record["last_modified"]) == (attachment, 123456)
    wrong = await files.attach(data={"id": "other"})
    assert (wrong.status_code, wrong.json()["message"]) == (400, "Object id does not match existing object")


async def test_foreign_files_can_be_refused(databases: Databases, tmp_path: Path) -> None:
    async with attaching("sqlite", databases, tmp_path, allow_foreign=False) as files:
        attachment = await files.attached()
        copy = f"{COLLECTION}/records/copy"
        for wrong in (FORGED, {**attachment, "size": 6}, {**attachment, "hash": "0" * 64}, {"a": 1}, "text"):
            response = await files.app.call(f"PUT {copy}", {"data": {"attachment": wrong}})
            assert (response.status_code, response.json()["errno"]) == (400, 107), wrong
        await files.app.ok(f"PUT {copy}", {"data": {"attachment": attachment}})


async def test_nobody_names_a_private_file_to_read_it(
    engine: str, databases: Databases, tmp_path: Path
) -> None:
    async with attaching(engine, databases, tmp_path, private=["b"]) as files:
        app = files.app
        attachment = await files.attached()
        named = {"data": {"attachment": attachment}}
        served = f"GET /attachments/{attachment['location']}"
        for path in ("/buckets/other", "/buckets/other/collections/c"):
            await app.ok(f"PUT {path}", user="bob")
        copy = "PUT /buckets/other/collections/c/records/copy"
        assert (await app.call(copy, named, user="bob")).status_code == 403
        request = {"method": "PUT", "path": copy.partition(" ")[2], "body": named}
        answers = await app.ok("POST /batch", {"requests": [request]}, user="bob")
        assert answers["responses"][0]["status"] == 403
        assert (await app.call(served, user="bob")).status_code == 403
        await app.ok(f"PATCH {RECORD}", {"permissions": {"read": [principal("bob")]}})
        await app.ok(copy, named, user="bob")  # who may read it may pass it on
        assert (await app.call(served, user="bob")).content == b"hello"
        await app.ok(f"PATCH {RECORD}", {"data": {"attachment": None}})
        await app.ok("DELETE /buckets/other", user="bob")
        await app.ok(f"PATCH {RECORD}", named)  # its own, as from the history


async def test_the_url_says_what_it_knows(files: Attachers) -> None:
    answer = await files.app.call(f"PATCH {FILE}", {})
    assert (answer.status_code, answer.json()["errno"]) == (405, 115)
    assert answer.headers["Allow"] == "POST, PUT, GET, HEAD, DELETE, OPTIONS"
    described = await files.app.ok("GET /__api__")
    path = "/buckets/{bucket_id}/collections/{collection_id}/records/{id}/attachment"
    assert set(described["paths"][path]) >= {"post", "put", "get", "delete"}
    assert "multipart/form-data" in json.dumps(described["paths"][path]["post"])
