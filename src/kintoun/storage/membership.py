"""Who is a member of which group, in a transaction that changes groups."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from kintoun.model.kinds import GROUP
from kintoun.model.paths import ListPath, Path
from kintoun.storage.rows import Clock


class Members(NamedTuple):
    """The members of a group, and the number of the list that the group stands in."""

    number: int
    principals: frozenset[str]


def members_of(groups: Mapping[Path, Members | None]) -> list[tuple[int, str, list[str]]]:
    """The members of the groups that were written."""
    return [
        (members.number, path.id, sorted(members.principals))
        for path, members in groups.items()
        if members is not None
    ]


def correct(
    groups: set[str],
    principals: Sequence[str],
    written: Mapping[Path, Members | None],
    unlinked: Iterable[ListPath | None],
    clocks: Mapping[ListPath, Clock | None],
) -> None:
    """Bring the URIs of groups that were fetched to what a transaction has made of them.

    `written` are the groups that it wrote, `unlinked` the lists that it cut off.
    """
    for cut in unlinked:
        if cut is not None and cut.kind is GROUP:
            gone = f"{cut}/"
            groups.difference_update([group for group in groups if group.startswith(gone)])
    for path, members in written.items():
        clock = clocks[path.list]
        if members is not None and clock is not None and clock.list == members.number:
            named = not members.principals.isdisjoint(principals)
            (groups.add if named else groups.discard)(str(path))
