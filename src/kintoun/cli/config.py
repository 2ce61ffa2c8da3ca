"""`kintoun config`: show, check, import."""

from __future__ import annotations

import os
import re
from pathlib import Path

import click

from kintoun.cli.exits import Exit, fail, reported
from kintoun.cli.options import resolve, settings_options
from kintoun.config import decode, toml, tree_of
from kintoun.kinto_ini import Translation, plain, translate

SECRET = (
    "secret", "password", "credentials", "webhook_url", "slack.channels", "sentry.dsn", "tracing.headers",
    "store_options",
)  # fmt: skip
"""Parts of the names of settings that are not shown, nor what is below them."""
PASSWORD = re.compile(r"(://[^:/@]*:)[^@]*(?=@)|([?&](?:ssl)?password=)[^&]*")
"""Where a password can stand in a URL."""


@click.group()
def config() -> None:
    """Look at the configuration, or turn a Kinto ini into one."""


@config.command()
@settings_options
@click.option("--secrets", is_flag=True, help="Show secrets and passwords too.")
@reported
def show(config: Path | None, kinto_ini: Path | None, data: Path | None, secrets: bool) -> None:
    """Print the settings as they are resolved, defaults included, as a configuration file."""
    tree = tree_of(resolve(config, kinto_ini, data))
    click.echo(toml.write(tree if secrets else _without_secrets(tree)), nl=False)


@config.command()
@settings_options
@reported
def check(config: Path | None, kinto_ini: Path | None, data: Path | None) -> None:
    """Check the configuration and name every mistake in it."""
    from kintoun import serving

    settings = resolve(config, kinto_ini, data)
    try:
        serving.check(settings)
    except ValueError as error:
        fail(Exit.CONFIGURATION, str(error))
    click.echo(f"The configuration is good; features: {', '.join(settings.features) or 'none'}.")


@config.command("import")
@click.argument("ini", type=click.Path(path_type=Path, dir_okay=False, exists=True))
@click.option(
    "--output",
    "-o",
    type=click.Path(path_type=Path, dir_okay=False),
    help="File to write; default: the terminal.",
)
@click.option("--force", is_flag=True, help="Write over a file that is there.")
@click.option("--strict", is_flag=True, help="Fail when a key could not be carried over.")
@reported
def import_(ini: Path, output: Path | None, force: bool, strict: bool) -> None:
    """Turn the Kinto ini file INI, and Kinto's environment, into a kintoun.toml.

    Every key that could not be carried over is named on standard error.
    """
    translation = translate(ini, os.environ)
    decode(translation.tree)
    text = f"# From {ini.name}, a configuration of Kinto.\n\n{toml.write(plain(translation.tree))}"
    _report(translation)
    if strict and any(note.kind == "lost" for note in translation.notes):
        fail(Exit.FAILED, "some keys could not be carried over")
    if output is None:
        click.echo(text, nl=False)
        return
    if output.exists() and not force:
        fail(Exit.FAILED, f"{output} is there already; --force writes over it")
    write_private(output, text)
    click.echo(f"Wrote {output}.", err=True)


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner can read: it holds secrets."""
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.write(text)


def _report(translation: Translation) -> None:
    lost = [note for note in translation.notes if note.kind == "lost"]
    needless = [note for note in translation.notes if note.kind == "needless"]
    if lost:
        click.secho("Could not be carried over:", err=True, fg="yellow")
    for note in lost:
        click.echo(f"  {note.place}: {note.reason}", err=True)
    if needless:
        click.echo("Left out, because nothing depends on it here:", err=True)
    for note in needless:
        click.echo(f"  {note.place}: {note.reason}", err=True)


def _without_secrets(tree: object) -> dict[str, object]:
    hidden = _hide(tree)
    assert isinstance(hidden, dict)
    return hidden


def _hide(value: object, name: str = "") -> object:
    if isinstance(value, dict):
        return {key: _hide(item, f"{name}.{key}" if name else key) for key, item in value.items()}
    if isinstance(value, list):
        return [_hide(item, name) for item in value]
    if isinstance(value, str) and value and any(word in name for word in SECRET):
        return "…"
    if isinstance(value, str):
        return PASSWORD.sub(r"\1\2…", value)
    return value
