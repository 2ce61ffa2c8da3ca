"""The configuration: one TOML file, the environment on top, errors that name file, section, key and rule."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from kintoun.config.decoding import (
    Tree,
    Value,
    beside,
    core_sections,
    decode,
    field_types,
    open_tables,
    top_keys,
)
from kintoun.config.discovery import feature, feature_names, migrations_of, section_of
from kintoun.config.problems import ConfigError, Problem
from kintoun.settings import Settings

__all__ = [
    "ConfigError",
    "Problem",
    "Tree",
    "Value",
    "decode",
    "dump",
    "feature",
    "feature_names",
    "load",
    "migrations_of",
    "read_environment",
    "read_file",
    "revive",
    "tree_of",
]

PREFIX = "KINTOUN_"


def load(path: Path | None, environ: Mapping[str, str]) -> Settings:
    """The settings of a TOML file (none: the defaults) with the environment on top; raises ConfigError."""
    tree = Tree()
    if path is not None:
        read_file(path, tree)
    read_environment(environ, tree)
    return decode(tree)


def read_file(path: Path, tree: Tree) -> None:
    """Add what a TOML file says to the tree; raises ConfigError when it cannot be read."""
    source = str(path)
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError([Problem(source, "", "", f"cannot be read: {error.strerror}")]) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError([Problem(source, "", "", f"is not valid TOML: {error}")]) from error
    problems = []
    tables = {*core_sections(), *open_tables(), *feature_names()}
    for name, value in content.items():
        if isinstance(value, dict):
            tree.begin(name, source)
            for key, item in (_flat(value) if name in open_tables() else value).items():
                tree.put(name, key, Value(_beside(name, key, item, path), source))
        elif name in tables:
            problems.append(Problem(source, name, "", f"is a table: write `[{name}]` and its keys below"))
        else:
            tree.put("", name, Value(value, source))
    if problems:
        raise ConfigError(problems)


def read_environment(environ: Mapping[str, str], tree: Tree) -> None:
    """Add the variables `KINTOUN_SECTION__KEY` and `KINTOUN_KEY` (for keys outside sections) to the tree.

    A name without two underscores that is no such key is left alone: orchestrators make names like
    `KINTOUN_SERVICE_HOST` and `KINTOUN_PORT` of their own.
    """
    for variable, text in sorted(environ.items()):
        if not variable.startswith(PREFIX):
            continue
        section, separator, key = variable.removeprefix(PREFIX).lower().partition("__")
        value = Value(text, f"environment {variable}", text=True)
        if separator:
            tree.put(section, key, value)
        elif section in top_keys():
            tree.put("", section, value)


def dump(settings: Settings) -> str:
    """The settings as JSON, for a worker process."""
    return msgspec.json.encode(settings).decode()


def revive(text: str) -> Settings:
    """The settings that `dump` wrote, feature sections decoded by their own declarations."""
    plain: dict[str, Any] = msgspec.json.decode(text)
    sections = plain.pop("sections", {})
    settings = msgspec.convert(plain, Settings)
    typed = {name: msgspec.convert(value, section_of(name)) for name, value in sections.items()}
    return msgspec.structs.replace(settings, sections=typed)


def tree_of(settings: Settings) -> dict[str, Any]:
    """The settings as the content of a configuration file; what is None is left out."""
    plain: dict[str, Any] = _without_none(msgspec.to_builtins(settings))
    sections = plain.pop("sections")
    tables = {name: value for name, value in plain.items() if isinstance(value, dict)}
    others = {name: value for name, value in plain.items() if name not in tables}
    return {**others, **tables, **sections}


def _without_none(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_none(item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [_without_none(item) for item in value]
    return value


def _flat(table: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Dotted keys as they were written: `main.regions.record = 60` is one key of such a table."""
    flat: dict[str, Any] = {}
    for key, value in table.items():
        flat |= _flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {prefix + key: value}
    return flat


def _beside(section: str, key: str, value: Any, path: Path) -> Any:
    """A relative path is looked for beside the file that names it."""
    directory = path.resolve().parent
    if (section, key) == ("storage", "url") and isinstance(value, str) and value.startswith("sqlite:"):
        return f"sqlite:{directory / value.removeprefix('sqlite:').removeprefix('//')}"
    declared = core_sections().get(section) or section_of(section)
    return beside(field_types(declared).get(key), value, directory) if declared is not None else value
