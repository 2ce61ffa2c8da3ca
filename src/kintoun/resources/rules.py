"""What is particular to the objects of one kind, where the protocol makes an exception of it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kintoun.model.kinds import Kind
from kintoun.model.paths import Path
from kintoun.storage.rows import Page

if TYPE_CHECKING:
    from kintoun.resources.context import Context


@dataclass(slots=True)
class Rules:
    """What is particular to the objects of one kind, where the protocol makes an exception of it.

    `prepare` completes the attributes of a write before any lock is taken, and may be called more than once
    for a request; it is told the object's path where one can be known. `author` is the principal that is
    given `write` in place of the caller, None that nobody is given anything; `may_create` refuses a
    creation by raising; `check_list` refuses a reader of the list by raising; `sees_all` tells whether the
    caller sees all of it. `data_required` is whether creation and replacement need data, `open_grants`
    whether every reader sees who may write. `partly` is whether who may read some objects of the list, and
    not the list, sees those.
    `known_fields` are the attributes of objects of a fixed schema; `page` changes what is asked of the
    storage for a page, as where its rows stand.
    """

    prepare: Callable[[Context, Path | None, dict[str, Any]], Awaitable[dict[str, Any]]] | None = None
    author: Callable[[Path], str | None] | None = None
    may_create: Callable[[Context, Path], None] | None = None
    check_list: Callable[[Context], None] | None = None
    sees_all: Callable[[Context], bool] | None = None
    data_required: bool = False
    open_grants: bool = False
    partly: bool = True
    known_fields: frozenset[str] | None = None
    page: Callable[[Page], Page] | None = None


class RulesByKind(dict[Kind, Rules]):
    """The rules of the kinds that have any of their own; all others have none."""

    def __missing__(self, kind: Kind) -> Rules:
        return _NO_RULES


_NO_RULES = Rules()
