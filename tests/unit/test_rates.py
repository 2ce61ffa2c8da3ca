"""Token buckets in a shared table."""

from __future__ import annotations

import multiprocessing
import random
from pathlib import Path

import pytest

from kintoun.features.rates.table import PLACES, SETS, Table, shared_file


def test_a_bucket_is_emptied_and_filled_again() -> None:
    table = Table()
    waits = [table.take("alice", 100.0, 2.0, 3) for _ in range(4)]
    assert waits == [0, 0, 0, pytest.approx(2.0)]
    assert table.take("alice", 101.5, 2.0, 3) == pytest.approx(0.5)
    assert table.take("alice", 102.0, 2.0, 3) == 0
    assert table.take("bob", 102.0, 2.0, 3) == 0, "everybody has a bucket"
    assert [table.take("alice", 1000.0, 2.0, 3) for _ in range(4)][:3] == [0, 0, 0], (
        "it holds no more than that"
    )


def test_it_is_a_token_bucket() -> None:
    """Against the textbook's: so many tokens, which come back at a rate."""
    choose = random.Random(3)
    table, tokens, last, now = Table(), 5.0, 0.0, 0.0
    allowed = 0
    for _ in range(2000):
        now += choose.expovariate(2.0)
        tokens = min(5.0, tokens + (now - last) / 0.7)
        last = now
        if abs(tokens - 1) < 1e-6:
            continue  # a matter of rounding
        wait = table.take("k", now, 0.7, 5)
        assert (wait == 0) == (tokens >= 1)
        if wait == 0:
            tokens, allowed = tokens - 1, allowed + 1
        else:
            assert wait == pytest.approx((1 - tokens) * 0.7)
    assert 200 < allowed < 2000


def test_what_is_owed_is_paid_back_and_bounded() -> None:
    table = Table()
    for _ in range(4):
        assert table.take("k", 0.0, 1.0, 2, force=True) == 0
    assert table.take("k", 0.0, 1.0, 2) == pytest.approx(3.0)
    for _ in range(1000):
        table.take("k", 0.0, 1.0, 2, force=True)
    assert table.take("k", 0.0, 1.0, 2) <= 4.0
    # As after a restart of the machine, whose clock begins anew.
    assert table.take("k", -1e6, 1.0, 2) <= 3.0


def test_it_does_not_grow_and_forgets_who_is_missed_least() -> None:
    table = Table()
    for n in range(3 * SETS * PLACES):
        assert table.take(f"caller {n}", 0.0, 1.0, 1) == 0
    # Those who are at their limit stay as long as there is room beside them.
    table = Table()
    busy = [f"busy {n}" for n in range(50)]
    for name in busy:
        for _ in range(100):
            table.take(name, 0.0, 1.0, 100)
    for n in range(100_000):
        table.take(f"passing {n}", 0.0, 1e-6, 100)
    assert all(table.take(name, 0.0, 1.0, 100) for name in busy)


def _hammer(file: str, barrier: object, allowed: object) -> None:
    table = Table(Path(file))
    barrier.wait(60)  # type: ignore[attr-defined]
    mine = sum(table.take("k", 5.0, 1.0, 500) == 0 for _ in range(1000))
    with allowed.get_lock():  # type: ignore[attr-defined]
        allowed.value += mine  # type: ignore[attr-defined]


def test_processes_share_a_file(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    barrier, allowed = context.Barrier(3), context.Value("i", 0)
    arguments = (str(tmp_path / "rates"), barrier, allowed)
    workers = [context.Process(target=_hammer, args=arguments) for _ in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert [worker.exitcode for worker in workers] == [0, 0, 0]
    assert allowed.value == 500


def test_the_shared_file_is_nobody_elses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path))
    file = shared_file("one server")
    assert file != shared_file("another server")
    assert file.parent.stat().st_mode & 0o777 == 0o700
    Table(file).close()
    assert file.stat().st_mode & 0o777 == 0o600
    file.parent.chmod(0o777)
    with pytest.raises(ValueError, match="this user"):
        shared_file("one server")
