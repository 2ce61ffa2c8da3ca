"""`kintoun migrate-from-kinto`."""

from __future__ import annotations

import asyncio
from pathlib import Path

import click

from kintoun.cli.exits import Exit, fail, reported
from kintoun.cli.options import resolve, settings_options
from kintoun.cli.progress import Bars
from kintoun.operations import Refused
from kintoun.operations.kinto_migration import Migration, migrate
from kintoun.settings import Settings


@click.command("migrate-from-kinto")
@click.argument("url")
@click.option("--permission-url", help="Database of Kinto's permissions, when it is another one.")
@click.option("--dry-run", is_flag=True, help="Copy and compare, then take everything back.")
@settings_options
@reported
def migrate_from_kinto(
    url: str,
    permission_url: str | None,
    dry_run: bool,
    config: Path | None,
    kinto_ini: Path | None,
    data: Path | None,
) -> None:
    """Copy the database of a Kinto 26 at URL (postgresql://…) into this one, which must be empty.

    Objects, timestamps, tombstones, permissions, groups and accounts come from one snapshot, are compared
    with it one by one, and are committed together: a migration that fails has changed nothing, and can be
    repeated.
    """
    settings = resolve(config, kinto_ini, data)
    try:
        result = asyncio.run(_migrate(settings, url, permission_url, dry_run))
    except Refused as error:
        fail(Exit.FAILED, str(error))
    for line in _lines(result):
        click.echo(line)
    if not result.sound:
        more = f"\n… and {result.verified.more_faults} more" if result.verified.more_faults else ""
        differences = "\n".join(result.verified.faults) + more
        fail(Exit.FAILED, f"{differences}\nThe copy differs from the original; nothing was kept.")
    click.echo("Everything was taken back: --dry-run." if dry_run else "Everything is committed.")


async def _migrate(settings: Settings, url: str, permission_url: str | None, dry_run: bool) -> Migration:
    with Bars() as bars:
        moves = {name: bars.add(name, None) for name in ("copying", "comparing")}

        def progress(stage: str, done: int, total: int) -> None:
            moves[stage](done, total)

        return await migrate(settings, url, permission_url, progress, dry_run=dry_run)


def _lines(result: Migration) -> list[str]:
    copied, verified = result.copied, result.verified
    lines = [f"{name:<12}{number:>12}" for name, number in copied.objects.items()]
    lines += [f"{'tombstones':<12}{copied.tombstones:>12}", f"{'passwords':<12}{copied.credentials:>12}"]
    lines.append(f"{'lists':<12}{copied.lists:>12}")
    if copied.moved:
        lines.append(f"{copied.moved} timestamps were moved: another object of the list had them.")
    lines += [f"Left out: {number} {what}." for what, number in sorted(result.left_out.items())]
    copying, comparing = (max(seconds, 1e-9) for seconds in result.seconds)
    lines.append(f"Copied in {copying:.1f} s, {result.total / copying:,.0f} objects per second.")
    lines.append(
        f"Compared {verified.objects} objects in {verified.lists} lists in {comparing:.1f} s:"
        f" {len(verified.faults) + verified.more_faults} differences. Digest {verified.digest}."
    )
    return lines
