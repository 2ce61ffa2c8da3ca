"""`kintoun signer`."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import click
from msgspec.structs import replace

from kintoun import __version__, serving
from kintoun.cli.exits import Exit, fail, reported
from kintoun.cli.options import config_option, resolve
from kintoun.settings import Settings


@click.command()
@config_option
@click.option("--host", help="Address to listen on.")
@click.option("--port", type=click.IntRange(0, 65535), help="Port to listen on.")
@reported
def signer(config: Path | None, host: str | None, port: int | None) -> None:
    """Serve the signing service until SIGTERM or SIGINT.

    It holds the keys of `[signing]` and signs for the callers of `[signer]`, with autograph's API. SIGHUP
    reads the configuration again and replaces the workers, without refusing a request.
    """

    def read() -> Settings:
        settings = resolve(config, None, None)
        given = {name: value for name, value in (("host", host), ("port", port)) if value is not None}
        own = replace(settings.signer, **given)
        server = replace(settings.server, host=own.host, port=own.port, workers=own.workers)
        settings = replace(settings, signer=own, server=server)
        _check(settings)
        return settings

    try:
        settings = read()
        code = serving.run(settings, lambda: _greet(settings), read, "signing_service")
    except serving.AddressInUse as error:
        fail(Exit.ADDRESS, str(error))
    except ValueError as error:
        fail(Exit.CONFIGURATION, str(error))
    if code:
        fail(Exit.FAILED, "the workers kept failing")


def _check(settings: Settings) -> None:
    """Raise ValueError when the parts do not fit together, or the nonces cannot be kept."""
    from kintoun.signer.application import Application, open_nonces

    serving.configure_log(settings.server)
    Application(settings)
    try:
        open_nonces(settings).close()
    except (OSError, sqlite3.Error) as error:
        raise ValueError(f"signer.data: nonces cannot be kept there: {error}") from error


def _greet(settings: Settings) -> None:
    from kintoun.signer.keys import base_url

    click.echo(f"Kintoun {__version__} signs at {base_url(settings)}/")
