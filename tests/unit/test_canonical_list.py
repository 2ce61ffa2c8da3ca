"""A canonical list is the same, however it came to hold what it holds."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kintoun.features.signing import canonical_list
from kintoun.features.signing.canonical_list import CanonicalList, Remembered
from kintoun.model.canonical import envelope

names = st.text("abcXYZ019_-", min_size=1, max_size=3)
fragments = st.integers(0, 10**6).map('{{"n":{}}}'.format)
changes = st.dictionaries(names, fragments | st.none(), max_size=12)


@pytest.fixture(autouse=True, scope="module")
def small_blocks() -> object:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(canonical_list, "MOST", 4)
        yield


def signed(records: Mapping[str, str]) -> bytes:
    return envelope((records[name].encode() for name in sorted(records)), 7)


@given(st.dictionaries(names, fragments), st.lists(changes, max_size=6))
def test_changes_lead_to_what_is_signed(first: dict[str, str], steps: list[dict[str, str | None]]) -> None:
    held, records = CanonicalList.of(first.items()), first
    for step in steps:
        before = bytes(held.message(7))
        changed = held.changed(step)
        assert bytes(held.message(7)) == before, "a list that is remembered stays as it is"
        records = {name: each for name, each in {**records, **step}.items() if each is not None}
        held = changed
    assert bytes(held.message(7)) == signed(records)
    assert held.message(7).name == CanonicalList.of(records.items()).message(7).name
    assert len(held) == len(records)
    assert held.gap() is None


@given(st.dictionaries(names, fragments, min_size=1), names)
def test_what_cannot_be_signed_is_named(records: dict[str, str], name: str) -> None:
    held = CanonicalList.of(records.items()).changed({name: ""})
    assert held.gap() == name
    assert held.changed({name: None}).gap() is None


def test_there_is_room_for_those_that_were_used_last() -> None:
    lists = [CanonicalList.of((f"r{n}", "{}") for n in range(10)) for _ in range(3)]
    remembered = Remembered(2 * lists[0].memory)
    for number, each in enumerate(lists):
        remembered.put(number, f"digest {number}", each)
        assert remembered.get(0, "digest 0") is (lists[0] if number < 3 else None)
    assert remembered.get(1, "digest 1") is None
    assert remembered.get(2, "digest 2") is lists[2]
    assert remembered.get(2, "another") is None
