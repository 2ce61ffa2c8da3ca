"""However many workers a server has, a user gets no more from them than from one."""

from __future__ import annotations

import math
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx

from tests.support.servers import Server

BURST = 40
CONFIG = f"""\
features = ["basicauth", "rates"]
[storage]
url = "sqlite:data.sqlite"
[protocol]
userid_secret = "of the tests"
[rates]
user_per_minute = 60
user_burst = {BURST}
[[policies]]
name = "basicauth"
use = "basicauth"
"""


def test_workers_share_the_rates(tmp_path: Path) -> None:
    directory = Path(tempfile.mkdtemp(prefix="kintoun-"))
    config = directory / "kintoun.toml"
    config.write_text(CONFIG)
    program = str(Path(sys.executable).parent / "kintoun")

    def command(port: int) -> list[str]:
        where = ["--host", "127.0.0.1", "--port", str(port), "--workers", "2"]
        return [program, "serve", "--config", str(config), *where]

    env = {"TMPDIR": str(tmp_path)}
    with Server(command, directory, env).start() as server, ThreadPoolExecutor(8) as threads:

        def ask(_: int) -> list[int]:
            # A connection for each: the kernel spreads them over the workers.
            with httpx.Client(auth=("alice", "pw"), timeout=60) as client:
                return [client.get(f"{server.url}/buckets").status_code for _ in range(15)]

        began = time.monotonic()
        statuses = [status for one in threads.map(ask, range(8)) for status in one]
        seconds = time.monotonic() - began
        allowed = statuses.count(200)
        assert set(statuses) == {200, 429}
        assert BURST <= allowed <= BURST + math.ceil(seconds)
        assert len(list(tmp_path.glob("kintoun-*/rates-*"))) == 1
