"""Every method on every kind, for every grant and every sort of caller, against the table in `rights`."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass

import httpx
import pytest
import pytest_asyncio

from kintoun.resources.access import Access
from kintoun.settings import Protocol
from tests.security.rights import CREATE, NOTHING, READ, WRITE, Grant, Rights, grants, rights
from tests.support.inprocess import SECRET, App, Databases, opened, parsed, principal, settings_for

KINDS = ("bucket", "collection", "group", "record")

TEAM = "/buckets/teams/groups/team"

# To whom something is granted, who comes, and whether these two meet. Nobody is anonymous.
CALLERS = [
    ("system.Everyone", None, True),
    ("system.Authenticated", None, False),
    ("system.Authenticated", "stranger", True),
    (principal("carol"), "carol", True),
    (principal("carol"), "stranger", False),
    (TEAM, "carol", True),
    (TEAM, None, False),
]

# The engines share the rules and differ in how they find groups and ACLs: the second one need not go through
# everybody again.
FEWER = [caller for caller in CALLERS if caller[:2] in ((TEAM, "carol"), (principal("carol"), "stranger"))]


@pytest_asyncio.fixture
async def world(engine: str, databases: Databases) -> AsyncIterator[App]:
    """No write adds its author to an ACL here, so that what one request does leaves the next one's rights."""
    protocol = Protocol(userid_secret=SECRET, explicit_permissions=False)
    async with opened(settings_for(databases.url(engine), protocol=protocol)) as app:
        yield app


def _lineage(path: str) -> list[str]:
    """The paths of what stands above an object, the topmost first, and its own."""
    parts = path.split("/")
    return ["/".join(parts[:end]) for end in range(3, len(parts) + 1, 2)]


@dataclass
class Place:
    """Where the objects of one case are: `own` has the grant, when it is on this kind, `other` has not."""

    kind: str
    bucket: str

    @property
    def parent(self) -> str:
        return {
            "bucket": "",
            "collection": f"/buckets/{self.bucket}",
            "group": f"/buckets/{self.bucket}",
            "record": f"/buckets/{self.bucket}/collections/own",
        }[self.kind]

    @property
    def list(self) -> str:
        return f"{self.parent}/{self.kind}s"

    @property
    def own_id(self) -> str:
        return self.bucket if self.kind == "bucket" else "own"

    @property
    def other_id(self) -> str:
        return f"{self.own_id}-other"

    def object(self, object_id: str) -> str:
        return f"{self.list}/{object_id}"


async def build(app: App, place: Place, grant: Grant, holder: str) -> None:
    """The objects of one case. Alice, who writes everything, holds `write` on the bucket and nothing else."""
    bucket = f"/buckets/{place.bucket}"
    own = {
        "bucket": bucket,
        "collection": f"{bucket}/collections/own",
        "group": f"{bucket}/groups/own",
        "record": f"{bucket}/collections/own/records/own",
    }
    team = {"data": {"members": [principal("carol")]}}
    requests = [
        {"path": "/buckets/teams", "body": {"permissions": {"write": [principal("alice")]}}},
        {"path": TEAM, "body": team},
    ]
    buckets = [bucket, f"{bucket}-other"]
    for path in [*buckets, *(own[kind] for kind in KINDS[1:])]:
        permissions = {"write": [principal("alice")]} if path in buckets else {}
        if grant.on != "setting" and path == own[grant.on]:
            permissions[grant.permission] = [*permissions.get(grant.permission, []), holder]
        requests.append({"path": path, "body": {"data": {}, "permissions": permissions}})
        if path not in buckets:
            requests.append({"path": f"{path}-other", "body": {"data": {}}})
    give(app)
    answer = await app.ok("POST /batch", {"defaults": {"method": "PUT"}, "requests": requests})
    assert all(item["status"] in (200, 201) for item in answer["responses"]), answer
    if grant.on == "setting":
        give(app, grant.permission, holder)


