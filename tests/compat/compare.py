"""What two answers to the same request disagree about."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from email.utils import formatdate
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from tests.compat.correspondence import Correspondence, is_list, list_of
from tests.compat.scenario import Scenario, Step
from tests.compat.wire import Answer, Request

EXACT = (
    "content-type",
    "total-objects",
    "total-records",
    "cache-control",
    "access-control-allow-origin",
    "access-control-max-age",
    "backoff",
    "retry-after",
)
PROTECTING = ("content-security-policy", "x-content-type-options")
"""For browsers, which never see the headers inside a batch."""
SETS = (
    "allow",
    "access-control-allow-methods",
    "access-control-allow-headers",
    "access-control-expose-headers",
)
CHOICE = "header should be one of ["
BCRYPT = "$2b$12$"
UNORDERED_KEYS = ("principals",)
DATE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}\+00:00")
"""The time of day in an entry of a history."""


@dataclass(frozen=True)
class Mismatch:
    """A disagreement about `status`, `header.NAME` or `body.KEY...`, below `responses.N.` in a batch."""

    where: str
    kinto: Any
    ours: Any
    path: str

    def __str__(self) -> str:
        return f"{self.where}: kinto {_shown(self.kinto)}, ours {_shown(self.ours)}"


@dataclass
class Exchange:
    """One step of a scenario with both requests, both answers and what they disagree about."""

    scenario: Scenario
    step: Step
    kinto_request: Request
    ours_request: Request
    kinto: Answer
    ours: Answer
    implementation: str
    pairs: Correspondence
    mismatches: list[Mismatch] = field(default_factory=list)

    @property
    def path(self) -> str:
        """The path of the request below `/v1`, without its query string."""
        return urlsplit(self.ours_request.target).path.removeprefix("/v1")


class Comparison:
    """Compares the exchanges of one scenario, in order."""

    def __init__(self, kinto_root: str, ours_root: str) -> None:
        self.pairs = Correspondence()
        self._roots = (kinto_root, ours_root)

    def mismatches(self, exchange: Exchange) -> list[Mismatch]:
        """Compare both answers, and learn which timestamps and ids correspond."""
        kinto, ours = exchange.kinto, exchange.ours
        path = exchange.path
        found = []
        if kinto.status != ours.status:
            found.append(Mismatch("status", kinto.status, ours.status, path))
        k, o = kinto.json, ours.json
        if path == "/batch" and _is_batch(k) and _is_batch(o):
            found += self._batch(exchange, k["responses"], o["responses"])
        else:
            found += self._body("body", k, o, path, exchange.step.method, kinto.status)
        found += self._headers("", kinto.headers, ours.headers, path, kinto.status)
        found += self._encoding(kinto, ours, path)
        self._forget_deleted(exchange, k, o)
        return found

    def _batch(self, exchange: Exchange, kinto: list[Any], ours: list[Any]) -> Iterator[Mismatch]:
        if len(kinto) != len(ours):
            yield Mismatch("body.responses", len(kinto), len(ours), "/batch")
        methods = batch_methods(exchange.ours_request)
        for index, (k, o) in enumerate(zip(kinto, ours, strict=False)):
            prefix = f"responses.{index}."
            path = str(o.get("path", "")).removeprefix("/v1")
            method = methods[index] if index < len(methods) else "GET"
            if set(k) != set(o):
                yield Mismatch(prefix + "keys", sorted(k), sorted(o), path)
            if k.get("status") != o.get("status"):
                yield Mismatch(prefix + "status", k.get("status"), o.get("status"), path)
            if not self.pairs.same_text(str(k.get("path")), str(o.get("path"))):
                yield Mismatch(prefix + "path", k.get("path"), o.get("path"), path)
            yield from self._body(
                prefix + "body", k.get("body"), o.get("body"), path, method, k.get("status", 0)
            )
            yield from self._headers(
                prefix, _lower(k.get("headers")), _lower(o.get("headers")), path, k.get("status", 0)
            )
            if method == "DELETE" and k.get("status") == o.get("status") == 200:
                self._purge(path, o.get("body"))

    def _body(
        self, where: str, kinto: Any, ours: Any, path: str, method: str, status: int
    ) -> Iterator[Mismatch]:
        if method == "DELETE":
            kinto, ours = self._by_id(kinto, 0), self._by_id(ours, 1)
            if is_list(path) and _is_list_body(kinto) and _is_list_body(ours):
                self.pairs.exchange(list_of(path), _timestamps(kinto), _timestamps(ours))
        if status == 201 and method == "POST":
            self._learn_id(kinto, ours)
        yield from self._value(where, kinto, ours, path)

    def _value(self, where: str, kinto: Any, ours: Any, path: str) -> Iterator[Mismatch]:
        if isinstance(kinto, dict) and isinstance(ours, dict):
            if path.endswith("/history"):
                self._learn_entry(kinto, ours)
            for key in sorted(kinto.keys() | ours.keys()):
                below = f"{where}.{key}"
                if key not in kinto or key not in ours:
                    yield Mismatch(below, kinto.get(key, ABSENT), ours.get(key, ABSENT), path)
                    continue
                k, o = kinto[key], ours[key]
                if below.endswith("body.config") and type(k) is type(o):
                    continue  # where the server's own configuration file lies
                if key in UNORDERED_KEYS or where.endswith((".permissions",)) or key == "permissions":
                    k, o = _unordered(k), _unordered(o)
                if key == "target" and path.endswith("/history"):
                    yield from self._value(below, k, o, str(ours.get("uri", path)))
                    continue
                yield from self._value(below, k, o, self._scope_path(key, path))
        elif isinstance(kinto, list) and isinstance(ours, list):
            if len(kinto) != len(ours):
                yield Mismatch(where, kinto, ours, path)
                return
            for index, (k, o) in enumerate(zip(kinto, ours, strict=True)):
                yield from self._value(f"{where}.{index}", k, o, path)
        elif not self._same_scalar(kinto, ours, path):
            yield self._named(where, kinto, ours, path)

    def _learn_entry(self, kinto: dict[str, Any], ours: dict[str, Any]) -> None:
        """The ids of the entries of a history are generated, and first seen when it is read."""
        k, o = kinto.get("id"), ours.get("id")
        if isinstance(k, str) and isinstance(o, str):
            self.pairs.learn_id(k, o)

    @staticmethod
    def _scope_path(key: str, path: str) -> str:
        """A record's `schema` is the timestamp of its collection, which another list owns."""
        scope = list_of(path)
        if key == "schema" and scope.endswith("/records"):
            return scope.rsplit("/", 2)[0]
        return path

    def _same_scalar(self, kinto: Any, ours: Any, path: str) -> bool:
        if type(kinto) is not type(ours):
            return False
        if type(kinto) is int:
            scope = list_of(path)
            return self.pairs.same_time(scope, kinto, self.pairs.exchanged(scope, ours))
        if isinstance(kinto, str):
            if DATE.fullmatch(kinto) and DATE.fullmatch(ours):
                return True
            if kinto.startswith(BCRYPT) and ours.startswith(BCRYPT):
                return True  # salted
            if CHOICE in kinto and CHOICE in ours:  # a set, in whatever order
                kinto, ours = "".join(sorted(kinto)), "".join(sorted(ours))
            return self.pairs.same_text(self._unhost(kinto, 0), self._unhost(ours, 1))
        return bool(kinto == ours)

    def _named(self, where: str, kinto: Any, ours: Any, path: str) -> Mismatch:
        if self.pairs.clocklike(kinto) and self.pairs.clocklike(ours):
            scope = list_of(path)
            names = (self.pairs.name(scope, kinto, 0), self.pairs.name(scope, ours, 1))
            return Mismatch(f"{where} (timestamp)", *names, path)
        return Mismatch(where, kinto, ours, path)

    def _headers(
        self,
        prefix: str,
        kinto: Iterable[tuple[str, str]],
        ours: Iterable[tuple[str, str]],
        path: str,
        status: int,
    ) -> Iterator[Mismatch]:
        k, o = _collected(kinto), _collected(ours)

        def report(name: str, left: Any, right: Any) -> Mismatch:
            return Mismatch(f"{prefix}header.{name}", left, right, path)

        for name in EXACT if prefix else EXACT + PROTECTING:
            if k.get(name) != o.get(name):
                yield report(name, k.get(name), o.get(name))
        for name in SETS:
            if _set(k.get(name)) != _set(o.get(name)):
                yield report(name, k.get(name), o.get(name))
        for name in ("expires", "last-modified"):
            if (name in k) != (name in o):
                yield report(name, k.get(name), o.get(name))
        if sorted(k.get("www-authenticate", [])) != sorted(o.get("www-authenticate", [])):
            yield report("www-authenticate", k.get("www-authenticate"), o.get("www-authenticate"))
        if _json(k.get("alert")) != _json(o.get("alert")):
            yield report("alert", k.get("alert"), o.get("alert"))
        for name in ("location", "next-page"):
            if not self._same_url(k.get(name), o.get(name)):
                yield report(name, k.get(name), o.get(name))
        yield from self._etag(report, k.get("etag"), o.get("etag"), path, status >= 400)
        yield from _dated(report, k, o)

    def _etag(
        self, report: Any, kinto: list[str] | None, ours: list[str] | None, path: str, failed: bool
    ) -> Iterator[Mismatch]:
        if kinto is None or ours is None:
            if kinto != ours:
                yield report("etag", kinto, ours)
            return
        k, o = _integer(kinto[0]), _integer(ours[0])
        if k is None or o is None:
            if kinto != ours:
                yield report("etag", kinto, ours)
        elif failed and self.pairs.may_be_new(list_of(path), k, o):
            return  # Kinto gives an empty list its timestamp at first sight, and forgets it with the failure
        elif not self.pairs.same_time(list_of(path), k, o):
            scope = list_of(path)
            yield report("etag", self.pairs.name(scope, k, 0), self.pairs.name(scope, o, 1))

    def _encoding(self, kinto: Answer, ours: Answer, path: str) -> Iterator[Mismatch]:
        if kinto.raw.isascii() and not ours.raw.isascii():
            yield Mismatch("encoding", "ASCII", "UTF-8", path)

    def _same_url(self, kinto: list[str] | None, ours: list[str] | None) -> bool:
        if kinto is None or ours is None:
            return kinto == ours
        k, o = (_url_parts(self._unhost(urls[0], side)) for side, urls in enumerate((kinto, ours)))
        return len(k) == len(o) and all(self.pairs.same_text(*pair) for pair in zip(k, o, strict=True))

    def _unhost(self, text: str, side: int) -> str:
        root = self._roots[side]
        return text.replace(root, "http://HOST").replace(root.removeprefix("http://"), "HOST")

    def _learn_id(self, kinto: Any, ours: Any) -> None:
        ids = [body["data"].get("id") for body in (kinto, ours) if isinstance(body, dict) and "data" in body]
        if len(ids) == 2 and all(isinstance(value, str) for value in ids):
            self.pairs.learn_id(*ids)

    def _by_id(self, body: Any, side: int) -> Any:
        """The tombstones of a list DELETE, whose order means nothing, in an order that both servers share."""
        if _is_list_body(body):
            return {
                **body,
                "data": sorted(body["data"], key=lambda item: self.pairs.id_name(str(item.get("id")), side)),
            }
        return body

    def _forget_deleted(self, exchange: Exchange, kinto: Any, ours: Any) -> None:
        if exchange.kinto.status != exchange.ours.status:
            return
        if exchange.path == "/__flush__" and exchange.ours.status == 202:
            self.pairs.purge("/")
        elif exchange.step.method == "DELETE" and exchange.ours.status == 200:
            self._purge(exchange.path, ours)

    def _purge(self, path: str, body: Any) -> None:
        if not is_list(path):
            self.pairs.purge(path)
        elif _is_list_body(body):
            for item in body["data"]:
                self.pairs.purge(f"{path}/{item.get('id')}")


