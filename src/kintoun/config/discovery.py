"""Which features are installed: the entry points of the group `kintoun.plugins`."""

from __future__ import annotations

from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING

from kintoun.settings import Section

if TYPE_CHECKING:
    from kintoun.plugin import Plugin

GROUP = "kintoun.plugins"


@cache
def _entry_points() -> dict[str, EntryPoint]:
    return {point.name: point for point in entry_points(group=GROUP)}


def feature_names() -> list[str]:
    """The names of all installed features, sorted; none of them is imported for this."""
    return sorted(_entry_points())


@cache
def feature(name: str) -> type[Plugin]:
    """The class of the installed feature `name`; raises KeyError when there is none."""
    plugin: type[Plugin] = _entry_points()[name].load()
    return plugin


def section_of(name: str) -> type[Section] | None:
    """The settings that the feature `name` declares; None when it has none or is not installed."""
    return feature(name).settings if name in _entry_points() else None
