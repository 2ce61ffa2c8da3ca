"""Which features are installed: the entry points of the group `kintoun.plugins`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cache
from importlib.metadata import EntryPoint, entry_points

from kintoun.config.problems import ConfigError, Problem
from kintoun.plugin import Plugin
from kintoun.settings import Section

GROUP = "kintoun.plugins"


@cache
def _entry_points() -> dict[str, EntryPoint]:
    return {point.name: point for point in entry_points(group=GROUP)}


def feature_names() -> list[str]:
    """The names of all installed features, sorted; none of them is imported for this."""
    return sorted(_entry_points())


@cache
def feature(name: str) -> type[Plugin]:
    """The class of the feature `name`; raises KeyError when it is not installed, ConfigError when broken."""
    point = _entry_points()[name]
    try:
        plugin: type[Plugin] = point.load()
    except (ImportError, AttributeError) as error:
        rule = f"the feature `{name}` cannot be loaded: {error}"
        raise ConfigError([Problem(f"entry point {GROUP}: {point.value}", "", "", rule)]) from error
    return plugin


def migrations_of(names: Iterable[str]) -> dict[str, Sequence[Sequence[str]]]:
    """The steps of those features' own tables, for `Store.migrate`."""
    return {name: steps for name in names if (steps := feature(name).migrations)}


def section_of(name: str) -> type[Section] | None:
    """The settings that the feature `name` declares; None when it has none or is not installed."""
    return feature(name).settings if name in _entry_points() else None
