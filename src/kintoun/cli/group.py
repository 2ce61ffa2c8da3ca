"""The group of all commands; a command's module is imported when the command is used.

Features bring commands too. Which ones, only the features know: they are imported when a command is asked for
that is none of the server's own, and for the list.
"""

from __future__ import annotations

from importlib import import_module

import click

from kintoun import __version__

COMMANDS = {
    "serve": "kintoun.cli.serve:serve",
    "signer": "kintoun.cli.signer:signer",
    "init": "kintoun.cli.init:init",
    "migrate": "kintoun.cli.migrate:migrate",
    "migrate-from-kinto": "kintoun.cli.migrate_from_kinto:migrate_from_kinto",
    "user": "kintoun.cli.user:user",
    "import": "kintoun.cli.import_:import_",
    "export": "kintoun.cli.export:export",
    "backup": "kintoun.cli.backup:backup",
    "restore": "kintoun.cli.restore:restore",
    "purge": "kintoun.cli.purge:purge",
    "attachments": "kintoun.cli.attachments:attachments",
    "pki": "kintoun.cli.pki:pki",
    "sign": "kintoun.cli.sign:sign",
    "log": "kintoun.cli.log:publications",
    "outbox": "kintoun.cli.outbox:outbox",
    "doctor": "kintoun.cli.doctor:doctor",
    "config": "kintoun.cli.config:config",
    "version": "kintoun.cli.version:version",
}


class LazyGroup(click.Group):
    """A group that imports a command's module when the command is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names in the order in which the help shows them."""
        return [*COMMANDS, *feature_commands()]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of that name, or None."""
        target = COMMANDS.get(cmd_name) or feature_commands().get(cmd_name)
        if target is None:
            return None
        module, _, name = target.partition(":")
        command: click.Command = getattr(import_module(module), name)
        return command


def feature_commands() -> dict[str, str]:
    """The commands of all installed features, sorted. A feature that cannot be loaded is named, no more."""
    from kintoun.config import ConfigError, feature, feature_names

    commands: dict[str, str] = {}
    for name in feature_names():
        try:
            own = feature(name).commands
        except ConfigError as error:
            click.secho(str(error), err=True, fg="yellow")
            continue
        commands.update({command: target for command, target in own.items() if command not in COMMANDS})
    return dict(sorted(commands.items()))


@click.group(
    cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100}
)
@click.version_option(__version__, prog_name="kintoun")
def main() -> None:
    """A JSON store that syncs, speaking Kinto's HTTP protocol."""
