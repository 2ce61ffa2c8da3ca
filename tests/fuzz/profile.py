"""How long the fuzzing goes on: a short form with every run of the tests, a long one with `make fuzz`."""

from __future__ import annotations

import os

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "0"))
"""Examples of every property in the long form; 0 for those that each property sets."""


def examples(short: int, long: int) -> tuple[int, int]:
    """How many examples the two forms of a property have."""
    return short, EXAMPLES or long
