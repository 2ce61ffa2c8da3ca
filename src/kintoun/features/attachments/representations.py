"""The forms in which a file can be sent, and which of them a client is sent."""

from __future__ import annotations

import binascii
import re
from base64 import b64decode
from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import quote

from kintoun.files import Location
from kintoun.http.negotiation import preferred

DICTIONARY_CODING = "dcz"
"""Zstandard with an earlier version as dictionary (RFC 9842)."""

CODINGS = ("br", "zstd", "gzip")
"""The encodings that files are kept in, the smallest first."""

OCTETS = "application/octet-stream"

SHOWN = frozenset(
    (
        "image/avif",
        "image/gif",
        "image/jpeg",
        "image/png",
        "image/webp",
        "text/plain",
    )
)
"""The media types that a browser may show; everything else it is told to save."""

_MEDIA_TYPE = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,127}/[!#$%&'*+.^_`|~0-9A-Za-z-]{1,127}")
_SCRIPT = re.compile(r"(?:text|application)/(?:x-)?(?:java|ecma|live|j)script[0-9.]*", re.IGNORECASE)

# A name that is made anew for each upload never comes to stand for anything else: it has a UUID, a digest or
# a time in it.
_NEVER_AGAIN = re.compile(
    r"[0-9a-f]{32}|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}|(?:^|/)[0-9]{14}-", re.IGNORECASE
)


class Representation(NamedTuple):
    """One form of a file: the key of its bytes, how many they are, and the encoding they are in."""

    key: str
    size: int
    coding: str | None
    tag: str


def plain(location: Location) -> Representation:
    """A file as it was uploaded."""
    return Representation(location.key, location.size, None, f'"{location.sha256}"')


def representations(location: Location) -> list[Representation]:
    """All forms of a file but those that need a dictionary."""
    kept = {each.coding: each for each in location.variants if not each.source}
    encoded = [
        Representation(each.key, each.size, coding, f'"{location.sha256}-{coding}"')
        for coding in CODINGS
        if (each := kept.get(coding)) is not None
    ]
    return [plain(location), *encoded]


def chosen(location: Location, headers: Mapping[str, str]) -> Representation:
    """The form of a file that a client is sent.

    Whoever asks for a part is sent a part of what was uploaded, or of the form that it has a part of already.
    """
    forms = representations(location)
    if "range" in headers:
        before = headers.get("if-range")
        return next((form for form in forms if form.tag == before), forms[0])
    accepted = headers.get("accept-encoding", "")
    with_dictionary = _with_dictionary(location, headers, accepted)
    if with_dictionary is not None:
        return with_dictionary
    by_coding = {form.coding: form for form in forms}
    return by_coding[preferred(accepted, [form.coding for form in forms if form.coding is not None])]


def _with_dictionary(location: Location, headers: Mapping[str, str], accepted: str) -> Representation | None:
    """The form that needs the dictionary which a client says to have (RFC 9842, section 2.2)."""
    dictionary = headers.get("available-dictionary")
    if dictionary is None or preferred(accepted, (DICTIONARY_CODING,)) is None:
        return None
    source = _digest(dictionary)
    for each in location.variants:
        if each.coding == DICTIONARY_CODING and each.source == source:
            tag = f'"{location.sha256}-{DICTIONARY_CODING}-{source[:16]}"'
            return Representation(each.key, each.size, DICTIONARY_CODING, tag)
    return None


def _digest(dictionary: str) -> str:
    """The hexadecimal digest in `:<base64>:`; empty for what is none."""
    text = dictionary.strip()
    if len(text) < 2 or not (text.startswith(":") and text.endswith(":")):
        return ""
    try:
        return b64decode(text[1:-1], validate=True).hex()
    except (binascii.Error, ValueError):
        return ""


def media_type(location: Location) -> str:
    """The type that a file is sent with: never one by which it could become a page's script."""
    declared = location.mimetype
    return OCTETS if _MEDIA_TYPE.fullmatch(declared) is None or _SCRIPT.fullmatch(declared) else declared


def disposition(location: Location) -> str:
    """`Content-Disposition`: whether a file may be shown, and the name to save it under."""
    name = re.split(r"[/\\]", location.filename)[-1]
    name = "".join(char for char in name if char.isprintable())[:255] or "file"
    ascii_name = re.sub(r'[^\x20-\x7e]|["\\%]', "_", name)
    how = "inline" if media_type(location) in SHOWN else "attachment"
    encoded = "" if ascii_name == name else f"; filename*=UTF-8''{quote(name, safe='')}"
    return f'{how}; filename="{ascii_name}"{encoded}'


def never_changes(location: Location) -> bool:
    """Whether a location stands for the same content for ever."""
    return bool(location.bucket) and _NEVER_AGAIN.search(location.location) is not None
