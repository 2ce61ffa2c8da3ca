"""`kintoun version`."""

from __future__ import annotations

import platform
import sqlite3

import click

from kintoun import __version__


@click.command()
def version() -> None:
    """Print the version of the server, of Python and of SQLite."""
    click.echo(f"kintoun {__version__}")
    click.echo(f"python {platform.python_version()}")
    click.echo(f"sqlite {sqlite3.sqlite_version}")
