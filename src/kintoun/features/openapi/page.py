"""The page that shows the document: one answer, with everything in it and nothing from elsewhere."""

from __future__ import annotations

from base64 import b64encode
from hashlib import sha256
from importlib.resources import files


def _source(name: str) -> str:
    return (files("kintoun.features.openapi") / "browser" / name).read_text(encoding="utf-8")


def _digest(text: str) -> str:
    return f"'sha256-{b64encode(sha256(text.encode()).digest()).decode()}'"


_STYLE, _SCRIPT = _source("page.css"), _source("page.js")

PAGE = _source("page.html").replace("/*STYLE*/", _STYLE).replace("/*SCRIPT*/", _SCRIPT).encode()
"""The page."""

POLICY = (
    f"default-src 'none'; style-src {_digest(_STYLE)}; script-src {_digest(_SCRIPT)}; connect-src 'self';"
    " base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""What the page may do: run its own script and style, known by their digests, and fetch the document."""
