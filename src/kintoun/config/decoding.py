"""From a tree of plain values to typed settings, with every mistake found in one pass."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Annotated, Any, get_args, get_origin

import msgspec
import msgspec.inspect

from kintoun.config.discovery import feature_names, section_of
from kintoun.config.problems import ConfigError, Problem, suggestion
from kintoun.settings import BESIDE_FILE, Section, Settings

CONTAINERS = (
    msgspec.inspect.ListType,
    msgspec.inspect.DictType,
    msgspec.inspect.StructType,
)
PLACE = re.compile(r" - at `(.*)`$")


@dataclass(frozen=True)
class Value:
    """A value as it was written, and where: `text` is true for what comes from the environment."""

    value: Any
    source: str
    text: bool = False


@dataclass
class Tree:
    """Everything that was configured, by section and key; what stands outside has the section ``."""

    sections: dict[str, dict[str, Value]] = field(default_factory=dict)
    sources: dict[str, str] = field(default_factory=dict)

    def begin(self, section: str, source: str) -> None:
        """Say that a source has a section, be it an empty one."""
        self.sections.setdefault(section, {})
        self.sources.setdefault(section, source)

    def put(self, section: str, key: str, value: Value) -> None:
        """Set a value, over what was there."""
        self.begin(section, value.source)
        self.sections[section][key] = value


@cache
def field_types(struct: type[msgspec.Struct]) -> dict[str, Any]:
    """The declared type of each field of a struct, constraints included."""
    return {item.encode_name: item.type for item in msgspec.structs.fields(struct)}


def is_beside_file(kind: Any) -> bool:
    """Whether a declared type is of a path that begins at the file which holds the setting."""
    return any(isinstance(meta, msgspec.Meta) and meta.extra == BESIDE_FILE for meta in get_args(kind)[1:])


def beside(kind: Any, value: Any, directory: Path) -> Any:
    """A value of a declared type as a file in that directory says it, with the paths that begin there."""
    if is_beside_file(kind):
        return str(directory / value) if isinstance(value, str) and value and "://" not in value else value
    inner = bare(kind)
    if isinstance(value, list) and get_origin(inner) is list:
        return [beside(get_args(inner)[0], item, directory) for item in value]
    if isinstance(value, dict) and isinstance(inner, type) and issubclass(inner, msgspec.Struct):
        types = field_types(inner)
        return {key: beside(types.get(key), item, directory) for key, item in value.items()}
    return value


def core_sections() -> dict[str, type[Section]]:
    """The server's own tables by name."""
    return {
        name: kind
        for name, kind in field_types(Settings).items()
        if isinstance(kind, type) and issubclass(kind, Section)
    }


def open_tables() -> frozenset[str]:
    """Tables of Settings whose keys the deployment chooses: `access`, `cache_expires`."""
    return frozenset(
        name
        for name, kind in field_types(Settings).items()
        if get_origin(bare(kind)) is dict and name != "sections"
    )


def top_keys() -> frozenset[str]:
    """Keys that stand outside every table: `features`, `policies`."""
    taken = {*core_sections(), *open_tables(), "sections"}
    return frozenset(name for name in field_types(Settings) if name not in taken)


def bare(kind: Any) -> Any:
    """A type without its `Annotated` wrapping."""
    return get_args(kind)[0] if get_origin(kind) is Annotated else kind


def decode(tree: Tree) -> Settings:
    """The settings that a tree describes; raises ConfigError with every mistake in it."""
    return _Decoder(tree).decode()


