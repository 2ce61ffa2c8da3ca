"""Server-Sent Events as a client reads them."""

from __future__ import annotations

import asyncio
import json
from typing import Any, NamedTuple


class Event(NamedTuple):
    """One event. `id` is the last id that was seen, with it or before it; `whole` is whether it bore one."""

    name: str
    data: Any
    id: str
    whole: bool


class Reader:
    """Parses what a stream sends."""

    def __init__(self) -> None:
        self.events: asyncio.Queue[Event | None] = asyncio.Queue()
        self.id = ""
        self.retry = 0
        self.comments = 0
        self._id = ""
        self.cut()

    def cut(self) -> None:
        """Forget what came in part: the connection is another."""
        self._rest = ""
        self._name, self._data, self._bears = "message", list[str](), False

    def feed(self, data: bytes) -> None:
        *lines, self._rest = (self._rest + data.decode()).split("\n")
        for line in lines:
            self._line(line)

    def _line(self, line: str) -> None:
        field, _, value = line.partition(": ")
        if not line:
            self.id = self._id  # not before the event is whole: it may be cut
            if self._data:
                data = json.loads("\n".join(self._data))
                self.events.put_nowait(Event(self._name, data, self.id, self._bears))
            self._name, self._data, self._bears = "message", [], False
        elif not field:
            self.comments += 1
        elif field == "event":
            self._name = value
        elif field == "data":
            self._data.append(value)
        elif field == "id":
            self._id, self._bears = value, True
        elif field == "retry":
            self.retry = int(value)
        else:
            raise AssertionError(f"no field of an event: {line}")
