"""What the tests of the query language share."""

from __future__ import annotations

from typing import Any

import pytest

from kintoun.model.errors import InvalidParameters
from kintoun.model.query import (
    Filter,
    Query,
    parse_query,
    split_query,
)

NOW = 1795416981260
DAY = 24 * 3600 * 1000


def parse(query: str, **more: Any) -> Query:
    return parse_query(split_query(query.encode()), now_ms=NOW, **more)


def only_filter(query: str) -> Filter:
    (filter_,) = parse(query).filters
    return filter_


def broken(query: str, **more: Any) -> list[tuple[str | None, str]]:
    """The names and descriptions of what is wrong."""
    with pytest.raises(InvalidParameters) as caught:
        parse(query, **more)
    assert caught.value.status == 400
    assert caught.value.errno == 107
    return [(detail["name"], detail["description"]) for detail in caught.value.details]
