"""What a write says beforehand of what it will touch."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain
from typing import NamedTuple

from kintoun.model.paths import ListPath, Path


class Needs(NamedTuple):
    """What a write is known to touch before it runs: fetched together, in one step for a whole group."""

    lists: tuple[ListPath, ...] = ()
    buckets: tuple[str, ...] = ()
    points: tuple[Path, ...] = ()
    principals: tuple[str, ...] = ()
    fresh: tuple[Path, ...] = ()
    """Objects under ids that were just made up, of so many random bits that nothing can be there."""

    @classmethod
    def union(cls, needs: Iterable[Needs]) -> Needs:
        """What several writes touch, each thing once."""
        return cls(*(tuple(dict.fromkeys(chain.from_iterable(part))) for part in zip(*needs, strict=True)))
