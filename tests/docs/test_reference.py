"""The generated pages are what the code says today, and everything that can be set is described."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import msgspec
import pytest

from kintoun.cli import main
from kintoun.config import feature, feature_names
from kintoun.config.decoding import core_sections
from kintoun.settings import Index, Policy, Settings
from tests.docs.generate import PAGES, REFERENCE, description

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("name", PAGES)
def test_a_generated_page_is_current(name: str) -> None:
    assert (REFERENCE / name).read_text(encoding="utf-8") == PAGES[name](), "run `make docs-reference`"


def declared() -> Iterator[type[msgspec.Struct]]:
    yield from core_sections().values()
    yield from (Index, Policy)
    yield from (section for name in feature_names() if (section := feature(name).settings) is not None)


@pytest.mark.parametrize("struct", list(declared()))
def test_every_setting_is_described(struct: type[msgspec.Struct]) -> None:
    assert struct.__doc__
    for item in msgspec.structs.fields(struct):
        assert description(item.type).endswith("."), f"{struct.__name__}.{item.name} has no description"


def test_every_key_outside_sections_is_described() -> None:
    sections = core_sections()
    for item in msgspec.structs.fields(Settings):
        if item.name not in sections:
            assert description(item.type).endswith((".", "…")), item.name


def commands(command: click.Command, path: str) -> Iterator[tuple[str, click.Command]]:
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            below = command.get_command(context, name)
            assert below is not None
            yield from commands(below, f"{path} {name}")
    else:
        yield path, command


@pytest.mark.parametrize(("path", "command"), list(commands(main, "kintoun")))
def test_every_command_and_option_has_help(path: str, command: click.Command) -> None:
    assert command.help, path
    for option in command.params:
        if isinstance(option, click.Option):
            assert (option.help or "").endswith("."), f"{path} {option.opts[0]}"


def test_the_site_builds_without_a_warning(tmp_path: Path) -> None:
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "mkdocs",
            "build",
            "--strict",
            "--quiet",
            "--site-dir",
            str(tmp_path / "site"),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "site" / "reference" / "settings" / "index.html").exists()
