"""The table of differences is a table, and the page that is made from it is current."""

from __future__ import annotations

from tests.compat.differences import DIFFERENCES
from tests.compat.document import DOCUMENT, document


def test_the_page_is_current() -> None:
    assert DOCUMENT.read_text(encoding="utf-8") == document(), "run `python -m tests.compat.document`"


def test_names_are_unique_and_everything_is_said() -> None:
    names = [entry.name for entry in DIFFERENCES]
    assert len(names) == len(set(names))
    for entry in DIFFERENCES:
        assert all((entry.section, entry.kinto, entry.ours, entry.reason)), entry.name