class _Decoder:
    """One pass over a tree, which collects its mistakes."""

    def __init__(self, tree: Tree) -> None:
        self.tree = tree
        self.problems: list[Problem] = []

    def decode(self) -> Settings:
        decoded: dict[str, Any] = self._fields(field_types(Settings), top_keys(), "")
        self._check_features(decoded.get("features", []))
        kinds = core_sections()
        sections: dict[str, Section | None] = {}
        for name in filter(None, self.tree.sections):
            if name in open_tables():
                decoded[name] = self._open_table(name)
            elif name in kinds:
                decoded[name] = self._section(kinds[name], name)
            else:
                sections[name] = self._feature_section(name)
        for name in decoded.get("features", []):
            kind = section_of(name)
            if kind is not None and name not in sections:
                sections[name] = self._section(kind, name)
        if self.problems:
            raise ConfigError(self.problems)
        return Settings(**decoded, sections=sections)

    def _problem(self, source: str, section: str, key: str, rule: str) -> None:
        self.problems.append(Problem(source, section, key, rule))

    def _source(self, section: str) -> str:
        return self.tree.sources.get(section, "configuration")

    def _check_features(self, names: list[str]) -> None:
        known = feature_names()
        for name in names:
            if name not in known:
                source = self.tree.sections[""]["features"].source
                self._problem(
                    source, "", "features", f"no feature `{name}` is installed{suggestion(name, known)}"
                )

    def _feature_section(self, name: str) -> Section | None:
        kind = section_of(name)
        if kind is not None:
            return self._section(kind, name)
        if name in feature_names():
            self._problem(self._source(name), name, "", "this feature has no settings")
        else:
            known = [*core_sections(), *open_tables(), *feature_names()]
            self._problem(self._source(name), name, "", f"no such section{suggestion(name, known)}")
        return None

    def _section(self, kind: type[Section], name: str) -> Section | None:
        before = len(self.problems)
        types = field_types(kind)
        fields = self._fields(types, frozenset(types), name)
        values = self.tree.sections.get(name, {})
        for item in msgspec.structs.fields(kind):
            if item.required and item.encode_name not in values:
                self._problem(self._source(name), name, item.encode_name, "must be given")
        return kind(**fields) if len(self.problems) == before else None

    def _fields(self, types: Mapping[str, Any], known: frozenset[str], section: str) -> dict[str, Any]:
        decoded = {}
        for key, value in self.tree.sections.get(section, {}).items():
            if key not in known:
                self._problem(value.source, section, key, f"no such key{suggestion(key, known)}")
                continue
            try:
                decoded[key] = convert(value, types[key])
            except ValueError as error:
                self._problem(value.source, section, *_rule(key, error))
        return decoded

    def _open_table(self, name: str) -> dict[str, Any]:
        decoded: dict[str, Any] = dict(getattr(Settings(), name))
        kind = field_types(Settings)[name]
        element = get_args(bare(kind))[1]
        for key, value in self.tree.sections[name].items():
            try:
                decoded |= msgspec.convert({key: convert(value, element)}, kind)
            except ValueError as error:
                self._problem(value.source, name, *_rule(key, error))
        return decoded


def convert(value: Value, kind: Any) -> Any:
    """One value as its declared type; raises ValueError (msgspec's ValidationError is one) with the rule."""
    plain = value.value
    if not value.text:
        return msgspec.convert(plain, kind)
    if _holds_container(msgspec.inspect.type_info(kind)):
        return msgspec.convert(_container(plain), kind, strict=_is_json(plain))
    return msgspec.convert(plain, kind, strict=False)


def _holds_container(info: msgspec.inspect.Type) -> bool:
    if isinstance(info, msgspec.inspect.UnionType):
        return any(isinstance(each, CONTAINERS) for each in info.types)
    if isinstance(info, msgspec.inspect.Metadata):
        return _holds_container(info.type)
    return isinstance(info, CONTAINERS)


def _is_json(text: str) -> bool:
    return text.lstrip().startswith(("[", "{"))


def _container(text: str) -> Any:
    """A list or an object out of the environment: JSON, or items with commas between them."""
    if _is_json(text):
        try:
            return json.loads(text)
        except json.JSONDecodeError as error:
            raise ValueError(f"is not valid JSON: {error}") from error
    return [item for item in (part.strip() for part in text.split(",")) if item]


def _rule(key: str, error: ValueError) -> tuple[str, str]:
    """The key, made longer by the place inside its value that msgspec names, and the rule in our words."""
    text = str(error)
    place = PLACE.search(text)
    if place is not None:
        inside = place.group(1).removeprefix("$")
        key, text = key + (inside if inside.startswith(("[", ".")) else ""), text[: place.start()]
    return key, text[:1].lower() + text[1:]
