"""`kintoun doctor`."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import click

from kintoun.cli.exits import Exit, fail, reported
from kintoun.cli.options import resolve, settings_options
from kintoun.operations import Refused
from kintoun.operations.doctor import Examination, examine

COLOURS = {"error": "red", "warning": "yellow", "note": None}


@click.command()
@click.option("--repair", is_flag=True, help="Put right what can be put right while servers go on.")
@click.option("--json", "as_json", is_flag=True, help="Say it as JSON.")
@settings_options
@reported
def doctor(
    repair: bool, as_json: bool, config: Path | None, kinto_ini: Path | None, data: Path | None
) -> None:
    """Examine the configuration, the database and all that is in it, while servers go on.

    The exit code is 1 when an error is found, and left. Warnings and notes do not change it.
    """
    settings = resolve(config, kinto_ini, data)
    try:
        result = asyncio.run(examine(settings, repair=repair))
    except Refused as error:
        fail(Exit.FAILED, str(error))
    if as_json:
        click.echo(json.dumps(_document(result), ensure_ascii=False, indent=2))
    else:
        _show(result)
    if not result.healthy:
        raise click.exceptions.Exit(Exit.FAILED)


def _document(result: Examination) -> dict[str, object]:
    return {
        "healthy": result.healthy,
        "findings": [finding.as_json() for finding in result.findings],
        "repaired": [finding.as_json() for finding in result.repaired],
    }


def _show(result: Examination) -> None:
    for finding in result.repaired:
        click.secho(f"repaired  {finding.check}: {finding.message}", fg="green")
    for finding in result.findings:
        more = " (--repair puts it right)" if finding.repair is not None else ""
        line = f"{finding.level:<8}  {finding.check}: {finding.message}{more}"
        click.secho(line, fg=COLOURS[finding.level])
    errors = sum(finding.level == "error" for finding in result.findings)
    click.echo(f"{errors} errors, {len(result.findings) - errors} warnings and notes.")
