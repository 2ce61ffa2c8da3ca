"""kinto-http from PyPI: every group of its methods that this server has the resources for."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import pytest
import requests
from click.testing import CliRunner
from kinto_http import AsyncClient, Client, KintoException
from kinto_http.exceptions import BucketNotFound, CollectionNotFound, KintoBatchException
from kinto_http.patch_type import BasicPatch, JSONPatch, MergePatch

from kintoun.cli import main
from tests.support.servers import Server

PASSWORD = "a password"


def user(server: Server, name: str, **options: object) -> Client:
    """A client for an account of that name, which is made if need be."""
    answer = requests.put(f"{server.url}/accounts/{name}", json={"data": {"password": PASSWORD}}, timeout=10)
    assert answer.status_code in (201, 401), answer.text
    return Client(server_url=server.url, auth=(name, PASSWORD), **options)


@pytest.fixture
def client(server: Server) -> Iterator[Client]:
    """Alice's client, in a bucket of her own with the empty collection `tasks`."""
    made = user(server, "alice", bucket=f"b-{uuid.uuid4().hex}", collection="tasks")
    made.create_bucket()
    made.create_collection()
    yield made
    made.delete_bucket(if_exists=True)


def status_of(failure: pytest.ExceptionInfo[KintoException]) -> int:
    status: int = failure.value.response.status_code
    return status


def test_server(server: Server, client: Client) -> None:
    info = client.server_info()
    assert info["url"] == f"{server.url}/"
    assert info["user"]["id"] == "account:alice"
    assert {"accounts", "permissions_endpoint", "schema"} <= set(info["capabilities"])
    entries = client.get_permissions()
    assert f"/buckets/{client.bucket_name}" in [entry["uri"] for entry in entries]
    some = client.get_permissions(exclude_resource_names=("bucket",))
    assert "bucket" not in {entry["resource_name"] for entry in some}


def test_buckets(server: Server, client: Client) -> None:
    name = client.bucket_name
    assert client.get_bucket()["permissions"]["write"] == ["account:alice"]
    with pytest.raises(KintoException) as failure:
        client.create_bucket()
    assert status_of(failure) == 412
    assert client.create_bucket(if_not_exists=True)["data"]["id"] == name
    client.update_bucket(data={"a": 1}, permissions={"read": ["system.Authenticated"]})
    client.patch_bucket(data={"b": 2})
    data = client.get_bucket()["data"]
    assert (data["a"], data["b"]) == (1, 2)
    stranger = user(server, "bob", bucket=name)
    assert stranger.get_bucket()["data"] == data
    assert name in [bucket["id"] for bucket in stranger.get_buckets()]
    with pytest.raises(KintoException) as failure:
        stranger.delete_bucket()
    assert status_of(failure) == 403
    assert client.delete_bucket()["deleted"]
    with pytest.raises(BucketNotFound):
        client.get_bucket()
    client.delete_bucket(if_exists=True)


def test_delete_buckets(server: Server) -> None:
    client = user(server, f"user-{uuid.uuid4().hex}")
    names = {f"d-{uuid.uuid4().hex}" for _ in range(7)}
    for name in names:
        client.create_bucket(id=name)
    gone = set()
    while page := client.delete_buckets():  # one page at a time
        gone |= {bucket["id"] for bucket in page}
    assert gone == names


def test_groups(server: Server, client: Client) -> None:
    client.create_group(id="readers", data={"members": ["account:bob"]})
    client.patch_group(id="readers", data={"title": "Readers"})
    assert client.get_group(id="readers")["data"]["members"] == ["account:bob"]
    group = f"/buckets/{client.bucket_name}/groups/readers"
    client.patch_bucket(permissions={"read": [group]})
    bob = user(server, "bob", bucket=client.bucket_name, collection="tasks")
    assert bob.get_records() == []
    client.update_group(id="readers", data={"members": ["account:carol"]})
    with pytest.raises(KintoException) as failure:
        bob.get_records()
    assert status_of(failure) == 403
    client.create_group(id="others", data={"members": []})
    assert [found["id"] for found in client.get_groups(_sort="id")] == ["others", "readers"]
    assert client.delete_group(id="others")["deleted"]
    assert [found["id"] for found in client.delete_groups()] == ["readers"]


