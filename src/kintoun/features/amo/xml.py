"""The few things of XML that a blocklist needs, written as `libxml2` writes them: to the byte."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

DECLARATION = "<?xml version='1.0' encoding='UTF-8'?>\n"

_TEXT = {"&": "&amp;", "<": "&lt;", ">": "&gt;", "\r": "&#13;"}
_ATTRIBUTE = {**_TEXT, '"': "&quot;", "\t": "&#9;", "\n": "&#10;"}
_IN_TEXT = re.compile("[&<>\r]")
_IN_ATTRIBUTE = re.compile('[&<>"\t\n\r]')

# What XML has no way to write.
_FORBIDDEN = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")

INDENT = "  "

Lines = Iterable[str]


def attribute(value: object) -> str:
    """The value of an attribute, escaped."""
    return _IN_ATTRIBUTE.sub(lambda match: _ATTRIBUTE[match[0]], _FORBIDDEN.sub("", str(value)))


def text(value: object) -> str:
    """The text of an element, escaped."""
    return _IN_TEXT.sub(lambda match: _TEXT[match[0]], _FORBIDDEN.sub("", str(value)))


def element(name: str, attributes: Mapping[str, object], children: Lines = ()) -> list[str]:
    """The lines of an element with elements in it, if there are any."""
    head = name + "".join(f' {key}="{attribute(value)}"' for key, value in attributes.items())
    inner = [INDENT + line for line in children]
    return [f"<{head}>", *inner, f"</{name}>"] if inner else [f"<{head}/>"]


def leaf(name: str, value: object) -> str:
    """The line of an element with text in it."""
    written = text(value)
    return f"<{name}>{written}</{name}>" if written else f"<{name}/>"
