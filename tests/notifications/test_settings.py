"""The settings of notifications: out of a Kinto ini, and shown without what is secret in them."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from click.testing import CliRunner

from kintoun.cli import main
from kintoun.config import decode
from kintoun.features.emailer.settings import EmailerSettings
from kintoun.features.slack import SlackSettings
from kintoun.kinto_ini import translate

INI = """\
[app:main]
use = egg:kinto
kinto.userid_hmac_secret = hunter2
kinto.includes = kinto_emailer
                 kinto_slack
mail.default_sender = kinto@example.org
mail.host = smtp.example.org
mail.port = 587
mail.tls = true
mail.username = kinto
mail.password = hunter2
mail.debug_mailer = true
slack.webhook_url = https://hooks.example.org/hunter2
slack.reviews.webhook_url = https://hooks.example.org/hunter2/reviews
slack.debug_dir = /tmp/slack
"""


@pytest.fixture
def ini(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "kinto.ini"
    file.write_text(INI)
    return file


def test_a_kinto_ini_is_understood(ini: Path) -> None:
    environ = {"KINTO_SLACK_WEBHOOK_URL": "https://hooks.example.org/environment"}
    translation = translate(ini, environ, ini.parent)
    assert [note for note in translation.notes if "mail" in note.place or "slack" in note.place] == []
    settings = decode(translation.tree)
    assert {"emailer", "slack"} <= set(settings.features)
    assert settings.sections["emailer"] == EmailerSettings(
        host="smtp.example.org",
        port=587,
        tls=True,
        username="kinto",
        password="hunter2",
        default_sender="kinto@example.org",
        debug_mailer=True,
    )
    assert settings.sections["slack"] == SlackSettings(
        webhook_url="https://hooks.example.org/environment",
        channels={"reviews.webhook_url": "https://hooks.example.org/hunter2/reviews"},
        debug_dir="/tmp/slack",
    )


def test_secrets_are_not_shown(ini: Path) -> None:
    imported = CliRunner().invoke(main, ["config", "import", "kinto.ini"])
    webhook = 'name = "h"\nurl = "https://u:hunter2@h"\nsecrets = ["hunter2, but longer"]\n'
    (ini.parent / "kintoun.toml").write_text(f"{imported.stdout}\n[[webhooks.hooks]]\n{webhook}")
    shown = CliRunner().invoke(main, ["config", "show"])
    assert shown.exit_code == 0, shown.output
    assert "hunter2" not in shown.stdout
    content = tomllib.loads(shown.stdout)
    assert content["slack"]["channels"] == {"reviews.webhook_url": "…"}
    assert content["webhooks"]["hooks"][0]["url"] == "https://u:…@h"
