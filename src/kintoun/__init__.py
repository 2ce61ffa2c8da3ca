"""Kintoun: a JSON store that syncs, speaking Kinto's HTTP protocol."""

import sys

__version__ = "0.1.0"
SOURCE = "https://github.com/kintoun/kintoun"


def _import_structlog() -> None:
    """Import structlog as if rich were not there.

    It would take rich along for tracebacks that are not asked for here, which costs every worker 5 MB and a
    tenth of a second. Commands that show progress import rich themselves.
    """
    there = "rich" in sys.modules
    if not there:
        sys.modules["rich"] = None  # type: ignore[assignment]
    try:
        import structlog  # noqa: F401
    finally:
        if not there:
            del sys.modules["rich"]


_import_structlog()
