"""A small server in memory that keeps the sync guarantee, or breaks one clause of it on purpose.

It exists to test the tests: run without a fault, the clients and the checker must find nothing; run with a
fault, they must find it. Every request yields to the others before and after its write, as a server with
several workers does, and the write itself is one step; each fault is a place where that is not so.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import random
import time
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

from tests.sync.steps import split_path

FAULTS = {
    "early-timestamp": "S1",
    "timestamp-from-wall-clock": "S2",
    "lagging-reads": "S3",
    "unlocked-precondition": "S4",
    "half-batch": "S5",
    "torn-batch": "S5",
    "revives-deleted": "S6",
    "no-tombstones": "S1",
    "lists-lag-for-one": "S1",
    "leaks-other-tenant": "S8",
    "page-etags-move": "S1",
    "forgets-on-restart": "S10",
    "clock-restarts": "S10",
    "refuses-some": "X1",
    "does-twice": "X2",
}
"""Each fault the server can have, and the clause that it breaks at least."""

Answer = tuple[int, dict[str, str], Any]


class Refused(Exception):
    """A request that ends with an error answer."""

    def __init__(self, status: int, body: Any = None, headers: dict[str, str] | None = None) -> None:
        self.answer: Answer = (status, headers or {}, body or {"code": status})


@dataclass(slots=True)
class Rows:
    """One list: its clock, its objects by id with tombstones, and the states that lagging readers see."""

    owner: str
    clock: int = 0
    promised: int = 0
    forced: int | None = None
    rows: dict[str, dict[str, Any]] = field(default_factory=dict)
    past: dict[str, dict[str, Any]] = field(default_factory=dict)

    def live(self, object_id: str) -> dict[str, Any] | None:
        row = self.rows.get(object_id)
        return None if row is None or row.get("deleted") else row


class ModelServer:
    """See the module; `fault` is a key of `FAULTS` or None. Use `running()`."""

    def __init__(self, fault: str | None = None, seed: int = 0) -> None:
        if fault is not None and fault not in FAULTS:
            raise ValueError(fault)
        self.fault = fault
        self.url = ""
        self._random = random.Random(seed)
        self._lists: dict[str, Rows] = {}
        self._skew = 0
        self._owners: dict[str, str] = {}
        self._saved: dict[str, tuple[int, dict[str, dict[str, Any]]]] = {}
        self._connections: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[ModelServer]:
        """Serve on a free port of 127.0.0.1 while the block runs."""
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
        try:
            yield self
        finally:
            server.close()
            self.cut()
            await asyncio.gather(*self._tasks)

    def cut(self) -> None:
        """Drop every connection, as a dying process does."""
        for writer in list(self._connections):
            writer.transport.abort()

    def save(self) -> None:
        """Remember the present state as the one that a faulty restart falls back to."""
        self._saved = {name: (rows.clock, dict(rows.rows)) for name, rows in self._lists.items()}

    def restart(self) -> None:
        """Die and come back; what comes back depends on the fault."""
        self.cut()
        for name, rows in self._lists.items():
            clock, saved = self._saved.get(name, (0, {}))
            if self.fault == "forgets-on-restart":
                rows.rows = dict(saved)
            if self.fault in ("clock-restarts", "forgets-on-restart"):
                rows.clock = rows.promised = clock - 3_600_000
                self._skew = -3_600_000

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._connections.add(writer)
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                lines = head.decode().rstrip().split("\r\n")
                method, target, _ = lines[0].split(" ")
                pairs = (line.partition(":") for line in lines[1:])
                headers = {name.lower(): value.strip() for name, _, value in pairs}
                body = await reader.readexactly(int(headers.get("content-length", "0")))
                sent = json.loads(body) if body else None
                status, extra, answer = await self._answer(method, target, headers, sent)
                content = b"" if answer is None or status == 304 else json.dumps(answer).encode()
                extra = {"Content-Type": "application/json", "Content-Length": str(len(content)), **extra}
                lines = [f"HTTP/1.1 {status} -", *(f"{name}: {value}" for name, value in extra.items())]
                content = b"" if method == "HEAD" else content
                writer.write("\r\n".join(lines).encode() + b"\r\n\r\n" + content)
                await writer.drain()
        except (OSError, EOFError, asyncio.IncompleteReadError):
            pass  # the client went away, or `cut` was called
        finally:
            self._connections.discard(writer)
            writer.close()

    async def _pause(self) -> None:
        await asyncio.sleep(self._random.random() * 0.004)

    def apply(self, method: str, target: str, user: str, headers: dict[str, str], sent: Any) -> Answer:
        """Carry out one request on a record or a list of records at once, without a connection."""
        path, object_id, query = split_path(target)
        try:
            rows = self._rows(path, user)
            if method in ("GET", "HEAD"):
                return self._read(rows, path, object_id, query, headers, method, target)
            return self._write_now(method, target, user, headers, sent, {})
        except Refused as refusal:
            return refusal.answer

    async def _answer(self, method: str, target: str, headers: dict[str, str], sent: Any) -> Answer:
        user = base64.b64decode(headers["authorization"].split(" ")[1]).decode().partition(":")[0]
        try:
            await self._pause()
            if target.endswith("/batch"):
                return await self._batch(user, sent["requests"])
            return await self._one(method, target, user, headers, sent)
        except Refused as refusal:
            return refusal.answer

    async def _batch(self, user: str, requests: list[dict[str, Any]]) -> Answer:
        responses = []
        fails = self.fault == "half-batch" and self._random.random() < 0.2
        stamps: dict[str, int] = {}
        for number, request in enumerate(requests):
            if fails and number == len(requests) // 2:
                raise Refused(503)
            headers = {name.lower(): value for name, value in request.get("headers", {}).items()}
            try:
                status, extra, answer = self._write_now(
                    request["method"], request["path"], user, headers, request.get("body"), stamps
                )
            except Refused as refusal:
                status, extra, answer = refusal.answer
            responses.append({"path": request["path"], "status": status, "headers": extra, "body": answer})
            if self.fault == "torn-batch":
                await self._pause()
        return 200, {}, {"responses": responses}

    async def _one(self, method: str, target: str, user: str, headers: dict[str, str], sent: Any) -> Answer:
        path, object_id, query = split_path(target)
        rows = self._rows(path, user)
        if method in ("GET", "HEAD"):
            return self._read(rows, path, object_id, query, headers, method, target)
        if self.fault == "refuses-some" and path.endswith("records") and self._random.random() < 0.05:
            raise Refused(409)
        if self.fault == "early-timestamp":
            return await self._write_early(rows, method, target, user, headers, sent)
        if self.fault == "unlocked-precondition":
            self._check(rows, method, object_id, headers)
            await self._pause()
            headers = {}
        answer = self._write_now(method, target, user, headers, sent, {})
        if self.fault == "does-twice" and method == "PUT" and self._random.random() < 0.1:
            await self._pause()
            self._write_now(method, target, user, {}, sent, {})
        await self._pause()
        return answer

    def _rows(self, path: str, user: str) -> Rows:
        bucket = path.split("/")[2:3]
        if bucket and self._owners.setdefault(bucket[0], user) != user:
            raise Refused(403)
        return self._lists.setdefault(path, Rows(user, _now(), _now()))

    def _stamp(self, rows: Rows) -> int:
        if rows.forced is not None:
            rows.clock = rows.forced
        elif self.fault == "timestamp-from-wall-clock":
            rows.clock = _now()
        else:
            rows.clock = rows.promised = max(rows.clock + 1, rows.promised + 1, _now() + self._skew)
        return rows.clock

    async def _write_early(
        self, rows: Rows, method: str, target: str, user: str, headers: dict[str, str], sent: Any
    ) -> Answer:
        """Take the timestamp first and write later, without a lock in between."""
        rows.promised = stamp = max(rows.promised + 1, _now())
        await self._pause()
        reached, rows.forced = rows.clock, stamp
        try:
            return self._write_now(method, target, user, headers, sent, {})
        finally:
            rows.clock, rows.forced = max(reached, rows.clock), None

    def _write_now(
        self, method: str, target: str, user: str, headers: dict[str, str], sent: Any, stamps: dict[str, int]
    ) -> Answer:
        path, object_id, query = split_path(target)
        rows = self._rows(path, user)
        if object_id is None and method == "DELETE":
            doomed = [row for row in rows.rows.values() if not row.get("deleted") and _matches(row, query)]
            gone = [self._store(rows, row["id"], {"deleted": True}, stamps, path) for row in doomed]
            return 200, _etag(rows.clock), {"data": gone}
        data = dict((sent or {}).get("data", {}))
        if method == "POST":
            object_id = data.get("id") or str(uuid.UUID(int=self._random.getrandbits(128)))
        self._check(rows, method, object_id, headers)
        assert object_id is not None
        old = rows.live(object_id)
        if method == "POST" and old is not None:
            return 200, _etag(old["last_modified"]), {"data": old}
        if method in ("PATCH", "DELETE") and old is None:
            if method == "PATCH" and self.fault == "revives-deleted" and object_id in rows.rows:
                old = {"id": object_id}
            else:
                raise Refused(404)
        if method == "DELETE":
            row = self._store(rows, object_id, {"deleted": True}, stamps, path)
        else:
            row = self._store(
                rows, object_id, {**(old or {}), **data} if method == "PATCH" else data, stamps, path
            )
        status = 200 if old is not None else 201
        return status, _etag(row["last_modified"]), {"data": row}

    def _store(
        self, rows: Rows, object_id: str, data: dict[str, Any], stamps: dict[str, int], path: str
    ) -> dict[str, Any]:
        if path in stamps and self.fault not in ("timestamp-from-wall-clock", "torn-batch"):
            rows.clock = rows.promised = stamp = max(rows.clock, rows.promised, stamps[path]) + 1
        else:
            stamp = self._stamp(rows)
        stamps[path] = stamp
        row = {**data, "id": object_id, "last_modified": stamp}
        rows.past[object_id] = rows.rows.get(object_id, row)
        rows.rows[object_id] = row
        return row

    def _check(self, rows: Rows, method: str, object_id: str | None, headers: dict[str, str]) -> None:
        old = rows.live(object_id) if object_id is not None else None
        wanted = headers.get("if-match", "").strip('"')
        if old is None and method in ("PATCH", "DELETE") and self.fault != "revives-deleted":
            raise Refused(404)
        clash = headers.get("if-none-match") == "*" and old is not None
        if clash or (wanted and (old is None or str(old["last_modified"]) != wanted)):
            raise Refused(412, {"code": 412, "details": {"existing": old} if old else {}})

    def _read(
        self,
        rows: Rows,
        path: str,
        object_id: str | None,
        query: dict[str, str],
        headers: dict[str, str],
        method: str,
        target: str,
    ) -> Answer:
        if object_id is not None:
            return self._read_object(rows, path, object_id)
        etag, since = rows.clock, int(query.get("_since", "0").strip('"'))
        if headers.get("if-none-match") == f'"{etag}"':
            return 304, _etag(etag), None
        lags = self.fault == "lists-lag-for-one" and since and self._random.random() < 0.2
        tombstones = "_since" in query and self.fault != "no-tombstones"
        found = [row for row in rows.rows.values() if row["last_modified"] > since and _matches(row, query)]
        found = [row for row in found if tombstones or not row.get("deleted")]
        found.sort(key=lambda row: -row["last_modified"])
        if method == "HEAD":
            return (
                200,
                {**_etag(etag), "Total-Objects": str(sum(not row.get("deleted") for row in found))},
                None,
            )
        found = found[1:] if lags else found
        return self._page(rows, found, etag, query, target)

    def _page(
        self, rows: Rows, found: list[dict[str, Any]], etag: int, query: dict[str, str], target: str
    ) -> Answer:
        limit = int(query.get("_limit", "0"))
        if "_token" in query:
            last, first = (int(part) for part in query["_token"].split("-"))
            found = [row for row in found if row["last_modified"] < last]
            etag = first if self.fault != "page-etags-move" else etag
        headers = _etag(etag)
        if limit and len(found) > limit:
            found = found[:limit]
            link = target.partition("&_token=")[0] + f"&_token={found[-1]['last_modified']}-{etag}"
            headers["Next-Page"] = self.url.removesuffix("/v1") + link
        return 200, headers, {"data": found}

    def _read_object(self, rows: Rows, path: str, object_id: str) -> Answer:
        row = rows.live(object_id)
        if self.fault == "lagging-reads" and self._random.random() < 0.2:
            row = rows.past.get(object_id)
        if self.fault == "leaks-other-tenant" and row is None:
            row = next(
                (other.live(object_id) for other in self._lists.values() if other.live(object_id)), None
            )
        if row is None or row.get("deleted"):
            raise Refused(404)
        return 200, _etag(row["last_modified"]), {"data": row}


def _now() -> int:
    return time.time_ns() // 1_000_000


def _etag(stamp: int) -> dict[str, str]:
    return {"ETag": f'"{stamp}"'}


def _matches(row: dict[str, Any], query: dict[str, str]) -> bool:
    return all(str(row.get(name)) == value for name, value in query.items() if not name.startswith("_"))
