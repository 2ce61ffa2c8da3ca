"""Our server, its streams broken on purpose, in the way that ``KINTOUN_BROKEN_STREAMS`` names.

- ``no second look``: who begins to follow is not sent what was committed while it was about to;
- ``as told``: each wake-up is taken for one change, and only the latest is read;
- ``ahead``: the place is told before what leads up to it.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

from kintoun.features.live import feeds, streams
from kintoun.features.live.views import Segment
from kintoun.storage.rows import Row


def _nothing(self: feeds.Feed, timestamp: int) -> list[Row]:
    return []


async def _latest(self: feeds.Feed, segment: Segment, visible: object) -> None:
    rows: Sequence[Row] = list(segment.rows)
    await _send(self, segment._replace(rows=rows[-1:]), visible)  # type: ignore[arg-type]


async def _skipped(self: streams.Stream, track: streams.Track, to: int = 0) -> None:
    await _page(self, track, to)
    if len(self._buffer) and not track.at[1]:
        self._buffer[-1] = self._buffer[-1].partition(b"\n\n")[2]


_send = feeds.Feed._send
_page = streams.Stream._page

# At import, not under the guard: worker processes import this module again.
match os.environ["KINTOUN_BROKEN_STREAMS"]:
    case "no second look":
        feeds.Feed.since = _nothing  # type: ignore[method-assign]
    case "as told":
        feeds.Feed._send = _latest  # type: ignore[method-assign]
    case "ahead":
        streams.Stream._page = _skipped  # type: ignore[method-assign]

if __name__ == "__main__":
    from kintoun.cli import main

    main()
