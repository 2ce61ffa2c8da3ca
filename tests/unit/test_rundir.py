"""The directory that the processes of a server share, and what becomes of those that were left behind."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest

from kintoun.measures.shared import RUN_DIRECTORY
from kintoun.serving.rundir import PREFIX, is_ready, run_directory, say_ready


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.delenv(RUN_DIRECTORY, raising=False)
    return tmp_path


def test_it_is_named_in_the_environment_and_goes_in_the_end(temporary: Path) -> None:
    with run_directory() as path:
        assert os.environ[RUN_DIRECTORY] == str(path)
        assert path.parent == temporary
        assert path.stat().st_mode & 0o777 == 0o700
        assert not is_ready(path, os.getpid())
        say_ready()
        assert is_ready(path, os.getpid())
        assert not is_ready(path, os.getpid()), "it was said of one start only"
    assert RUN_DIRECTORY not in os.environ
    assert list(temporary.iterdir()) == []
    say_ready()  # to nobody


def test_what_a_killed_server_left_is_swept_away_and_nothing_else(temporary: Path) -> None:
    left = temporary / f"{PREFIX}left"
    (left / "measures").mkdir(parents=True)
    (left / "measures" / "0.keys").write_text("x")
    (temporary / f"{PREFIX}new").mkdir()
    precious = temporary / "precious"
    precious.mkdir()
    (precious / "file").write_text("x")
    (temporary / f"{PREFIX}link").symlink_to(precious)
    (temporary / f"{PREFIX}file").write_text("x")
    for path in (left, precious, temporary / f"{PREFIX}file"):
        os.utime(path, (0, 0))
    os.utime(temporary / f"{PREFIX}link", (0, 0), follow_symlinks=False)
    with run_directory() as first, run_directory() as second:
        assert not left.exists()
        assert (temporary / f"{PREFIX}new").exists(), "it may be that of a server which is starting"
        os.utime(first, (0, 0))
        with run_directory():
            pass
        assert first.exists(), "a server that lives keeps its own"
        assert second.exists()
    assert (precious / "file").exists()
    assert (temporary / f"{PREFIX}file").exists()
