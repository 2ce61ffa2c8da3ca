"""The examples of a page: its fenced blocks, a server of their own, and what they are said to print.

A `bash` block is run as it stands, all blocks of a page in one shell and in their order; a block of `json`,
`http` or `text` right after it is what it prints, `…` standing for anything. A `python` block is run too.
Blocks in other languages (`sh`, `toml`, …) are shown and not run.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from itertools import zip_longest
from pathlib import Path
from typing import NamedTuple

import httpx

from tests.support.ports import free_port

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
GENERATED = {"reference/settings.md", "reference/commands.md", "reference/kinto-ini.md"}
PASSWORD = "docs-s3cret"
SECONDS = 60

_FENCE = re.compile(r"^```(\w+)[^\n]*\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_MARK = "=====block"


class Example(NamedTuple):
    """A block that is run, and the block that says what it prints (its language and its text), if any."""

    code: str
    form: str
    printed: str


def pages() -> list[Path]:
    """The pages that people write."""
    return sorted(page for page in DOCS.rglob("*.md") if str(page.relative_to(DOCS)) not in GENERATED)


def examples(page: Path, language: str) -> list[Example]:
    """The blocks of a page that are run in a language, with what they are said to print."""
    text = page.read_text(encoding="utf-8")
    blocks = list(_FENCE.finditer(text))
    found = []
    for block, following in zip_longest(blocks, blocks[1:]):
        if block[1] != language:
            continue
        form = printed = ""
        if following is not None and following[1] in ("json", "http", "text"):
            between = text[block.end() : following.start()]
            if not between.strip():
                form, printed = following[1], following[2]
        found.append(Example(block[2], form, printed))
    return found


def is_printed(example: Example, output: str) -> bool:
    """Whether the output is what the page says: all of it for text, line by line for headers, any part as
    JSON."""
    if example.form == "json":
        return re.search(_pattern(re.sub(r"\s", "", example.printed)), re.sub(r"\s", "", output)) is not None
    lines = [line.strip() for line in example.printed.splitlines() if line.strip()]
    if example.form == "http":
        given = [line.strip() for line in output.splitlines()]
        return all(any(re.fullmatch(_pattern(line), each, re.IGNORECASE) for each in given) for line in lines)
    return re.fullmatch("\n".join(map(_pattern, lines)), output.strip()) is not None


def _pattern(text: str) -> str:
    return ".*?".join(map(re.escape, text.split("…")))


class Walk:
    """A directory with a configuration as `kintoun init` writes it, and a server that runs with it."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.port = free_port()
        self.log = directory / "serve.log"
        beside = str(Path(sys.executable).parent)
        self.env = {
            **os.environ,
            "PATH": f"{beside}{os.pathsep}{os.environ['PATH']}",
            "KINTOUN_ADMIN_PASSWORD": PASSWORD,
            "KINTOUN_SERVER__PORT": str(self.port),
            "SERVER": f"http://127.0.0.1:{self.port}/v1",
            "ADMIN": f"admin:{PASSWORD}",
        }
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Walk:
        (self.directory / "docs").symlink_to(DOCS)
        self.run(["kintoun", "init", "--quiet"])
        self.serve()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def serve(self, *options: str) -> None:
        """Start the server and wait until it is ready."""
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                ["kintoun", "serve", "--admin", "admin", *options],
                cwd=self.directory,
                env=self.env,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        deadline = time.monotonic() + SECONDS
        while "is ready" not in self.log.read_text():
            assert self._process.poll() is None, self.log.read_text()
            assert time.monotonic() < deadline, self.log.read_text()
            time.sleep(0.02)

    def stop(self) -> None:
        if self._process is not None:
            os.killpg(self._process.pid, signal.SIGTERM)
            self._process.wait(15)
            self._process = None

    def forget(self) -> None:
        """Delete what a page made: every bucket, and every account but the administrator's."""
        with httpx.Client(base_url=self.env["SERVER"], auth=("admin", PASSWORD)) as client:
            # What is published goes only after what it is published from.
            client.delete("/buckets", params={"in_id": "main-workspace"}).raise_for_status()
            client.delete("/buckets").raise_for_status()
            client.delete("/accounts", params={"not_id": "admin"}).raise_for_status()

    def run(self, command: list[str]) -> str:
        done = subprocess.run(
            command,
            cwd=self.directory,
            env=self.env,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            stdin=subprocess.DEVNULL,
        )
        log = self.log.read_text() if self.log.exists() else ""
        assert done.returncode == 0, f"{command[-1]}\n{done.stdout}\n{done.stderr}\n{log}"
        return done.stdout

    def shell(self, blocks: list[Example]) -> None:
        """Run blocks in one shell, and hold each to what it is said to print."""
        script = "".join(f"{each.code}\nprintf '\\n{_MARK}\\n'\n" for each in blocks)
        outputs = self.run(["bash", "-euo", "pipefail", "-c", script]).split(f"\n{_MARK}\n")
        for each, output in zip(blocks, outputs, strict=False):
            if each.form:
                assert is_printed(each, output), f"{each.code}\nprints\n{output}\nand not\n{each.printed}"

    def python(self, code: str) -> None:
        self.run([sys.executable, "-c", code])