class _Absent:
    def __repr__(self) -> str:
        return "absent"


ABSENT = _Absent()


def batch_methods(request: Request) -> list[str]:
    """The methods of the requests of a batch."""
    try:
        body = json.loads(request.body or b"{}")
        defaults = body.get("defaults") or {}
        return [item.get("method", defaults.get("method", "GET")) for item in body["requests"]]
    except (ValueError, AttributeError, KeyError, TypeError):
        return []


def _dated(report: Any, kinto: dict[str, list[str]], ours: dict[str, list[str]]) -> Iterator[Mismatch]:
    """`Last-Modified` is the second of the ETag (protocol section 3.3), the server's own."""
    agree = []
    for headers in (kinto, ours):
        etag = _integer(headers["etag"][0]) if "etag" in headers else None
        if etag is None or "last-modified" not in headers:
            return
        agree.append(headers["last-modified"][0] == formatdate(etag // 1000, usegmt=True))
    if agree[0] != agree[1]:
        yield report("last-modified", f"of the ETag: {agree[0]}", f"of the ETag: {agree[1]}")


def _is_batch(body: Any) -> bool:
    return isinstance(body, dict) and isinstance(body.get("responses"), list)


def _lower(headers: Any) -> list[tuple[str, str]]:
    return [(str(name).lower(), str(value)) for name, value in (headers or {}).items()]


def _collected(headers: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    collected: dict[str, list[str]] = {}
    for name, value in headers:
        collected.setdefault(name, []).append(value)
    return collected


def _is_list_body(body: Any) -> bool:
    return isinstance(body, dict) and isinstance(body.get("data"), list)


def _timestamps(body: Any) -> list[int]:
    return [item["last_modified"] for item in body["data"] if "last_modified" in item]


def _unordered(value: Any) -> Any:
    if isinstance(value, list):
        return sorted(value, key=str)
    if isinstance(value, dict):
        return {key: _unordered(item) for key, item in value.items()}
    return value


def _set(values: list[str] | None) -> set[str] | None:
    if values is None:
        return None
    return {item.strip().lower() for value in values for item in value.split(",")}


def _json(values: list[str] | None) -> Any:
    return None if values is None else [json.loads(value) for value in values]


def _integer(etag: str) -> int | None:
    digits = etag.strip('"')
    return int(digits) if etag == f'"{digits}"' and digits.lstrip("-").isdigit() else None


def _url_parts(url: str) -> list[str]:
    """Host, path and parameters; tokens are each server's own."""
    parts = urlsplit(url)
    pairs = parse_qsl(parts.query, keep_blank_values=True)
    return [parts.netloc, parts.path, *sorted(f"{n}={'' if n == '_token' else v}" for n, v in pairs)]


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) < 300 else text[:300] + "…"
