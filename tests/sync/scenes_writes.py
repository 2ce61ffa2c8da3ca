"""What writers are promised, as short histories: from preconditions (S4) to durability (S10), and X1, X2."""

from __future__ import annotations

from tests.sync.history import Fault
from tests.sync.script import LIST, OTHER, Script, bad, good

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
