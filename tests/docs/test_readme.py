"""The README's commands, as a stranger types them, against a server started as the README starts it."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.support.ports import accepts, free_port

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PASSWORD = "walk-s3cret"


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


class Stranger:
    """Somebody with a checkout, `make`, and the environment of the README."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.port = free_port()
        self.log = directory / "serve.log"
        beside = str(Path(sys.executable).parent)
        self.env = {
            **os.environ,
            "KINTOUN_ADMIN_PASSWORD": PASSWORD,
            "ADMIN": f"admin:{PASSWORD}",
            "PATH": f"{beside}{os.pathsep}{os.environ['PATH']}",
            "SERVER": f"http://127.0.0.1:{self.port}/v1",
        }
        self.process: subprocess.Popen[bytes] | None = None

    def serve(self) -> float:
        """`make serve`; returns how many seconds of CPU it took until it was ready.

        On an idle machine that is the time that passes, and a busy one does not make it longer.
        """
        command = [
            "make",
            "--no-print-directory",
            "serve",
            f"PORT={self.port}",
            f"DATA={self.directory / 'var'}",
        ]
        deadline = time.monotonic() + 60
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                command, cwd=ROOT, env=self.env, stdout=log, stderr=log, start_new_session=True
            )
        while time.monotonic() < deadline and self.process.poll() is None:
            if "is ready" in self.log.read_text():
                return self.cpu_seconds()
            time.sleep(0.01)
        raise AssertionError(self.log.read_text())

    def cpu_seconds(self) -> float:
        assert self.process is not None
        first = psutil.Process(self.process.pid)
        return sum(sum(each.cpu_times()[:4]) for each in [first, *first.children(recursive=True)])

    def stop(self) -> None:
        if self.process is not None:
            os.killpg(self.process.pid, signal.SIGTERM)
            self.process.wait(15)
            self.process = None
            self.log.unlink()

    def run(self, command: list[str]) -> str:
        done = subprocess.run(
            command,
            cwd=ROOT,
            env=self.env,
            capture_output=True,
            text=True,
            timeout=60,
            stdin=subprocess.DEVNULL,
        )
        assert done.returncode == 0, f"{command[-1]}\n{done.stdout}\n{done.stderr}\n{self.log.read_text()}"
        return done.stdout

    def type(self, block: str) -> str:
        """Run a block of shell, with the port and the data of this test in place of the README's."""
        text = block.replace("127.0.0.1:8888", f"127.0.0.1:{self.port}")
        text = text.replace("var/kintoun.toml", str(self.directory / "var" / "kintoun.toml"))
        text = text.replace(".venv/bin/kintoun", str(Path(sys.executable).parent / "kintoun"))
        return self.run(["bash", "-euc", text])


@pytest.fixture(scope="module")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stranger]:
    someone = Stranger(tmp_path_factory.mktemp("stranger"))
    someone.serve()
    yield someone
    someone.stop()


def test_the_walk_with_curl(stranger: Stranger) -> None:
    walk = blocks("bash")[0]
    output = stranger.type(walk)
    assert '"id":"account:admin"' in output
    last = output[output.rindex('{"data"') :]
    assert re.fullmatch(r'\{"data":\[\{"id":"dune","last_modified":\d+,"deleted":true\}\]\}\s*', last)


def test_the_walk_in_python(stranger: Stranger) -> None:
    output = stranger.type(blocks("bash")[1])
    assert output.startswith('{"data":[')
    assert re.search(r'^ETag: "1700000029\d+"', output, re.MULTILINE | re.IGNORECASE)
    (walk,) = blocks("python")
    stranger.run([sys.executable, "-c", walk])


def test_the_walk_through_the_past(stranger: Stranger) -> None:
    output = stranger.type(blocks("bash")[2])
    history, past = (json.loads(line)["data"] for line in output.replace("}{", "}\n{").splitlines()[-2:])
    assert [(entry["action"], entry["target"]["data"]["text"]) for entry in history] == [
        ("update", "second"),
        ("create", "first"),
    ]
    assert [note["text"] for note in past] == ["first"]


def test_make_serve_is_quick_keeps_data_and_shows_the_password_once(tmp_path: Path) -> None:
    someone = Stranger(tmp_path)
    someone.env.pop("KINTOUN_ADMIN_PASSWORD")
    try:
        someone.serve()
        shown = re.search(r"shown only now: (\S+)", someone.log.read_text())
        assert shown is not None
        bucket = f"http://127.0.0.1:{someone.port}/v1/buckets/kept"
        curl = ["curl", "-fsS", "-u", f"admin:{shown[1]}"]
        someone.run([*curl, "-X", "PUT", bucket])
        someone.stop()
        assert not accepts(someone.port)
        seconds = someone.serve()
        assert seconds < 2, f"ready after {seconds:.1f} s of CPU"
        assert "shown only now" not in someone.log.read_text()
        assert '"id":"kept"' in someone.run([*curl, bucket])
    finally:
        someone.stop()
