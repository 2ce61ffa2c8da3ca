"""The pages of the documentation that are made from the code: `make docs-reference` writes them again."""

from __future__ import annotations

import inspect
import json
import types
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import click
import msgspec
from msgspec import Meta

from kintoun.cli import main
from kintoun.cli.exits import MEANINGS
from kintoun.config import feature, feature_names
from kintoun.config.decoding import bare, core_sections, open_tables, top_keys
from kintoun.kinto_ini import table
from kintoun.kinto_ini.features import POLICIES
from kintoun.settings import Policy, Section, Settings

REFERENCE = Path(__file__).resolve().parents[2] / "docs" / "reference"
NOTE = "<!-- Written by `make docs-reference` from the code; edit the declarations there. -->"


def settings_page() -> str:
    """Every setting, from the declarations."""
    lines = [
        "# Settings",
        "",
        NOTE,
        "",
        "The configuration is one TOML file. The environment stands above: `KINTOUN_STORAGE__URL` is `url`",
        "of the section `storage`. Lists are written there as JSON or with commas. A key that does not exist",
        "is an error.",
        "",
        "## Outside sections",
        "",
        *_table(Settings, sorted(top_keys())),
        "### A policy",
        "",
        *_table(Policy),
    ]
    for name, kind in core_sections().items():
        lines += [
            f"## [{name}]",
            "",
            inspect.getdoc(kind) or "",
            "",
            *_table(kind),
            *_tables_below(name, kind),
        ]
    for name in sorted(open_tables()):
        lines += [f"## [{name}]", "", *_open_table(name)]
    for name in feature_names():
        section = feature(name).settings
        if section is not None:
            lines += [
                f"## [{name}]",
                "",
                f"Settings of the feature `{name}`. {(section.__doc__ or '').strip()}",
            ]
            lines += ["", *_table(section), *_tables_below(name, section)]
    return "\n".join(lines).rstrip() + "\n"


def commands_page() -> str:
    """Every command, from click."""
    lines = ["# Commands", "", NOTE, ""]
    context = click.Context(main, info_name="kintoun")
    for command, path in _commands(main, context):
        usage = " ".join(command.collect_usage_pieces(click.Context(command, info_name=path)))
        lines += [f"## {path}", "", f"`{path} {usage}`", "", _prose(command.help or ""), ""]
        options = [option for option in command.params if isinstance(option, click.Option)]
        if options:
            lines += ["| option | meaning | default |", "|---|---|---|"]
            lines += [_option_row(option) for option in options]
            lines.append("")
    lines += ["## Exit codes", "", "| code | meaning |", "|---|---|"]
    lines += [f"| {code.value} | {meaning} |" for code, meaning in MEANINGS.items()]
    return "\n".join(lines).rstrip() + "\n"


def kinto_page() -> str:
    """How the keys of a Kinto ini are carried over, from the table."""
    lines = [
        "# Keys of a Kinto ini",
        "",
        NOTE,
        "",
        "What `kintoun config import` and `kintoun serve --kinto-ini` make of each key, with or without its",
        "`kinto.` prefix. Every other key is named when the file is read.",
        "",
        "| key | becomes |",
        "|---|---|",
    ]
    lines += [
        f"| `{key}` | `[{target.section}] {target.key}` |" for key, target in sorted(table.SETTINGS.items())
    ]
    lines += [
        "| `{resource}_{permission}_principals` | `[access] {resource}_{permission}` |",
        "| `{plural,object}_{resource}_{method}_enabled` | `[protocol] disabled_endpoints`, when false |",
        "| `{resource}_cache_expires_seconds` | `[cache_expires] {resource}` |",
        "| `{bucket}.record_cache_expires_seconds` | `[cache_expires] {bucket}.record` |",
        "| `{bucket}.{collection}.record_cache_expires_seconds` | the same, `{bucket}.{collection}.record` |",
        "| `{bucket}.{collection}.record_cache_maximum_expires_seconds` | the same, `….record_maximum` |",
        "| `{bucket}.{collection}.record_cache_minimum_expires_seconds` | the same, `….record_minimum` |",
        "| `storage_backend`, `storage_url` | `[storage] url`; the memory backend becomes a SQLite file |",
        "| `storage_pool_size` | `[storage] pool_size` |",
        "| `includes` | `features` |",
        "| `experimental_permissions_endpoint` | the feature `permissions` |",
        "| `multiauth.policies`, `multiauth.policy.{name}.{option}` | `policies` |",
    ]
    for name in feature_names():
        for key, target_field in sorted(feature(name).kinto_keys.items()):
            lines.append(f"| `{key}` | `[{name}] {target_field}` |")
    lines += ["", "## Plugins", "", "| name in `includes` | feature |", "|---|---|"]
    for name in feature_names():
        for module in feature(name).kinto_includes or [f"kinto.plugins.{name}"]:
            lines.append(f"| `{module}` | `{name}` |")
    lines += ["", "## Policies", "", "| class in `multiauth.policy.{name}.use` | `use` |", "|---|---|"]
    known = {short: kind.use for short, kind in POLICIES.items() if kind.feature in feature_names()}
    lines += [f"| `…{short}` | `{use}` |" for short, use in known.items()]
    lines += ["", "## Keys that need no counterpart", "", "| pattern | why |", "|---|---|"]
    lines += [f"| `{_cell(pattern.pattern)}` | {reason} |" for pattern, reason in table.NEEDLESS]
    lines += ["", "## Keys that have none", "", "| pattern | why |", "|---|---|"]
    lines += [f"| `{_cell(pattern.pattern)}` | {reason} |" for pattern, reason in table.WITHOUT_COUNTERPART]
    return "\n".join(lines).rstrip() + "\n"