def give(app: App, setting: str | None = None, holder: str = "") -> None:
    """Let only alice create buckets, and beside that have one setting."""
    settings = {"bucket_create": [principal("alice")]}
    if setting is not None:
        settings[setting] = [*settings.get(setting, []), holder]
    app.application.composition.service.access = Access(settings)


class Case:
    """One caller with one grant: what happens, and what should."""

    def __init__(
        self, app: App, place: Place, grant: Grant, user: str | None, may: Rights, label: str
    ) -> None:
        self.app, self.place, self.grant, self.user, self.may = app, place, grant, user, may
        self.label = label
        self.refused = 403 if user else 401
        self.wrong: list[str] = []

    async def expect(self, status: int, request: str, body: object = None, **headers: str) -> httpx.Response:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        response = await self.app.call(request, body, user=self.user, headers=named)
        if response.status_code != status:
            self.note(request, headers, f"{response.status_code} where the table says {status}")
        return response

    def note(self, *what: object) -> None:
        self.wrong.append(f"{self.label}: {' '.join(map(str, what))}")

    async def run(self) -> None:
        await self.listed()
        await self.reads()
        await self.missing()
        await self.lists()
        await self.writes()
        await self.clears()

    async def listed(self) -> None:
        """What `/permissions` lists is what the caller may do, once inheritance is read into it."""
        place, kind = self.place, self.place.kind
        answer = await self.app.ok("GET /permissions", user=self.user)
        entries = {entry["uri"]: set(entry["permissions"]) for entry in answer["data"]}
        own, other = (
            [(uri.split("/")[-2].removesuffix("s"), uri) for uri in _lineage(place.object(object_id))]
            for object_id in (place.own_id, place.other_id)
        )
        create = f"{kind}:create" in entries.get(place.parent or "/", ())
        if self.grant.on == "setting":
            # What settings give is of the kind that they name, and of nothing above or below.
            mine, theirs = (entries.get(lineage[-1][1], set()) for lineage in (own, other))
            reads, writes = {"read", "write", "read:attributes"}, {"write"}
        else:
            mine, theirs = (
                {f"{step} {held}" for step, uri in lineage for held in entries.get(uri, ())}
                for lineage in (own, other)
            )
            reads, writes = READ[kind], WRITE[kind]
            create = create or any(each in CREATE[kind] for each in mine if each.split()[0] != kind)
        told = Rights(
            bool(mine & reads),
            bool(mine & writes),
            create,
            bool(theirs & reads),
            bool(theirs & writes),
            False,
        )
        if told != self.to_be_listed():
            self.note("GET /permissions tells", told, "where the table says", self.to_be_listed())

    def to_be_listed(self) -> Rights:
        """The rights that are listed: of those on records, none that settings give (protocol section 8.6)."""
        may = self.may._replace(list_all=False)
        if self.grant.on != "setting" or may == NOTHING:
            return may
        create = self.grant.permission.endswith("_create")
        return (NOTHING if self.place.kind == "record" else may)._replace(create=create)

    async def reads(self) -> None:
        path = self.place.object(self.place.own_id)
        status = 200 if self.may.read else self.refused
        response = await self.expect(status, f"GET {path}")
        await self.expect(status, f"HEAD {path}")
        await self.expect(status, f"POST {self.place.list}", {"data": {"id": self.place.own_id}})
        if response.is_success and response.json()["permissions"] and not self.holds_write():
            self.note("GET shows permissions to who has no write of its own")
        other = self.place.object(self.place.other_id)
        await self.expect(200 if self.may.read_all else self.refused, f"GET {other}")

    def holds_write(self) -> bool:
        return self.may.write and not self.may.write_all

    async def missing(self) -> None:
        path = self.place.object("missing")
        await self.expect(404 if self.may.read_all else self.refused, f"GET {path}")
        gone = 404 if self.may.read_all else self.refused
        await self.expect(gone, f"PATCH {path}", {"data": {}})
        await self.expect(gone, f"DELETE {path}")

    async def lists(self) -> None:
        own, other = self.place.own_id, self.place.other_id
        visible = (
            {own, other} if self.may.list_all else {own} if self.may.read and not self.may.read_all else set()
        )
        status = 200 if visible or self.may.create else self.refused
        response = await self.expect(status, f"GET {self.place.list}")
        await self.expect(status, f"HEAD {self.place.list}")
        if response.is_success:
            seen = {item["id"] for item in response.json()["data"]} & {own, other}
            if seen != visible:
                self.note("GET list shows", seen, "where the table says", visible)

    async def writes(self) -> None:
        path = self.place.object(self.place.own_id)
        status = 412 if self.may.create else self.refused
        response = await self.expect(status, f"PUT {path}", if_none_match="*")
        if response.status_code == 412 and ("details" in response.json()) != self.may.read:
            self.note("412 shows the object", parsed(response))
        status = 200 if self.may.write else self.refused
        await self.expect(status, f"PATCH {path}", {"data": {"n": 1}})
        await self.expect(status, f"PUT {path}", {"data": {"n": 2}})
        status = 200 if self.may.write_all else self.refused
        await self.expect(status, f"PUT {self.place.object(self.place.other_id)}", {"data": {"n": 2}})
        status = 201 if self.may.create else self.refused
        # As nobody is made its writer, nobody who comes later has rights on what is made here.
        await self.expect(status, f"PUT {self.place.object(f'{self.place.bucket}-new')}")
        await self.expect(status, f"POST {self.place.list}")
        await self.expect(status, f"POST {self.place.list}", {"data": {"id": f"{self.place.bucket}-new2"}})

    async def clears(self) -> None:
        own, other = self.place.own_id, self.place.other_id
        deleted = {own, other} if self.may.write_all else {own} if self.may.write else set()
        status = 200 if deleted or self.may.create else self.refused
        response = await self.expect(status, f"DELETE {self.place.list}?in_id={own},{other}&_limit=3")
        if response.is_success:
            gone = {item["id"] for item in response.json()["data"]}
            if gone != deleted:
                self.note("DELETE list takes", gone, "where the table says", deleted)


