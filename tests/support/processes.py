"""`kintoun serve` as a process of its own, configured as an operator would."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil

from tests.support.ports import free_port

KINTOUN = Path(sys.executable).parent / "kintoun"
SECONDS = 60.0


class Serving:
    """`kintoun serve` in a directory of its own."""

    def __init__(self, directory: Path, *arguments: str, **env: str) -> None:
        self.port = free_port()
        self.log = directory / f"{self.port}.log"
        command = [str(KINTOUN), "serve", "--port", str(self.port), *arguments]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                command,
                cwd=directory,
                env={**os.environ, **env},
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def ready(self) -> Serving:
        self.wait_for(lambda: "is ready" in self.log.read_text())
        return self

    def wait_for(self, condition: object) -> None:
        assert callable(condition)
        deadline = time.monotonic() + SECONDS
        while not condition():
            assert time.monotonic() < deadline, self.log.read_text()
            time.sleep(0.02)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    def workers(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children(recursive=True)

    def stop(self, number: int = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        return self.process.wait(SECONDS)

    def kill(self) -> None:
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait(SECONDS)
