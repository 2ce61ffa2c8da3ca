"""What the differences of history are recognised by."""

from __future__ import annotations

from tests.compat.compare import Exchange, Mismatch
from tests.compat.recognising import arguments, header_names, records


def capability(exchange: Exchange, mismatch: Mismatch) -> bool:
    told = mismatch.where.removeprefix("body.capabilities.history.")
    return exchange.path in ("", "/") and told in ("point_in_time", "restore") and mismatch.ours is True


def totals(exchange: Exchange, mismatch: Mismatch) -> bool:
    if not exchange.path.endswith("/history"):
        return False
    if mismatch.where in ("header.total-objects", "header.total-records"):
        counted = mismatch.kinto is None and mismatch.ours[0].isdigit()
        return exchange.step.method == "HEAD" and exchange.ours.status == 200 and counted
    if mismatch.where == "header.access-control-allow-headers":
        more = header_names(mismatch.ours) - header_names(mismatch.kinto)
        return exchange.step.method == "OPTIONS" and more == {"Total-Objects", "Total-Records"}
    return False


def unknown_snapshot(exchange: Exchange, _: Mismatch) -> bool:
    if "/snapshot/" not in exchange.path:
        return False
    body = exchange.ours.json
    refused = exchange.ours.status == 400 and body["details"][0]["name"] == "timestamp"
    known = "is complete since" in body.get("message", "") if refused else False
    return exchange.kinto.status == 200 and known


def missing_ids(exchange: Exchange, mismatch: Mismatch) -> bool:
    asked = [value for name, value in arguments(exchange) if name.startswith("has_") and name.endswith("_id")]
    if not exchange.path.endswith("/history") or asked != ["false"]:
        return False
    names = [name.removeprefix("has_") for name, _ in arguments(exchange)]
    theirs = all(names[0] in entry for entry in records(exchange.kinto))
    ours = all(names[0] not in entry for entry in records(exchange.ours))
    return theirs and ours and mismatch.where.startswith("body.data")
