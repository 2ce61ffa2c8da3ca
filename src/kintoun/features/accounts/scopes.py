"""What an API token may be used for, written as a list of scopes.

`read:PATH` lets its bearer make reading requests for a path and everything below it, `write:PATH` all
requests; `account` lets it act on the account itself, its password and its tokens included. PATH is `/`, a
bucket or a collection. A scope never gives a right that the user does not have.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from kintoun.model.kinds import NAME_PATTERN

ACCOUNT_SCOPE = "account"

_NAME = NAME_PATTERN.pattern
_SCOPE = re.compile(rf"(read|write):(/|/buckets/{_NAME}(?:/collections/{_NAME})?)")
_READING = frozenset(("GET", "HEAD", "OPTIONS"))

ALWAYS = frozenset(
    ("/", "/batch", "/__heartbeat__", "/__lbheartbeat__", "/__version__", "/__api__", "/contribute.json")
)
"""What every token can be used for: it tells of the server, or holds requests that are looked at each."""

OF_ACCOUNTS = ("/accounts/", "/__user_data__/")
"""What accounts can be changed by."""


def is_scope(text: str) -> bool:
    """Whether a text is a scope."""
    return text == ACCOUNT_SCOPE or _SCOPE.fullmatch(text) is not None


class Scopes:
    """The scopes of one token."""

    __slots__ = ("_read", "_write", "account", "expires", "names")

    def __init__(self, names: Iterable[str], expires: int | None) -> None:
        """`expires` is the timestamp (milliseconds) from which the token is worth nothing; None is never."""
        self.names = tuple(names)
        self.expires = expires
        self.account = ACCOUNT_SCOPE in self.names
        self._write = tuple(_prefix(name) for name in self.names if name.startswith("write:"))
        self._read = tuple(_prefix(name) for name in self.names if name.startswith("read:"))

    def covers(self, method: str, path: str) -> bool:
        """Whether the token may be used for a request: see `resources.identity.Scope`."""
        if path in ALWAYS:
            return True
        below = f"{path}/"
        if below.startswith(OF_ACCOUNTS):
            return self.account
        if any(below.startswith(prefix) for prefix in self._write):
            return True
        return method in _READING and any(below.startswith(prefix) for prefix in self._read)


def _prefix(scope: str) -> str:
    """The path of a scope, with a slash at its end so that no name is taken for the beginning of another."""
    path = scope.partition(":")[2]
    return path if path == "/" else f"{path}/"
