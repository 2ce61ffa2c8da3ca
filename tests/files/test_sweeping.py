"""What something names is never lost, and what nothing names goes after the time of grace."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from kintoun.files import BlobGone, Files, LocationTaken
from kintoun.files.sweeping import UPLOAD_MS, Sweeper
from kintoun.measures import Measures
from kintoun.model import timestamps
from kintoun.storage import Store
from kintoun.storage.engine import Transaction
from tests.files.writing import B, C, Job, attach, contents, delete, make_collections, needs_of, put, record

GRACE = 60
LONG_AFTER = 10 * UPLOAD_MS


def sweeper(files: Files, grace: int = GRACE) -> Sweeper:
    return Sweeper(files.store, files.backend, files.relative, grace)


async def sweep_all(files: Files) -> None:
    """Sweep until whatever is to go has gone."""
    now = timestamps.now()
    for later in (0, LONG_AFTER, 2 * LONG_AFTER):
        await sweeper(files).sweep(now + later)


def on_disk(root: Path) -> list[Path]:
    return [path for path in root.rglob("*") if path.is_file()]


@pytest.fixture(params=[0, 100], ids=["disk", "database"])
def small(request: pytest.FixtureRequest) -> int:
    """Where the content of these tests is kept."""
    size: int = request.param
    return size


async def whole(files: Files, location: str) -> bytes | None:
    found = await files.find(location)
    return None if found is None else await files.content(found)


async def test_a_file_is_read_as_it_was_put(files: Files, root: Path, small: int) -> None:
    await make_collections(files.store)
    blob = await files.put(b"content")
    assert blob[:2] == (  # sha256 of the seven bytes
        "ed7002b439e9ac845f22357d822bac1444730fbdb6016d3ec9432297b9ec9f73",
        7,
    )
    await attach(files, record("r"), "b/c/1.txt", blob)
    assert await whole(files, "b/c/1.txt") == b"content"
    assert await contents(files) == [b"content"]
    assert len(on_disk(root)) == (0 if small else 1)


async def test_the_same_content_is_kept_once(files: Files) -> None:
    await make_collections(files.store)
    blobs = await asyncio.gather(*(files.put(b"same") for _ in range(8)))
    names = [f"r{n}" for n in range(8)]
    attaching = (attach(files, record(name), name, blob) for name, blob in zip(names, blobs, strict=True))
    await asyncio.gather(*attaching)
    await sweeper(files).sweep()  # those that came second
    assert await contents(files) == [b"same"]
    assert [await whole(files, name) for name in names] == [b"same"] * 8


@pytest.mark.parametrize("small", [0])
async def test_content_that_was_lost_is_kept_again(files: Files, root: Path) -> None:
    """Somebody removed it from the disk: who sends it again makes every location of it whole."""
    await make_collections(files.store)
    await attach(files, record("r"), "one", await files.put(b"content"))
    [path] = on_disk(root)
    path.unlink()
    blobs = await asyncio.gather(*(files.put(b"content") for _ in range(4)))
    await asyncio.gather(*(attach(files, record(f"r{n}"), f"{n}", blob) for n, blob in enumerate(blobs)))
    assert await whole(files, "one") == b"content"
    await sweep_all(files)
    assert await whole(files, "one") == b"content"
    assert len(on_disk(root)) == 1


@pytest.mark.parametrize("small", [0])
@pytest.mark.parametrize("lost", [False, True])
async def test_content_moves_to_where_it_is_kept_now(files: Files, root: Path, lost: bool) -> None:
    """The limit was raised: what comes again is in the database, and its file goes after a while."""
    await make_collections(files.store)
    await attach(files, record("r"), "one", await files.put(b"content"))
    [path] = on_disk(root)
    if lost:
        path.unlink()
    larger = Files(files.store, files.backend, small=100)
    await attach(larger, record("s"), "two", await larger.put(b"content"))
    assert await whole(files, "one") == await whole(larger, "two") == b"content"
    await sweeper(files).sweep()
    assert path.exists() is not lost, "somebody may be reading it"
    await sweep_all(files)
    assert on_disk(root) == []
    assert await whole(files, "one") == await whole(larger, "two") == b"content"
    # And with the limit lowered again, it stays where it is.
    await attach(files, record("t"), "three", await files.put(b"content"))
    assert await whole(files, "three") == b"content"
    assert on_disk(root) == []


async def test_what_a_record_names_stays(files: Files) -> None:
    await make_collections(files.store)
    await attach(files, record("r"), "one", await files.put(b"1"))
    await sweep_all(files)
    assert await whole(files, "one") == b"1"


async def _released_by_patch(files: Files) -> None:
    await put(files.store, record("r"), {"attachment": None})


async def _released_by_replacing(files: Files) -> None:
    await attach(files, record("r"), "two", await files.put(b"2"))


async def _released_by_delete(files: Files) -> None:
    await delete(files.store, record("r"))


async def _released_with_the_collection(files: Files) -> None:
    await delete(files.store, C)


async def _released_with_the_bucket(files: Files) -> None:
    await files.store.write(
        Job(needs_of(B)._replace(buckets=("b",)), lambda unit: unit.delete(B)),
    )


@pytest.mark.parametrize(
    "release",
    [
        _released_by_patch,
        _released_by_replacing,
        _released_by_delete,
        _released_with_the_collection,
        _released_with_the_bucket,
    ],
)
async def test_what_no_record_names_goes_after_the_time_of_grace(
    files: Files, release: Callable[[Files], Awaitable[None]]
) -> None:
    await make_collections(files.store)
    await attach(files, record("r"), "one", await files.put(b"1"))
    await release(files)
    now = timestamps.now()
    await sweeper(files).sweep(now)
    await sweeper(files).sweep(now + GRACE * 1000 - 1)
    assert await whole(files, "one") == b"1", "there is time to think again"
    await sweep_all(files)
    assert await files.find("one") is None
    assert b"1" not in await contents(files)


async def test_a_copy_keeps_the_file(files: Files) -> None:
    await make_collections(files.store)
    await attach(files, record("r"), "one", await files.put(b"1"))
    await put(files.store, record("copy", "d"), {"attachment": {"location": "one"}})
    await delete(files.store, record("r"))
    await sweep_all(files)
    assert await whole(files, "one") == b"1"


async def test_many_copies_in_one_transaction(files: Files) -> None:
    """As publishing makes them: more than one statement holds the locations of."""
    await make_collections(files.store)
    blob = await files.put(b"same")
    names = [f"r{n}" for n in range(450)]

    async def all_of(collection: str, unit: Any) -> None:
        for name in names:
            if collection == "c":
                at = ("b", "c", name)
                await files.place(unit.transaction, name, blob, filename="f", mimetype="t/t", record=at)
            await unit.put(record(name, collection), {"attachment": {"location": name}}, "{}")

    for collection in ("c", "d"):
        needs = needs_of(*(record(name, collection) for name in names))
        await files.store.write(Job(needs, partial(all_of, collection)))
    await delete(files.store, C)
    await sweep_all(files)
    assert len(await files.store.fetch("SELECT location FROM location")) == len(names)
    assert len(await files.store.fetch("SELECT id FROM reference")) == len(names)


async def test_a_record_may_come_back_in_the_time_of_grace(files: Files) -> None:
    await make_collections(files.store)
    await attach(files, record("r"), "one", await files.put(b"1"))
    await delete(files.store, record("r"))
    now = timestamps.now()
    await sweeper(files).sweep(now)
    await put(files.store, record("r"), {"attachment": {"location": "one"}})
    await sweep_all(files)
    assert await whole(files, "one") == b"1"


async def test_a_record_in_a_collection_made_again_names_its_file(files: Files) -> None:
    await make_collections(files.store)
    await attach(files, record("r"), "one", await files.put(b"1"))

    async def again(unit: Any) -> None:
        await unit.delete(C)
        await unit.put(C, {}, "{}")
        await unit.put(record("r"), {"attachment": {"location": "one"}}, "{}")

    await files.store.write(Job(needs_of(C, record("r")), again))
    await sweep_all(files)
    assert await whole(files, "one") == b"1"


async def test_what_was_written_while_nobody_followed_is_not_lost(files: Files) -> None:
    await make_collections(files.store)
    await attach(files, record("r"), "one", await files.put(b"1"))
    follow = files.store.closing.pop()
    await put(files.store, record("copy", "d"), {"attachment": {"location": "one"}})
    files.store.closing.append(follow)
    await delete(files.store, record("r"))
    await sweep_all(files)
    assert await whole(files, "one") == b"1"


async def test_a_write_that_is_taken_back_changes_no_reference(files: Files) -> None:
    await make_collections(files.store)
    await attach(files, record("r"), "one", await files.put(b"1"))

    async def taken_back(unit: Any) -> None:
        mark = unit.mark()
        await unit.put(record("r"), {"attachment": None}, "{}")
        await unit.flush()
        unit.rollback(mark)
        await unit.put(record("s"), {}, "{}")

    await files.store.write(Job(needs_of(record("r"), record("s")), taken_back))
    await sweep_all(files)
    assert await whole(files, "one") == b"1"


async def test_uploads_that_broke_off_leave_nothing(files: Files, root: Path) -> None:
    """As after `kill -9`: before the bytes moved, after that, and after the blob was noted."""
    real = files.backend.keep

    async def killed_before(key: str, spooled: Path | bytes) -> None:
        raise KeyboardInterrupt

    async def killed_after(key: str, spooled: Path | bytes) -> None:
        await real(key, spooled)
        raise KeyboardInterrupt

    for keep in (killed_before, killed_after):
        files.backend.keep = keep  # type: ignore[method-assign]
        with suppress(KeyboardInterrupt):
            await files.put(b"lost")
    files.backend.keep = real  # type: ignore[method-assign]
    await files.put(b"noted, and never named")
    await sweep_all(files)
    assert on_disk(root) == []
    for table in ("blob", "content", "loose", "location", "reference"):
        assert await files.store.fetch(f"SELECT * FROM {table}") == []


class Gates:
    """Lets tasks go on one step at a time: a step ends where the next transaction or removal begins."""

    def __init__(self, store: Store, files: Files) -> None:
        self._waiting: dict[str, asyncio.Future[None]] = {}
        self._arrived = asyncio.Event()
        transact, write = store.transact, store.write
        remove, keep = files.backend.delete, files.backend.keep

        async def writing(job: Any) -> Any:
            await self._pass()
            return await write(job)

        async def gated(action: Callable[[Transaction], Awaitable[Any]]) -> Any:
            await self._pass()
            return await transact(action)

        async def removing(key: str) -> None:
            await self._pass()
            await remove(key)

        async def keeping(key: str, spooled: Path | bytes) -> None:
            await self._pass()
            await keep(key, spooled)

        store.transact = gated  # type: ignore[method-assign]
        store.write = writing
        files.backend.delete = removing  # type: ignore[method-assign]
        files.backend.keep = keeping  # type: ignore[method-assign]

    async def _pass(self) -> None:
        task = asyncio.current_task()
        assert task is not None
        gate = asyncio.get_running_loop().create_future()
        self._waiting[task.get_name()] = gate
        self._arrived.set()
        await gate

    async def run(self, choose: Callable[[list[str]], str], **works: Awaitable[Any]) -> list[Any]:
        tasks = {name: asyncio.ensure_future(work) for name, work in works.items()}
        for name, task in tasks.items():
            task.set_name(name)
            task.add_done_callback(lambda _: self._arrived.set())
        while not all(task.done() for task in tasks.values()):
            running = {name for name, task in tasks.items() if not task.done()}
            if not running <= self._waiting.keys():
                self._arrived.clear()
                await asyncio.wait_for(self._arrived.wait(), 60)
                continue
            chosen = choose(sorted(running))
            self._waiting.pop(chosen).set_result(None)
        return [task.result() for task in tasks.values()]


@pytest.mark.parametrize("seed", range(8))
async def test_no_order_of_an_upload_and_a_sweep_loses_the_file(files: Files, seed: int) -> None:
    """The content is that of a file which is due to go at this moment, and there is no time of grace."""
    await make_collections(files.store)
    await attach(files, record("old"), "old", await files.put(b"content"))
    await delete(files.store, record("old"))
    now = timestamps.now() + LONG_AFTER
    await sweeper(files, 0).sweep(now)

    async def upload() -> None:
        for _ in range(20):
            with suppress(BlobGone):
                blob = await files.put(b"content")
                await attach(files, record("new"), "new", blob)
                return
        raise AssertionError("it was always swept")

    async def sweep() -> None:
        for n in range(3):
            await sweeper(files, 0).sweep(now + n)

    order = random.Random(seed)
    await Gates(files.store, files).run(order.choice, upload=upload(), sweep=sweep())
    assert await whole(files, "new") == b"content"


@pytest.mark.parametrize("engine", ["postgresql"])
@pytest.mark.parametrize("named_by", ["place", "reference"])
async def test_a_sweep_waits_for_the_transaction_that_names(files: Files, named_by: str) -> None:
    """Where two transactions run at the same time: the sweeper decides after the other is committed."""
    await make_collections(files.store)
    if named_by == "reference":
        await attach(files, record("r"), "new", await files.put(b"content"))
        await delete(files.store, record("r"))
    else:
        await files.publish("old", b"content", "text/plain")
        await files.withdraw("old")
    blob = await files.put(b"content")
    now = timestamps.now() + LONG_AFTER
    await sweeper(files, 0)._mark(now)
    decided, go_on = asyncio.Event(), asyncio.Event()

    async def slow(unit: Any) -> None:
        if named_by == "place":
            await files.place(
                unit.transaction, "new", blob, filename="f", mimetype="t", record=("b", "c", "r")
            )
        await unit.put(record("r"), {"attachment": {"location": "new"}}, "{}")

    async def hold(unit: Any) -> None:
        decided.set()
        await go_on.wait()

    files.store.closing.append(hold)
    writing = asyncio.create_task(files.store.write(Job(needs_of(record("r")), slow)))
    await decided.wait()
    sweeping = asyncio.create_task(sweeper(files, 0).sweep(now + 1))
    done, _ = await asyncio.wait([sweeping], timeout=0.3)
    go_on.set()
    await writing
    assert not done, "it waits for the lock"
    await sweeping
    assert await whole(files, "new") == b"content"


async def test_what_the_server_makes_takes_the_place_of_no_upload(files: Files) -> None:
    """Nor the other way round; and its own it replaces."""
    await make_collections(files.store)
    await attach(files, record("r"), "bundles/all.zip", await files.put(b"uploaded"))
    with pytest.raises(LocationTaken):
        await files.publish("bundles/all.zip", b"made", "application/zip")
    assert await whole(files, "bundles/all.zip") == b"uploaded"
    assert not await files.withdraw("bundles/all.zip")
    for content in (b"made", b"made again"):
        await files.publish("bundles/other.zip", content, "application/zip")
        assert await whole(files, "bundles/other.zip") == content
    blob = await files.put(b"uploaded")
    placed = await files.store.transact(
        lambda transaction: files.place(
            transaction, "bundles/other.zip", blob, filename="f", mimetype="t/t", record=("b", "c", "s")
        )
    )
    assert not placed
    assert await whole(files, "bundles/other.zip") == b"made again"
    await sweep_all(files)
    assert await contents(files) == [b"made again", b"uploaded"]


async def test_it_is_counted(files: Files, small: int) -> None:
    measures = Measures()
    counted = Files(files.store, files.backend, measures=measures, small=small)
    for name, content in (("a", b"one"), ("b", b"one"), ("c", b"other")):
        await counted.publish(name, content, "text/plain")
        await counted.withdraw(name)
    numbers = {measure.name: series for measure, series in await measures.collect()}
    assert [(each.labels, each.numbers) for each in numbers["files_kept_total"]] == [
        (("known",), [1]),
        (("new",), [2]),
    ]
    assert numbers["files_stored"][0].numbers == [2]
    assert numbers["files_stored_bytes"][0].numbers == [8]
    sweeping = Sweeper(files.store, files.backend, files.relative, GRACE, counted.measures)
    await sweeping.sweep(timestamps.now() + LONG_AFTER)
    numbers = {measure.name: series for measure, series in await measures.collect()}
    assert numbers["files_swept_total"][0].numbers == [2]
    assert numbers["files_sweeps_total"][0].numbers == [1]