def test_collections(client: Client) -> None:
    client.create_collection(id="more", data={"title": "More"})
    client.patch_collection(id="more", data={"size": 3})
    client.update_collection(id="tasks", data={"title": "Tasks"})
    data = client.get_collection(id="more")["data"]
    assert (data["title"], data["size"]) == ("More", 3)
    assert [found["id"] for found in client.get_collections(like_title="*task*")] == ["tasks"]
    client.delete_collection(id="more")
    client.delete_collection(id="more", if_exists=True)
    with pytest.raises(CollectionNotFound):
        client.get_collection(id="more")
    assert [found["id"] for found in client.delete_collections()] == ["tasks"]


def test_records(client: Client) -> None:
    made = client.create_record(data={"title": "a"}, permissions={"read": ["system.Everyone"]})
    record = made["data"]
    assert client.get_record(id=record["id"])["data"] == record
    assert client.create_record(data=record, if_not_exists=True)["data"] == record
    with pytest.raises(KintoException) as failure:
        client.create_record(data=record)
    assert status_of(failure) == 412
    changed = client.update_record(data={**record, "title": "b"})["data"]
    with pytest.raises(KintoException) as failure:
        client.update_record(data={**record, "title": "c"})
    assert status_of(failure) == 412
    assert failure.value.response.json()["details"]["existing"] == changed
    with pytest.raises(KintoException) as failure:
        client.delete_record(id=record["id"], if_match=record["last_modified"])
    assert status_of(failure) == 412
    gone = client.delete_record(id=record["id"], if_match=changed["last_modified"])
    assert gone["deleted"]
    assert client.delete_record(id=record["id"], if_exists=True) is None
    with pytest.raises(KintoException) as failure:
        client.get_record(id=record["id"])
    assert status_of(failure) == 404


def test_patches(client: Client) -> None:
    record = client.create_record(id="r", data={"a": {"x": 1, "y": 2}, "list": [1, 2, 3]})["data"]
    client.patch_record(original=record, changes=BasicPatch(data={"b": 1}))
    client.patch_record(id="r", changes=MergePatch(data={"a": {"x": None, "z": 3}}))
    operations = [
        {"op": "test", "path": "/data/list/1", "value": 2},
        {"op": "remove", "path": "/data/list/0"},
        {"op": "add", "path": "/permissions/read/account:bob"},
    ]
    patched = client.patch_record(id="r", changes=JSONPatch(operations))
    data = patched["data"]
    assert (data["a"], data["b"], data["list"]) == ({"y": 2, "z": 3}, 1, [2, 3])
    assert patched["permissions"]["read"] == ["account:bob"]
    with pytest.raises(KintoException) as failure:
        client.patch_record(original=record, changes=BasicPatch(data={"b": 2}))
    assert status_of(failure) == 412


def test_lists(client: Client) -> None:
    with client.batch() as batch:
        for n in range(12):
            batch.create_record(id=f"r{n}", data={"n": n, "kind": ["even", "odd"][n % 2], "at": {"n": n}})
    assert len(client.get_records()) == 12
    pages = list(client.get_paginated_records(_sort="n"))
    assert [len(page["data"]) for page in pages] == [5, 5, 2]
    assert [record["n"] for page in pages for record in page["data"]] == list(range(12))
    assert len(client.get_records(_limit=3)) == 3
    assert len(client.get_records(pages=2)) == 10

    def found(**filters: object) -> list[int]:
        return [record["n"] for record in client.get_records(_sort="n", **filters)]

    assert found(kind="odd", min_n=5) == [5, 7, 9, 11]
    assert found(in_id=["r1", "r2"], not_n=1) == [2]
    assert found(exclude_id=[f"r{n}" for n in range(10)]) == [10, 11]
    assert found(**{"at.n": 4}) == [4]
    assert found(like_kind="ve", lt_n=3) == [0, 2]

    etag = client.get_records_timestamp()
    assert client.get_records(if_none_match=etag) == []
    client.delete_record(id="r0")
    client.update_record(id="r1", data={"n": 100})
    changes = client.get_records(_since=etag, _sort="last_modified")
    deleted = {change["id"]: change.get("deleted", False) for change in changes}
    assert list(deleted.items()) == [("r0", True), ("r1", False)]
    assert {record["id"] for record in client.delete_records()} <= {f"r{n}" for n in range(1, 12)}


