"""Texts with placeholders, as `{user_id} changed {uri}`."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

LONGEST_VALUE = 2_000
LONGEST_TEXT = 100_000
"""Characters of one value, and of the whole text: what is beyond is cut off."""

_PLACEHOLDER = re.compile(r"\{\{|\}\}|\{([^{}]*)\}")


def _as_it_is(value: str) -> str:
    return value


def rendered(template: str, values: Mapping[str, object], escape: Callable[[str], str] = _as_it_is) -> str:
    """The text of a template. `{{` and `}}` are braces; an unknown placeholder is empty.

    A placeholder is a name and nothing else: what follows a `!` or a `:` in it is ignored.
    """

    def replaced(match: re.Match[str]) -> str:
        name = match[1]
        if name is None:
            return match[0][0]
        value = values.get(re.split("[!:]", name, maxsplit=1)[0], "")
        return escape(str(value if value is not None else "")[:LONGEST_VALUE])

    return _PLACEHOLDER.sub(replaced, template)[:LONGEST_TEXT]
