"""What a client accepts."""

from __future__ import annotations

import pytest

from kintoun.http.negotiation import accepts


@pytest.mark.parametrize(
    ("accepted", "taken"),
    [
        ("application/json", True),
        ("APPLICATION/JSON;charset=utf-8", True),
        ("application/*;q=0.001", True),
        ("text/html, */*;q=0.8", True),
        ("*/*;q=0, application/json", True),
        ("application/*;q=0, application/json;v=1;q=0.5", True),
        ("text/html", False),
        ("application/json;q=0", False),
        ("*/*, application/json; q=0.0", False),
        ("*/*, application/*;q=0", False),
        ("application/json-patch+json", False),
        ("application/json;q=often", False),
    ],
)
def test_the_most_specific_range_says_whether_json_is_taken(accepted: str, taken: bool) -> None:
    assert accepts(accepted, "application/json") is taken
