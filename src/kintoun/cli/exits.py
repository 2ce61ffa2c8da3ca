"""How a command ends: its exit codes, and the one place that turns errors into them."""

from __future__ import annotations

import functools
from collections.abc import Callable
from enum import IntEnum
from typing import Any, NoReturn, ParamSpec, TypeVar

import click

from kintoun.config import ConfigError

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


class Exit(IntEnum):
    """The exit codes of every command."""

    OK = 0
    FAILED = 1
    USAGE = 2
    CONFIGURATION = 3
    STORAGE = 4
    ADDRESS = 5


MEANINGS = {
    Exit.OK: "The command did what it was asked.",
    Exit.FAILED: "It could not; the message says why. For `serve`: the workers kept failing.",
    Exit.USAGE: "The command line is wrong: an unknown option, or a value out of its range.",
    Exit.CONFIGURATION: "The configuration is wrong; every mistake is named with its file, section and key.",
    Exit.STORAGE: "The database cannot be reached, opened, or migrated.",
    Exit.ADDRESS: "The address or the port cannot be listened on.",
}


def fail(code: Exit, message: str) -> NoReturn:
    """End the command with a message on standard error."""
    for line in message.splitlines():
        click.secho(f"error: {line}", err=True, fg="red")
    raise click.exceptions.Exit(code)


def reported(command: Callable[Arguments, Result]) -> Callable[Arguments, Result]:
    """Turn the errors that a command may meet into a message and an exit code."""

    @functools.wraps(command)
    def inner(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Any:
        from kintoun.storage.rows import Unavailable

        try:
            return command(*args, **kwargs)
        except ConfigError as error:
            fail(Exit.CONFIGURATION, str(error))
        except Unavailable as error:
            cause = str(error.__cause__ or "")
            more = f": {cause}" if cause and cause not in str(error) else ""
            fail(Exit.STORAGE, f"the database is not available: {error}{more}")

    return inner
