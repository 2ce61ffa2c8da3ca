"""Writes `docs/differences.md` from the table of differences: `python -m tests.compat.document`."""

from __future__ import annotations

from pathlib import Path

from tests.compat.differences import DIFFERENCES, Difference

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "differences.md"

HEAD = """\
# Differences from Kinto

Kintoun speaks the protocol of Kinto 26.5. The tests send the same requests to both, on both of our engines,
and compare statuses, errors, bodies, the order of lists and headers. What follows is all that may differ:
every entry is a test that fails when either server behaves otherwise. What both have in common is told in
[the HTTP API](reference/http-api.md); section numbers are those by which the code refers to the protocol.
How review and signing differ from the plugin that does them there is told
[with that feature](reference/signing.md#differences).
"""

FOOT = """
<!-- Made from tests/compat/differences.py by `python -m tests.compat.document`, held together by a test. -->
"""


def document() -> str:
    """The text of the page."""
    return HEAD + "".join(_entry(entry) for entry in DIFFERENCES) + FOOT


def _entry(entry: Difference) -> str:
    return f"""
## {entry.name}

Section {entry.section}

- **Kinto**: {entry.kinto}
- **Kintoun**: {entry.ours}
- **Why**: {entry.reason}
"""


if __name__ == "__main__":
    DOCUMENT.write_text(document(), encoding="utf-8")
