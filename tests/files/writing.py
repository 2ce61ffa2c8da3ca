"""Records that name locations, written as the server writes them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from kintoun.files import Blob, Files
from kintoun.files.backends.local import LocalDisk
from kintoun.model.kinds import BUCKET, COLLECTION, RECORD
from kintoun.model.paths import Path
from kintoun.model.permissions import NO_GRANTS
from kintoun.storage import Store
from kintoun.storage.needs import Needs
from kintoun.storage.unit import Unit

B = Path(BUCKET, ("b",))
C = Path(COLLECTION, ("b", "c"))


def record(name: str, collection: str = "c") -> Path:
    return Path(RECORD, ("b", collection, name))


class Job:
    """A write that does whatever it is given."""

    def __init__(self, needs: Needs, action: Callable[[Unit], Awaitable[Any]]) -> None:
        self.needs = needs
        self.run = action


def needs_of(*paths: Path) -> Needs:
    return Needs(tuple({each for path in paths for each in (path.list, *path.children)}), (), paths)


async def make_collections(store: Store) -> None:
    async def make(unit: Unit) -> None:
        await unit.put(B, {}, NO_GRANTS)
        for name in ("c", "d"):
            await unit.put(Path(COLLECTION, ("b", name)), {}, NO_GRANTS)

    await store.write(Job(Needs((B.list,), ("b",), (B,)), make))


async def put(store: Store, path: Path, attributes: dict[str, Any]) -> None:
    await store.write(Job(needs_of(path), lambda unit: unit.put(path, dict(attributes), NO_GRANTS)))


async def delete(store: Store, path: Path) -> None:
    await store.write(Job(needs_of(path), lambda unit: unit.delete(path)))


async def contents(files: Files) -> list[bytes]:
    """All that is kept, on the disk and in the database."""
    rows = await files.store.fetch("SELECT bytes FROM content")
    assert isinstance(files.backend, LocalDisk)
    on_disk = [path for path in files.backend.root.rglob("*") if path.is_file()]
    return sorted([bytes(row[0]) for row in rows] + [path.read_bytes() for path in on_disk])


async def attach(files: Files, path: Path, location: str, blob: Blob) -> None:
    """What an upload does in its transaction."""

    async def act(unit: Unit) -> None:
        _, collection, name = path.ids
        await files.place(
            unit.transaction,
            location,
            blob,
            filename=location,
            mimetype="text/plain",
            record=("b", collection, name),
        )
        await unit.put(path, {"attachment": {"location": location}}, NO_GRANTS)

    await files.store.write(Job(needs_of(path), act))
