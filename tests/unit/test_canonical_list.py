"""A canonical list is the same, however it came to hold what it holds."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kintoun.features.signing import canonical_list
from kintoun.features.signing.canonical_list import CanonicalList
from kintoun.features.signing.holding import Known, Remembered
from kintoun.model.canonical import envelope
from kintoun.signatures.message import PREFIX

names = st.text("abcXYZ019_-", min_size=1, max_size=3)
fragments = st.integers(0, 10**6).map('{{"n":{}}}'.format)
changes = st.dictionaries(names, fragments | st.none(), max_size=12)


@pytest.fixture(autouse=True, scope="module")
def small_blocks() -> object:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(canonical_list, "MOST", 4)
        patched.setattr(canonical_list, "SAMPLED", 1)
        yield


def signed(records: Mapping[str, str], timestamp: int = 7) -> bytes:
    return envelope((records[name].encode() for name in sorted(records)), timestamp)


@given(st.dictionaries(names, fragments), st.lists(changes, max_size=6), st.booleans())
def test_changes_lead_to_what_is_signed(
    first: dict[str, str], steps: list[dict[str, str | None]], hashed: bool
) -> None:
    """Whether or not the lists in between were hashed too, of which the states are used."""
    held, records = CanonicalList.of(first), first
    for step in steps:
        before = bytes(held.message(7))
        changed = held.changed(step)
        assert bytes(held.message(7)) == before, "a list that is remembered stays as it is"
        records = {name: each for name, each in {**records, **step}.items() if each is not None}
        held = changed
        if hashed:
            assert held.message(8).name == hashlib.sha256(signed(records, 8)).hexdigest()
            assert held.message(9).digest == hashlib.sha384(PREFIX + signed(records, 9)).digest()
    assert bytes(held.message(7)) == signed(records)
    assert held.message(7).name == CanonicalList.of(records).message(7).name
    assert held.message(7).digest == CanonicalList.of(records).message(7).digest
    assert len(held) == len(records)
    assert held.gap() is None


@given(st.dictionaries(names, fragments, min_size=1), names)
def test_what_cannot_be_signed_is_named(records: dict[str, str], name: str) -> None:
    held = CanonicalList.of(records).changed({name: ""})
    assert held.gap() == name
    assert held.changed({name: None}).gap() is None


def test_there_is_room_for_those_that_were_used_last() -> None:
    lists = [CanonicalList.of({f"r{n}": "{}" for n in range(10)}) for _ in range(3)]
    remembered = Remembered(2 * lists[0].memory)
    for number, each in enumerate(lists):
        assert remembered.has_room(lists[0].memory) is (number < 2)
        remembered.put(number, Known(f"digest {number}", 7, each))
        found = remembered.get(0)
        assert found is not None
        assert found.records is lists[0]
    assert remembered.get(1) is None
    remembered.put(2, Known("another", 8, lists[2]))
    assert remembered.get(2) == Known("another", 8, lists[2])
    assert remembered.get(0) is not None, "what takes another's place takes no more room"
