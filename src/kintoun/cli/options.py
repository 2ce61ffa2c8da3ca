"""Options that several commands share, and how they become settings."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from kintoun.cli.exits import Exit, fail
from kintoun.config import Tree, Value, decode, read_environment, read_file
from kintoun.kinto_ini import Translation, translate
from kintoun.settings import Settings

Command = TypeVar("Command", bound=Callable[..., Any])
DEFAULT_FILE = Path("kintoun.toml")

config_option = click.option(
    "--config",
    "-c",
    type=click.Path(path_type=Path, dir_okay=False),
    envvar="KINTOUN_CONFIG",
    help="Configuration file; default: kintoun.toml in the working directory, when it is there.",
)
ini_option = click.option(
    "--kinto-ini",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Take the settings from a Kinto ini file and from Kinto's environment instead.",
)
data_option = click.option(
    "--data",
    type=click.Path(path_type=Path, file_okay=False),
    help="Directory of the SQLite file; made when it is not there.",
)


def settings_options(command: Command) -> Command:
    """The options by which every command finds its settings."""
    return config_option(ini_option(data_option(command)))


def resolve(
    config: Path | None, kinto_ini: Path | None, data: Path | None, overrides: dict[str, Any] | None = None
) -> Settings:
    """The settings for a command; `overrides` are options of `[server]`. Raises ConfigError."""
    if config is not None and kinto_ini is not None:
        fail(Exit.USAGE, "--config and --kinto-ini exclude each other")
    tree = Tree()
    if kinto_ini is not None:
        translation = translate(kinto_ini, os.environ, data and data.resolve())
        show_notes(translation)
        tree = translation.tree
        read_environment(os.environ, tree)
    else:
        file = config or (DEFAULT_FILE if DEFAULT_FILE.exists() else None)
        if file is not None:
            read_file(file, tree)
        read_environment(os.environ, tree)
        if data is not None:
            tree.put("storage", "url", Value(f"sqlite:{data.resolve() / 'kintoun.sqlite'}", "--data"))
    if data is not None:
        data.mkdir(parents=True, exist_ok=True)
    for key, value in (overrides or {}).items():
        if value is not None:
            tree.put("server", key, Value(value, f"--{key}"))
    return decode(tree)


def show_notes(translation: Translation) -> None:
    """Say on standard error what of an ini had no effect."""
    for note in translation.notes:
        if note.kind == "lost":
            click.secho(f"not carried over: {note.place}: {note.reason}", err=True, fg="yellow")
