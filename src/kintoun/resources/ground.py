"""What stands above the objects of a list, and what it decides for all that a caller writes there.

The writes of one transaction go to few lists, by few callers: what the rows above say is worked out once, and
again only when one of them has changed.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from kintoun.model.kinds import BUCKET, RECORD
from kintoun.model.paths import ListPath
from kintoun.model.permissions import holds
from kintoun.resources.access import WRITE
from kintoun.resources.context import Context, Work
from kintoun.resources.errors import unknown_parent
from kintoun.resources.validation import has_schemas, validate
from kintoun.storage.rows import Stored


class Ground(NamedTuple):
    """What a caller finds above a list."""

    place: ListPath
    above: list[Stored | None]
    """The rows of what stands above, the topmost first."""
    nameable: bool
    """Whether the URL can name anything at all: the first check of a write (protocol section 1.5)."""
    standing: bool
    """Whether the parent is there."""
    may_create: bool
    may_write: bool
    """Whether the caller may write any object of the list, whatever its own ACL says."""
    validates: bool
    """Whether there is a schema to validate by."""

    def check_place(self) -> None:
        """Refuse a URL that can name nothing."""
        if not self.nameable:
            self._refuse()

    def check_parent(self) -> None:
        """Refuse what would stand in something that is not there, for callers who may know."""
        if not self.standing:
            self._refuse()

    def _refuse(self) -> None:
        parent = self.place.parent
        assert parent is not None, "the lists at the root are always there"
        raise unknown_parent(parent)

    def validate(self, attributes: dict[str, Any]) -> None:
        """Check attributes by the schemas above: see `validation.validate`."""
        if self.validates:
            validate(self.place.kind, self.above, attributes)

    def grants_write(self, own: Stored, principals: frozenset[str]) -> bool:
        """Whether the caller may write an object that is there."""
        return self.may_write or holds(own.grants, WRITE, principals)


async def ground_of(work: Work, place: ListPath) -> Ground:
    """What the caller of a write finds above a list."""
    conclusions = work.unit.conclusions
    key = (place, work.context.principals)
    ground: Ground | None = conclusions.get(key)
    if ground is None:
        ground = found(work.context, place, await work.unit.objects(place.lineage))
        conclusions[key] = ground
    return ground


def found(context: Context, place: ListPath, above: list[Stored | None]) -> Ground:
    """What the caller finds above a list, of which these are the rows."""
    access, principals, kind = context.service.access, context.principals, place.kind
    parent = place.parent
    last = above[-1] if above else None
    standing = parent is None or (last is not None and not last.deleted)
    nameable = standing if kind is RECORD else parent is None or BUCKET.accepts(parent.id)
    return Ground(
        place,
        above,
        nameable,
        standing,
        access.may_create(kind, above, principals),
        access.may_write(kind, above, None, principals),
        has_schemas(context, kind, above),
    )
