"""What a history's requests did: batches opened into steps, listings joined from their pages."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from tests.sync.history import History, Operation

READS = frozenset({"GET", "HEAD"})
_PLURALS = frozenset({"buckets", "collections", "groups", "records"})
_VERSION_PREFIX = re.compile(r"^/v\d+(?=/)")


@dataclass(slots=True)
class Step:
    """One request, alone or as an item of a batch. ``object`` is None when it addresses a whole list."""

    op: Operation
    index: int | None
    method: str
    list_path: str
    object: str | None
    query: dict[str, str]
    headers: dict[str, str]
    sent: Any
    status: int | None
    etag: int | None
    answer: Any

    @property
    def unknown(self) -> bool:
        """Whether the write may or may not have been done."""
        return self.status is None or self.status >= 500

    @property
    def done(self) -> bool:
        return self.status is not None and 200 <= self.status < 300

    @property
    def conditional(self) -> bool:
        return "if-match" in self.headers or "if-none-match" in self.headers

    @property
    def if_match(self) -> int | None:
        value = self.headers.get("if-match", "").strip('"')
        return int(value) if value.isdecimal() else None

    @property
    def target(self) -> str | None:
        """The id of the object that is written: from the path, or for POST from the body."""
        if self.object is not None or self.method != "POST":
            return self.object
        return sent_data(self.sent).get("id")

    @property
    def token(self) -> str | None:
        """The mark that no other write carries."""
        return sent_data(self.sent).get("token")

    def __str__(self) -> str:
        if self.index is None:
            return str(self.op)
        where = f"{self.list_path}/{self.object}"
        return f"#{self.op.number}[{self.index}] {self.op.client} {self.method} {where} -> {self.status}"


@dataclass(slots=True)
class Listing:
    """One list read to its end: a single answer, or a first page and what its Next-Page links led to."""

    list_path: str
    since: int | None
    filtered: bool
    pages: list[Step] = field(default_factory=list)
    complete: bool = False

    @property
    def client(self) -> str:
        return self.pages[0].op.client

    @property
    def sync(self) -> str | None:
        return self.pages[0].op.labels.get("sync")

    @property
    def etag(self) -> int | None:
        return self.pages[0].etag

    @property
    def invoked(self) -> int:
        return self.pages[0].op.invoked

    @property
    def answered(self) -> int:
        return self.pages[-1].op.end

    @property
    def unchanged(self) -> bool:
        return self.pages[0].status == 304

    def items(self) -> Iterator[dict[str, Any]]:
        for page in self.pages:
            yield from list_items(page.answer)

    def __str__(self) -> str:
        return f"{self.pages[0].op}" + (
            f" and {len(self.pages) - 1} more pages" if len(self.pages) > 1 else ""
        )


def sent_data(sent: Any) -> dict[str, Any]:
    data = sent.get("data") if isinstance(sent, dict) else None
    return data if isinstance(data, dict) else {}


def list_items(answer: Any) -> list[dict[str, Any]]:
    data = answer.get("data") if isinstance(answer, dict) else None
    return [item for item in data if isinstance(item, dict)] if isinstance(data, list) else []


def split_path(path: str) -> tuple[str, str | None, dict[str, str]]:
    """The list, the object's id (None for the list itself) and the query of a request's path."""
    parts = urlsplit(path)
    bare = _VERSION_PREFIX.sub("", parts.path).rstrip("/")
    query = dict(parse_qsl(parts.query, keep_blank_values=True))
    head, _, last = bare.rpartition("/")
    return (bare, None, query) if last in _PLURALS else (head, last, query)


def parse_etag(value: Any) -> int | None:
    text = str(value).strip('"')
    return int(text) if text.isdecimal() else None


def open_steps(history: History) -> list[Step]:
    """Every step of the history, in the order of invocation."""
    steps: list[Step] = []
    for op in history.operations:
        if _is_batch(op):
            steps.extend(_open_batch(op))
        else:
            steps.append(
                _make_step(op, None, op.method, op.path, op.headers, op.sent, op.status, op.etag, op.answer)
            )
    return steps


def _is_batch(op: Operation) -> bool:
    return op.method == "POST" and urlsplit(op.path).path.endswith("/batch")


def _open_batch(op: Operation) -> Iterator[Step]:
    responses = op.answer.get("responses", []) if op.status == 200 and isinstance(op.answer, dict) else []
    for index, request in enumerate(op.sent["requests"]):
        status, etag, answer = op.status, None, None
        if index < len(responses):
            status, answer = responses[index]["status"], responses[index].get("body")
            names = {name.lower(): value for name, value in responses[index].get("headers", {}).items()}
            etag = parse_etag(names.get("etag", ""))
        method, headers = request.get("method", "GET"), request.get("headers", {})
        yield _make_step(
            op, index, method, request["path"], headers, request.get("body"), status, etag, answer
        )


def _make_step(
    op: Operation,
    index: int | None,
    method: str,
    path: str,
    headers: dict[str, str],
    sent: Any,
    status: int | None,
    etag: int | None,
    answer: Any,
) -> Step:
    where, object_id, query = split_path(path)
    names = {name.lower(): value for name, value in headers.items()}
    return Step(op, index, method, where, object_id, query, names, sent, status, etag, answer)


def join_listings(steps: list[Step]) -> list[Listing]:
    """Every listing whose first page was answered 200 or 304, batches aside."""
    open_listings: dict[tuple[str, Any], Listing] = {}
    listings: list[Listing] = []
    for step in steps:
        if step.method != "GET" or step.object is not None or step.index is not None:
            continue
        key = (step.op.client, step.op.labels.get("listing", step.op.number))
        if not step.op.labels.get("page"):
            since = parse_etag(step.query.get("_since", ""))
            filtered = any(not name.startswith("_") for name in step.query)
            open_listings[key] = Listing(step.list_path, since, filtered)
            if step.status in (200, 304):
                listings.append(open_listings[key])
        listing = open_listings.get(key)
        if listing is not None:
            listing.pages.append(step)
            listing.complete = step.status in (200, 304) and step.op.next_page is None
    return listings
