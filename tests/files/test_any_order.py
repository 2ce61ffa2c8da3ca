"""Whatever is done to records, in any order: what one names can be read, what none names goes in the end."""

from __future__ import annotations

import random

import pytest

from kintoun.files import BlobGone, Files
from kintoun.files.sweeping import Sweeper
from kintoun.model import timestamps
from kintoun.model.kinds import COLLECTION
from kintoun.model.paths import Path as ObjectPath
from kintoun.model.permissions import NO_GRANTS
from tests.files.writing import Job, attach, contents, delete, make_collections, needs_of, put, record

GRACE = 60
STEPS = 40


class World:
    """Files, and what records should name."""

    def __init__(self, files: Files, seed: int) -> None:
        self.files = files
        self.random = random.Random(seed)
        self.now = timestamps.now()
        self.contents: dict[str, bytes] = {}
        """By location, every one that ever was."""
        self.named: dict[ObjectPath, str | None] = {}
        self.made = 0

    def anywhere(self) -> ObjectPath:
        return record(self.random.choice("rst"), self.random.choice("cd"))

    async def attach(self) -> None:
        path, content = self.anywhere(), self.random.choice((b"one", b"two", b"three"))
        self.made += 1
        location = f"location-{self.made}"
        await attach(self.files, path, location, await self.files.put(content))
        self.contents[location] = content
        self.named[path] = location

    async def copy(self) -> None:
        alive = [name for name in self.named.values() if name is not None]
        if alive:
            path, location = self.anywhere(), self.random.choice(alive)
            await put(self.files.store, path, {"attachment": {"location": location}})
            self.named[path] = location

    async def let_go(self) -> None:
        path = self.anywhere()
        await put(self.files.store, path, self.random.choice(({}, {"attachment": None})))
        self.named[path] = None

    async def rewrite(self) -> None:
        path = self.anywhere()
        location = self.named.get(path)
        attributes = {"n": self.made, "attachment": {"location": location} if location else None}
        await put(self.files.store, path, attributes)
        self.named.setdefault(path, None)

    async def delete(self) -> None:
        path = self.anywhere()
        if path in self.named:
            await delete(self.files.store, path)
            del self.named[path]

    async def delete_collection(self) -> None:
        """And make it again, at once or in a transaction of its own."""
        collection = ObjectPath(COLLECTION, ("b", self.random.choice("cd")))

        async def both(unit: object) -> None:
            await unit.delete(collection)  # type: ignore[attr-defined]
            await unit.put(collection, {}, NO_GRANTS)  # type: ignore[attr-defined]

        if self.random.random() < 0.5:
            await self.files.store.write(Job(needs_of(collection), both))
        else:
            await delete(self.files.store, collection)
            await put(self.files.store, collection, {})
        self.named = {path: at for path, at in self.named.items() if path.ids[1] != collection.id}

    async def sweep(self) -> None:
        self.now += self.random.choice((1000, GRACE * 1000 // 2, GRACE * 3000))
        sweeper = Sweeper(self.files.store, self.files.backend, self.files.relative, GRACE)
        await sweeper.sweep(max(self.now, timestamps.now()))

    async def check(self) -> None:
        for path, location in self.named.items():
            if location is not None:
                found = await self.files.find(location)
                assert found is not None, f"{path} names {location}"
                assert await self.files.content(found) == self.contents[location]


@pytest.fixture
def small() -> int:
    """Two of the three contents are in the database."""
    return len(b"one")


@pytest.mark.parametrize("seed", range(5))
async def test_nothing_is_lost_and_nothing_is_left(files: Files, seed: int) -> None:
    await make_collections(files.store)
    world = World(files, seed)
    actions = [world.attach, world.copy, world.let_go, world.rewrite, world.delete, world.sweep]
    for _ in range(STEPS):
        action = world.random.choice([*actions, world.attach, world.delete_collection])
        try:
            await action()
        except BlobGone:
            continue  # the upload is told so, and begins anew
        await world.check()
    for _ in range(3):
        world.now += GRACE * 10_000_000
        await world.sweep()
        await world.check()
    needed = {world.contents[at] for at in world.named.values() if at is not None}
    assert await contents(files) == sorted(needed)
    kept = await files.store.fetch("SELECT location FROM location")
    assert {row[0] for row in kept} == {at for at in world.named.values() if at is not None}
