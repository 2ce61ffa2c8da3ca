"""The selection of `_fields`: which parts of an object a client wants to see (protocol section 4.7)."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from kintoun.model.errors import invalid

ALWAYS = ("id", "last_modified")
"""What every object shows, selected or not. (Tombstones lose `deleted`, as clients know it.)"""

MAX_DEPTH = 64
"""Dots in one selected field."""

Tree = dict[str, "Tree | None"]
"""The selected keys; None where everything below is selected."""


class Fields:
    """A parsed selection. Immutable, and safe to share."""

    __slots__ = ("_tree", "names")

    def __init__(self, names: tuple[str, ...]) -> None:
        self.names = names
        self._tree = _tree(names)

    def __repr__(self) -> str:
        return f"Fields({self.names!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Fields) and other.names == self.names

    def __hash__(self) -> int:
        return hash(self.names)

    def apply(self, obj: Mapping[str, Any]) -> dict[str, Any]:
        """The selected part of an object. Selected fields that it does not have are left out silently."""
        return _pick(obj, self._tree)

    def check(self, known: frozenset[str]) -> None:
        """Raise InvalidParameters for fields that objects of a fixed schema never have."""
        roots = dict.fromkeys(name.split(".", 1)[0] for name in self.names)
        unknown = [root for root in roots if root not in known and root not in ALWAYS]
        if unknown:
            # The location is the protocol's, odd as it is for a query parameter.
            raise invalid("body", "Invalid _fields parameter", f"Fields {','.join(unknown)} do not exist")


@lru_cache(maxsize=512)
def parse_fields(value: str, most: int) -> Fields | None:
    """The selection that a `_fields` value spells, None when it is empty.

    `most` is how many fields may be named. Raises InvalidParameters.
    """
    names = [name for name in value.split(",") if name]
    if not names:
        return None
    if len(names) > most:
        raise invalid("querystring", "_fields", f"At most {most} fields can be selected")
    if any(name.count(".") > MAX_DEPTH for name in names):
        raise invalid("querystring", "_fields", f"A field has at most {MAX_DEPTH} dots")
    return Fields(tuple(names))


def _tree(names: tuple[str, ...]) -> Tree:
    tree: Tree = dict.fromkeys(ALWAYS)
    for name in names:
        node = tree
        *parents, last = name.split(".")
        for parent in parents:
            below = node.setdefault(parent, {})
            if below is None:  # all of it is selected already
                break
            node = below
        else:
            node[last] = None
    return tree


def _pick(obj: Mapping[str, Any], tree: Tree) -> dict[str, Any]:
    picked: dict[str, Any] = {}
    for key, value in obj.items():
        if key in tree:
            below = tree[key]
            picked[key] = _pick(value, below) if below and isinstance(value, Mapping) else value
    return picked
