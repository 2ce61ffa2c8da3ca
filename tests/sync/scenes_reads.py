"""What lists and readers are promised, as short histories: loss (S1), order (S2), reads that go back (S3)."""

from __future__ import annotations

from tests.sync.history import Fault
from tests.sync.script import LIST, Script, bad, good

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
