"""The tokens of paginated lists: where the next page begins, in which snapshot (protocol section 4.6).

A token is opaque to clients: base64url of a tag and a JSON array. The tag binds it to what was asked (the
list, its filters, its order) and, when the server has a key, to this server: a token that was made up, or
that belongs to another list or query, is refused as a whole.
"""

from __future__ import annotations

import hmac
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Sequence
from hashlib import blake2b
from typing import Any, NamedTuple

import msgspec

from kintoun.model import json, timestamps
from kintoun.model.errors import InvalidParameters, invalid
from kintoun.model.ordering import MISSING

TAG_BYTES = 16
MAX_CONTENT = 8192
"""Bytes of JSON in a token. Longer URLs do not pass the proxies of the field."""

MAX_TEXT = (TAG_BYTES + MAX_CONTENT) * 4 // 3 + 4
"""Characters of a token."""
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(tuple[int, str | None, list[list[Any]]]).decode


def invalid_token() -> InvalidParameters:
    """The error for a token that cannot be used."""
    return invalid("querystring", None, "_token has invalid content")


class Token(NamedTuple):
    """The position after a page.

    `values` are those of the sort fields of the page's last object, MISSING where it lacks one. `etag` is the
    list's timestamp when the first page was read (milliseconds): the snapshot's upper bound. `nonce` makes
    the token of a list DELETE usable once.
    """

    values: tuple[Any, ...]
    etag: int
    nonce: str | None = None

    def encode(self, query: bytes, key: bytes = b"") -> str:
        """The token for a client.

        `query` names the list and the query it belongs to, `key` (up to 64 bytes) is the server's secret.
        Raises InvalidParameters when the values are too long for a URL.
        """
        values = [[] if value is MISSING else [value] for value in self.values]
        content = _encode((self.etag, self.nonce, values))
        if len(content) > MAX_CONTENT:
            raise invalid("querystring", "_sort", "The values of the sort fields are too long to paginate")
        return urlsafe_b64encode(_tag(content, query, key) + content).rstrip(b"=").decode()

    @classmethod
    def decode(cls, text: str, query: bytes, key: bytes = b"", *, fields: Sequence[str]) -> Token:
        """The token that a client sent back for the same `query`; `fields` are its sort fields.

        Raises InvalidParameters.
        """
        if len(text) > MAX_TEXT:
            raise invalid_token()
        try:
            raw = urlsafe_b64decode(text.encode("ascii") + b"=" * (-len(text) % 4))
            tag, content = raw[:TAG_BYTES], raw[TAG_BYTES:]
            if not hmac.compare_digest(tag, _tag(content, query, key)):
                raise invalid_token()
            etag, nonce, values = _decode(content)
            if b"\\u0000" in content:
                json.decode(content)  # refuses NUL characters
        except (ValueError, RecursionError, msgspec.MsgspecError) as error:
            raise invalid_token() from error
        token = cls(tuple(value[0] if value else MISSING for value in values), etag, nonce)
        # A server without a key cannot tell its own tokens from those that somebody made up.
        if not token._is_sound(fields) or any(len(value) > 1 for value in values):
            raise invalid_token()
        return token

    def _is_sound(self, fields: Sequence[str]) -> bool:
        if len(self.values) != len(fields) or not _is_timestamp(self.etag):
            return False
        for field, value in zip(fields, self.values, strict=True):
            if field == "id" and not isinstance(value, str):
                return False
            if field == "last_modified" and not _is_timestamp(value):
                return False
        return True


def _is_timestamp(value: Any) -> bool:
    return type(value) is int and -timestamps.LATEST <= value <= timestamps.LATEST


def _tag(content: bytes, query: bytes, key: bytes) -> bytes:
    # The length keeps what belongs to the query apart from what belongs to the token.
    head = len(query).to_bytes(8, "big") + query
    return blake2b(head + content, digest_size=TAG_BYTES, key=key, person=b"kintoun-token").digest()
