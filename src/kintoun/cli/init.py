"""`kintoun init`."""

from __future__ import annotations

import secrets
from pathlib import Path

import click

from kintoun.cli.config import write_private
from kintoun.cli.exits import Exit, fail, reported

TEMPLATE = """\
# The configuration of Kintoun. Every setting is described in the documentation, under Reference, Settings.
# The environment stands above this file: KINTOUN_STORAGE__URL is `url` of the section `storage`.

features = ["accounts", "default_bucket", "history", "permissions", "openapi"]

[storage]
# A file beside this one, or postgresql://user:password@host/database
url = {url}

[protocol]
userid_secret = {secret}
# Check records against the JSON schema of their collection.
schema_validation = true

[default_bucket]
secret = {bucket_secret}

# Who may act whatever the objects say. `account:{admin}` may do everything.
[access]
bucket_create = ["system.Authenticated"]
{rights}
# `system.Everyone` here lets anybody sign up.
account_create = ["account:{admin}"]
account_read = ["account:{admin}"]
account_write = ["account:{admin}"]

[[policies]]
name = "account"
use = "account"
"""


@click.command()
@click.option(
    "--directory",
    "-d",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path(),
    help="Where to write kintoun.toml; made when it is not there.",
)
@click.option("--storage", default="sqlite:kintoun.sqlite", show_default=True, help="URL of the database.")
@click.option("--admin", default="admin", show_default=True, help="Account that may do everything.")
@click.option("--force", is_flag=True, help="Write over a file that is there.")
@click.option("--quiet", is_flag=True, help="Say nothing when all went well.")
@reported
def init(directory: Path, storage: str, admin: str, force: bool, quiet: bool) -> None:
    """Write a kintoun.toml with secrets of its own."""
    from kintoun.config.toml import text
    from kintoun.model.kinds import ACCOUNT

    if not ACCOUNT.accepts(admin):
        fail(Exit.USAGE, f"{admin!r} cannot be the name of an account")
    path = directory / "kintoun.toml"
    if path.exists() and not force:
        fail(Exit.FAILED, f"{path} is there already; --force writes over it")
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    content = TEMPLATE.format(
        url=text(storage),
        secret=text(secrets.token_urlsafe(32)),
        bucket_secret=text(secrets.token_urlsafe(32)),
        admin=admin,
        rights=_rights(admin),
    )
    write_private(path, content)
    if not quiet:
        click.echo(f"Wrote {path}. Start the server with: kintoun serve --config {path} --admin {admin}")


def _rights(admin: str) -> str:
    """Rights are looked up by the resource of a request and do not pass down (protocol section 8.3)."""
    resources = ("bucket", "collection", "group", "record")
    keys = [f"{resource}_{verb}" for resource in resources for verb in ("create", "read", "write")]
    return "\n".join(f'{key} = ["account:{admin}"]' for key in keys if key != "bucket_create")
