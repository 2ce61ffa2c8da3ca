"""What a caller may not see comes to light by no other way: caches, filters, orders, totals, errors."""

from __future__ import annotations

import pytest

from kintoun.model import timestamps
from tests.support.inprocess import BAIT, App, principal

R = "/buckets/b/collections/c/records"
READ = {"permissions": {"read": [principal("bob")]}}
SECRET = "s3cret"


@pytest.fixture
async def shared(app: App) -> App:
    """Alice's records, of which bob may read every other one."""
    requests = [
        {"path": "/buckets/b", "body": {}},
        {"path": "/buckets/b/collections/c", "body": {}},
        *(
            {
                "path": f"{R}/r{n}",
                "body": {
                    "data": {"n": n, "word": f"{SECRET}{n}" if n % 2 else f"open{n}"},
                    **({} if n % 2 else READ),
                },
            }
            for n in range(6)
        ),
    ]
    await app.ok("POST /batch", {"defaults": {"method": "PUT"}, "requests": requests})
    return app


async def test_a_page_that_is_kept_is_shown_to_those_who_may_see_all_of_it(shared: App) -> None:
    for _ in range(2):
        assert len((await shared.ok(f"GET {R}"))["data"]) == 6
        assert len((await shared.ok(f"GET {R}", user="bob"))["data"]) == 3
        assert (await shared.call(f"GET {R}", user="carol")).status_code == 403
        assert (await shared.call(f"GET {R}", user=None)).status_code == 401


async def test_a_right_that_is_taken_back_is_gone_at_once(shared: App) -> None:
    collection = "/buckets/b/collections/c"
    group = "/buckets/b/groups/g"
    await shared.ok(f"PUT {group}", {"data": {"members": [principal("carol")]}})
    for holder, path, body in (
        (principal("carol"), collection, {"permissions": {"read": []}}),
        (group, group, {"data": {"members": []}}),
    ):
        await shared.ok(f"PATCH {collection}", {"permissions": {"read": [holder]}})
        tag = (await shared.call(f"GET {R}", user="carol")).headers["ETag"]
        await shared.ok(f"PATCH {path}", body)
        for headers in ({}, {"If-None-Match": tag}):
            answer = await shared.call(f"GET {R}", user="carol", headers=headers)
            assert answer.status_code == 403, "nobody is told even that nothing changed"


@pytest.mark.parametrize(
    "query",
    [
        "", "_sort=word", "_sort=-n", "n=1", "in_n=1,2,3", "like_word=*3cret*", "min_word=s", "not_word=x",
        "_since=0",
        "has_word=true", "_fields=word", "exclude_id=r0", "gt_id=r0", "_limit=2", "_limit=1&_sort=word",
        "id=r1",
        "deleted=true&_since=0", "max_last_modified={now}", "contains_any_word=s",
        "_before={now}",
    ],
)  # fmt: skip
async def test_no_query_shows_records_of_others(shared: App, query: str) -> None:
    await shared.ok(f"DELETE {R}/r5")
    shown: list[str] = []
    query = query.replace("{now}", str(timestamps.now()))
    answer = await shared.call(f"GET {R}?{query}", user="bob")
    while True:
        assert answer.status_code == 200
        assert SECRET not in answer.text
        shown += [record["id"] for record in answer.json()["data"]]
        if "Next-Page" not in answer.headers:
            break
        answer = await shared.call(f"GET {answer.headers['Next-Page']}", user="bob")
    assert set(shown) <= {"r0", "r2", "r4"}
    assert len(shown) == len(set(shown))
    head = await shared.call(f"HEAD {R}?{query}", user="bob")
    assert int(head.headers["Total-Objects"]) == len(shown)


async def test_the_token_of_one_caller_shows_another_nothing_more(shared: App) -> None:
    following = (await shared.call(f"GET {R}?_limit=1&_sort=n")).headers["Next-Page"]
    answer = await shared.call(f"GET {following.replace('_limit=1', '_limit=100')}", user="bob")
    assert answer.status_code == 200
    assert [record["id"] for record in answer.json()["data"]] == ["r2", "r4"]


async def test_errors_do_not_tell_what_is_there(shared: App) -> None:
    for method, body in (("GET", None), ("PUT", {}), ("PATCH", {"data": {}}), ("DELETE", None)):
        there = await shared.call(f"{method} {R}/r1", body, user="carol")
        missing = await shared.call(f"{method} {R}/zz", body, user="carol")
        assert (there.status_code, there.json()) == (missing.status_code, missing.json())
        assert SECRET not in there.text
    conflict = await shared.call(f"PUT {R}/r1", {}, user="carol", headers={"If-Match": '"1"'})
    assert conflict.status_code == 403
    assert "ETag" not in conflict.headers


async def test_lists_of_everything_show_no_bait(app: App) -> None:
    """The bait stands in every list that the server has; `App.call` looks for it in every answer."""
    inside = "/buckets/bait/collections/c/records"
    queries = ("", "?_since=0", "?_sort=id", f"?like_bait=*{BAIT[:4]}*", "?_limit=1", "?n=1", "?title=a")
    for path in ("/buckets", "/accounts", "/permissions", "/buckets/bait/groups", inside):
        for query in queries:
            answer = await app.call(f"GET {path}{query}", user="bob")
            assert answer.status_code in (200, 400, 403)
            await app.call(f"HEAD {path}{query}", user="bob")
            await app.call(f"DELETE {path}{query}", user="bob")
    everything = await app.ok(f"GET {inside}", user="mallory")
    assert len(everything["data"]) == 2, "and it is all still there"
