"""What the query string of a changeset says (signing sections 10.3 and 10.4)."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Literal, NamedTuple
from urllib.parse import urlencode

from kintoun.http.requests import Request
from kintoun.model.errors import Detail, InvalidParameters
from kintoun.model.parameters import CACHED_LENGTH, split_query

LATEST = 4_102_444_800_000
"""The year 2100: no `_since` is later."""

MOST = 2**63
"""No `_limit` is larger."""

Life = Literal["default", "minimum", "maximum"]
"""For how long an answer may be kept by others: see `lifetimes`."""

_NUMBER = re.compile(r"[+-]?[0-9]{1,30}", re.ASCII)
_KNOWN = frozenset(("_expected", "_since", "_limit", "bucket", "collection"))


class Asked(NamedTuple):
    """A request for a changeset.

    `expected` is what the client believes to be the newest timestamp: it is part of the name that caches know
    the answer by, and says nothing about the answer itself. `since` is in milliseconds.
    """

    expected: str
    since: int | None
    limit: int | None
    bucket: str | None
    collection: str | None

    @property
    def life(self) -> Life:
        """Whoever names a version may keep it for long; 0, and the numbers that testers use, name none."""
        return life_of(self.expected)

    @property
    def quoted(self) -> bool:
        """Whether the expected timestamp came with quotation marks, as push messages bring it."""
        return self.expected.startswith('"') or self.expected.endswith('"')

    @property
    def behind(self) -> bool:
        """Whether the client has more than it expects there to be."""
        expected = self.expected
        known = self.since is not None and expected.isascii() and expected.isdigit() and len(expected) < 20
        return known and 0 < int(expected) < (self.since or 0)


def life_of(expected: str | None) -> Life:
    """For how long an answer may be kept, by the `_expected` of its request."""
    if expected is None:
        return "default"
    return "minimum" if expected == "0" or expected.startswith("9999") else "maximum"


def parse_changeset_query(raw: bytes) -> Asked:
    """The changeset that a raw query string asks for. Raises ProtocolError with all that is wrong with it."""
    return _parse_short(raw) if len(raw) <= CACHED_LENGTH else _parse(raw)


def _parse(raw: bytes) -> Asked:
    given: dict[str, str] = {}
    wrong: list[Detail] = []
    for name, value in split_query(raw):
        if name not in _KNOWN:
            continue
        if name in given:
            wrong.append(Detail("querystring", name, f"{name} is given more than once"))
        given[name] = value
    expected = given.get("_expected", "")
    if not expected:
        wrong.append(Detail("querystring", "_expected", "Required"))
    asked = Asked(
        expected,
        since_of(given.get("_since", ""), wrong),
        _limit(given.get("_limit", ""), wrong),
        given.get("bucket") or None,
        given.get("collection") or None,
    )
    if wrong:
        raise InvalidParameters(*wrong)
    return asked


_parse_short = lru_cache(maxsize=2048)(_parse)


def since_of(text: str, wrong: list[Detail]) -> int | None:
    """The time of `_since`, with or without quotation marks; what is wrong with it is added to `wrong`."""
    if not text:
        return None
    bare = text[1:-1] if len(text) > 1 and text[0] == text[-1] == '"' else text
    if not _NUMBER.fullmatch(bare):
        wrong.append(Detail("querystring", "_since", "The value should be integer between double quotes."))
        return None
    return _within("_since", int(bare), LATEST, wrong)


def _limit(text: str, wrong: list[Detail]) -> int | None:
    if not text:
        return None
    if not _NUMBER.fullmatch(text):
        wrong.append(Detail("querystring", "_limit", f'"{text}" is not a number'))
        return None
    return _within("_limit", int(text), MOST, wrong)


def _within(name: str, number: int, most: int, wrong: list[Detail]) -> int | None:
    if number < 0:
        wrong.append(Detail("querystring", name, f"{number} is less than minimum value 0"))
        return None
    if number > most:
        wrong.append(Detail("querystring", name, f"{number} is greater than maximum value {most}"))
        return None
    return number


def changed_query(request: Request, name: str, value: str | None) -> bytes:
    """The query string of a request with another value of a parameter; None: without it."""
    pairs = []
    for pair in split_query(request.query):
        if pair[0] != name:
            pairs.append(pair)
        elif value is not None:
            pairs.append((name, value))
    return urlencode(pairs).encode()
