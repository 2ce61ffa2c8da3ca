"""`kintoun init`."""

from __future__ import annotations

import secrets
from importlib.util import find_spec
from pathlib import Path

import click

from kintoun.cli.config import write_private
from kintoun.cli.exits import Exit, fail, reported

TEMPLATE = """\
# The configuration of Kintoun. Every setting is described in the documentation, under Reference, Settings.
# The environment stands above this file: KINTOUN_STORAGE__URL is `url` of the section `storage`.

features = [{features}]

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

{signing}{publication}[[policies]]
name = "account"
use = "account"
"""

FEATURES = ["accounts", "default_bucket", "history", "permissions", "openapi", "live"]

OPTIONAL = {"attachments": "multipart", "publication": "brotli", "signing": "cryptography"}
"""More of them, where the modules are installed that they need."""

SIGNING = """\
# What is edited where, and signed and published where; who signs. `kintoun pki` keeps keys and certificates.
[signing]
resources = \"""
/buckets/main-workspace -> /buckets/main-preview -> /buckets/main
/buckets/security-state-staging -> /buckets/security-state-preview -> /buckets/security-state
\"""
sign_with = ["remote-settings"]

[signing.sign_with_in]
security-state-staging = ["onecrl"]

[[signing.local]]
name = "remote-settings"
private_key = "pki/remote-settings.pem"

[[signing.local]]
name = "onecrl"
private_key = "pki/onecrl.pem"

"""

PUBLICATION = """\
# What clients such as Firefox follow.
[publication]
resources = [
    "/buckets/main",
    "/buckets/main-preview",
    "/buckets/security-state",
    "/buckets/security-state-preview",
]

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
@click.option(
    "--signing/--no-signing",
    default=True,
    help="Whether to sign what is published, with keys and certificates of its own in `pki`.",
)
@reported
def init(directory: Path, storage: str, admin: str, force: bool, quiet: bool, signing: bool) -> None:
    """Write a kintoun.toml with secrets of its own, and make what it takes to sign.

    Keys and certificates that are there already are kept. What needs an extra of the package that is not
    installed, as `signing` does, is left out.
    """
    from kintoun.config.toml import text
    from kintoun.model.kinds import ACCOUNT

    if not ACCOUNT.accepts(admin):
        fail(Exit.USAGE, f"{admin!r} cannot be the name of an account")
    path = directory / "kintoun.toml"
    if path.exists() and not force:
        fail(Exit.FAILED, f"{path} is there already; --force writes over it")
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    features = FEATURES + [name for name, module in OPTIONAL.items() if find_spec(module) is not None]
    if not signing and "signing" in features:
        features.remove("signing")
    if "signing" in features:
        _make_pki(directory / "pki")
    content = TEMPLATE.format(
        features=", ".join(map(text, features)),
        signing=SIGNING if "signing" in features else "",
        publication=PUBLICATION if {"signing", "publication"} <= set(features) else "",
        url=text(storage),
        secret=text(secrets.token_urlsafe(32)),
        bucket_secret=text(secrets.token_urlsafe(32)),
        admin=admin,
        rights=_rights(admin),
    )
    write_private(path, content)
    if not quiet:
        click.echo(f"Wrote {path}. Start the server with: kintoun serve --config {path} --admin {admin}")


def _make_pki(path: Path) -> None:
    if path.exists():
        return  # nobody's keys are written over
    from kintoun.cli.pki import NAMES, SUFFIX, create

    create(path, SUFFIX, NAMES, "Kintoun root", days=90, skew_days=30)


def _rights(admin: str) -> str:
    """Rights are looked up by the resource of a request and do not pass down (protocol section 8.3)."""
    resources = ("bucket", "collection", "group", "record")
    keys = [f"{resource}_{verb}" for resource in resources for verb in ("create", "read", "write")]
    return "\n".join(f'{key} = ["account:{admin}"]' for key in keys if key != "bucket_create")
