"""Servers without a provider load neither an HTTP client nor cryptography."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import sys
from pathlib import Path
from kintoun.config import feature, feature_names
from kintoun.features.openid import OpenId
assert "openid" in feature_names() and feature("openid") is OpenId
print(sorted({"httpx", "jwt", "cryptography"} & set(sys.modules)))
"""


def test_what_is_loaded() -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.strip() == "[]"
