"""How long policies take to tell whose credentials they are."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from kintoun.http.requests import Request
from kintoun.measures import Measures
from kintoun.resources.identity import Claim, Policy, Rejected

if TYPE_CHECKING:
    from kintoun.storage import Store


class TimedPolicy:
    """A policy and how long it takes, under the name that Kinto's metric has."""

    def __init__(self, policy: Policy, measures: Measures, bounds: Sequence[float]) -> None:
        self._policy = policy
        self.name = policy.name
        self.challenge = policy.challenge
        self._durations = measures.histogram(
            f"authentication_{re.sub(r'[^a-z0-9]', '_', policy.name.lower())}_seconds",
            "How long a policy took to tell whose credentials they are.",
            ("method",),
            bounds,
        )
        self._cell = self._durations.of("callback")

    async def identify(self, request: Request, store: Store) -> Claim | Rejected | None:
        began = time.perf_counter()
        try:
            return await self._policy.identify(request, store)
        finally:
            self._durations.observe_in(self._cell, time.perf_counter() - began)

    def forget(self, request: Request) -> None:
        self._policy.forget(request)
