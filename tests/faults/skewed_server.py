"""The server with a wall clock that a file shifts: ``KINTOUN_TEST_SKEW`` names it, it holds seconds."""

from __future__ import annotations

import os
from pathlib import Path

from kintoun.model import timestamps

_FILE = Path(os.environ["KINTOUN_TEST_SKEW"])
_true_now = timestamps.now


def _now() -> int:
    return _true_now() + 1000 * int(_FILE.read_text())


# At import, not under the guard: worker processes import this module again.
timestamps.now = _now

if __name__ == "__main__":
    from kintoun.cli import main

    main()
