"""`kintoun pki`: init, import, leaf, renew, show."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from kintoun.cli.exits import Exit, fail

if TYPE_CHECKING:
    from kintoun.signatures.directory import Directory

Command = TypeVar("Command", bound=Callable[..., Any])

SUFFIX = "content-signature.mozilla.org"
"""What the names of signers end with that clients of Remote Settings know, Firefox among them."""
NAMES = ("remote-settings", "onecrl")
"""The signers that those clients know."""

directory_option = click.option(
    "--directory",
    "-d",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("pki"),
    show_default=True,
    help="The directory of the PKI, `pki` of the section `signing`.",
)
name_option = click.option(
    "--name",
    "names",
    multiple=True,
    default=NAMES,
    show_default=True,
    help="First label of the name of a signer, each of which gets a leaf; may be given again.",
)
suffix_option = click.option(
    "--suffix", help=f"What the names of signers end with; default: {SUFFIX}, or what the intermediate says."
)
skew_option = click.option(
    "--skew-days",
    type=click.FloatRange(0, 60),
    default=30,
    show_default=True,
    help="How long before they are issued leaves are valid too, for clocks that are late.",
)


def lifetime_options(command: Command) -> Command:
    """The options of whatever issues leaves."""
    days = click.option(
        "--days", type=click.FloatRange(1, 3650), default=90, show_default=True, help="How long leaves live."
    )
    return days(skew_option(command))


def reported(command: Command) -> Command:
    """Turn what is wrong with keys and certificates into a message and an exit code."""

    @functools.wraps(command)
    def inner(*args: Any, **kwargs: Any) -> Any:
        try:
            return command(*args, **kwargs)
        except (ValueError, OSError) as error:
            fail(Exit.FAILED, str(error))

    return inner  # type: ignore[return-value]


@click.group()
def pki() -> None:
    """Keep the certificates by which clients believe what is published."""


@pki.command()
@directory_option
@suffix_option
@name_option
@click.option("--root-name", default="Kintoun root", show_default=True, help="Common name of the root.")
@lifetime_options
@reported
def init(
    directory: Path, suffix: str | None, names: tuple[str, ...], root_name: str, days: float, skew_days: float
) -> None:
    """Make a root, an intermediate that it certifies, and leaves that sign.

    Nothing is written over. Afterwards `root.key` can be put away: only another intermediate needs it.
    """
    made = create(directory, suffix or SUFFIX, names, root_name, days, skew_days)
    click.echo(f"Wrote {made.path}.")
    show_files(made, skew_days)


def create(
    path: Path, suffix: str, names: tuple[str, ...], root_name: str, days: float, skew_days: float
) -> Directory:
    """Make a whole PKI. Raises ValueError when there is one, or part of one."""
    from kintoun.signatures import directory as directories
    from kintoun.signatures import pki as issuing

    found = directories.Directory(path)
    now = datetime.now(UTC)
    with found.locked():
        there = [
            file.name for file in (found.root_pem, found.intermediate, *found.leaf_files()) if file.exists()
        ]
        if there:
            raise ValueError(f"{path} has {', '.join(there)} already; nothing is written over")
        root = issuing.new_root(root_name, now)
        issuer = issuing.new_intermediate(root, f"{root_name} intermediate", _dotted(suffix), now)
        found.write_root(root)
        found.write_issuer(issuer)
        for name in names:
            _issue(found, name, suffix, days, skew_days)
    return found


@pki.command("import")
@click.option(
    "--key",
    "key_file",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    required=True,
    help="PEM file with the private key of the first certificate.",
)
@click.argument(
    "certificates", type=click.Path(path_type=Path, dir_okay=False, exists=True), nargs=-1, required=True
)
@directory_option
@suffix_option
@name_option
@lifetime_options
@reported
def import_(
    key_file: Path,
    certificates: tuple[Path, ...],
    directory: Path,
    suffix: str | None,
    names: tuple[str, ...],
    days: float,
    skew_days: float,
) -> None:
    """Take an intermediate or a leaf that somebody else issued.

    CERTIFICATES are PEM files: the certificate of the key, then whoever issued it, and so on up to the root.
    All of it is verified before anything is written. An intermediate issues leaves at once, and from now on.
    Files that are replaced are kept under other names.
    """
    from kintoun.signatures import chain, key_files, pki
    from kintoun.signatures.directory import Directory

    found, now = Directory(directory), datetime.now(UTC)
    given = key_files.read_chain(*certificates)
    with found.locked():
        if not chain.is_authority(given[0]):
            leaf = pki.Leaf(key_files.read_signing_key(key_file), given)
            pki.believed(given, now)
            file = found.leaf_file(chain.names_of(given[0])[0].partition(".")[0])
            kept = found.keep_old(file)
            key_files.write_holder(file, leaf)
        else:
            issuer = key_files.read_authority(key_file, *certificates)
            ending = suffix or chain.permitted_suffix(given[0]) or SUFFIX
            lifetime, skew = timedelta(days=days), timedelta(days=skew_days)
            leaves = {
                name: pki.new_leaf(issuer, [f"{name}{_dotted(ending)}"], now, lifetime, skew)
                for name in names
            }
            kept = found.keep_old(found.root_pem, found.intermediate, *map(found.leaf_file, leaves))
            found.write_issuer(issuer)
            for name, leaf in leaves.items():
                key_files.write_holder(found.leaf_file(name), leaf)
    for old in kept:
        click.echo(f"Kept what was there as {old.name}.")
    show_files(found, skew_days)


@pki.command()
@click.argument("name")
@click.option(
    "--public-key",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    help="PEM or DER file with the public key of a signer that keeps its private key to itself.",
)
@directory_option
@suffix_option
@lifetime_options
@reported
def leaf(
    name: str, public_key: Path | None, directory: Path, suffix: str | None, days: float, skew_days: float
) -> None:
    """Issue the leaf NAME, the first label of the name of a signer.

    For a public key only the chain is written: the key stays where it is, as in a hardware security module.
    """
    from kintoun.signatures.directory import Directory

    found = Directory(directory)
    with found.locked():
        file = found.leaf_file(name)
        if file.exists():
            raise ValueError(f"{file} is there already; see `kintoun pki renew`")
        _issue(found, name, suffix, days, skew_days, public_key)
    click.echo(f"Wrote {file}.")


@pki.command()
@click.argument("names", nargs=-1)
@directory_option
@click.option("--now", is_flag=True, help="Renew leaves that are not due, too.")
@click.option("--intermediate", is_flag=True, help="Have the root certify another intermediate first.")
@lifetime_options
@reported
def renew(
    names: tuple[str, ...], directory: Path, now: bool, intermediate: bool, days: float, skew_days: float
) -> None:
    """Renew leaves that are due: NAMES, or all. The server does it by itself, every few seconds."""
    from kintoun.signatures import chain, key_files
    from kintoun.signatures import directory as directories
    from kintoun.signatures import pki as issuing

    found = directories.Directory(directory)
    if intermediate:
        with found.locked():
            old, moment = found.issuer(), datetime.now(UTC)
            suffix = chain.permitted_suffix(old.certificate) or SUFFIX
            common_name = chain.common_name(old.certificate)
            found.write_issuer(issuing.new_intermediate(found.root(), common_name, suffix, moment))
        click.echo("The intermediate was renewed.")
    lifetime, skew = timedelta(days=days), timedelta(days=skew_days)
    for file in [found.leaf_file(name) for name in names] or found.leaf_files():
        if not key_files.has_key(file):
            click.echo(f"{file.stem}: its key is kept elsewhere; issue it with `kintoun pki leaf`")
        elif directories.renew(found, file, lifetime, skew, now=now or intermediate):
            click.echo(f"{file.stem}: renewed")
        else:
            click.echo(f"{file.stem}: not due")


@pki.command()
@directory_option
@skew_option
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
@reported
def show(directory: Path, skew_days: float, as_json: bool) -> None:
    """Show the root's digest, for clients to pin, and until when each certificate is valid."""
    from kintoun.signatures.directory import Directory

    show_files(Directory(directory), skew_days, as_json=as_json)


