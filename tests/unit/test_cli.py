"""The commands, their output and their exit codes."""

from __future__ import annotations

import json
import stat
import tomllib
from datetime import UTC, datetime
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from kintoun.cli import main
from kintoun.cli.exits import Exit
from kintoun.features.accounts.tokens import read_token

INI = """\
[app:main]
use = egg:kinto
kinto.includes = kinto.plugins.accounts
multiauth.policies = account
multiauth.policy.account.use = kinto.plugins.accounts.AccountsPolicy
kinto.userid_hmac_secret = hunter2
kinto.bogus = 1
"""


@pytest.fixture
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory of its own, and no setting in the environment."""
    for name in ("KINTOUN_CONFIG", "KINTOUN_STORAGE__URL", "KINTOUN_PASSWORD", "KINTOUN_ADMIN_PASSWORD"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*arguments: str, code: Exit = Exit.OK, **options: str) -> Result:
    result = CliRunner().invoke(main, arguments, **options)  # type: ignore[arg-type]
    assert result.exit_code == code, result.output + repr(result.exception)
    return result


def test_init_writes_a_configuration_that_is_good_and_private(directory: Path) -> None:
    run("init", "--admin", "root")
    path = directory / "kintoun.toml"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    content = tomllib.loads(path.read_text())
    assert content["access"]["record_write"] == ["account:root"]
    assert len(content["protocol"]["userid_secret"]) > 30
    assert "accounts" in run("config", "check").stdout
    run("init", code=Exit.FAILED)
    run("init", "--force")
    assert tomllib.loads(path.read_text())["protocol"] != content["protocol"]
    run("init", "--admin", "not a name", code=Exit.USAGE)


def test_a_configuration_with_mistakes_ends_a_command(directory: Path) -> None:
    (directory / "kintoun.toml").write_text("[limits]\nbatch_request = 5\n")
    for command in (["config", "check"], ["migrate"], ["serve"], ["export"], ["user", "delete", "x"]):
        if command == ["export"]:
            command = ["export", "-o", "out"]
        result = run(*command, code=Exit.CONFIGURATION)
        assert "[limits] batch_request: no such key; did you mean `batch_requests`?" in result.stderr


def test_parts_that_do_not_fit_together_are_told_before_serving(directory: Path) -> None:
    (directory / "kintoun.toml").write_text('[[policies]]\nname = "a"\nuse = "nonsense"\n')
    for command in (["config", "check"], ["serve"]):
        assert "'nonsense'" in run(*command, code=Exit.CONFIGURATION).stderr


def test_show_hides_secrets(directory: Path) -> None:
    (directory / "kintoun.toml").write_text(
        '[storage]\nurl = "postgresql://u:hunter2@h/d"\n[protocol]\nuserid_secret = "hunter2"\n'
    )
    shown = run("config", "show").stdout
    assert "hunter2" not in shown
    assert tomllib.loads(shown)["storage"]["url"] == "postgresql://u:…@h/d"
    assert tomllib.loads(run("config", "show", "--secrets").stdout)["protocol"]["userid_secret"] == "hunter2"


def test_show_hides_what_opens_other_services(directory: Path) -> None:
    (directory / "kintoun.toml").write_text(
        """
        features = ["sentry", "tracing", "attachments"]
        [storage]
        url = "postgresql://h/d?user=u&password=hunter2&connect_timeout=5"
        listener_url = "postgresql://u:hunter2@h/d"
        replicas = ["postgresql://u:hunter2@r1/d", "postgresql://u:hunter2@r2/d"]
        [sentry]
        dsn = "https://hunter2@sentry.example.org/1"
        [tracing]
        endpoint = "https://u:hunter2@collector.example.org/v1"
        headers = {"x-key" = "hunter2"}
        [attachments]
        store = "s3://bucket"
        store_options = {account_key = "hunter2"}
        """
    )
    shown = run("config", "show").stdout
    assert "hunter2" not in shown
    storage = tomllib.loads(shown)["storage"]
    assert storage["replicas"] == ["postgresql://u:…@r1/d", "postgresql://u:…@r2/d"]
    assert storage["url"] == "postgresql://h/d?user=u&password=…&connect_timeout=5"


def test_config_import_writes_what_it_reads_and_names_the_rest(directory: Path) -> None:
    (directory / "kinto.ini").write_text(INI)
    result = run("config", "import", "kinto.ini")
    assert tomllib.loads(result.stdout)["policies"] == [{"name": "account", "use": "account"}]
    assert "kinto.bogus: is no key that this server knows" in result.stderr
    assert "use: names Kinto itself" in result.stderr
    run("config", "import", "kinto.ini", "-o", "kintoun.toml")
    assert stat.S_IMODE((directory / "kintoun.toml").stat().st_mode) == 0o600
    run("config", "check")
    run("config", "import", "kinto.ini", "-o", "kintoun.toml", code=Exit.FAILED)
    run("config", "import", "kinto.ini", "--strict", code=Exit.FAILED)


def test_migrate_says_what_it_did(directory: Path) -> None:
    dry = run("migrate", "--dry-run", "--data", "d").stdout
    assert "would go from version 0" in dry
    assert "went from version 0" in run("migrate", "--data", "d").stdout
    assert "already" in run("migrate", "--data", "d").stdout


def test_a_database_that_is_not_there_has_its_own_exit_code(directory: Path) -> None:
    result = run("migrate", code=Exit.STORAGE, env={"KINTOUN_STORAGE__URL": "sqlite:/nowhere/at/all"})  # type: ignore[arg-type]
    assert "the database is not available: /nowhere/at/all" in result.stderr


def test_accounts_are_made_and_deleted(directory: Path) -> None:
    data = ("--data", "d")
    assert run("user", "create", "ada", "-p", "pw", *data).stdout == "Made account:ada.\n"
    run("user", "create", "ada", "-p", "pw", *data, code=Exit.FAILED)
    run("user", "password", "ada", *data, input="new\nnew\n")
    run("user", "delete", "ada", *data)
    run("user", "delete", "ada", *data, code=Exit.FAILED)
    run("user", "create", "a:b", "-p", "pw", *data, code=Exit.USAGE)


def test_accounts_are_listed_and_have_tokens(directory: Path) -> None:
    run("init", "--admin", "root")
    assert run("user", "list").stdout == ""
    run("user", "create", "zoe", "--password", "secret")
    run("user", "create", "amy", "--password", "secret")
    assert [line.split("\t")[0] for line in run("user", "list").stdout.splitlines()] == ["amy", "zoe"]
    token = run(
        "user", "token", "new", "zoe", "--name", "ci", "--scope", "read:/", "--days", "3"
    ).stdout.strip()
    bearer = read_token(token)
    assert bearer is not None
    assert bearer.account == "zoe"
    [line] = run("user", "token", "list", "zoe").stdout.splitlines()
    identity, name, scopes, expires, used = line.split("\t")
    assert (identity, name, scopes, used) == (bearer.id, "ci", "read:/", "never")
    days = (datetime.fromisoformat(expires) - datetime.now(UTC)).total_seconds() / 86_400
    assert 2.9 < days <= 3
    assert run("user", "token", "list", "amy").stdout == ""
    run("user", "token", "new", "nobody", "--name", "ci", "--scope", "read:/", code=Exit.FAILED)
    run("user", "token", "new", "zoe", "--name", "ci", "--scope", "everything", code=Exit.USAGE)
    run("user", "token", "new", "zoe", "--name", "ci", "--scope", "read:/", "--days", "400", code=Exit.USAGE)
    run("user", "token", "revoke", "zoe", "../x", code=Exit.USAGE)
    run("user", "token", "revoke", "zoe", "0" * 40, code=Exit.FAILED)
    assert "Revoked 1." in run("user", "token", "revoke", "zoe", bearer.id).stdout
    assert run("user", "token", "list", "zoe").stdout == ""
    run("user", "token", "revoke", "zoe", bearer.id, code=Exit.FAILED)


def test_deleting_an_account_takes_its_tokens_along(directory: Path) -> None:
    run("init", "--admin", "root")
    run("user", "create", "zoe", "--password", "secret")
    run("user", "token", "new", "zoe", "--name", "ci", "--scope", "read:/")
    run("user", "delete", "zoe")
    assert run("user", "token", "list", "zoe").stdout == ""
    run("user", "create", "zoe", "--password", "secret")
    assert run("user", "token", "list", "zoe").stdout == ""
    run("user", "token", "new", "zoe", "--name", "new", "--scope", "read:/")


def test_a_password_of_absurd_length_is_refused(directory: Path) -> None:
    run("init", "--admin", "root")
    run("user", "create", "zoe", "--password", "x" * 4097, code=Exit.USAGE)
    assert run("user", "list").stdout == ""


def test_import_and_export_turn_around(directory: Path) -> None:
    source = directory / "main" / "things.json"
    source.parent.mkdir()
    document = {"data": [{"id": "b", "last_modified": 2}, {"id": "a", "last_modified": 1}], "timestamp": 7}
    source.write_text(json.dumps(document))
    assert "main/things: 2 imported" in run("import", "main", "--data", "d").stderr
    assert "main/things: 0 imported, 2 there already" in run("import", "main", "--data", "d").stderr
    assert json.loads(run("export", "main/things", "--data", "d").stdout) == document
    run("export", "-o", "out", "--format", "ndjson", "--data", "d")
    lines = (directory / "out" / "main" / "things.ndjson").read_text().splitlines()
    assert [json.loads(line) for line in lines] == document["data"]
    run("export", "--data", "d", code=Exit.USAGE)
    run("export", "main/nothing", "--data", "d", code=Exit.FAILED)
    run("import", "nothing.json", "--data", "d", code=Exit.FAILED)


def test_the_environment_stands_above_the_ini_of_a_kinto_too(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("kinto.ini").write_text(INI, encoding="utf-8")
    monkeypatch.setenv("KINTOUN_LIMITS__BODY_SECONDS", "7")
    shown = run("config", "show", "--kinto-ini", "kinto.ini", "--data", "d").stdout
    assert tomllib.loads(shown)["limits"]["body_seconds"] == 7


def test_two_sources_of_settings_exclude_each_other(directory: Path) -> None:
    (directory / "kinto.ini").write_text(INI)
    run("migrate", "--config", "a.toml", "--kinto-ini", "kinto.ini", code=Exit.USAGE)


def test_commands_take_an_ini_too(directory: Path) -> None:
    (directory / "kinto.ini").write_text(INI)
    run("user", "create", "ada", "-p", "pw", "--kinto-ini", "kinto.ini", "--data", "d")
    assert (directory / "d" / "kintoun.sqlite").exists()
