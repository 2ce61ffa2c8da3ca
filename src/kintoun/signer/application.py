"""The signing service as RSGI servers call it."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import structlog

from kintoun.features.signing.renewal import Renewal
from kintoun.http import rsgi
from kintoun.http.answers import Answer
from kintoun.http.cors import Cors
from kintoun.http.limits import Base, Limits
from kintoun.http.requests import Request
from kintoun.http.wire import Wire
from kintoun.settings import Settings
from kintoun.signer.keys import data_directory, keys_of, section_of
from kintoun.signer.nonces import NonceFile
from kintoun.signer.service import MONITOR, Service, refusal

log = structlog.get_logger()

RENEWAL_SECONDS = 600.0
"""How often leaves are looked at."""


class Application:
    """What one worker runs."""

    def __init__(self, settings: Settings) -> None:
        """Raises ValueError for settings that do not fit together."""
        self._settings = settings
        self._keys = keys_of(settings)
        self._renewal = Renewal(section_of(settings))
        self._nonces: NonceFile | None = None
        self._service: Service | None = None
        self._renewing: asyncio.Task[None] | None = None
        _check_callers(settings)
        most, own = settings.limits, settings.signer
        limits = Limits(own.body_bytes, most.url_bytes, most.header_bytes, most.body_seconds)
        wire = Wire(Cors((), 0))
        self.__rsgi__ = rsgi.Adapter(
            self._respond, wire, limits, Base(None, None), lambda _: False, refuse=refusal
        )

    def __rsgi_init__(self, loop: asyncio.AbstractEventLoop) -> None:
        """Called by an RSGI server before the first request."""
        own = self._settings.signer
        self._nonces = open_nonces(self._settings)
        self._service = Service(own, self._keys, self._nonces)
        loop.run_until_complete(self._renewal.renew())
        self._renewing = loop.create_task(self._renew())

    def __rsgi_del__(self, loop: asyncio.AbstractEventLoop) -> None:
        """Called by an RSGI server after the last request."""
        if self._renewing is not None:
            self._renewing.cancel()
            with suppress(asyncio.CancelledError):
                loop.run_until_complete(self._renewing)
        if self._nonces is not None:
            self._nonces.close()

    async def _respond(self, request: Request) -> Answer:
        assert self._service is not None, "requests come after the start"
        return await self._service.respond(request)

    async def _renew(self) -> None:
        """Renew leaves before they expire; signatures name the new chain from the next one on."""
        while True:
            await asyncio.sleep(RENEWAL_SECONDS)
            await self._renewal.renew()


def open_nonces(settings: Settings) -> NonceFile:
    """The file of nonces that all workers share. Raises OSError or sqlite3.Error."""
    directory = data_directory(settings)
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    own = settings.signer
    return NonceFile(directory / "nonces.sqlite", own.skew_seconds, own.most_nonces)


def _check_callers(settings: Settings) -> None:
    ids = [caller.id for caller in settings.signer.callers]
    if MONITOR in ids:
        raise ValueError(f"signer.callers: {MONITOR} is reserved, set monitor_secret instead")
    if len(set(ids)) < len(ids):
        raise ValueError("signer.callers: two callers have the same id")
    if not ids and settings.signer.monitor_secret is None:
        raise ValueError("signer.callers: nobody may call the service")
