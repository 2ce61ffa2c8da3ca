"""Servers without a provider load neither an HTTP client nor cryptography."""

from __future__ import annotations

import subprocess
import sys

import pytest

from kintoun.app import create_app
from kintoun.features import openid
from kintoun.settings import Settings

PROGRAM = """
import sys
from pathlib import Path
from kintoun.config import feature, feature_names
from kintoun.features.openid import OpenId
assert "openid" in feature_names() and feature("openid") is OpenId
print(sorted({"httpx", "jwt", "cryptography"} & set(sys.modules)))
"""


def test_what_has_to_be_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openid, "find_spec", lambda name: None if name == "jwt" else object())
    with pytest.raises(ValueError, match=r"pip install 'kintoun\[openid\]'"):
        create_app(Settings(features=["openid"]))


def test_what_is_loaded() -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.strip() == "[]"
