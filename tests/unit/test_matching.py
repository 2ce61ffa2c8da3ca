"""What clients write to pick and to word messages: it means what it says, and never costs much."""

from __future__ import annotations

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kintoun.model.matching import matches, pattern_error
from kintoun.outbox.templates import LONGEST_TEXT, LONGEST_VALUE, rendered


@pytest.mark.parametrize(
    ("pattern", "value", "expected"),
    [
        ("record", "record", True),
        ("record", "records", False),
        ("rec.rd", "record", False),
        ("^rec", "record", True),
        ("^cord", "record", False),
        ("^a|b", "b", True),
        ("^a|b", "xb", False),
        ("^(?!normandy-recipes$)", "normandy-recipes", False),
        ("^(?!normandy-recipes$)", "normandy-recipes-all", True),
        ("^(?!normandy-recipes$)", "some-normandy-recipes", True),
        ("^", "", True),
        ("^(", "(", False),
    ],
)
def test_a_filter_is_a_text_or_a_pattern(pattern: str, value: str, expected: bool) -> None:
    assert matches(pattern, value) is expected


@pytest.mark.parametrize("pattern", [r"^(a+)+$", r"^(a|aa)+$", r"^(?!x)(a*)*\1$", r"^(a{1,100}){1,100}b"])
def test_a_pattern_that_could_take_for_ever_does_not(pattern: str) -> None:
    matches(pattern, "a" * 512 + "!")


@pytest.mark.parametrize(
    ("pattern", "wrong"), [("^(", "not a regular"), ("^" + "a" * 500, "longer than 500")]
)
def test_what_is_no_pattern(pattern: str, wrong: str) -> None:
    error = pattern_error(pattern)
    assert error is not None
    assert wrong in error


VALUES = {"uri": "/buckets/b", "settings[project_name]": "Kinto", "n": 3, "nothing": None}


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("plain", "plain"),
        ("{uri} {n}", "/buckets/b 3"),
        ("{settings[project_name]}", "Kinto"),
        ("{settings[secret]}|{unknown}|{nothing}|{}", "|||"),
        ("{{uri}} {{{n}}}", "{uri} {3}"),
        ("{uri.__class__}{uri!r}{n:>1000000000}{uri:{n}}", "/buckets/b3{uri:3}"),
        ("{ } } {", " } {"),
    ],
)
def test_placeholders(template: str, text: str) -> None:
    assert rendered(template, VALUES) == text


@given(st.text(alphabet="{}[]!:.%" + string.ascii_letters, max_size=60), st.text())
def test_no_template_reaches_beyond_its_values(template: str, value: str) -> None:
    text = rendered(template, {"a": value, "b": "x" * 10_000})
    assert len(text) <= len(template) * LONGEST_VALUE
    assert "object at" not in text


def test_texts_are_bounded() -> None:
    assert len(rendered("{a}" * 1000, {"a": "x" * 10_000})) == LONGEST_TEXT
