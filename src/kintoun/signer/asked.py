"""What callers ask to have signed, taken apart and held to the rules before anything is signed."""

from __future__ import annotations

import re
from binascii import Error, a2b_base64
from typing import NamedTuple

import msgspec

from kintoun.signatures.content_signature import DIGESTS

LEAST_BODY = 10
LEAST_DATA = 10
_FOREIGN = re.compile(rb"[^A-Za-z0-9+/=]")


class Refused(Exception):
    """A request that is answered with an error: a status and a sentence."""

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status


class Asked(NamedTuple):
    """One signature that is asked for; without `key` it is the caller's first that signs."""

    data: bytes
    key: str


class _Element(msgspec.Struct):
    input: str | None = None
    keyid: str = ""


def read(body: bytes, most: int, *, digests: bool) -> list[Asked]:
    """The signatures that a body asks for, `most` of them at most. Raises Refused."""
    if len(body) < LEAST_BODY:
        raise Refused(400, "empty or invalid request request body")
    try:
        elements = msgspec.json.decode(body, type=list[_Element])
    except (msgspec.DecodeError, RecursionError) as error:
        raise Refused(400, f"failed to parse request body: {error}") from error
    if not elements:
        raise Refused(400, "failed to parse request body: it asks for no signature")
    if len(elements) > most:
        raise Refused(400, f"failed to parse request body: more than {most} signatures are asked for")
    return [_asked(n, element, digests) for n, element in enumerate(elements)]


def _asked(n: int, element: _Element, digests: bool) -> Asked:
    if not element.input:
        raise Refused(400, f"missing input in signature request {n}")
    data = _decoded(element.input)
    if digests and len(data) not in DIGESTS:
        sizes = " or ".join(map(str, DIGESTS))
        raise Refused(400, f"signature request {n}: a digest has {sizes} bytes, input has {len(data)}")
    if len(data) < LEAST_DATA:
        raise Refused(400, f"signature request {n}: input has {len(data)} bytes, the least is {LEAST_DATA}")
    return Asked(data, element.keyid)


def _decoded(text: str) -> bytes:
    raw = text.encode()
    try:
        return a2b_base64(raw, strict_mode=True)
    except Error:
        foreign = _FOREIGN.search(raw)
        at = foreign.start() if foreign else len(raw)
        raise Refused(400, f"illegal base64 data at input byte {at}") from None
