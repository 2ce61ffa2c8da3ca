"""Who may do what: one table for every kind (protocol section 8).

A grant on an object also covers what lies below it: who may `read` or `write` a bucket may do so with all in
it. Beside the grants stand the settings, which give rights on a kind whatever its objects say.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from kintoun.model.errors import FORBIDDEN, MISSING_AUTH_TOKEN, ProtocolError
from kintoun.model.kinds import Kind
from kintoun.model.permissions import holds, holds_any
from kintoun.storage.rows import Stored

READ = ("read", "write")
WRITE = ("write",)

VIEWS = frozenset(("history", "permissions", "user-data"))
"""What settings can be about that is no kind, or not where its feature is off."""

Above = Sequence[Stored | None]
"""The rows of what stands above an object or a list, the topmost first."""


class Access:
    """The rights that the settings give."""

    def __init__(self, settings: Mapping[str, Sequence[str]]) -> None:
        self._settings = {name: frozenset(principals) for name, principals in settings.items() if principals}

    def check(self, kinds: Iterable[Kind]) -> None:
        """Raises ValueError when a setting is about none of these kinds, nor about a view."""
        known = {kind.name for kind in kinds} | VIEWS
        for name in self._settings:
            if name.rpartition("_")[0] not in known:
                raise ValueError(f"[access] {name}: there is nothing of this name")

    def follow(self, kind: Kind, other: Kind) -> None:
        """Let whoever may write all objects of another kind, by the settings, write all of this one."""
        writers = self._settings.get(f"{other.name}_write")
        if writers is not None:
            name = f"{kind.name}_write"
            self._settings[name] = writers | self._settings.get(name, frozenset())

    @property
    def settings(self) -> Mapping[str, frozenset[str]]:
        """The principals by the names of the settings."""
        return self._settings

    def given(self, kind: Kind, permissions: Sequence[str], principals: frozenset[str]) -> bool:
        """Whether a setting such as `record_read` names one of the principals."""
        if not self._settings:
            return False
        for permission in permissions:
            named = self._settings.get(f"{kind.name}_{permission}")
            if named is not None and not principals.isdisjoint(named):
                return True
        return False

    def may_read_all(self, kind: Kind, above: Above, principals: frozenset[str]) -> bool:
        """Whether every object of a list may be read, its own grants aside."""
        # At the root `write` of the settings opens single objects, not the list (protocol section 8.3).
        named = ("read",) if kind.parent is None else READ
        return _inherited(above, READ, principals) or self.given(kind, named, principals)

    def may_read(self, kind: Kind, above: Above, own: Stored | None, principals: frozenset[str]) -> bool:
        """Whether an object may be read; without `own`, whether it could be if it were there."""
        if own is not None and not own.deleted and holds_any(own.grants, principals):
            return True
        return _inherited(above, READ, principals) or self.given(kind, READ, principals)

    def may_read_parent(self, kind: Kind, above: Above, principals: frozenset[str]) -> bool:
        """Whether the parent of a missing object may be read, so that 404 tells nothing new."""
        if self.given(kind, READ, principals):
            return True
        # A right to create shows the parent's attributes, but does not count here (protocol section 8.5).
        return _inherited(above, READ, principals)

    def may_write(self, kind: Kind, above: Above, own: Stored | None, principals: frozenset[str]) -> bool:
        """Whether an object may be written; without `own`, whether all objects of a list may be."""
        if own is not None and not own.deleted and holds(own.grants, WRITE, principals):
            return True
        return _inherited(above, WRITE, principals) or self.given(kind, WRITE, principals)

    def may_create(self, kind: Kind, above: Above, principals: frozenset[str]) -> bool:
        """Whether an object may be added to a list."""
        # At the root `write` of the settings gives rights on what is there, not to add to it.
        named = ("create",) if kind.parent is None else ("create", "write")
        if self.given(kind, named, principals) or _inherited(above, WRITE, principals):
            return True
        return bool(above) and _inherited(above[-1:], (kind.create,), principals)


def _inherited(above: Above, permissions: Sequence[str], principals: frozenset[str]) -> bool:
    for row in above:
        if row is not None and not row.deleted and holds(row.grants, permissions, principals):
            return True
    return False


def refusal(anonymous: bool, challenges: Sequence[str]) -> ProtocolError:
    """The answer to who may not: who are you, or no (protocol section 8.5)."""
    if anonymous:
        return ProtocolError(
            401,
            MISSING_AUTH_TOKEN,
            "Please authenticate yourself to use this endpoint.",
            headers=tuple(("WWW-Authenticate", challenge) for challenge in challenges),
        )
    return ProtocolError(403, FORBIDDEN, "This user cannot access this resource.")
