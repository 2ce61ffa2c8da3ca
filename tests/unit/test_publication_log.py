"""The publication log: no entry can be changed, removed, moved, or added by hand, unseen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from hashlib import sha256
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kintoun.model import json
from kintoun.model.canonical import canonical
from kintoun.signatures import content_signature, pki
from kintoun.signatures.manifest import Manifest, following
from kintoun.signatures.publication_log import START, Auditor, Entry, audit, read_entry

NOW = 1_700_000_000_000
KEY = pki.new_key()
COLLECTIONS = ("blocklist", "addons")


def believe(data: bytes, signatures: Sequence[Mapping[str, Any]], _at: int) -> None:
    content_signature.verify(KEY.public_key(), data, signatures[0]["signature"])


def entry_after(entries: Sequence[Entry], collection: str, *, key: Any = KEY, **more: Any) -> Entry:
    number = len(entries) + 1
    before = [read_manifest(each) for each in entries if each.collection == collection]
    last = entries[-1].hash if entries else START
    manifest = following(
        before[-1] if before else None,
        "main",
        collection,
        timestamp=NOW + number,
        content=sha256(bytes([number])).hexdigest(),
        log=last,
        now=NOW + number,
        lifetime=1000,
    )
    signed = {
        **manifest.as_json(),
        "signatures": [{"signature": content_signature.sign(key, manifest.signed())}],
    }
    text = canonical(signed).decode()
    fields = {"user": "account:alice", "action": "approve", **more}
    return Entry(
        number, NOW + number, fields["user"], fields["action"], "main", collection, text, last
    ).sealed()


def read_manifest(entry: Entry) -> Manifest:
    value = json.decode(entry.manifest.encode())
    return Manifest(**{name: value[name] for name in Manifest.__slots__})


def log_of(length: int) -> list[Entry]:
    entries: list[Entry] = []
    for n in range(length):
        entries.append(entry_after(entries, COLLECTIONS[n % 2]))
    return entries


LOG = log_of(8)


def rules(entries: Sequence[Entry], **more: Any) -> set[str]:
    return {problem.rule for problem in audit(entries, believe=believe, **more)}


def resealed(entries: Sequence[Entry]) -> list[Entry]:
    """The chain made anew by somebody who can write the database and has no key."""
    chained: list[Entry] = []
    for n, each in enumerate(entries, start=1):
        previous = chained[-1].hash if chained else START
        chained.append(replace(each, number=n, previous=previous).sealed())
    return chained


def test_a_log_that_nobody_touched_is_sound() -> None:
    served = [read_manifest(LOG[-1]), read_manifest(LOG[-2])]
    assert rules(LOG, served=served, copy={each.number: each.hash for each in LOG[:5]}) == set()
    assert rules([]) == set()


@given(st.integers(0, len(LOG) - 1), st.sampled_from(("time", "user", "action", "manifest", "collection")))
def test_a_changed_entry_is_found(n: int, name: str) -> None:
    old = getattr(LOG[n], name)
    changed = replace(LOG[n], **{name: old + 1 if isinstance(old, int) else old + " "})
    entries = [*LOG[:n], changed, *LOG[n + 1 :]]
    assert "hash" in rules(entries)


@given(st.integers(0, len(LOG) - 2))
def test_a_removed_entry_is_found(n: int) -> None:
    assert {"number", "link"} <= rules([*LOG[:n], *LOG[n + 1 :]])


@given(st.permutations(LOG))
def test_entries_in_another_order_are_found(entries: list[Entry]) -> None:
    assert bool(rules(entries)) is (entries != LOG)


def test_an_entry_added_by_hand_is_found() -> None:
    bare = Entry(9, NOW + 9, "account:eve", "approve", "main", "blocklist", "{}", LOG[-1].hash)
    assert rules([*LOG, bare]) == {"hash", "manifest"}
    assert rules([*LOG, bare.sealed()]) == {"manifest"}
    copied = replace(LOG[-2], number=9, time=NOW + 9, previous=LOG[-1].hash).sealed()
    assert rules([*LOG, copied]) == {"order"}
    assert rules([*LOG, entry_after(LOG, "blocklist", key=pki.new_key())]) == {"signature"}
    assert rules([*LOG, entry_after(LOG, "blocklist")]) == set()


@given(st.integers(0, len(LOG) - 2))
def test_who_makes_the_chain_anew_cannot_hide_what_is_missing(n: int) -> None:
    assert rules(resealed([*LOG[:n], *LOG[n + 1 :]])) & {"order", "anchor"}


@given(st.integers(0, len(LOG) - 2))
def test_who_makes_the_chain_anew_cannot_hide_what_was_changed(n: int) -> None:
    changed = replace(LOG[n], user="account:eve")
    assert "anchor" in rules(resealed([*LOG[:n], changed, *LOG[n + 1 :]]))


def test_what_is_missing_at_the_end_an_older_copy_and_what_is_served_show() -> None:
    short = LOG[:-1]
    assert rules(short) == set()
    assert rules(short, copy={each.number: each.hash for each in LOG}) == {"copy"}
    assert rules(short, served=[read_manifest(LOG[-1])]) == {"end"}


def test_an_older_copy_with_another_entry_is_told() -> None:
    assert rules(LOG, copy={3: "0" * 64}) == {"copy"}


def test_the_number_and_the_time_are_those_of_the_entry() -> None:
    late = replace(LOG[3], time=NOW).sealed()
    problems = list(Auditor().add(LOG[0]))
    assert problems == []
    found = [problem for problem in audit([*LOG[:3], late]) if problem.rule == "time"]
    assert [problem.number for problem in found] == [4]


@pytest.mark.parametrize("change", [{"number": "1"}, {"time": True}, {"user": None}, {"more": 1}])
def test_what_is_no_entry_is_refused(change: dict[str, Any]) -> None:
    assert read_entry(LOG[0].as_json()) == LOG[0]
    with pytest.raises(ValueError, match=r"type|fields"):
        read_entry({**LOG[0].as_json(), **change})
