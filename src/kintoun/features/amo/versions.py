"""The versions of applications as the blocklist compares them: each is a number."""

from __future__ import annotations

import re

LARGEST = 2**63 - 1
LONGEST = 64
"""Characters of a version that are looked at."""

_NUMBER = r"([0-9]+|\*)"
_VERSION = re.compile(
    rf"{_NUMBER}(?:\.?{_NUMBER})?(?:\.?{_NUMBER})?(?:\.?{_NUMBER})?\.?"
    r"([ab])?([0-9]*)(pre)?([0-9]*)"
)
_ALPHA = {"a": 0, "b": 1, None: 2}
STAR = 99


def version_number(text: object) -> int:
    """The number of a version such as `3.7a1pre` or `3.6.*`; 0 for what is none.

    Up to four numbers, then alpha or beta, then a pre-release: what comes before the next lower one weighs
    more. A star is 99.
    """
    match = _VERSION.match(text[:LONGEST]) if isinstance(text, str) else None
    if match is None:
        return 0
    major, *minors = (_part(number) for number in match.groups()[:4])
    alpha, alpha_number, pre, pre_number = match.groups()[4:]
    digits = "".join(
        (
            str(major),
            *(f"{minor:02d}" for minor in minors),
            str(_ALPHA[alpha]),
            f"{int(alpha_number or 0):02d}",
            "0" if pre else "1",
            f"{int(pre_number or 0):02d}",
        )
    )
    return min(int(digits), LARGEST)


def _part(number: str | None) -> int:
    if number is None:
        return 0
    return STAR if number == "*" else int(number)
