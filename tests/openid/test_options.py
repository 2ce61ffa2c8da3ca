"""The options of a policy: from TOML and from a Kinto ini, and every mistake named."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from kintoun.app import create_app
from kintoun.cli import main
from kintoun.config import decode as decode_settings
from kintoun.features.openid.options import Options, claim_at, decode
from kintoun.kinto_ini import translate
from kintoun.settings import Policy, Settings
from tests.docs.generate import _table

DOCS = Path(__file__).resolve().parents[2] / "docs"
LEAST = {"issuer": "https://idp.example.org", "client_id": "c"}

INI = """
[app:main]
use = egg:kinto
kinto.includes = kinto.plugins.openid
multiauth.policies = google auth0
multiauth.policy.google.use = kinto.plugins.openid.OpenIDConnectPolicy
multiauth.policy.google.issuer = https://accounts.google.com
multiauth.policy.google.client_id = 123456
multiauth.policy.google.client_secret = 1234e5678
multiauth.policy.google.userid_field = email
multiauth.policy.google.header_type = Google
multiauth.policy.auth0.use = kinto.plugins.openid.OpenIDConnectPolicy
multiauth.policy.auth0.issuer = https://auth0.example.org/
multiauth.policy.auth0.client_id = abc
multiauth.policy.auth0.client_secret = def
multiauth.policy.auth0.audience = https://api.example.org
multiauth.policy.auth0.verification_ttl_seconds = 300
multiauth.policy.auth0.state_ttl_seconds = 60
multiauth.policy.auth0.state_length = 16
multiauth.policy.auth0.allowed_scopes = openid email groups
multiauth.policy.auth0.trusted_callback_urls = https://a.example.org/*
    https://b.example.org/*
"""


def test_ini_of_a_kinto(tmp_path: Path) -> None:
    ini = tmp_path / "kinto.ini"
    ini.write_text(INI)
    translation = translate(ini, {}, tmp_path)
    assert [note for note in translation.notes if note.kind == "lost"] == []
    settings = decode_settings(translation.tree)
    assert "openid" in settings.features
    google, auth0 = map(decode, settings.policies)
    assert (google.client_id, google.client_secret) == ("123456", "1234e5678")
    assert (google.userid_field, google.header_type, google.audience) == ("email", "Google", "")
    assert (auth0.verification_ttl_seconds, auth0.state_ttl_seconds, auth0.state_length) == (300, 60, 16)
    assert auth0.allowed_scopes == ["openid", "email", "groups"]
    assert auth0.callbacks == ("https://a.example.org/*", "https://b.example.org/*")
    assert google.callbacks == ("http://localhost:*/*", "http://127.0.0.1:*/*")
    shown = CliRunner().invoke(main, ["config", "show", "--kinto-ini", str(ini)])
    assert shown.exit_code == 0, shown.output
    assert "1234e5678" not in shown.output
    assert "accounts.google.com" in shown.output


@pytest.mark.parametrize(
    ("name", "change", "named"),
    [
        ("p", {"issuer": None}, "issuer"),
        ("p", {"client_id": None}, "client_id"),
        ("p", {"client_id": ""}, "client_id"),
        ("p", {"issuer": "accounts.google.com"}, "issuer"),
        ("p", {"issuer": "file:///etc/passwd"}, "issuer"),
        ("p", {"issuer": "https://user@idp.example.org"}, "issuer"),
        ("p", {"issuer": "https://idp.example.org/?x=1"}, "issuer"),
        ("p", {"unheard_of": 1}, "unheard_of"),
        ("p", {"state_length": 4}, "state_length"),
        ("p", {"verification_ttl_seconds": "soon"}, "verification_ttl_seconds"),
        ("p", {"header_type": "Bea rer"}, "header_type"),
        ("p", {"header_type": "basic"}, "header_type"),
        ("p", {"realm": 'a"b'}, "realm"),
        ("p", {"timeout_seconds": 0}, "timeout_seconds"),
        ("p", {"trusted_callback_urls": ["*"]}, "trusted_callback_urls"),
        ("p", {"trusted_callback_urls": "https://a/ javascript:x"}, "trusted_callback_urls"),
        ("a/b", {}, "a/b"),
        ("a:b", {}, "a:b"),
    ],
)
def test_mistakes_are_named(name: str, change: dict[str, Any], named: str) -> None:
    options = {key: value for key, value in {**LEAST, **change}.items() if value is not None}
    with pytest.raises(ValueError, match="policies: ") as failure:
        decode(Policy(name=name, use="openid", options=options))
    assert named in str(failure.value)
    assert name in str(failure.value)


def test_names_are_told_apart() -> None:
    policies = [
        Policy(name="same", use="openid", options=LEAST),
        Policy(name="same", use="basicauth"),
    ]
    with pytest.raises(ValueError, match="'same'"):
        create_app(Settings(features=["openid", "basicauth"], policies=policies))


def test_without_a_provider_there_is_no_capability() -> None:
    service = create_app(Settings(features=["openid"])).composition.service
    assert "openid" not in service.capabilities


def test_claims_are_found() -> None:
    claims = {"a": {"b": {"c": 1}}, "a.b": 2, "https://x.example.org/groups": ["g"], "n": None}
    assert claim_at(claims, "a.b") == 2
    assert claim_at(claims, "a.b.c") == 1
    assert claim_at(claims, "https://x.example.org/groups") == ["g"]
    for name in ("n.x", "a.x", "", "a..b", "x"):
        assert claim_at(claims, name) is None


def test_every_option_is_described() -> None:
    page = (DOCS / "reference" / "openid.md").read_text(encoding="utf-8")
    for line in _table(Options):
        assert line in page, line
