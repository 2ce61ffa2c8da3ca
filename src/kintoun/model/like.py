"""What `like_` means (protocol section 4.4): a part of a text, case aside, with `*` for any characters.

A character of the operand stands for itself and for its upper and lower case, where these are one character.
The folding depends on the operand alone, so that every engine can do it without knowing any locale.
"""

from __future__ import annotations

import string
from functools import lru_cache

_ESCAPES = str.maketrans({char: f"\\{char}" for char in "\\%_"})
_ASCII = str.maketrans(string.ascii_uppercase, string.ascii_lowercase)


@lru_cache(maxsize=256)
def folding(operand: str) -> dict[int, int]:
    """Which characters beyond ASCII to replace in a text, so that only ASCII's case is left to ignore."""
    groups: list[set[str]] = []
    for char in dict.fromkeys(operand):
        if char.isascii():
            continue
        forms = {form for form in (char, char.lower(), char.upper()) if len(form) == 1}
        forms |= {form.lower() for form in forms if form.isascii()}
        for group in [group for group in groups if group & forms]:
            groups.remove(group)
            forms |= group
        if len(forms) > 1:
            groups.append(forms)
    # The lowest code point stands for all: an ASCII letter, if there is one, in whichever case.
    table = {ord(form): ord(min(group)) for group in groups for form in group if not form.isascii()}
    return {form: folded for form, folded in table.items() if form != folded}


def segments(operand: str) -> list[str]:
    """The literal parts between the `*`. Without any `*` there is one on either side."""
    parts = operand.split("*")
    return parts if len(parts) > 1 else ["", operand, ""]


def pattern(operand: str) -> str:
    r"""The operand, folded, as a pattern for SQL's LIKE with the escape character `\`."""
    return "%".join(segments(operand.translate(folding(operand)).translate(_ESCAPES)))


def is_like(text: str, operand: str) -> bool:
    """Whether a text matches the operand. Takes time in proportion to both lengths, whatever the operand."""
    table = _ASCII | folding(operand)
    # Twice, because a folded character may be an upper-case one.
    text = text.translate(table).translate(_ASCII)
    first, *middle, last = segments(operand.translate(table).translate(_ASCII))
    if len(text) < len(first) + len(last) or not text.startswith(first) or not text.endswith(last):
        return False
    position, end = len(first), len(text) - len(last)
    for part in middle:
        found = text.find(part, position, end)
        if found < 0:
            return False
        position = found + len(part)
    return True
