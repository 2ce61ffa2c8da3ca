"""`kintoun user`: create, password, list, delete, erase, and the tokens of accounts."""

from __future__ import annotations

import asyncio
from pathlib import Path

import click

from kintoun.cli import accounts
from kintoun.cli.exits import Exit, fail, reported
from kintoun.cli.options import resolve, settings_options
from kintoun.cli.stores import moment, run
from kintoun.cli.token import token
from kintoun.model.attributes import MAX_PASSWORD_BYTES
from kintoun.model.errors import ProtocolError
from kintoun.model.paths import ACCOUNTS
from kintoun.settings import Settings

password_option = click.option(
    "--password",
    "-p",
    envvar="KINTOUN_PASSWORD",
    help="The password; asked for when it is neither given nor in KINTOUN_PASSWORD.",
)


@click.group()
def user() -> None:
    """Make and remove accounts, without a running server or beside one."""


user.add_command(token)


@user.command()
@click.argument("name")
@password_option
@settings_options
@reported
def create(
    name: str, password: str | None, config: Path | None, kinto_ini: Path | None, data: Path | None
) -> None:
    """Make the account NAME."""
    settings = _settings(name, config, kinto_ini, data)
    secret = _asked(password)
    if not run(settings, lambda store: accounts.add_account(store, name, secret)):
        fail(Exit.FAILED, f"there is an account {name!r} already")
    click.echo(f"Made account:{name}.")


@user.command("password")
@click.argument("name")
@password_option
@settings_options
@reported
def password_(
    name: str, password: str | None, config: Path | None, kinto_ini: Path | None, data: Path | None
) -> None:
    """Set the password of the account NAME, which is made when it is not there."""
    settings = _settings(name, config, kinto_ini, data)
    secret = _asked(password)
    run(settings, lambda store: accounts.add_account(store, name, secret, overwrite=True))
    click.echo(f"Set the password of account:{name}.")


@user.command("list")
@settings_options
@reported
def list_(config: Path | None, kinto_ini: Path | None, data: Path | None) -> None:
    """Show the names of all accounts, and since when they are as they are."""
    for account in run(resolve(config, kinto_ini, data), lambda store: accounts.objects_of(store, ACCOUNTS)):
        click.echo(f"{account['id']}\t{moment(account['last_modified'])}")


@user.command()
@click.argument("name")
@settings_options
@reported
def delete(name: str, config: Path | None, kinto_ini: Path | None, data: Path | None) -> None:
    """Delete the account NAME. What it was granted stays, for an account of that name."""
    settings = _settings(name, config, kinto_ini, data)
    if not run(settings, lambda store: accounts.delete_account(store, name)):
        fail(Exit.FAILED, f"there is no account {name!r}")
    click.echo(f"Deleted account:{name}.")


@user.command()
@click.argument("name")
@settings_options
@reported
def erase(name: str, config: Path | None, kinto_ini: Path | None, data: Path | None) -> None:
    """Forget the user NAME, an account, or a principal with its policy as `openid:ada`.

    What only NAME may write is deleted, the account with it; from all other permissions and groups, and from
    what features know, NAME is taken out.
    """
    from kintoun.cli.erasing import erase_user

    principal = name if ":" in name else f"account:{name}"
    settings = resolve(config, kinto_ini, data) if ":" in name else _settings(name, config, kinto_ini, data)
    try:
        done = asyncio.run(erase_user(settings, principal))
    except ProtocolError as error:
        fail(Exit.FAILED, f"{principal} is not erased: {error}")
    except ValueError as error:
        fail(Exit.CONFIGURATION, str(error))
    click.echo(f"Erased {principal}: deleted {done['delete']} objects, changed {done['update']}.")


def _settings(name: str, config: Path | None, kinto_ini: Path | None, data: Path | None) -> Settings:
    if not accounts.is_account_name(name):
        fail(Exit.USAGE, f"{name!r} cannot be the name of an account")
    return resolve(config, kinto_ini, data)


def _asked(password: str | None) -> str:
    chosen: str = password or click.prompt("Password", hide_input=True, confirmation_prompt=True)
    if len(chosen.encode()) > MAX_PASSWORD_BYTES:
        fail(Exit.USAGE, f"a password has at most {MAX_PASSWORD_BYTES} bytes")
    return chosen
