"""What a request's `Authorization` header holds."""

from __future__ import annotations

import binascii
from base64 import b64decode

from kintoun.http.requests import Request

OF_ACCOUNTS = "kt_"
"""How the tokens of this server's own accounts begin: nobody else is to see them."""


def basic_credentials(request: Request) -> tuple[str, str] | None:
    """The user name and password of HTTP Basic authentication; None when there are none to be read."""
    scheme, _, encoded = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        raw = b64decode(encoded.strip(), validate=True)
    except (binascii.Error, ValueError):
        return None
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        text = raw.decode("latin-1")
    user, colon, password = text.partition(":")
    return (user, password) if colon and "\0" not in text else None
