"""Subcommands that features bring: listed, and imported only when they are asked for."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from typing import ClassVar

import click
import pytest
from click.testing import CliRunner

from kintoun.cli import main
from kintoun.config import discovery
from kintoun.plugin import Plugin


@click.command()
def shelve() -> None:
    """Put something on a shelf."""
    click.echo("shelved")


class Shelves(Plugin):
    name: ClassVar[str] = "shelves"
    commands: ClassVar[dict[str, str]] = {"shelve": f"{__name__}:shelve", "serve": "no.such:thing"}


class _EntryPoint:
    value = "somewhere:Something"

    def __init__(self, target: type[Plugin] | None) -> None:
        self.target = target

    def load(self) -> type[Plugin]:
        if self.target is None:
            raise ImportError("no module named somewhere")
        return self.target


@pytest.fixture(autouse=True)
def installed(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    points = {"broken": _EntryPoint(None), "shelves": _EntryPoint(Shelves)}
    monkeypatch.setattr(discovery, "_entry_points", lambda: points)
    discovery.feature.cache_clear()
    yield
    discovery.feature.cache_clear()


def test_they_are_listed_and_run() -> None:
    listed = CliRunner().invoke(main, ["--help"])
    assert listed.exit_code == 0
    assert "Put something on a shelf." in listed.stdout
    assert "no module named somewhere" in listed.stderr, "a feature that is broken is named"
    assert CliRunner().invoke(main, ["shelve"]).stdout == "shelved\n"


def test_the_servers_own_commands_stay_what_they_are() -> None:
    assert "Serve the API" in CliRunner().invoke(main, ["serve", "--help"]).stdout


def test_no_feature_is_imported_for_a_command_of_the_server() -> None:
    code = (
        "import sys; from kintoun.cli import main; main(['version'], standalone_mode=False);"
        "print([name for name in sys.modules if name.startswith('kintoun.features.')])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.endswith("[]\n"), done.stdout