def _callers(engine: str, given: Rights) -> list[tuple[str, str | None, bool]]:
    """Of a grant that gives nothing it is enough to see that its holder gets nothing."""
    if given == NOTHING:
        return [(principal("carol"), "carol", True)]
    return CALLERS if engine == "sqlite" else FEWER


@pytest.mark.parametrize("kind", KINDS)
async def test_every_method_answers_as_the_table_says(world: App, engine: str, kind: str) -> None:
    wrong: list[str] = []
    cases = 0
    for grant in grants(kind):
        for holder, user, meet in _callers(engine, rights(kind, grant)):
            place = Place(kind, f"w{cases}")
            await build(world, place, grant, holder)
            may = rights(kind, grant) if meet else NOTHING
            case = Case(world, place, grant, user, may, f"{grant} to {holder[:20]}, as {user or 'nobody'}")
            await case.run()
            give(world, "bucket_write", principal("alice"))
            await world.ok("DELETE /buckets")
            wrong += case.wrong
            cases += 1
    assert cases > len(grants(kind))
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("kind", KINDS)
async def test_deleting_one_object_takes_write_on_it(world: App, kind: str) -> None:
    wrong: list[str] = []
    for n, grant in enumerate(grants(kind)):
        place = Place(kind, f"w{n}")
        await build(world, place, grant, principal("carol"))
        may = rights(kind, grant)
        case = Case(world, place, grant, "carol", may, str(grant))
        await case.expect(200 if may.write_all else 403, f"DELETE {place.object(place.other_id)}")
        response = await case.expect(200 if may.write else 403, f"DELETE {place.object(place.own_id)}")
        if response.is_success:
            # It can be missed by whoever reads through the parent, and by nobody else.
            await case.expect(404 if may.read_all else 403, f"GET {place.object(place.own_id)}")
        give(world, "bucket_write", principal("alice"))
        await world.ok("DELETE /buckets")
        wrong += case.wrong
    assert not wrong, "\n".join(wrong)
