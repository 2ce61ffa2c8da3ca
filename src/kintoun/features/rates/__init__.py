"""Request rates: how often a user, and an address, may ask."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Annotated, Any

from msgspec import Meta, field

from kintoun.features.rates.table import Table, shared_file
from kintoun.http.addresses import Addresses
from kintoun.http.requests import Request
from kintoun.measures import Measures
from kintoun.model.errors import CLIENT_REACHED_CAPACITY, ProtocolError
from kintoun.plugin import Plugin, Registry
from kintoun.resources.context import Context
from kintoun.settings import Positive, Section

OF_THE_SERVER = "/v1/__"
"""How the URLs begin that monitoring asks for."""


class RatesSettings(Section, frozen=True):
    """How often users and addresses may ask. A rate is that of a token bucket: so many requests a minute in
    the long run, and so many at once after a pause.
    """

    user_per_minute: Annotated[
        Positive | None, Meta(description="Requests of one user per minute; none: no limit.")
    ] = None
    user_burst: Annotated[
        Positive | None, Meta(description="Requests of one user at once; default: those of a minute.")
    ] = None
    address_per_minute: Annotated[
        Positive | None,
        Meta(description="Requests from one address (IPv6: from one /64) per minute; none: no limit."),
    ] = None
    address_burst: Annotated[
        Positive | None, Meta(description="Requests from one address at once; default: those of a minute.")
    ] = None
    exempt: Annotated[list[str], Meta(description="User ids that may ask as often as they like.")] = field(
        default_factory=list
    )


class Rate:
    """The rate of one sort of callers."""

    def __init__(self, name: str, table: Table, per_minute: int, burst: int | None) -> None:
        self.name = name
        self._table = table
        self._interval = 60.0 / per_minute
        self._burst = float(burst or per_minute)

    def take(self, caller: str, now: float, *, force: bool) -> float:
        """The seconds that a caller has to wait; 0 when the request is counted instead."""
        return self._table.take(f"{self.name} {caller}", now, self._interval, self._burst, force=force)


class Gate:
    """Refuses requests that come too fast."""

    def __init__(
        self,
        settings: RatesSettings,
        table: Table,
        measures: Measures,
        addresses: Addresses,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._clock = clock
        self._addresses = addresses
        self._exempt = frozenset(settings.exempt)
        self.user = self.address = None
        if settings.user_per_minute is not None:
            self.user = Rate("user", table, settings.user_per_minute, settings.user_burst)
        if settings.address_per_minute is not None:
            self.address = Rate("address", table, settings.address_per_minute, settings.address_burst)
        self._refused = measures.counter(
            "rate_refusals_total", "Requests that were refused because they came too fast.", ("rate",)
        )

    async def check(self, context: Context, request: Request) -> None:
        """Count a request, or refuse it.

        What is in a batch is counted, and never refused: a batch is done as a whole, and who sends too many
        waits the longer for the next request.
        """
        user = context.user
        if user in self._exempt or request.method == "OPTIONS" or request.path.startswith(OF_THE_SERVER):
            return
        now = self._clock()
        force = request.in_batch
        if self.address is not None:
            self._take(self.address, self._addresses.network(request), now, force)
        if self.user is not None and user is not None:
            self._take(self.user, user, now, force)

    def _take(self, rate: Rate, caller: str, now: float, force: bool) -> None:
        wait = rate.take(caller, now, force=force)
        if wait:
            self._refused.add(1, rate.name)
            seconds = math.ceil(wait)
            raise ProtocolError(
                429,
                CLIENT_REACHED_CAPACITY,
                f"Too many requests of this {rate.name}: come back in {seconds} seconds.",
                headers=(("Retry-After", str(seconds)),),
            )


class Rates(Plugin):
    """Limits on how often users and addresses ask."""

    name = "rates"
    settings = RatesSettings

    def setup(self, registry: Registry, settings: Any) -> None:
        declared: RatesSettings = settings or RatesSettings()
        server = registry.settings.server
        file = None
        if server.workers > 1:
            file = shared_file(f"{registry.settings.storage.url} {server.host} {server.port}")
        addresses = Addresses(registry.settings.http.trusted_proxies)
        gate = Gate(declared, Table(file), registry.service.measures, addresses)
        if gate.user is not None or gate.address is not None:
            registry.gate(gate.check)
        shown = ("user_per_minute", "user_burst", "address_per_minute", "address_burst")
        registry.capability(
            "rates",
            "Limits on how often users and addresses may ask.",
            f"{registry.settings.project.docs}concepts/limits-of-use/",
            limits={name: value for name in shown if (value := getattr(declared, name)) is not None},
        )
