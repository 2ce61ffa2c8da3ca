"""Where objects live: the only place that knows how paths are made of kinds and ids."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any, Generic, NamedTuple, TypeVar

from kintoun.model.kinds import (
    ACCOUNT,
    BUCKET,
    BY_PLURAL,
    CHILDREN,
    COLLECTION,
    CREDENTIAL,
    GROUP,
    RECORD,
    Kind,
    foreign,
)
from kintoun.model.tuples import made

T = TypeVar("T")


class _Once(Generic[T]):
    """An attribute that is computed when it is first asked for.

    It is what `functools.cached_property` is, without the lock that this has in Python 3.11.
    """

    def __init__(self, compute: Callable[[Any], T]) -> None:
        self._compute = compute
        self._name = compute.__name__

    def __get__(self, instance: Any, owner: Any = None) -> T:
        value = instance.__dict__[self._name] = self._compute(instance)
        return value


class _Place(NamedTuple):
    kind: Kind
    ids: tuple[str, ...]


class Path(_Place):
    """The place of one object, as `/buckets/b/collections/c/records/r`."""

    @property
    def id(self) -> str:
        return self.ids[-1]

    @_Once
    def list(self) -> ListPath:
        """The list that the object stands in."""
        return _list(self.kind, self.ids[:-1])

    @property
    def lineage(self) -> tuple[Path, ...]:
        """The paths of what stands above the object, the topmost first, and of the object itself."""
        return (*above(self.kind, self.ids[:-1]), self)

    @property
    def children(self) -> tuple[ListPath, ...]:
        """The lists that come and go with the object."""
        kinds = CHILDREN.get(self.kind)
        return tuple(ListPath(kind, self.ids) for kind in kinds) if kinds else ()

    def __str__(self) -> str:
        return self.kind.object_form % self.ids


class ListPath(NamedTuple):
    """The place of one list, as `/buckets/b/collections/c/records`; `kind` is that of its objects."""

    kind: Kind
    parents: tuple[str, ...]

    @property
    def parent(self) -> Path | None:
        """The object that the list belongs to; None for the lists at the root."""
        lineage = above(self.kind, self.parents)
        return lineage[-1] if lineage else None

    def object(self, object_id: str) -> Path:
        path = made(Path, (self.kind, (*self.parents, object_id)))
        path.__dict__["list"] = self
        return path

    @property
    def lineage(self) -> tuple[Path, ...]:
        """The paths of what stands above the list, the topmost first."""
        return above(self.kind, self.parents)

    def __str__(self) -> str:
        return self.kind.list_form % self.parents

    @classmethod
    def parse(cls, text: str) -> ListPath:
        """The list at a path that `str` of a list path wrote."""
        parts = text.split("/")[1:]
        kind = BY_PLURAL.get(parts[-1]) or foreign(tuple(parts[::2]))
        return cls(kind, tuple(parts[1::2]))


@lru_cache(maxsize=4096)
def _list(kind: Kind, parents: tuple[str, ...]) -> ListPath:
    return ListPath(kind, parents)


@lru_cache(maxsize=4096)
def above(kind: Kind, parents: tuple[str, ...]) -> tuple[Path, ...]:
    """The paths of what stands above the objects of a list, the topmost first."""
    return tuple(Path(step, parents[: n + 1]) for n, step in enumerate(kind.lineage[:-1]))


BUCKETS = ListPath(BUCKET, ())
ACCOUNTS = ListPath(ACCOUNT, ())
CREDENTIALS = ListPath(CREDENTIAL, ())
ROOT_LISTS = (BUCKETS, ACCOUNTS, CREDENTIALS)


def bucket_path(bucket: str) -> Path:
    return Path(BUCKET, (bucket,))


def collection_path(bucket: str, collection: str) -> Path:
    return Path(COLLECTION, (bucket, collection))


def group_path(bucket: str, group: str) -> Path:
    return Path(GROUP, (bucket, group))


def record_path(bucket: str, collection: str, record: str) -> Path:
    return Path(RECORD, (bucket, collection, record))
