"""Where tokens may be sent: URLs that match a pattern of the settings (protocol section 9.4).

What browsers and parsers read differently is refused, so that what was compared is where the browser goes.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple
from urllib.parse import unquote

LOCAL = ("http://localhost:*/*", "http://127.0.0.1:*/*")
"""What is trusted unless the settings say otherwise: programs on the user's own machine."""

MAX_LENGTH = 2048

_PORTS = {"http": "80", "https": "443"}
_VISIBLE = re.compile(r"[!-\[\]-~]+")  # printable ASCII but the backslash, which browsers read as a slash
_URL = re.compile(
    r"(?P<scheme>https?)://(?P<host>\[[0-9a-f:.]+\]|[a-z0-9.*-]+)(?::(?P<port>[0-9*]*))?(?P<rest>[/?#].*)?",
    re.ASCII | re.IGNORECASE,
)


class _Parts(NamedTuple):
    scheme: str
    host: str
    port: str
    rest: str


def _split(url: str) -> _Parts | None:
    """A URL taken apart; None when it is none, or one that can be read in two ways."""
    if len(url) > MAX_LENGTH or not _VISIBLE.fullmatch(url):
        return None
    found = _URL.fullmatch(url)
    if found is None:
        return None
    scheme = found["scheme"].lower()
    rest = found["rest"] or "/"
    path = unquote(re.split("[?#]", rest, maxsplit=1)[0]).replace("\\", "/")
    if any(segment in (".", "..") for segment in path.split("/")):
        return None
    return _Parts(scheme, found["host"].lower(), found["port"] or _PORTS[scheme], rest)


def normal(url: str) -> str | None:
    """A URL to which text can be appended without changing whose it is; None when it is no callback."""
    parts = _split(url)
    if parts is None or "*" in parts.host or "*" in parts.port or len(parts.port) > 5:
        return None
    # Text after a bare host would become part of its name.
    return url if _URL.fullmatch(url)["rest"] else url + "/"  # type: ignore[index]


def is_pattern(url: str) -> bool:
    """Whether this can be a pattern of the settings."""
    return _split(url) is not None


def is_trusted(callback: str, patterns: Iterable[str]) -> bool:
    """Whether a callback matches one of the patterns, part by part."""
    if normal(callback) is None:
        return False
    given = _split(callback)
    for pattern in patterns:
        wanted = _split(pattern)
        if given is not None and wanted is not None and all(map(_matches, given, wanted)):
            return True
    return False


def _matches(text: str, pattern: str) -> bool:
    """Whether `pattern` describes the whole text; `*` stands for any characters, also none."""
    first, *others = pattern.split("*")
    if not others:
        return text == pattern
    *middle, last = others
    end = len(text) - len(last)
    if not (text.startswith(first) and text.endswith(last) and end >= len(first)):
        return False
    place = len(first)
    for part in middle:
        found = text.find(part, place, end)
        if found < 0:
            return False
        place = found + len(part)
    return True
