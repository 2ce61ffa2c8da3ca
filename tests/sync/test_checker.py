"""The checker is itself tested: every clause is shown to hold on a good history and to fail on a bad one."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.sync.checker import check, explain
from tests.sync.history import Fault, History
from tests.sync.script import LIST, OTHER, Script

GOOD: list[Callable[[Script], object]] = []
BAD: list[tuple[str, Callable[[Script], object]]] = []


def good(scene: Callable[[Script], object]) -> Callable[[Script], object]:
    GOOD.append(scene)
    return scene


def bad(clause: str) -> Callable[[Callable[[Script], object]], Callable[[Script], object]]:
    def register(scene: Callable[[Script], object]) -> Callable[[Script], object]:
        BAD.append((clause, scene))
        return scene

    return register


# S1: no loss


@good
def a_poller_gets_everything(s: Script) -> None:
    s.put("a", 1)
    s.put("b", 2)
    s.list(2, 1, 2)
    s.put("a", 3, 200)
    s.delete("b", 4)
    s.since(2, 4, 3, 4)


@good
def a_version_may_be_superseded_between_two_polls(s: Script) -> None:
    s.put("a", 1)
    s.since(0, 1, 1)
    s.put("a", 2, 200)
    s.put("a", 3, 200)
    s.since(1, 3, 3)


@good
def a_record_written_while_paging_comes_with_the_next_sync(s: Script) -> None:
    s.put("a", 1)
    s.put("b", 2)
    s.page(0, 2, 2)
    s.put("a", 3, 200)
    s.page(1, 2, last=True)
    s.since(2, 3, 3)


@good
def a_lost_write_may_take_a_record_out_of_the_pages(s: Script) -> None:
    s.put("a", 1)
    s.put("b", 2)
    s.page(0, 2, 2)
    s.history.faults.append(Fault("kill", 0, 1000))
    s.lost_put("a", 3)
    s.page(1, 2, last=True)
    s.put("a", 4, 200)
    s.since(2, 4, 4)


@good
def a_lost_write_that_was_never_done_is_not_missed(s: Script) -> None:
    s.put("a", 1)
    s.history.faults.append(Fault("kill", 0, 1000))
    s.lost_put("b", 2)
    s.since(0, 1, 1)


@bad("S1")
def a_write_acknowledged_before_the_poll_is_missing(s: Script) -> None:
    s.put("a", 1)
    s.put("b", 2)
    s.since(0, 2, 2)


@bad("S1")
def a_write_acknowledged_after_the_poll_with_a_smaller_timestamp_is_missing(s: Script) -> None:
    s.put("b", 2, at=(0, 100))
    s.since(0, 3, 3) if s.put("a", 3, at=(10, 20)) else None
    s.since(3, 3, at=(200, 210))


@bad("S1")
def a_lost_write_that_was_seen_once_is_missing_elsewhere(s: Script) -> None:
    s.put("a", 1)
    s.history.faults.append(Fault("kill", 0, 1000))
    s.lost_put("b", 2)
    s.get("b", 2)
    s.since(1, 3, 3) if s.put("c", 3) else None


@bad("S1")
def a_tombstone_is_missing(s: Script) -> None:
    s.put("a", 1)
    s.since(0, 1, 1)
    s.delete("a", 2)
    s.since(1, 2)


@bad("S1")
def a_whole_list_lacks_a_record(s: Script) -> None:
    s.put("a", 1)
    s.put("b", 2)
    s.list(2, 2)


@bad("S1")
def a_page_has_another_etag_than_the_first(s: Script) -> None:
    s.put("a", 1)
    s.put("b", 2)
    s.page(0, 2, 2)
    s.put("c", 3)
    s.page(1, 3, 1, last=True)


@bad("S1")
def a_record_falls_between_two_pages(s: Script) -> None:
    s.put("a", 1)
    s.put("b", 2)
    s.put("c", 3)
    s.page(0, 3, 3)
    s.page(1, 3, 1, last=True)


@bad("S1")
def a_record_that_is_there_is_not_found(s: Script) -> None:
    s.put("a", 1)
    s.get("a", None)


# S2: order


@good
def concurrent_writes_may_take_timestamps_in_any_order(s: Script) -> None:
    s.put("a", 2, at=(0, 50))
    s.put("b", 1, at=(10, 40))


@bad("S2")
def two_writes_get_one_timestamp(s: Script) -> None:
    s.put("a", 1, at=(0, 50))
    item = {**s.item("b", 99), "last_modified": 1, "token": "other"}
    s.request("PUT", f"{LIST}/b", 201, {"data": item}, sent={"data": {"token": "other"}}, at=(0, 50))


@bad("S2")
def a_later_write_gets_a_smaller_timestamp(s: Script) -> None:
    s.put("a", 2)
    s.put("b", 1)


@bad("S2")
def a_write_gets_a_timestamp_that_a_poller_already_held(s: Script) -> None:
    s.list(5)
    s.put("a", 5)


@good
def a_batch_may_skip_timestamps_that_nobody_has(s: Script) -> None:
    s.batch(("a", 1), ("b", 3))


@bad("S2")
def another_write_gets_among_those_of_a_batch(s: Script) -> None:
    s.batch(("a", 1), ("b", 3), at=(0, 100))
    s.put("c", 2, at=(0, 100))


@bad("S2")
def the_writes_of_a_batch_are_out_of_order(s: Script) -> None:
    s.batch(("a", 2), ("b", 1))


# S3: reads do not go back


@good
def a_read_during_a_write_may_show_either(s: Script) -> None:
    s.put("a", 1)
    s.put("a", 2, 200, at=(100, 200))
    s.get("a", 1, at=(150, 160))
    s.get("a", 2, at=(170, 180))


@bad("S3")
def an_object_goes_back(s: Script) -> None:
    s.put("a", 1)
    s.put("a", 2, 200)
    s.get("a", 1)


@bad("S3")
def a_list_goes_back(s: Script) -> None:
    s.put("a", 1)
    s.put("b", 2)
    s.list(1, 1)


@bad("S3")
def the_second_reader_sees_less_than_the_first(s: Script) -> None:
    s.put("a", 1)
    s.put("a", 2, 200, at=(100, 200))
    s.get("a", 2, at=(150, 160))
    s.get("a", 1, at=(170, 180), client="another")


@bad("S3")
def a_list_shows_what_is_newer_than_its_etag(s: Script) -> None:
    s.put("a", 1)
    s.put("a", 2, 200, at=(100, 200))
    s.list(1, 2, at=(110, 190))


@bad("S3")
def a_list_shows_an_old_version(s: Script) -> None:
    s.put("a", 1)
    s.put("a", 2, 200)
    s.list(2, 1)


@bad("S3")
def a_count_is_wrong(s: Script) -> None:
    s.put("a", 1)
    s.request("HEAD", LIST, 200, etag=1, total=2)


@good
def a_count_is_right(s: Script) -> None:
    s.put("a", 1)
    s.put("b", 2)
    s.delete("a", 3)
    s.request("HEAD", LIST, 200, etag=3, total=1)


# S4: preconditions


@good
def one_of_two_conditional_writes_wins(s: Script) -> None:
    s.put("a", 1)
    s.put("a", 2, 200, headers={"If-Match": '"1"'}, at=(100, 200))
    s.request("PUT", f"{LIST}/a", 412, {}, headers={"If-Match": '"1"'}, at=(100, 200))


@good
def nobody_wins_when_somebody_else_wrote(s: Script) -> None:
    s.put("a", 1)
    s.put("a", 2, 200, at=(100, 200))
    s.request("PUT", f"{LIST}/a", 412, {}, headers={"If-Match": '"1"'}, at=(100, 200))


@bad("S4")
def both_conditional_writes_win(s: Script) -> None:
    s.put("a", 1)
    s.put("a", 2, 200, headers={"If-Match": '"1"'}, at=(100, 200))
    s.put("a", 3, 200, headers={"If-Match": '"1"'}, at=(100, 200))


@bad("S4")
def a_plain_write_is_overwritten_by_a_conditional_one(s: Script) -> None:
    s.put("a", 1)
    s.put("a", 2, 200, at=(100, 200))
    s.put("a", 3, 200, headers={"If-Match": '"1"'}, at=(100, 200))


@bad("S4")
def a_conditional_write_is_refused_without_cause(s: Script) -> None:
    s.put("a", 1)
    s.request("PUT", f"{LIST}/a", 412, {}, headers={"If-Match": '"1"'})


@bad("S4")
def two_creations_win(s: Script) -> None:
    s.put("a", 1, headers={"If-None-Match": "*"}, at=(0, 100))
    s.put("a", 2, headers={"If-None-Match": "*"}, at=(0, 100))


@bad("S4")
def a_creation_is_refused_without_cause(s: Script) -> None:
    s.request("PUT", f"{LIST}/a", 412, {}, headers={"If-None-Match": "*"})


@bad("S4")
def a_patch_loses_a_concurrent_write(s: Script) -> None:
    s.put("a", 1)
    base = {"id": "a", "home": LIST}
    put = {**base, "token": "t2", "n": 2, "last_modified": 2}
    s.request("PUT", f"{LIST}/a", 200, {"data": put}, sent={"data": put}, at=(100, 200))
    patched = {**base, "token": "t3", "last_modified": 3}
    s.request("PATCH", f"{LIST}/a", 200, {"data": patched}, sent={"data": {"token": "t3"}}, at=(100, 200))


# S5: batches


@good
def a_batch_is_seen_whole(s: Script) -> None:
    s.batch(("a", 1), ("b", 2))
    s.since(0, 2, 1, 2)


@good
def a_refused_batch_leaves_nothing(s: Script) -> None:
    s.history.faults.append(Fault("kill", 0, 1000))
    s.batch(("a", 1), ("b", 2), status=503)
    s.since(0, 5)


@bad("S5")
def a_poller_sees_half_a_batch(s: Script) -> None:
    s.batch(("a", 1), ("b", 2), at=(0, 100))
    s.since(0, 1, 1, at=(10, 20))


@bad("S5")
def a_refused_batch_was_half_done(s: Script) -> None:
    s.batch(("a", 1), ("b", 2), status=503)
    s.since(0, 1, 1)


@bad("S5")
def a_lost_batch_was_half_done(s: Script) -> None:
    s.history.faults.append(Fault("kill", 0, 1000))
    s.batch(("a", 1), ("b", 2), status=None)
    s.put("b", 9, 201)
    s.since(0, 1, 1, at=(50, 60))


@bad("S5")
def an_item_fails_with_500_while_the_rest_is_kept(s: Script) -> None:
    batch = s.batch(("a", 1), ("b", 2))
    batch.answer["responses"][1] = {"status": 500, "headers": {}, "body": {"code": 500}}


# S6: tombstones


@good
def a_deleted_record_is_written_again(s: Script) -> None:
    s.put("a", 1)
    s.delete("a", 2)
    s.put("a", 3, 201)
    s.get("a", 3)


@bad("S6")
def a_deleted_record_is_read(s: Script) -> None:
    s.put("a", 1)
    s.delete("a", 2)
    s.get("a", 1)


@bad("S6")
def a_deleted_record_is_listed(s: Script) -> None:
    s.put("a", 1)
    s.delete("a", 2)
    s.list(2, 1)


@bad("S6")
def a_tombstone_turns_into_a_record(s: Script) -> None:
    s.put("a", 1)
    s.delete("a", 2)
    s.request("GET", f"{LIST}/a", 200, {"data": {"id": "a", "last_modified": 2, "token": "t1"}}, etag=2)


@bad("S6")
def a_patch_brings_a_deleted_record_back(s: Script) -> None:
    s.put("a", 1)
    s.delete("a", 2)
    s.write("PATCH", "a", 3, 200)


@bad("S6")
def one_record_is_deleted_twice(s: Script) -> None:
    s.put("a", 1)
    s.delete("a", 2)
    s.delete("a", 3)


@bad("S6")
def the_deletion_of_a_list_forgets_a_record(s: Script) -> None:
    s.put("a", 1)
    s.put("b", 2)
    s.request("DELETE", LIST, 200, {"data": [s.item("a", 3, deleted=True)]}, etag=3)


@good
def the_deletion_of_a_list_may_miss_what_is_written_meanwhile(s: Script) -> None:
    s.put("a", 1)
    s.put("b", 2, at=(100, 200))
    s.request("DELETE", LIST, 200, {"data": [s.item("a", 3, deleted=True)]}, etag=3, at=(100, 200))


# S7: convergence


def copied(s: Script, *stamps: int, etag: int) -> None:
    s.put("a", 1)
    s.put("b", 2)
    s.delete("a", 3)
    s.quiet()
    s.list(etag, *stamps, client="poller", labels={"sync": "copy"})
    s.list(3, 2, client="judge")


@good
def a_copy_is_the_list(s: Script) -> None:
    copied(s, 2, etag=3)


@bad("S7")
def a_copy_lacks_a_record(s: Script) -> None:
    copied(s, etag=3)


@bad("S7")
def a_copy_has_a_deleted_record(s: Script) -> None:
    copied(s, 1, 2, etag=3)


@bad("S7")
def a_copy_ends_at_another_etag(s: Script) -> None:
    copied(s, 2, etag=4)


@bad("S7")
def a_poller_never_comes_to_rest(s: Script) -> None:
    s.put("a", 1)
    s.list(1, 1, client="poller", labels={"sync": "copy"})
    s.quiet()
    s.list(1, 1, client="judge")


# S8: isolation


@good
def a_closed_door(s: Script) -> None:
    s.put("a", 1, home=OTHER, user="mallory")
    s.request("GET", f"{OTHER}/a", 403, {}, user="alice")


@bad("S8")
def an_open_door(s: Script) -> None:
    s.request("GET", OTHER, 200, {"data": []}, user="alice", etag=1)


@bad("S8")
def a_foreign_record_in_a_list(s: Script) -> None:
    s.put("a", 1, home=OTHER, user="mallory")
    s.request("GET", LIST, 200, {"data": [s.item("a", 1, OTHER)]}, etag=1)


@bad("S8")
def a_foreign_record_in_a_refusal(s: Script) -> None:
    existing = {"details": {"existing": s.item("a", 1, OTHER)}}
    s.request("PUT", f"{LIST}/a", 412, existing, headers={"If-Match": '"5"'})


# S10: durability


@good
def everything_acknowledged_survives(s: Script) -> None:
    s.put("a", 1)
    s.fault()
    s.since(0, 1, 1)


@bad("S10")
def an_acknowledged_write_is_gone(s: Script) -> None:
    s.put("a", 1)
    s.put("b", 2)
    s.fault()
    s.list(2, 1)
    s.since(0, 2, 1, client="judge")


@bad("S10")
def the_clock_goes_back(s: Script) -> None:
    s.put("a", 5)
    s.fault()
    s.put("b", 3)


@bad("S10")
def the_list_goes_back(s: Script) -> None:
    s.put("a", 5)
    s.fault()
    s.list(4)


# X1: no refusal


@good
def anything_may_fail_while_the_server_is_down(s: Script) -> None:
    s.history.faults.append(Fault("kill", 0, 50))
    s.request("PUT", f"{LIST}/a", None, sent={"data": {}}, at=(10, 20))
    s.request("PUT", f"{LIST}/a", 503, {}, sent={"data": {}}, at=(20, 30))


@pytest.mark.parametrize("status", [400, 401, 404, 409, 412, 500, 503, None])
def test_a_plain_write_that_is_refused(status: int | None) -> None:
    script = Script()
    script.request("PUT", f"{LIST}/a", status, {}, sent={"data": {}})
    assert clauses(script) == {"X1"}


# X2: no invention


@bad("X2")
def an_answer_shows_what_nobody_wrote(s: Script) -> None:
    s.item("a", 1)
    s.list(1, 1)


@bad("X2")
def one_write_is_done_twice(s: Script) -> None:
    s.put("a", 1)
    again = {**s.item("a", 1), "last_modified": 2}
    s.request("GET", f"{LIST}/a", 200, {"data": again}, etag=2)


@bad("X2")
def a_write_is_answered_with_something_else(s: Script) -> None:
    item = {**s.item("a", 1), "n": 5}
    s.request("PUT", f"{LIST}/a", 201, {"data": item}, sent={"data": {"token": "t1", "home": LIST}}, etag=1)


@bad("X2")
def one_version_is_shown_in_two_ways(s: Script) -> None:
    s.put("a", 1)
    s.request("GET", f"{LIST}/a", 200, {"data": {**s.item("a", 1), "n": 5}}, etag=1)


def clauses(script: Script) -> set[str]:
    return {violation.clause for violation in check(script.history)}


@pytest.mark.parametrize("scene", GOOD, ids=lambda scene: scene.__name__)
def test_a_good_history_is_accepted(scene: Callable[[Script], object]) -> None:
    script = Script()
    scene(script)
    violations = check(script.history)
    assert not violations, explain(script.history, violations)


@pytest.mark.parametrize(("clause", "scene"), BAD, ids=lambda value: getattr(value, "__name__", value))
def test_a_bad_history_is_refused(clause: str, scene: Callable[[Script], object]) -> None:
    script = Script()
    scene(script)
    violations = check(script.history)
    assert clause in {violation.clause for violation in violations}, explain(script.history, violations)
    assert all(str(violation) for violation in violations)


def test_a_history_survives_its_file(tmp_path: Path) -> None:
    script = Script()
    an_acknowledged_write_is_gone(script)
    script.history.save(tmp_path / "history.ndjson")
    assert check(History.load(tmp_path / "history.ndjson")) == check(script.history)


def test_a_hundred_thousand_events_are_checked_in_seconds() -> None:
    script = Script()
    held = 0
    for ts in range(1, 40_001):
        script.put(f"r{ts}", ts)
        script.get(f"r{ts}", ts)
        if ts % 4 == 0:
            script.since(held, ts, *range(held + 1, ts + 1))
            held = ts
    assert len(script.history.operations) == 90_000
    begin = time.process_time()
    assert not check(script.history)
    assert time.process_time() - begin < 20
