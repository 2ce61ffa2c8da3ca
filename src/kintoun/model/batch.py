"""The body of a batch: several requests in one (protocol section 6)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from kintoun.model.attributes import not_a_mapping, not_iterable, shown, string_error
from kintoun.model.envelope import check_mapping, unknown_keys
from kintoun.model.errors import Detail, InvalidParameters
from kintoun.model.tuples import made

METHODS = ("GET", "HEAD", "DELETE", "TRACE", "POST", "PUT", "PATCH")
FIELDS = frozenset(("method", "path", "headers", "body"))
_BODY = frozenset(("defaults", "requests"))


_NO_HEADERS: Mapping[str, str] = {}


class BatchItem(NamedTuple):
    """One request of a batch. `path` begins with a slash, with or without the version and a query string;
    `body` is None when there is none."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: dict[str, Any] | None


def parse_batch(body: Any, *, max_requests: int | None) -> tuple[BatchItem, ...]:
    """The requests of a batch, with the defaults merged in.

    `max_requests` is the most that a batch may have (None or 0: no limit). Raises InvalidParameters with
    everything that is wrong.
    """
    check_mapping(body, _BODY)
    requests, wrong = _requests(body, max_requests)
    defaults: dict[str, Any] = {}
    if "defaults" in body:
        given = body["defaults"]
        wrong.extend(_item_errors("defaults", given, complete=False))
        if isinstance(given, dict):
            defaults = given
    merged = [_merge(defaults, item) for item in requests] if defaults else requests
    items = []
    for index, given in enumerate(merged):
        item = _plain(given)
        if item is None:
            wrong.extend(_item_errors(f"requests.{index}", given, complete=True))
            if wrong:
                continue
            item = _item(given)
        items.append(item)
    if wrong:
        raise InvalidParameters(*wrong)
    if any("/batch" in item.path for item in items):
        raise InvalidParameters(Detail("body", "requests", "Recursive call on /batch endpoint is forbidden."))
    return tuple(items)


def _requests(body: dict[str, Any], max_requests: int | None) -> tuple[list[Any], list[Detail]]:
    if "requests" not in body:
        return [], [Detail("body", "requests", "Required")]
    requests = body["requests"]
    if not isinstance(requests, list):
        return [], [Detail("body", "requests", not_iterable(requests))]
    # Before anything is merged: the work is bounded by the limit, whatever the size of the defaults.
    if max_requests and len(requests) > max_requests:
        limit = f"Number of requests is limited to {max_requests}"
        raise InvalidParameters(Detail("body", "requests", limit))
    return requests, []


def _merge(defaults: Any, given: Any) -> Any:
    """What is given, completed from the defaults; objects are merged all the way down."""
    if not (isinstance(defaults, dict) and isinstance(given, dict)):
        return given
    merged = dict(defaults)
    for key, value in given.items():
        merged[key] = _merge(defaults[key], value) if key in defaults else value
    return merged


def _plain(item: Any) -> BatchItem | None:
    """A request that has a method, a path, a body, and nothing else, as most do; None for others."""
    if not isinstance(item, dict) or len(item) != 3:
        return None
    method, path, body = item.get("method"), item.get("path"), item.get("body")
    sound = isinstance(path, str) and path[:1] == "/" and isinstance(method, str) and method in METHODS
    return made(BatchItem, (method, path, _NO_HEADERS, body)) if sound and isinstance(body, dict) else None


def _item_errors(name: str, item: Any, *, complete: bool) -> list[Detail]:
    """What is wrong with a request, or with the defaults, which need not be `complete`."""
    if not isinstance(item, dict):
        return [Detail("body", name, not_a_mapping(item))]
    unknown = unknown_keys(item, FIELDS)
    if unknown is not None:
        return [Detail("body", name, unknown)]
    errors = {
        "path": _path_error(item.get("path"), required=complete),
        "method": _method_error(item.get("method")),
        "headers": _headers_error(item.get("headers", {})),
        "body": None if isinstance(item.get("body", {}), dict) else not_a_mapping(item["body"]),
    }
    return [Detail("body", f"{name}.{field}", error) for field, error in errors.items() if error]


def _path_error(path: Any, *, required: bool) -> str | None:
    if not path and not required:
        return None
    error = string_error(path, "path")
    if error is None and not path.startswith("/"):
        error = "String does not match expected pattern"
    return error


def _method_error(method: Any) -> str | None:
    if not method:
        return None
    error = string_error(method, "method")
    if error is None and method not in METHODS:
        error = f'"{shown(method)}" is not one of {", ".join(METHODS)}'
    return error


def _headers_error(headers: Any) -> str | None:
    if not isinstance(headers, dict):
        return not_a_mapping(headers)
    if not all(isinstance(value, str) for value in headers.values()):
        return f"{shown(headers)} contains non string value"
    return None


def _item(item: dict[str, Any]) -> BatchItem:
    return BatchItem(item.get("method") or "GET", item["path"], item.get("headers", {}), item.get("body"))
