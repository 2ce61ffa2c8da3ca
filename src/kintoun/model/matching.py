"""Matching a value against what a client wrote: a text, or a regular expression in bounded time."""

from __future__ import annotations

from functools import lru_cache

import jsonschema_rs as rs

MAX_PATTERN = 500
"""Characters of a pattern."""

_BACKTRACKS = 1000
_MAX_REGEX_BYTES = 1 << 20


def pattern_error(pattern: str) -> str | None:
    """What is wrong with a pattern, if anything."""
    if len(pattern) > MAX_PATTERN:
        return f"longer than {MAX_PATTERN} characters"
    if not pattern.startswith("^"):
        return None
    try:
        _compiled(pattern)
    except ValueError:
        return "not a regular expression"
    return None


def matches(pattern: str, value: str) -> bool:
    """Whether a value is the pattern, or matches it from its start when the pattern begins with `^`.

    A pattern that cannot be used, or takes too long, matches nothing.
    """
    if not pattern.startswith("^"):
        return pattern == value
    try:
        return _compiled(pattern).is_valid(value)
    except ValueError:
        return False


@lru_cache(maxsize=256)
def _compiled(pattern: str) -> rs.Draft7Validator:
    """The pattern, to be matched in linear time where that is possible, else within a limit of backtracks."""
    schema = {"pattern": f"^(?:{pattern})"}
    linear = rs.RegexOptions(size_limit=_MAX_REGEX_BYTES, dfa_size_limit=_MAX_REGEX_BYTES)
    try:
        return rs.Draft7Validator(schema, pattern_options=linear)
    except ValueError:
        bounded = rs.FancyRegexOptions(
            backtrack_limit=_BACKTRACKS, size_limit=_MAX_REGEX_BYTES, dfa_size_limit=_MAX_REGEX_BYTES
        )
        return rs.Draft7Validator(schema, pattern_options=bounded)
