"""`kintoun sign`: status."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from kintoun.cli.exits import Exit, fail, reported
from kintoun.cli.options import resolve, settings_options
from kintoun.cli.stores import run
from kintoun.storage import Store

DAY = 86_400
SOON_DAYS = 14
COLOURS = {"good": "green", "bad": "red", "unchecked": "yellow"}


@click.group()
def sign() -> None:
    """Look at who signs, and at what is signed."""


@sign.command()
@click.option("--json", "as_json", is_flag=True, help="Say it as JSON.")
@settings_options
@reported
def status(as_json: bool, config: Path | None, kinto_ini: Path | None, data: Path | None) -> None:
    """Try every signer, and verify everything that is published.

    The exit code is 1 when a signer cannot sign, or a published collection does not verify.
    """
    settings = resolve(config, kinto_ini, data)
    if "signing" not in settings.features:
        fail(Exit.CONFIGURATION, "the feature `signing` is not switched on")

    async def look(store: Store) -> dict[str, list[dict[str, Any]]]:
        from kintoun.features.signing.inspecting import inspector_of
        from kintoun.features.signing.watching import can_sign

        inspector = inspector_of(settings, store)
        signers = [
            {
                "signer": each.id,
                "works": await can_sign(each),
                "expires": _iso(await inspector.expiry(each)),
            }
            for each in inspector.signers.all()
        ]
        collections = []
        for target in await inspector.targets():
            found = await inspector.inspect(target)
            if found is not None:
                collections.append(
                    {
                        "collection": "/".join(target.ids),
                        "state": found.state,
                        "reason": found.reason,
                        "signed": _iso(found.signed / 1000),
                        "manifest_expires": _iso(found.expires / 1000 if found.expires else None),
                    }
                )
        return {"signers": signers, "collections": collections}

    try:
        found = run(settings, look)
    except ValueError as error:
        fail(Exit.CONFIGURATION, str(error))
    if as_json:
        click.echo(json.dumps(found, indent=2))
    else:
        _show(found)
    works = all(each["works"] for each in found["signers"])
    if not works or any(each["state"] == "bad" for each in found["collections"]):
        raise click.exceptions.Exit(Exit.FAILED)


def _show(found: dict[str, list[dict[str, Any]]]) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    signers = Table("signer", "signs", "chain expires", title="Signers", title_justify="left")
    for each in found["signers"]:
        works = "[green]yes[/]" if each["works"] else "[red]no[/]"
        signers.add_row(each["signer"], works, _until(each["expires"]))
    collections = Table(
        "collection", "verifies", "signed", "manifest expires", title="Published", title_justify="left"
    )
    for each in found["collections"]:
        state = f"[{COLOURS[each['state']]}]{each['state']}[/] {escape(each['reason'])}".rstrip()
        collections.add_row(each["collection"], state, each["signed"], _until(each["manifest_expires"]))
    console = Console()
    console.print(signers)
    console.print(collections)


def _iso(seconds: float | None) -> str | None:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds") if seconds else None


def _until(moment: str | None) -> str:
    """A moment, and how many days it is away."""
    if moment is None:
        return "-"
    days = (datetime.fromisoformat(moment).timestamp() - time.time()) / DAY
    colour = "red" if days < SOON_DAYS else "default"
    return f"[{colour}]{moment[:10]}, {days:.0f} days[/]"