def show_files(directory: Directory, skew_days: float, *, as_json: bool = False) -> None:
    """Print what is in the directory of a PKI."""
    from kintoun.signatures import chain, key_files
    from kintoun.signatures import directory as directories

    described: list[dict[str, Any]] = []
    for file in (directory.root_pem, directory.intermediate, *directory.leaf_files()):
        if not file.exists():
            continue
        certificates = key_files.read_chain(file)
        first = certificates[0]
        entry: dict[str, Any] = {
            "file": file.name,
            "names": chain.names_of(first) or [chain.common_name(first)],
            "from": first.not_valid_before_utc.isoformat(timespec="seconds"),
            "until": first.not_valid_after_utc.isoformat(timespec="seconds"),
            "root": chain.fingerprint(certificates[-1]).hex(":").upper(),
        }
        if file not in (directory.root_pem, directory.intermediate) and key_files.has_key(file):
            renewed = directories.due(key_files.read_leaf(file), timedelta(days=skew_days))
            entry["renewed"] = renewed.isoformat(timespec="seconds")
        described.append(entry)
    if not described:
        raise ValueError(f"{directory.path}: there are no certificates; see `kintoun pki init`")
    if as_json:
        click.echo(json.dumps(described, indent=2))
        return
    for entry in described:
        click.echo(f"{entry['file']}  {', '.join(entry['names'])}  valid until {entry['until'][:10]}")
    roots = dict.fromkeys(entry["root"] for entry in described)
    for root in roots:
        click.echo(f"SHA-256 of the root: {root}")


def _issue(
    directory: Directory,
    name: str,
    suffix: str | None,
    days: float,
    skew_days: float,
    public_key: Path | None = None,
) -> None:
    from kintoun.signatures import chain, key_files, pki

    issuer = directory.issuer()
    ending = _dotted(suffix or chain.permitted_suffix(issuer.certificate) or SUFFIX)
    terms = [f"{name}{ending}"], datetime.now(UTC), timedelta(days=days), timedelta(days=skew_days)
    file = directory.leaf_file(name)
    if public_key is None:
        key_files.write_holder(file, pki.new_leaf(issuer, *terms))
    else:
        key_files.write_public(file, pki.certify(issuer, key_files.read_public_key(public_key), *terms))


def _dotted(suffix: str) -> str:
    return f".{suffix.strip('.')}"
