"""The comparison itself: two real Kintos must agree about everything, and real disagreements must be seen."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest

from tests.compat.cases import all_scenarios
from tests.compat.compare import Comparison, Exchange
from tests.compat.random_world import World
from tests.compat.running import Stage, report
from tests.compat.scenario import Scenario, Step, get
from tests.compat.wire import Answer, Request

SAMPLE = (
    "following pages",
    "collection deleted and recreated",
    "several requests",
    "generated ids",
    "replacing",
    "equality",
)


@pytest.mark.parametrize("name", SAMPLE)
def test_two_kintos_agree_on_scenarios(stage: Stage, name: str) -> None:
    scenario = next(item for item in all_scenarios() if item.name == name)
    assert not _strange(stage, scenario)


def test_two_kintos_agree_on_random_sequences(stage: Stage) -> None:
    assert not _strange(stage, World(1).scenario(60, "two Kintos"))


def _strange(stage: Stage, scenario: Scenario) -> str:
    exchanges = stage.exchanges(scenario, "kinto-twin")
    return report(
        exchanges, [(index, item.mismatches) for index, item in enumerate(exchanges) if item.mismatches]
    )


def _exchange(
    comparison: Comparison, path: str, kinto: Answer, ours: Answer, step: Step | None = None
) -> list[str]:
    step = step or get(path)
    request = Request(step.method, f"/v1{path}")
    scenario = Scenario("harness", (step,))
    exchange = Exchange(scenario, step, request, request, kinto, ours, "test", comparison.pairs)
    return [mismatch.where for mismatch in comparison.mismatches(exchange)]


def _answer(body: bytes = b"{}", status: int = 200, **headers: str) -> Answer:
    return Answer(status, tuple((name.replace("_", "-"), value) for name, value in headers.items()), body)


@pytest.fixture
def comparison() -> Comparison:
    return Comparison("http://127.0.0.1:1", "http://127.0.0.1:2")


def _record(now: int, name: str) -> Answer:
    return _answer(f'{{"data":{{"id":"{name}","last_modified":{now}}}}}'.encode(), etag=f'"{now}"')


@pytest.fixture
def now(comparison: Comparison) -> int:
    import time

    assert comparison.pairs.clocklike(int(time.time() * 1000))
    return int(time.time() * 1000)


def test_timestamps_pair_up_in_order(comparison: Comparison, now: int) -> None:
    path = "/buckets/b/collections/c/records"
    assert not _exchange(comparison, f"{path}/1", _record(now, "1"), _record(now + 50, "1"))
    assert not _exchange(comparison, f"{path}/2", _record(now + 1, "2"), _record(now + 70, "2"))
    assert _exchange(comparison, f"{path}/3", _record(now + 2, "3"), _record(now + 60, "3"))


def test_a_timestamp_that_did_not_move_is_seen(comparison: Comparison, now: int) -> None:
    path = "/buckets/b/collections/c/records"
    assert not _exchange(comparison, f"{path}/1", _record(now, "1"), _record(now, "1"))
    assert _exchange(comparison, f"{path}/1", _record(now + 5, "1"), _record(now, "1")) == [
        "body.data.last_modified (timestamp)",
        "header.etag",
    ]


def test_timestamps_of_different_lists_are_independent(comparison: Comparison, now: int) -> None:
    assert not _exchange(comparison, "/buckets/a", _record(now, "a"), _record(now, "a"))
    assert not _exchange(comparison, "/buckets/a/collections/c", _record(now + 9, "c"), _record(now, "c"))


@pytest.mark.parametrize(
    ("kinto", "ours", "where"),
    [
        (_answer(status=200), _answer(status=201), "status"),
        (_answer(b'{"data":[1,2]}'), _answer(b'{"data":[2,1]}'), "body.data.0"),
        (_answer(b'{"data":1}'), _answer(b'{"data":1.0}'), "body.data"),
        (_answer(b'{"data":1}'), _answer(b'{"data":true}'), "body.data"),
        (_answer(b'{"a":1}'), _answer(b"{}"), "body.a"),
        (_answer(etag='"5"'), _answer(), "header.etag"),
        (_answer(etag='"5"'), _answer(etag='"6"'), "header.etag"),
        (_answer(etag='"5"', last_modified="x"), _answer(etag='"5"'), "header.last-modified"),
        (_answer(cache_control="no-cache"), _answer(), "header.cache-control"),
        (_answer(allow="GET, PUT"), _answer(allow="GET"), "header.allow"),
        (
            _answer(next_page="http://127.0.0.1:1/v1/x?_limit=1&_token=a"),
            _answer(next_page="http://127.0.0.1:2/v1/x?_token=b"),
            "header.next-page",
        ),
        (_answer(expires="x"), _answer(), "header.expires"),
        (
            _answer(location="http://127.0.0.1:1/a"),
            _answer(location="http://127.0.0.1:2/b"),
            "header.location",
        ),
        (_answer(www_authenticate="Basic"), _answer(), "header.www-authenticate"),
        (_answer(b'{"data":"\\u00e9"}'), _answer('{"data":"é"}'.encode()), "encoding"),
    ],
)
def test_disagreements_are_seen(comparison: Comparison, kinto: Answer, ours: Answer, where: str) -> None:
    assert where in _exchange(comparison, "/buckets", kinto, ours)


def test_what_means_the_same_is_equal(comparison: Comparison) -> None:
    kinto = _answer(
        b'{"permissions":{"read":["a","b"]},"data":{"x":1,"y":2}}',
        allow="GET, PUT",
        next_page="http://127.0.0.1:1/v1/x?_limit=1&_token=a",
        access_control_expose_headers="Alert, ETag",
    )
    ours = replace(
        _answer(
            b'{"data":{"y":2,"x":1},"permissions":{"read":["b","a"]}}',
            allow="PUT,GET",
            next_page="http://127.0.0.1:2/v1/x?_token=zzz&_limit=1",
            access_control_expose_headers="etag,alert",
        )
    )
    assert not _exchange(comparison, "/buckets", kinto, ours)


def test_a_list_delete_may_give_its_timestamps_in_any_order(comparison: Comparison) -> None:
    now = int(time.time() * 1000)

    def deleted(**given: int) -> Answer:
        items = [f'{{"id":"{name}","last_modified":{now + n},"deleted":true}}' for name, n in given.items()]
        etag = f'"{now + max(given.values())}"'
        return _answer(f'{{"data":[{",".join(items)}]}}'.encode(), etag=etag)

    path = "/buckets/b/collections/c/records"
    step = Step("DELETE", path, None, {}, "alice")
    assert not _exchange(comparison, path, deleted(a=1, b=2), deleted(b=5, a=6), step)
    later = f"{path}?_since=0&_sort=id"
    assert not _exchange(comparison, later, deleted(a=1, b=2), deleted(a=6, b=5))
    assert _exchange(comparison, later, deleted(a=1, b=2), deleted(a=5, b=6))
