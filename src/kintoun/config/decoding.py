"""From a tree of plain values to typed settings, with every mistake found in one pass."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Annotated, Any, get_args, get_origin

import msgspec
import msgspec.inspect

from kintoun.config.discovery import feature_names, section_of
from kintoun.config.problems import ConfigError, Problem, suggestion
from kintoun.settings import Section, Settings

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

    def put(self, section: str, key: str, value: Value) -> None:
        """Set a value, over what was there."""
        self.sections.setdefault(section, {})[key] = value


@cache
def field_types(struct: type[msgspec.Struct]) -> dict[str, Any]:
    """The declared type of each field of a struct, constraints included."""
    return {item.encode_name: item.type for item in msgspec.structs.fields(struct)}


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
        name for name, kind in field_types(Settings).items() if _is_mapping(kind) and name != "sections"
    )


def top_keys() -> frozenset[str]:
    """Keys that stand outside every table: `features`, `policies`."""
    taken = {*core_sections(), *open_tables(), "sections"}
    return frozenset(name for name in field_types(Settings) if name not in taken)


def decode(tree: Tree) -> Settings:
    """The settings that a tree describes; raises ConfigError with every mistake in it."""
    problems: list[Problem] = []
    decoded: dict[str, Any] = {}
    sections: dict[str, Any] = {}
    kinds = core_sections()
    for name, values in tree.sections.items():
        if not name:
            decoded.update(_fields(field_types(Settings), top_keys(), "", values, problems))
        elif name in open_tables():
            decoded[name] = _open_table(name, values, problems)
        elif name in kinds:
            decoded[name] = _section(kinds[name], name, values, problems)
        else:
            sections[name] = _feature_section(name, values, problems)
    _check_features(decoded.get("features", []), tree, problems)
    if problems:
        raise ConfigError(problems)
    return Settings(**decoded, sections=sections)


def bare(kind: Any) -> Any:
    """A type without its `Annotated` wrapping."""
    return get_args(kind)[0] if get_origin(kind) is Annotated else kind


def _is_mapping(kind: Any) -> bool:
    return get_origin(bare(kind)) is dict


def _check_features(names: list[str], tree: Tree, problems: list[Problem]) -> None:
    known = feature_names()
    for name in names:
        if name not in known:
            source = tree.sections[""]["features"].source
            problems.append(
                Problem(source, "", "features", f"no feature `{name}` is installed{suggestion(name, known)}")
            )


def _feature_section(name: str, values: Mapping[str, Value], problems: list[Problem]) -> Section | None:
    kind = section_of(name)
    if kind is not None:
        return _section(kind, name, values, problems)
    source = next((value.source for value in values.values()), "configuration")
    if name in feature_names():
        problems.append(Problem(source, name, "", "this feature has no settings"))
    else:
        known = [*core_sections(), *open_tables(), *feature_names()]
        problems.append(Problem(source, name, "", f"no such section{suggestion(name, known)}"))
    return None


def _section(
    kind: type[Section], name: str, values: Mapping[str, Value], problems: list[Problem]
) -> Section | None:
    types = field_types(kind)
    before = len(problems)
    fields = _fields(types, frozenset(types), name, values, problems)
    required = [
        item.name for item in msgspec.structs.fields(kind) if item.required and item.encode_name not in values
    ]
    source = next((value.source for value in values.values()), "configuration")
    problems += [Problem(source, name, key, "must be given") for key in required]
    return kind(**fields) if len(problems) == before else None


def _fields(
    types: Mapping[str, Any],
    known: frozenset[str],
    section: str,
    values: Mapping[str, Value],
    problems: list[Problem],
) -> dict[str, Any]:
    decoded = {}
    for key, value in values.items():
        if key not in known:
            problems.append(Problem(value.source, section, key, f"no such key{suggestion(key, known)}"))
            continue
        try:
            decoded[key] = convert(value, types[key])
        except ValueError as error:
            problems.append(Problem(value.source, section, *_rule(key, error)))
    return decoded


def _open_table(name: str, values: Mapping[str, Value], problems: list[Problem]) -> dict[str, Any]:
    decoded: dict[str, Any] = dict(getattr(Settings(), name))
    kind = field_types(Settings)[name]
    element = get_args(bare(kind))[1]
    for key, value in values.items():
        try:
            plain = convert(value, element)
            decoded |= msgspec.convert({key: plain}, kind)
        except ValueError as error:
            problems.append(Problem(value.source, name, *_rule(key, error)))
    return decoded


def convert(value: Value, kind: Any) -> Any:
    """One value as its declared type; raises ValueError (msgspec's ValidationError is one) with the rule."""
    plain = value.value
    if not value.text:
        return msgspec.convert(plain, kind)
    if _holds_container(msgspec.inspect.type_info(kind)):
        return msgspec.convert(_container(plain), kind)
    return msgspec.convert(plain, kind, strict=False)


def _holds_container(info: msgspec.inspect.Type) -> bool:
    if isinstance(info, msgspec.inspect.UnionType):
        return any(isinstance(each, CONTAINERS) for each in info.types)
    if isinstance(info, msgspec.inspect.Metadata):
        return _holds_container(info.type)
    return isinstance(info, CONTAINERS)


def _container(text: str) -> Any:
    """A list or an object out of the environment: JSON, or items with commas between them."""
    if text.lstrip().startswith(("[", "{")):
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
