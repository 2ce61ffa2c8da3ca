"""Attaching, replacing and removing the file of a record."""

from __future__ import annotations

from hashlib import sha256

from tests.attachments.world import RECORD, Attachers


async def test_a_file_is_attached_to_a_new_record(files: Attachers) -> None:
    response = await files.attach(b"hello", "hello.txt", data={"title": "Hi"})
    assert response.status_code == 201
    attachment = response.json()
    location = attachment.pop("location")
    assert attachment == {
        "filename": "hello.txt",
        "hash": sha256(b"hello").hexdigest(),
        "mimetype": "text/plain",
        "size": 5,
    }
    record = await files.record()
    assert record["title"] == "Hi"
    assert record["attachment"] == {**attachment, "location": location}
    assert response.headers["Location"] == f"http://server.example/v1{RECORD}"
    assert response.headers["ETag"] == f'"{record["last_modified"]}"'
    assert await files.content(location) == b"hello"
    assert files.app.events == [f"create {RECORD}"]
    assert not files.uploads()
