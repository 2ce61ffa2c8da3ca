"""What files count for those who watch the server."""

from __future__ import annotations

import time

import structlog

from kintoun.measures import Measures
from kintoun.storage import Store
from kintoun.storage.rows import Unavailable

log = structlog.get_logger()

LOOK_SECONDS = 30.0
"""How old the numbers of what is kept can be."""

_COUNTS = "SELECT count(*), coalesce(sum(size), 0) FROM blob"


class FileMeasures:
    """The measures of a server's files."""

    def __init__(self, measures: Measures, store: Store) -> None:
        self._store = store
        self._looked = -LOOK_SECONDS
        self._kept = measures.counter(
            "files_kept_total", "Uploads, by whether their content was new.", ("content",)
        )
        self._received = measures.counter("files_kept_bytes_total", "Bytes of uploads.")
        self._sweeps = measures.counter("files_sweeps_total", "Looks for files that nothing names.")
        self._swept = measures.counter("files_swept_total", "Files that were removed.")
        self._files = measures.gauge("files_stored", "Files that are kept.", (), "own")
        self._bytes = measures.gauge("files_stored_bytes", "Bytes of the files that are kept.", (), "own")
        measures.before_collect.append(self._look)

    def kept(self, size: int, *, new: bool) -> None:
        """Count an upload."""
        self._kept.add(1, "new" if new else "known")
        self._received.add(size)

    def swept(self, removed: int) -> None:
        """Count files that were removed in a round that is done."""
        self._sweeps.add()
        self._swept.add(removed)

    async def _look(self) -> None:
        if time.monotonic() - self._looked < LOOK_SECONDS:
            return
        try:
            ((count, size),) = await self._store.fetch(_COUNTS)
        except Unavailable as error:
            log.warning("the files were not counted", error=str(error))
            return
        self._looked = time.monotonic()
        self._files.set(int(count))
        self._bytes.set(int(size))
