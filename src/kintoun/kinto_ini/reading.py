"""Reading a Kinto ini file and Kinto's environment into one flat set of keys (protocol section 12)."""

from __future__ import annotations

import configparser
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from kintoun.config.problems import ConfigError, Problem

APPLICATION = "app:main"
SERVER = "server:main"
PREFIX = "kinto."
KEPT_OUT = frozenset({"KINTO_INI"})


class Entry(NamedTuple):
    """One key as it was written: its text, and the place for messages."""

    text: str
    place: str


@dataclass
class Ini:
    """What an ini file says: the application's keys without `kinto.`, the server's keys, and the rest."""

    path: Path
    application: dict[str, Entry] = field(default_factory=dict)
    server: dict[str, Entry] = field(default_factory=dict)
    other_sections: list[str] = field(default_factory=list)


def read(path: Path) -> Ini:
    """Read a file; raises ConfigError when it is none, or sets a key twice with different values."""
    parser = configparser.ConfigParser(
        strict=False,
        defaults={"here": str(path.resolve().parent), "__file__": str(path.resolve()), "http_port": "8888"},
    )
    parser.optionxform = str  # type: ignore[assignment,method-assign]  # ids inside keys have upper case
    try:
        parser.read_string(path.read_text(encoding="utf-8-sig"), str(path))
    except OSError as error:
        raise ConfigError([Problem(str(path), "", "", f"cannot be read: {error.strerror}")]) from error
    except (configparser.Error, UnicodeDecodeError) as error:
        raise ConfigError([Problem(str(path), "", "", f"is not an ini file: {error}")]) from error
    main = _application_section(parser, path)
    problems: list[Problem] = []
    ini = Ini(path, other_sections=[name for name in parser.sections() if name not in (main, SERVER)])
    for key, text in _items(parser, main, path, problems).items():
        _add(ini, main, key, text, problems)
    if parser.has_section(SERVER):
        items = _items(parser, SERVER, path, problems)
        ini.server = {key: Entry(text, f"{path}: [{SERVER}] {key}") for key, text in items.items()}
    if problems:
        raise ConfigError(problems)
    return ini


def apply_environment(ini: Ini, environ: Mapping[str, str], known: Iterable[str]) -> list[str]:
    """Put the environment above the file, and return the `KINTO_…` variables that are no known key.

    `KINTO_STORAGE_URL` comes before `STORAGE_URL`, which comes before the file. As in Kinto, only keys that
    exist are looked up: the `known` ones, which have a default, and those of the file.
    """
    taken = set(KEPT_OUT)
    for key in [*known, *ini.application]:
        plain = variable_of(key)
        taken.add(f"KINTO_{plain}")
        for variable in (f"KINTO_{plain}", plain):
            if variable in environ:
                ini.application[key] = Entry(environ[variable], f"environment {variable}")
                break
    return sorted(name for name in environ if name.startswith("KINTO_") and name not in taken)


def variable_of(key: str) -> str:
    """The environment's name of a key, without the `KINTO_` prefix."""
    return key.replace(".", "_").replace("-", "_").upper()


def _application_section(parser: configparser.ConfigParser, path: Path) -> str:
    applications = [name for name in parser.sections() if name.startswith("app:")]
    if APPLICATION in applications or not applications:
        if parser.has_section(APPLICATION):
            return APPLICATION
        raise ConfigError([Problem(str(path), APPLICATION, "", "this section is missing")])
    if len(applications) == 1:
        return applications[0]
    raise ConfigError([Problem(str(path), APPLICATION, "", f"is missing, and {applications} are several")])


def _items(
    parser: configparser.ConfigParser, section: str, path: Path, problems: list[Problem]
) -> dict[str, str]:
    items = {}
    for key in parser.options(section):
        if parser.get(section, key, raw=True) == parser.defaults().get(key):
            continue  # of [DEFAULT], whose keys are there for %(key)s and no settings
        try:
            items[key] = parser.get(section, key)
        except configparser.InterpolationError as error:
            problems.append(Problem(str(path), section, key, " ".join(str(error).split())))
    return items


def _add(ini: Ini, section: str, key: str, text: str, problems: list[Problem]) -> None:
    plain = key.removeprefix(PREFIX)
    before = ini.application.get(plain)
    if before is not None and before.text.strip() != text.strip():
        rule = f"is set twice with different values, as `{plain}` and as `{PREFIX}{plain}`"
        problems.append(Problem(str(ini.path), section, plain, rule))
        return
    ini.application[plain] = Entry(text, f"{ini.path}: [{section}] {key}")
