"""`kintoun log`: export, verify."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from kintoun.cli.exits import Exit, fail, reported
from kintoun.cli.options import resolve, settings_options
from kintoun.cli.stores import run
from kintoun.settings import Settings
from kintoun.storage import Store

if TYPE_CHECKING:
    from kintoun.signatures.publication_log import Entry, Problem
    from kintoun.signatures.trust import Trust

AT_ONCE = 1000
FILE = click.Path(path_type=Path, dir_okay=False, exists=True)


@click.group("log")
def publications() -> None:
    """Copy the log of publications, and find out whether anybody has touched it."""


@publications.command()
@click.argument("file", type=click.File("w", encoding="utf-8"), default="-")
@settings_options
@reported
def export(file: Any, config: Path | None, kinto_ini: Path | None, data: Path | None) -> None:
    """Write the log to FILE, one JSON object for each entry, then the certificate chains of this server.

    Keep a copy where nobody who can write the database can write: it shows what is missing at the end.
    """

    async def write(store: Store) -> int:
        from kintoun.features.signing.auditing import chains_of
        from kintoun.features.signing.publication_log import page

        after = 0
        while entries := await page(store.fetch, after, AT_ONCE):
            for entry in entries:
                file.write(json.dumps(entry.as_json()) + "\n")
            after = entries[-1].number
        for digest, pem in sorted((await chains_of(store.fetch)).items()):
            file.write(json.dumps({"chain": digest, "pem": pem.decode()}) + "\n")
        return after

    number = run(_with_signing(resolve(config, kinto_ini, data)), write)
    click.echo(f"{number} entries.", err=True)


@publications.command()
@click.argument("file", type=FILE, required=False)
@click.option("--copy", "older", type=FILE, help="An older copy of the log, which this one must continue.")
@click.option(
    "--root",
    "roots",
    multiple=True,
    metavar="SHA256",
    help="With FILE: a root that is trusted, as clients pin it; may be given again.",
)
@click.option("--name", help="With FILE: the DNS name that signers must have; default: any.")
@settings_options
@reported
def verify(
    file: Path | None,
    older: Path | None,
    roots: tuple[str, ...],
    name: str | None,
    config: Path | None,
    kinto_ini: Path | None,
    data: Path | None,
) -> None:
    """Verify the log in the database, or its copy in FILE, without any database.

    The exit code is 1 when an entry was changed, removed, moved, or added by hand. In FILE signatures are
    checked when a root is given.
    """
    copy = _hashes(older) if older is not None else None
    if file is None:
        if roots or name:
            fail(Exit.USAGE, "--root and --name are of use with FILE only")
        settings = _with_signing(resolve(config, kinto_ini, data))
        problems, number = run(settings, lambda store: _audited(store, settings, copy))
    else:
        problems, number = _audited_file(file, copy, roots, name)
    for problem in problems:
        click.secho(f"entry {problem.number}: {problem.sentence} ({problem.rule})", fg="red")
    click.echo(f"{number} entries, {len(problems)} problems.")
    if file is not None and not roots:
        click.echo("Signatures were not checked: give the root with --root.", err=True)
    if problems:
        raise click.exceptions.Exit(Exit.FAILED)


async def _audited(
    store: Store, settings: Settings, copy: dict[int, str] | None
) -> tuple[list[Problem], int]:
    from kintoun.features.signing.auditing import audit
    from kintoun.features.signing.publication_log import head
    from kintoun.features.signing.resources import resources_of
    from kintoun.features.signing.signers import elsewhere_of

    resources, elsewhere = resources_of(settings), elsewhere_of(settings)
    problems = [problem async for problem in audit(store.fetch, resources, copy, elsewhere)]
    return problems, (await head(store.fetch)).number


def _audited_file(
    file: Path, copy: dict[int, str] | None, roots: Sequence[str], name: str | None
) -> tuple[list[Problem], int]:
    from kintoun.signatures.publication_log import audit

    entries, chains = _read(file)
    trust = _trust(chains, roots, name) if roots else None
    problems = list(audit(entries, believe=trust.believe if trust is not None else None, copy=copy))
    return problems, len(entries)


def _trust(chains: dict[str, bytes], roots: Sequence[str], name: str | None) -> Trust:
    from kintoun.features.signing.auditing import digest_in
    from kintoun.signatures import chain
    from kintoun.signatures.trust import Trust

    try:
        return Trust(lambda url: chains.get(digest_in(url)), {chain.pin(root) for root in roots}, name=name)
    except ValueError as error:
        fail(Exit.USAGE, f"--root: {error}")


def _read(file: Path) -> tuple[list[Entry], dict[str, bytes]]:
    """The entries and the chains in a copy."""
    from kintoun.signatures.publication_log import read_entry

    entries: list[Entry] = []
    chains: dict[str, bytes] = {}
    for number, line in _lines(file):
        try:
            value = json.loads(line)
            if isinstance(value, dict) and value.keys() == {"chain", "pem"}:
                chains[str(value["chain"])] = str(value["pem"]).encode()
            else:
                entries.append(read_entry(value))
        except (ValueError, RecursionError) as error:
            fail(Exit.FAILED, f"{file}, line {number}: not an entry of the log: {error}")
    return entries, chains


def _hashes(file: Path) -> dict[int, str]:
    return {entry.number: entry.hash for entry in _read(file)[0]}


def _lines(file: Path) -> Iterator[tuple[int, str]]:
    with file.open(encoding="utf-8", errors="replace") as opened:
        yield from enumerate(opened, start=1)


def _with_signing(settings: Settings) -> Settings:
    """The settings, when the feature that keeps the log is switched on."""
    if "signing" not in settings.features:
        fail(Exit.CONFIGURATION, "the feature `signing` is not switched on")
    return settings