def test_batches(client: Client) -> None:
    with client.batch() as batch:
        batch.create_group(id="g", data={"members": ["account:bob"]})
        batch.create_collection(id="made-here")
        for n in range(30):  # more than one request may hold
            batch.create_record(collection="made-here", id=f"r{n}", data={"n": n})
        batch.patch_record(collection="made-here", id="r0", data={"n": -1})
        batch.delete_record(collection="made-here", id="r1")
    assert [result["data"]["id"] for result in batch.results()][:3] == ["g", "made-here", "r0"]
    records = client.get_records(collection="made-here")
    assert len(records) == 29
    assert min(record["n"] for record in records) == -1
    with pytest.raises(KintoBatchException) as failure:
        _create_all(client, "made-here", ("r0", "new"))
    assert [error.response.status_code for error in failure.value.exceptions] == [412]
    assert client.get_record(collection="made-here", id="new")


def _create_all(client: Client, collection: str, ids: tuple[str, ...]) -> None:
    with client.batch() as batch:
        for name in ids:
            batch.create_record(collection=collection, id=name, data={})


async def test_async_client(server: Server, client: Client) -> None:
    own = AsyncClient(
        server_url=server.url, auth=("alice", PASSWORD), bucket=client.bucket_name, collection="tasks"
    )
    for n in range(7):
        await own.create_record(id=f"r{n}", data={"n": n})
    assert len(await own.get_records()) == 7
    await own.patch_record(id="r0", data={"more": True})
    assert (await own.get_record(id="r0"))["data"]["more"] is True
    await own.delete_record(id="r1")
    assert len(await own.get_records()) == 6


def test_the_personal_bucket(server: Server) -> None:
    name = f"user-{uuid.uuid4().hex}"
    client = user(server, name, bucket="default", collection="notes")
    real = client.server_info()["user"]["bucket"]
    assert client.get_records() == []
    assert client.get_bucket()["data"]["id"] == real
    note = client.create_record(data={"text": "mine"})["data"]
    with client.batch() as batch:
        for n in range(3):
            batch.create_record(collection="made-here", id=f"r{n}", data={"n": n})
    assert [record["n"] for record in client.get_records(collection="made-here", _sort="n")] == [0, 1, 2]
    client.patch_collection(id="notes", data={"title": "Notes"})
    client.create_bucket(if_not_exists=True)
    assert [found["id"] for found in client.get_collections(_sort="id")] == ["made-here", "notes"]
    by_id = user(server, name, bucket=real, collection="notes")
    assert by_id.get_records() == [note]
    with pytest.raises(KintoException) as failure:
        user(server, "bob", bucket=real, collection="notes").get_records()
    assert status_of(failure) == 403
    assert client.delete_bucket()["deleted"]
    assert client.get_records() == []


def test_history(client: Client) -> None:
    for n in range(7):  # more than a page
        client.create_record(id=f"r{n}", data={"n": n})
    client.update_record(id="r1", data={"n": 10})
    client.delete_record(id="r2")
    entries = client.get_history(resource_name="record")
    assert [entry["action"] for entry in entries] == ["delete", "update", *["create"] * 7]
    of_one = client.get_history(record_id="r1")
    assert [entry["target"]["data"]["n"] for entry in of_one] == [10, 1]
    gone = client.purge_history(record_id="r1", safe=False)
    assert all(entry["deleted"] for entry in gone)
    assert client.get_history(record_id="r1") == []


def test_who_missed_a_purge_starts_over(client: Client, server: Server) -> None:
    client.create_record(id="purged", data={"n": 1})
    etag = client.get_records_timestamp()
    client.delete_record(id="purged")
    where = ["--kinto-ini", str(server.directory / "kinto.ini"), "--data", str(server.directory / "data")]
    done = CliRunner().invoke(main, ["purge", "--keep", "0", "--apply", *where])
    assert done.exit_code == 0, done.output
    with pytest.raises(KintoException) as refused:
        client.get_records(_since=etag)
    assert refused.value.response.status_code == 410
    assert refused.value.response.json()["errno"] == 123
    assert "purged" not in {record["id"] for record in client.get_records()}
