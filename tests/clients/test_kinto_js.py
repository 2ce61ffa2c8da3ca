"""kinto.js and kinto-http.js from npm, under Node's own test runner (tests/clients/js)."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support.servers import Server

SCRIPTS = Path(__file__).parent / "js"
SECONDS = 300  # a few seconds where nothing else runs

pytestmark = pytest.mark.skipif(shutil.which("node") is None, reason="needs Node.js")


@pytest.mark.parametrize("script", ["kinto.test.mjs", "kinto-http.test.mjs", "attachments.test.mjs"])
def test_clients_from_npm(server: Server, script: str) -> None:
    assert (SCRIPTS / "node_modules").is_dir(), "`npm ci` in tests/clients/js (`make test` does it)"
    done = subprocess.run(
        ["node", "--test", script],
        cwd=SCRIPTS,
        env={**os.environ, "KINTOUN_URL": server.url},
        capture_output=True,
        text=True,
        timeout=SECONDS,
    )
    assert done.returncode == 0, done.stdout + done.stderr + server.log()[-2000:]
    assert "\n# fail 0" in done.stdout
    assert "\n# pass 0" not in done.stdout
    assert "Traceback" not in server.log()
