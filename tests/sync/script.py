"""Histories written by hand, for the tests of the checker."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.sync.history import Fault, History, Operation

LIST = "/buckets/b/collections/c/records"
OTHER = "/buckets/bait/collections/c/records"


class Script:
    """Writes a history by hand. Requests follow one another unless ``at=(invoked, answered)`` is given."""

    def __init__(self) -> None:
        self.history = History(owners={LIST: "alice", OTHER: "mallory"})
        self._clock = 0
        self._items: dict[tuple[str, int], dict[str, Any]] = {}

    def request(
        self, method: str, path: str, status: int | None, answer: Any = None, **more: Any
    ) -> Operation:
        begin, end = more.pop("at", (self._clock + 10, self._clock + 20))
        self._clock = max(self._clock, end)
        names = ("user", "headers", "sent", "labels")
        given = {name: more.pop(name) for name in names if name in more}
        given.setdefault("user", "alice")
        operation = self.history.invoke(more.pop("client", "client"), method, path, at=begin, **given)
        if status is None:
            operation.error, operation.lost = "lost", end
        else:
            self.history.answer(operation, status, answer, at=end, **more)
        return operation

    def item(self, object_id: str, ts: int, home: str = LIST, **data: Any) -> dict[str, Any]:
        if not data.pop("deleted", False):
            data = {"token": f"t{ts}", "home": home, **data}
        else:
            data = {"deleted": True}
        return self._items.setdefault((home, ts), {"id": object_id, "last_modified": ts, **data})

    def write(self, method: str, object_id: str, ts: int, status: int, **more: Any) -> Operation:
        home = more.pop("home", LIST)
        item = self.item(object_id, ts, home, deleted=method == "DELETE")
        sent = None if method == "DELETE" else {"data": {k: item[k] for k in ("token", "home")}}
        return self.request(method, f"{home}/{object_id}", status, {"data": item}, sent=sent, etag=ts, **more)

    def put(self, object_id: str, ts: int, status: int = 201, **more: Any) -> Operation:
        return self.write("PUT", object_id, ts, status, **more)

    def delete(self, object_id: str, ts: int, **more: Any) -> Operation:
        return self.write("DELETE", object_id, ts, 200, **more)

    def lost_put(self, object_id: str, ts: int, **more: Any) -> Operation:
        """A PUT whose answer never came; its version would be the one of ``ts``."""
        item = self.item(object_id, ts)
        sent = {"data": {"token": item["token"], "home": LIST}}
        return self.request("PUT", f"{LIST}/{object_id}", None, sent=sent, **more)

    def get(self, object_id: str, ts: int | None, **more: Any) -> Operation:
        if ts is None:
            return self.request("GET", f"{LIST}/{object_id}", 404, {}, **more)
        return self.request(
            "GET", f"{LIST}/{object_id}", 200, {"data": self._items[LIST, ts]}, etag=ts, **more
        )

    def list(self, etag: int, *stamps: int, query: str = "", home: str = LIST, **more: Any) -> Operation:
        data = [self._items[home, ts] for ts in stamps]
        return self.request("GET", home + query, 200, {"data": data}, etag=etag, **more)

    def since(self, since: int, etag: int, *stamps: int, **more: Any) -> Operation:
        return self.list(etag, *stamps, query=f"?_since=%22{since}%22", **more)

    def page(self, number: int, etag: int, *stamps: int, last: bool = False, **more: Any) -> Operation:
        labels = {"listing": 1, "page": number, **more.pop("labels", {})}
        link = None if last else "http://server/next"
        return self.list(
            etag, *stamps, query=f"?_limit=1&_token={number}", labels=labels, next_page=link, **more
        )

    def batch(self, *writes: tuple[str, int], status: int | None = 200, **more: Any) -> Operation:
        items = [self.item(object_id, ts) for object_id, ts in writes]
        requests = [
            {
                "method": "PUT",
                "path": f"{LIST}/{item['id']}",
                "body": {"data": {k: item[k] for k in ("token", "home")}},
            }
            for item in items
        ]
        responses = [{"status": 201, "headers": {}, "body": {"data": item}} for item in items]
        answer = {"responses": responses} if status == 200 else {"code": status}
        return self.request("POST", "/batch", status, answer, sent={"requests": requests}, **more)

    def fault(self) -> None:
        self._clock += 10
        self.history.faults.append(Fault("kill", self._clock, self._clock + 5))
        self._clock += 10

    def quiet(self) -> None:
        self._clock += 10
        self.history.quiet = self._clock


GOOD: list[Callable[[Script], object]] = []
BAD: list[tuple[str, Callable[[Script], object]]] = []


def good(scene: Callable[[Script], object]) -> Callable[[Script], object]:
    GOOD.append(scene)
    return scene


def bad(clause: str) -> Callable[[Callable[[Script], object]], Callable[[Script], object]]:
    def register(scene: Callable[[Script], object]) -> Callable[[Script], object]:
        BAD.append((clause, scene))
        return scene

    return register
