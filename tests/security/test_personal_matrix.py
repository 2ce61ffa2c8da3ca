"""The matrix through the alias of personal buckets: it opens nothing that the bucket's own id would not."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx
import pytest
import pytest_asyncio

from kintoun.features.default_bucket import PersonalBucket
from kintoun.settings import Protocol
from tests.security.rights import NOTHING, PARENT, Grant, grants, rights
from tests.security.test_matrix import Case, Place, build, give
from tests.support.inprocess import SECRET, App, Databases, opened, principal, settings_for

KINDS = ("collection", "group", "record")
OWN = PersonalBucket("").bucket(principal("carol"))
"""Carol's bucket. Here it is alice who writes everything in it, and carol has what one grant gives her."""


@pytest_asyncio.fixture
async def world(engine: str, databases: Databases) -> AsyncIterator[App]:
    """No write adds its author to an ACL here: see the matrix itself."""
    protocol = Protocol(userid_secret=SECRET, explicit_permissions=False)
    async with opened(settings_for(databases.url(engine), protocol=protocol)) as app:
        yield app


class AliasCase(Case):
    """A case whose requests have the alias wherever they had the bucket's id."""

    async def expect(self, status: int, request: str, body: object = None, **headers: str) -> httpx.Response:
        method, _, path = request.partition(" ")
        bucket = f"/buckets/{OWN}"
        if path == bucket or path.startswith(f"{bucket}/"):
            path = f"/buckets/default{path.removeprefix(bucket)}"
        return await super().expect(status, f"{method} {path}", body, **headers)

    async def missing(self) -> None:
        """A collection that is not there is made by who may make one, and by nobody else."""
        if self.place.kind != "collection" or not self.may.create:
            await super().missing()
            return
        path = self.place.object("missing")
        await self.expect(200 if self.may.read_all else self.refused, f"GET {path}")
        made = 200 if self.may.write_all else self.refused
        await self.expect(made, f"PATCH {path}", {"data": {}})
        await self.expect(made, f"DELETE {path}")


def chosen(engine: str, kind: str) -> list[Grant]:
    """The second engine need not go through what gives nothing."""
    return [g for g in grants(kind) if engine == "sqlite" or rights(kind, g) != NOTHING]


@pytest.mark.parametrize("kind", KINDS)
async def test_the_alias_gives_what_the_id_gives(world: App, engine: str, kind: str) -> None:
    wrong: list[str] = []
    for grant in chosen(engine, kind):
        place = Place(kind, OWN)
        await build(world, place, grant, principal("carol"))
        case = AliasCase(world, place, grant, "carol", rights(kind, grant), f"{grant}, through the alias")
        await case.run()
        give(world, "bucket_write", principal("alice"))
        await world.ok("DELETE /buckets")
        wrong += case.wrong
    assert len(chosen(engine, kind)) > 4
    assert not wrong, "\n".join(wrong)


METHODS = {
    "object": ("GET", "HEAD", "PUT", "PATCH", "DELETE"),
    "list": ("GET", "HEAD", "POST", "DELETE"),
}
BELOW = {
    "": "object",
    "/collections": "list",
    "/collections/own": "object",
    "/groups": "list",
    "/groups/own": "object",
    "/collections/own/records": "list",
    "/collections/own/records/own": "object",
}


@pytest.mark.parametrize("user", ["stranger", None])
async def test_nobody_else_gets_in(world: App, user: str | None) -> None:
    """By its id the bucket is closed to others; by the alias they get into their own, or nowhere."""
    assert PARENT["record"] == "collection", "all kinds are below"
    await build(world, Place("record", OWN), Grant("bucket", "write"), principal("carol"))
    before = await world.ok(f"GET /buckets/{OWN}/collections/own/records?_since=0", user="carol")
    for below, form in BELOW.items():
        for method in METHODS[form]:
            by_id = await world.call(f"{method} /buckets/{OWN}{below}", user=user)
            assert by_id.status_code == (403 if user else 401), (method, below)
            by_alias = await world.call(f"{method} /buckets/default{below}", user=user)
            assert OWN not in by_alias.text
            if user is None:
                assert by_alias.status_code == 401
    assert await world.ok(f"GET /buckets/{OWN}/collections/own/records?_since=0", user="carol") == before


async def test_the_owner_may_do_everything(engine: str, databases: Databases) -> None:
    """As it is for everybody: whoever touches their bucket first is its writer, whatever the request was."""
    async with opened(settings_for(databases.url(engine))) as app:
        for below, form in BELOW.items():
            for method in METHODS[form]:
                response = await app.call(f"{method} /buckets/default{below}", user="carol")
                # 404 only for what is no collection and was not put there yet.
                expected = (200, 201, 404) if method in ("GET", "HEAD") else (200, 201)
                assert response.status_code in expected, (method, below, response.text)
        assert all(change.user == principal("carol") for change in app.changes)
        entries = (await app.ok("GET /permissions", user="carol"))["data"]
        [bucket] = [entry for entry in entries if entry["resource_name"] == "bucket"]
        assert "write" in bucket["permissions"]
        assert bucket["id"] == OWN