PAGES: dict[str, Callable[[], str]] = {
    "settings.md": settings_page,
    "commands.md": commands_page,
    "kinto-ini.md": kinto_page,
}


def _tables_below(name: str, section: type[Section]) -> list[str]:
    """The tables of which a section has lists."""
    lines: list[str] = []
    for item in msgspec.structs.fields(section):
        kind = (get_args(bare(item.type)) or (None,))[0]
        if isinstance(kind, type) and issubclass(kind, Section):
            lines += [f"### [[{name}.{item.encode_name}]]", "", inspect.getdoc(kind) or "", "", *_table(kind)]
    return lines


def _table(struct: type[msgspec.Struct], names: Sequence[str] | None = None) -> list[str]:
    lines = ["| key | type | default | meaning |", "|---|---|---|---|"]
    items = [item for item in msgspec.structs.fields(struct) if names is None or item.name in names]
    return [*lines, *map(_row, items), ""]


def _row(item: msgspec.structs.FieldInfo) -> str:
    cells = [
        f"`{item.encode_name}`",
        _cell(type_text(item.type)),
        _default(item),
        _cell(description(item.type)),
    ]
    return f"| {' | '.join(cells)} |"


def _open_table(name: str) -> list[str]:
    (item,) = [item for item in msgspec.structs.fields(Settings) if item.name == name]
    key, value = get_args(bare(item.type))
    return [description(item.type), "", f"Keys: {type_text(key)}; values: {type_text(value)}.", ""]


def _default(item: msgspec.structs.FieldInfo) -> str:
    if item.required:
        return "must be given"
    value = item.default_factory() if item.default is msgspec.NODEFAULT else item.default  # type: ignore[misc]
    return "" if value is None else f"`{json.dumps(msgspec.to_builtins(value), ensure_ascii=False)}`"


def description(kind: Any) -> str:
    """The sentence that is declared with a type; a test demands one."""
    found = [meta.description for meta in _metas(kind) if meta.description]
    return found[0] if found else ""


def _metas(kind: Any) -> Iterator[Meta]:
    if get_origin(kind) is Annotated:
        yield from (meta for meta in get_args(kind)[1:] if isinstance(meta, Meta))


def type_text(kind: Any) -> str:
    """A type as readers of TOML say it, bounds included."""
    if get_origin(kind) is Annotated:
        return type_text(get_args(kind)[0]) + "".join(map(_bounds, _metas(kind)))
    origin, args = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        return " or ".join(type_text(arg) for arg in args if arg is not type(None))
    if origin is Literal:
        return ", ".join(f"`{json.dumps(arg)}`" for arg in args)
    if origin is list:
        return f"list of {type_text(args[0])}"
    if origin is dict:
        return "table"
    if isinstance(kind, type) and issubclass(kind, Section):
        return "tables"
    return {str: "text", int: "integer", float: "number", bool: "boolean", Any: "any value"}[kind]


def _bounds(meta: Meta) -> str:
    parts = [f"≥ {meta.ge}" if meta.ge is not None else "", f"≤ {meta.le}" if meta.le is not None else ""]
    parts.append(f"matching `{meta.pattern}`" if meta.pattern else "")
    bounds = ", ".join(filter(None, parts))
    return f" {bounds}" if bounds else ""


def _commands(command: click.Command, context: click.Context) -> Iterator[tuple[click.Command, str]]:
    if not isinstance(command, click.Group):
        yield command, context.command_path
        return
    for name in command.list_commands(context):
        below = command.get_command(context, name)
        assert below is not None, f"the command {name} is listed, so it is there"
        yield from _commands(below, click.Context(below, info_name=name, parent=context))


def _option_row(option: click.Option) -> str:
    names = ", ".join(f"`{name}`" for name in [*option.opts, *option.secondary_opts])
    value = "" if option.is_flag else f" {option.make_metavar(click.Context(main))}"
    shown = (
        option.default if option.default not in (None, False, (), "") and not callable(option.default) else ""
    )
    shown = "" if "UNSET" in repr(shown).upper() else shown
    default = f"`{shown}`" if str(shown) else ""
    return f"| {names}{value} | {_cell(option.help or '')} | {default} |"


def _prose(text: str) -> str:
    return "\n".join(line.strip() for line in text.strip().splitlines())


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def write() -> None:
    """Write every page."""
    REFERENCE.mkdir(parents=True, exist_ok=True)
    for name, page in PAGES.items():
        (REFERENCE / name).write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    write()
