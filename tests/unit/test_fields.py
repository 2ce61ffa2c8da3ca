"""The selection of fields: what every row of protocol section 4.7 says."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kintoun.model.errors import InvalidParameters
from kintoun.model.fields import Fields, parse_fields

OBJECT = {
    "id": "x",
    "last_modified": 7,
    "f": {"k": 1, "j": {"z": 2, "y": 3}},
    "g": [{"k": 1}],
    "h": 5,
    "n": None,
    "d.k": 3,
    "o": {"p.q": 1},
}


def select(value: str, obj: dict[str, Any] = OBJECT) -> dict[str, Any]:
    fields = parse_fields(value, 100)
    assert fields is not None
    return fields.apply(obj)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("f", {"f": OBJECT["f"]}),
        ("f.k", {"f": {"k": 1}}),
        ("f.zz", {"f": {}}),
        ("f.j.z", {"f": {"j": {"z": 2}}}),
        ("f.k,f.j.z", {"f": {"k": 1, "j": {"z": 2}}}),
        ("f,f.k", {"f": OBJECT["f"]}),
        ("f.k,f", {"f": OBJECT["f"]}),
        ("f.k,f.k", {"f": {"k": 1}}),
        ("f.j,f.j.z", {"f": {"j": {"z": 2, "y": 3}}}),
        ("f.j.z,f.j", {"f": {"j": {"z": 2, "y": 3}}}),
        ("g.k", {"g": [{"k": 1}]}),
        ("h.k", {"h": 5}),
        ("n.k", {"n": None}),
        ("f.k.z", {"f": {"k": 1}}),
        ("d.k", {}),
        ("o.p.q", {"o": {}}),
        ("o.p", {"o": {}}),
        ("f.", {"f": {}}),
        ("f..k", {"f": {}}),
        (" f", {}),
        ("f , h", {}),
        (".", {}),
        ("zz,h", {"h": 5}),
        ("id", {}),
        ("id.x,last_modified.y", {}),
    ],
)
def test_what_is_selected(value: str, expected: dict[str, Any]) -> None:
    assert select(value) == {"id": "x", "last_modified": 7, **expected}


def test_tombstones_lose_their_flag_unless_it_is_selected() -> None:
    tombstone = {"id": "x", "last_modified": 7, "deleted": True}
    assert select("f", tombstone) == {"id": "x", "last_modified": 7}
    assert select("deleted", tombstone) == tombstone


def test_nothing_selected_is_no_selection() -> None:
    assert parse_fields("", 100) is None
    assert parse_fields(",,", 100) is None
    assert parse_fields(",h,,f,", 2) == Fields(("h", "f"))


def test_fields_of_a_fixed_schema() -> None:
    known = frozenset({"uri", "target"})
    Fields(("uri", "target.data.x", "id", "last_modified")).check(known)
    with pytest.raises(InvalidParameters) as caught:
        Fields(("uri", "foo", "bar.baz", "foo.x")).check(known)
    detail = ("body", "Invalid _fields parameter", "Fields foo,bar do not exist")
    assert caught.value.details == [dict(zip(("location", "name", "description"), detail, strict=True))]


def test_limits() -> None:
    assert parse_fields(",".join("abc"), 3) is not None
    with pytest.raises(InvalidParameters, match="At most 3 fields"):
        parse_fields(",".join("abcd"), 3)
    with pytest.raises(InvalidParameters, match="at most 64 dots"):
        parse_fields("a" + ".a" * 65, 3)
    deep: dict[str, Any] = {"a": 1}
    for _ in range(64):
        deep = {"a": deep}
    assert select("a" + ".a" * 64, deep) == deep


json_objects = st.recursive(
    st.one_of(st.none(), st.integers(), st.text(max_size=2)),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=8,
)


@given(
    st.dictionaries(st.sampled_from("abc"), json_objects),
    st.lists(st.lists(st.sampled_from("abcd"), min_size=1, max_size=3).map(".".join), min_size=1, max_size=4),
)
def test_a_selection_is_a_part_of_the_object(obj: dict[str, Any], names: list[str]) -> None:
    fields = Fields(tuple(names))
    once = fields.apply(obj)
    assert fields.apply(once) == once
    assert is_part(once, obj)
    for name in names:
        assert found(once, name) == found(obj, name)


def is_part(part: Any, whole: Any) -> bool:
    if isinstance(part, dict):
        return all(key in whole and is_part(value, whole[key]) for key, value in part.items())
    return bool(part == whole)


def found(obj: Any, name: str) -> Any:
    for key in name.split("."):
        if not isinstance(obj, dict) or key not in obj:
            return None
        obj = obj[key]
    return obj
