"""When tokens were last used: kept in memory, and written in the background now and then."""

from __future__ import annotations

from collections.abc import Sequence

from kintoun.model import json, timestamps
from kintoun.model.paths import ListPath, Path
from kintoun.storage import Store
from kintoun.storage.needs import Needs
from kintoun.storage.unit import Unit

COARSENESS = 300_000
"""What is written is right to within this time, in milliseconds: uses that follow sooner are not written."""

MOST = 10_000
"""Tokens of which the use is remembered until it is written."""


class Usage:
    """The uses of tokens that are still to be written."""

    def __init__(self) -> None:
        self._used: dict[Path, int] = {}
        self._written: dict[Path, int] = {}

    def note(self, token: Path) -> None:
        """A token was used just now."""
        now = timestamps.now()
        if now - self._written.get(token, 0) >= COARSENESS and len(self._used) < MOST:
            self._used[token] = now

    async def write(self, store: Store) -> None:
        """Write what was noted, list by list."""
        lists: dict[ListPath, list[tuple[Path, int]]] = {}
        for token, moment in self._used.items():
            lists.setdefault(token.list, []).append((token, moment))
        for path, uses in lists.items():
            await store.write(_Uses(path, uses))
            if len(self._written) > MOST:
                self._written.clear()
            for token, moment in uses:
                self._written[token] = moment
                del self._used[token]


class _Uses:
    """The write of the last uses of an account's tokens; a `Job` of the store.

    A token keeps its timestamp: it is the same token, for those who rely on it and for those who poll.
    """

    def __init__(self, path: ListPath, uses: Sequence[tuple[Path, int]]) -> None:
        self._uses = uses
        points = [token for token, _ in uses]
        self.needs = Needs((path,), (), (*path.lineage, *points))

    async def run(self, unit: Unit) -> None:
        for token, moment in self._uses:
            row = await unit.object(token)
            if row is None or row.deleted:
                continue
            attributes = json.decode(row.body.encode())
            if moment - (attributes.get("last_used") or 0) < COARSENESS:
                continue
            del attributes["last_modified"]
            await unit.put(token, {**attributes, "last_used": moment}, row.grants, row.timestamp)
