"""The counters: how many objects and tombstones there are, of each kind."""

from __future__ import annotations

from tests.api.scenarios import C, G, R, world
from tests.support.inprocess import App

COUNTERS = "/__counters__"


async def counted(app: App) -> tuple[dict[str, int], dict[str, int]]:
    answer = await app.call(f"GET {COUNTERS}", user=None)
    assert answer.status_code == 200
    body = answer.json()
    return body["objects"], body["tombstones"]


async def test_objects_and_tombstones_are_counted_by_kind(app: App) -> None:
    objects, tombstones = await counted(app)
    await world(app)
    await app.call(f"PUT {R}/more", {})
    await app.call(f"DELETE {R}/more")
    after, gone = await counted(app)
    assert after["bucket"] == objects.get("bucket", 0) + 1
    assert gone["record"] == tombstones.get("record", 0) + 1
    assert list(after) == [name for name in ("account", *KINDS) if name in after], "in one order"
    await app.call(f"DELETE {C}")
    emptied, buried = await counted(app)
    assert emptied["collection"] == after["collection"] - 1
    assert emptied.get("record", 0) == objects.get("record", 0), "records go with their collection"
    assert buried.get("record", 0) == tombstones.get("record", 0), "and so do their tombstones"


KINDS = ("bucket", "group", "collection", "record", "history")


async def test_nothing_but_accounts_is_told_of_what_accounts_have(app: App) -> None:
    """No credential and no token is counted: they are nobody's business."""
    before, _ = await counted(app)
    await app.call("PUT /accounts/ada", {"data": {"password": "pw"}}, user=None)
    after, _ = await counted(app)
    assert after == {**before, "account": before.get("account", 0) + 1}


async def test_a_batch_counts_what_it_wrote(app: App) -> None:
    await world(app)
    objects, _ = await counted(app)
    requests = [{"path": f"{R}/{n}", "method": "PUT"} for n in range(3)]
    requests += [{"path": G, "method": "DELETE"}, {"path": COUNTERS}]
    answer = await app.call("POST /batch", {"requests": requests})
    told = answer.json()["responses"][-1]["body"]
    assert told["objects"]["record"] == objects["record"] + 3
    assert told["tombstones"]["group"] == 1
    assert told == (await app.call(f"GET {COUNTERS}")).json()
