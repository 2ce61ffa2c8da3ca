"""The nonces that the signing service remembers: for everybody, for long enough, and no longer."""

from __future__ import annotations

import sqlite3
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kintoun.signatures.hawk import Unauthorized
from kintoun.signer.nonces import LEAST_PAGES, PAGE, NonceFile

NOW = 1_700_000_000
SKEW = 60


def used(
    nonces: NonceFile, nonce: str, timestamp: int = NOW, now: float = NOW, sender: str = "alice"
) -> bool:
    """Whether a nonce was let in."""
    try:
        nonces.use(sender, nonce, timestamp, now)
    except Unauthorized:
        return False
    return True


@given(st.lists(st.tuples(st.integers(0, 300), st.integers(-SKEW, SKEW), st.integers(0, 5)), max_size=60))
def test_a_nonce_counts_once_while_its_timestamp_is_valid(uses: list[tuple[int, int, int]]) -> None:
    nonces = NonceFile(":memory:", SKEW, 1000)
    until: dict[int, int] = {}
    now = NOW
    for passed, offset, nonce in uses:
        now += passed
        known = until.get(nonce, 0) >= now
        assert used(nonces, str(nonce), now + offset, now) is not known
        if not known:
            until[nonce] = now + offset + SKEW
    nonces.close()


def test_a_nonce_is_its_senders_own() -> None:
    nonces = NonceFile(":memory:", SKEW, 1000)
    assert used(nonces, "n", sender="alice")
    assert used(nonces, "n", sender="bob")
    assert not used(nonces, "n", sender="alice")


def test_a_restart_and_another_worker_forget_nothing(tmp_path: Path) -> None:
    first = NonceFile(tmp_path / "nonces", SKEW, 1000)
    other = NonceFile(tmp_path / "nonces", SKEW, 1000)
    assert used(first, "n")
    assert not used(other, "n")
    first.close()
    other.close()
    again = NonceFile(tmp_path / "nonces", SKEW, 1000)
    assert not used(again, "n")
    again.close()


def test_of_many_workers_one_lets_a_request_in(tmp_path: Path) -> None:
    NonceFile(tmp_path / "nonces", SKEW, 1000).close()

    def work(_worker: int) -> list[int]:
        nonces = NonceFile(tmp_path / "nonces", SKEW, 1000)
        let_in = [n for n in range(100) if used(nonces, str(n))]
        nonces.close()
        return let_in

    with ThreadPoolExecutor(4) as workers:
        let_in = [n for each in workers.map(work, range(4)) for n in each]
    assert sorted(let_in) == list(range(100))


def test_the_file_is_bounded_and_room_comes_back(tmp_path: Path) -> None:
    nonces = NonceFile(tmp_path / "nonces", SKEW, 1)
    n = 0
    while used(nonces, str(n)):
        n += 1
        assert n < 100_000
    with pytest.raises(Unauthorized, match="too many"):
        nonces.use("alice", "another", NOW, NOW)
    assert not used(nonces, "0"), "nothing is forgotten for want of room"
    later = NOW + 2 * SKEW
    assert used(nonces, "another", later, later)
    assert (tmp_path / "nonces").stat().st_size <= (LEAST_PAGES + 1) * PAGE
    nonces.close()


def test_a_file_that_cannot_be_used_is_an_error_and_lets_nobody_in(tmp_path: Path) -> None:
    (tmp_path / "nonces").write_bytes(b"no database" * 1000)
    with pytest.raises(sqlite3.Error):
        NonceFile(tmp_path / "nonces", SKEW, 1000)
