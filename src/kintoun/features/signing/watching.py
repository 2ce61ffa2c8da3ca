"""Watching over what is signed, in whichever worker holds the lease: what metrics and alerts are made of."""

from __future__ import annotations

import asyncio
import time

import structlog

from kintoun.features.signing.inspecting import Inspector
from kintoun.features.signing.signers import LazySigner, Signers
from kintoun.measures import Gauge, Measures
from kintoun.model.paths import Path
from kintoun.signatures.signer import SignerUnavailable

log = structlog.get_logger()

PAUSE_SECONDS = 60.0
"""How often signers are looked at."""
ROUND_SECONDS = 3600.0
"""How often everything that is published is verified."""


class Watch:
    """Sets the gauges of signing. A worker that does not hold the lease shows 0, so that they add up."""

    def __init__(self, inspector: Inspector, signers: Signers, measures: Measures) -> None:
        self._inspector = inspector
        self._signers = signers
        self._up = measures.gauge("signing_signer_up", "1 for a signer that can sign.", ("signer",))
        self._expires = measures.gauge(
            "signing_chain_expires_seconds", "When a signer's chain expires, since 1970.", ("signer",)
        )
        self._oldest = measures.gauge(
            "signing_oldest_signature_seconds", "When the oldest signature was made, since 1970."
        )
        self._collections = measures.gauge(
            "signing_collections", "Published collections, by whether they verify.", ("state",)
        )
        self._failing: dict[Path, str] = {}
        self._next_round = 0.0

    async def run(self) -> None:
        """One look, and a pause."""
        try:
            await self.look_at_signers()
            if time.monotonic() >= self._next_round:
                await self.look_at_collections()
                self._next_round = time.monotonic() + ROUND_SECONDS
            await asyncio.sleep(PAUSE_SECONDS)
        except BaseException:  # another worker may go on
            self._forget()
            raise

    async def look_at_signers(self) -> None:
        """Which signers can sign, and until when their chains are believed."""
        for signer in self._signers.all():
            self._up.set(float(await can_sign(signer)), signer.id)
            expires = await self._inspector.expiry(signer)
            if expires is not None:
                self._expires.set(expires, signer.id)

    async def look_at_collections(self) -> None:
        """Verify everything that is published, one collection after the other."""
        states = {"good": 0, "bad": 0, "unchecked": 0}
        oldest: int | None = None
        for target in await self._inspector.targets():
            condition = await self._inspector.inspect(target)
            if condition is None:
                continue
            states[condition.state] += 1
            oldest = min(oldest or condition.signed, condition.signed)
            if condition.state != "bad":
                self._failing.pop(target, None)
            elif self._failing.get(target) != condition.reason:
                self._failing[target] = condition.reason
                log.error(
                    "a published collection does not verify", target=str(target), reason=condition.reason
                )
        for state, number in states.items():
            self._collections.set(number, state)
        self._oldest.set((oldest or 0) / 1000)

    def _forget(self) -> None:
        self._next_round = 0.0
        gauges: tuple[Gauge, ...] = (self._up, self._expires, self._oldest, self._collections)
        for gauge in gauges:
            for cell in gauge.cells.values():
                cell.set(0)


async def can_sign(signer: LazySigner) -> bool:
    """Whether a signer could sign now."""
    try:
        await signer.check()
    except SignerUnavailable as error:
        log.error("a signer is unavailable", signer=error.signer, reason=error.reason)
        return False
    return True
