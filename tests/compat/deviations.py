"""How each named difference looks on the wire: what Kinto does, and that we do what we promise instead."""

from __future__ import annotations

import re

from tests.compat.compare import Exchange, Mismatch, batch_methods
from tests.compat.correspondence import is_list
from tests.compat.recognising import (
    arguments,
    data,
    ids,
    in_scenario,
    items,
    media_type,
    message,
    records,
    sent,
    value,
)

MASK = "**********"
NAMES = {
    "project_name": r"kintoun",
    "project_version": r"\d+\.\d+\.\d+",
    "project_docs": r"https://kintoun\.",
    "url": r"https://kintoun\.",
    "description": r"\w",
}


def own_name(exchange: Exchange, mismatch: Mismatch) -> bool:
    key = mismatch.where.rsplit(".", 1)[-1]
    if mismatch.where.endswith("header.alert"):
        return all("_to is now deprecated" in str(side) for side in (mismatch.kinto, mismatch.ours))
    if exchange.path == "/contribute.json":
        return exchange.kinto.status == exchange.ours.status == 200 and mismatch.where.startswith("body.")
    of_capability = ".body.capabilities." in f".{mismatch.where}"
    known = key in NAMES and ("." not in mismatch.where.split("body.", 1)[-1] or of_capability)
    at_root = mismatch.path in ("", "/") and "body." in mismatch.where
    return known and at_root and re.match(NAMES[key], str(mismatch.ours)) is not None


def no_config_path(_: Exchange, mismatch: Mismatch) -> bool:
    at_root = mismatch.path in ("", "/") and mismatch.where.endswith("body.config")
    return at_root and isinstance(mismatch.kinto, dict) and mismatch.ours is None


def version_view(exchange: Exchange, _: Mismatch) -> bool:
    if exchange.path != "/__version__" or exchange.kinto.status != 500:
        return False
    return exchange.ours.status == 200 and {"source", "version", "commit", "build"} <= set(exchange.ours.json)


def utf8_bodies(exchange: Exchange, mismatch: Mismatch) -> bool:
    return mismatch.where == "encoding" and bool(exchange.ours.raw.decode("utf-8"))


def wide_numbers(_: Exchange, mismatch: Mismatch) -> bool:
    kinto, ours = mismatch.kinto, mismatch.ours
    if not isinstance(ours, float) or type(kinto) not in (int, float):
        return False
    return abs(ours) >= 2**63 and abs(kinto - ours) <= abs(ours) * 1e-15


def carries_nul(exchange: Exchange) -> bool:
    return "\\u0000" in sent(exchange)


def nested_too_deep(exchange: Exchange) -> bool:
    return "[" * 400 in sent(exchange) and "deep" in message(exchange.ours)


def media_type_case(exchange: Exchange, _: Mismatch) -> bool:
    kind = media_type(exchange)
    accepted = exchange.kinto.status == 415 and exchange.ours.status in (200, 201)
    return accepted and kind != kind.lower() and kind.lower() == "application/json"


def media_type_parameters(exchange: Exchange, _: Mismatch) -> bool:
    kind, _, parameters = media_type(exchange).partition(";")
    if not parameters or exchange.ours.status != 200:
        return False
    if kind == "application/merge-patch+json":
        return data(exchange.kinto).get("o") == {"x": None} and data(exchange.ours).get("o") == {"y": 2}
    return (
        kind == "application/json-patch+json"
        and exchange.kinto.status == 500
        and data(exchange.ours).get("b") == 1
    )


def id_ends_with_newline(exchange: Exchange) -> bool:
    named = exchange.path.endswith("%0A") or '\\n"' in sent(exchange)
    return named and "Invalid object id" in message(exchange.ours)


def timestamp_beyond_calendar(exchange: Exchange) -> bool:
    found = re.search(r'"last_modified": (\d+)', sent(exchange))
    return found is not None and int(found[1]) > 253_402_300_799_999


def boolean_timestamp(exchange: Exchange, _: Mismatch) -> bool:
    ignored = exchange.ours.status == 201 and type(data(exchange.ours).get("last_modified")) is int
    return exchange.kinto.status == 503 and ignored and '"last_modified": true' in sent(exchange)


def ill_formed_tombstone_date(exchange: Exchange) -> bool:
    dates = [text for name, text in arguments(exchange) if name == "last_modified"]
    return exchange.step.method == "DELETE" and bool(dates) and not dates[0].isdigit()


def clock_goes_on(exchange: Exchange, mismatch: Mismatch) -> bool:
    path, ours = exchange.path, exchange.ours.timestamp
    if ours is None or not exchange.pairs.goes_on(path, ours) or not is_list(path):
        return False
    unchanged = exchange.ours.status == 304 and exchange.kinto.status == 200 and records(exchange.kinto) == []
    return unchanged or value(mismatch, "header.etag")


def page_of_snapshot(exchange: Exchange, mismatch: Mismatch) -> bool:
    if exchange.step.method != "GET" or not any(name == "_token" for name, _ in arguments(exchange)):
        return False
    written_since = {"r2", "new"}
    if in_scenario("changes while paging by another field")(exchange) and mismatch.where != "header.etag":
        return not written_since & set(ids(exchange.ours)) and bool(written_since & set(ids(exchange.kinto)))
    return mismatch.where == "header.etag"


def readonly_list(exchange: Exchange, _: Mismatch) -> bool:
    readonly = (exchange.step.on or exchange.scenario.profile) == "readonly"
    never_written = exchange.kinto.status == 503 and records(exchange.ours) == []
    return readonly and never_written and exchange.ours.status == 200 and exchange.ours.timestamp is not None


LIKE_WORLD = {"percent": "a%b", "underscore": "a_b", "plain": "axb", "backslash": "a\\b"}


def like_is_literal(exchange: Exchange, _: Mismatch) -> bool:
    operands = [text for name, text in arguments(exchange) if name == "like_f"]
    if not in_scenario("like and the wildcards of SQL")(exchange) or not operands:
        return False
    expected = sorted(name for name, text in LIKE_WORLD.items() if operands[0] in text)
    return bool(set(operands[0]) & set("%_\\")) and ids(exchange.ours) == expected


def like_folds_case(exchange: Exchange, _: Mismatch) -> bool:
    asked = [text for name, text in arguments(exchange) if name == "like_f"]
    folded = asked == ["É"] and ids(exchange.ours) == ["accent"]
    return folded and ids(exchange.kinto) == []


def exclude_nothing(exchange: Exchange, _: Mismatch) -> bool:
    everything = len(ids(exchange.ours)) == 24 and "missing" in ids(exchange.ours)
    return ("exclude_f", "") in arguments(exchange) and ids(exchange.kinto) == ["missing"] and everything


def since_null(exchange: Exchange, _: Mismatch) -> bool:
    answered = ids(exchange.kinto) == [] and ids(exchange.ours) == ["r1"]
    return ("_since", "null") in arguments(exchange) and answered


def foreign_token(exchange: Exchange) -> bool:
    given = any(name == "_token" for name, _ in arguments(exchange))
    return given and message(exchange.ours).endswith("_token has invalid content")


def negative_cache_expires(exchange: Exchange, mismatch: Mismatch) -> bool:
    ours = exchange.ours.header("cache-control") == "max-age=0, must-revalidate, no-cache, no-store"
    return (
        value(mismatch, "header.cache-control")
        and ours
        and exchange.kinto.header("cache-control") == "max-age=-1"
    )


def membership_in_batch(exchange: Exchange, _: Mismatch) -> bool:
    if not in_scenario("membership inside a batch")(exchange):
        return False
    if exchange.path == "/batch":
        statuses = [[item["status"] for item in items(side)] for side in (exchange.kinto, exchange.ours)]
        return statuses == [[201, 403], [201, 201]]
    return (exchange.kinto.status, exchange.ours.status) == (404, 200)


def merge_onto_anything(exchange: Exchange, mismatch: Mismatch) -> bool:
    if media_type(exchange) != "application/merge-patch+json" or exchange.ours.status != 200:
        return False
    if data(exchange.ours).get("n") == {}:
        return mismatch.where == "body.data.n" and mismatch.kinto == [1]
    return data(exchange.ours).get("n") == {"k": 1} and exchange.kinto.status == 500


def data_no_object(exchange: Exchange) -> bool:
    return media_type(exchange) == "application/json-patch+json" and '"path": "/data"' in sent(exchange)


def unknown_permission(exchange: Exchange) -> bool:
    return '"/permissions/foo"' in sent(exchange)


def light_merge_patch(exchange: Exchange, _: Mismatch) -> bool:
    asked = exchange.ours_request.headers.get("Response-Behavior") == "light"
    answered = exchange.ours.status == 200 and "permissions" not in (exchange.ours.json or {})
    return asked and exchange.kinto.status == 500 and answered and "merge-patch" in media_type(exchange)


def sorted_delete(exchange: Exchange, _: Mismatch) -> bool:
    names = {name for name, _ in arguments(exchange)}
    deleting = exchange.step.method == "DELETE" and {"_sort", "_token"} <= names
    return deleting and records(exchange.kinto) == [] and len(records(exchange.ours)) == 2


def unresolvable_reference(exchange: Exchange) -> bool:
    return (
        in_scenario("unresolvable references")(exchange)
        and exchange.ours.json["details"][0]["name"] == "schema"
    )


def batch_array(exchange: Exchange) -> bool:
    return exchange.path == "/batch" and sent(exchange).startswith("[")


def batch_304(exchange: Exchange, _: Mismatch) -> bool:
    untouched = [item for item in items(exchange.ours) if item["status"] == 304 and item["body"] == ""]
    rest = [item for item in items(exchange.ours) if item["status"] == 200]
    return exchange.path == "/batch" and exchange.kinto.status == 500 and bool(untouched) and bool(rest)


def batch_path(exchange: Exchange, _: Mismatch) -> bool:
    refused = [item["status"] for item in items(exchange.ours)]
    asked = re.search(r'"path": "/[^"]*\\u', sent(exchange)) is not None
    return asked and exchange.kinto.status == 500 and all(400 <= status < 500 for status in refused)


def batch_conflict(exchange: Exchange, _: Mismatch) -> bool:
    told = in_scenario("same timestamps in a batch")(exchange)
    return (
        told and exchange.step.method == "GET" and ids(exchange.kinto) == [] and ids(exchange.ours) == ["r1"]
    )


def batch_cascade(exchange: Exchange, mismatch: Mismatch) -> bool:
    if in_scenario("collection replaced inside a batch")(exchange):
        if exchange.path == "/batch":
            shown = [
                [item["id"] for item in items(side)[3]["body"]["data"]]
                for side in (exchange.kinto, exchange.ours)
            ]
            return mismatch.where == "responses.3.body.data" and shown == [["r1", "old"], ["r1"]]
        return ids(exchange.kinto) == [] and ids(exchange.ours) == ["r1"]
    gone = "DELETE" in batch_methods(exchange.ours_request) and mismatch.where.startswith(
        ("responses.1", "responses.2")
    )
    statuses = [item["status"] for item in items(exchange.ours)]
    told = in_scenario("records of a collection deleted inside a batch")(exchange)
    return told and gone and statuses == [200, 404, 404]


def no_leak(exchange: Exchange, mismatch: Mismatch) -> bool:
    if not exchange.kinto.status == exchange.ours.status == 412:
        return False
    shown = mismatch.where == "body.details" and "existing" in exchange.kinto.json["details"]
    conditional = exchange.ours_request.headers.get("If-None-Match") == "*"
    return shown and conditional and "details" not in exchange.ours.json


def stale_group(exchange: Exchange, mismatch: Mismatch) -> bool:
    if mismatch.where == "body.user.principals":
        stale = set(mismatch.kinto) - set(mismatch.ours)
        return bool(stale) and all(group.split("/groups/")[0] in exchange.pairs.deleted for group in stale)
    member = in_scenario("groups of a deleted bucket")(exchange) and exchange.step.user == "bob"
    return member and exchange.kinto.status == 200 and exchange.ours.status == 403


def erasure_shows(exchange: Exchange, mismatch: Mismatch) -> bool:
    if not in_scenario("erasing a user")(exchange) or exchange.step.method != "GET":
        return False
    if mismatch.where == "body.data.members":
        return set(mismatch.ours) < set(mismatch.kinto)
    return value(mismatch, "last_modified", "header.etag")


def erasing_nothing(exchange: Exchange, _: Mismatch) -> bool:
    erased = exchange.path.startswith("/__user_data__/") and exchange.step.method == "DELETE"
    return erased and exchange.kinto.status == 503 and list(data(exchange.ours)) == ["principal"]


def masked_password(_: Exchange, mismatch: Mismatch) -> bool:
    return value(mismatch, ".password") and str(mismatch.kinto).startswith("$2b$") and mismatch.ours == MASK


def long_password(exchange: Exchange, mismatch: Mismatch) -> bool:
    if not in_scenario("a long password")(exchange):
        return False
    if exchange.path == "/accounts/long":
        return exchange.kinto.status == 500 and exchange.ours.status == 201
    return mismatch.where.startswith("body.user.") and mismatch.ours == "account:long"


def absurd_password(exchange: Exchange, _: Mismatch) -> bool:
    if not in_scenario("a password of absurd length")(exchange) or exchange.kinto.status != 500:
        return False
    if exchange.path == "/":
        return exchange.ours.status == 200 and "user" not in exchange.ours.json
    return exchange.ours.status == 400 and "Longer than 4096 bytes" in message(exchange.ours)


def wrong_password(exchange: Exchange, mismatch: Mismatch) -> bool:
    if exchange.scenario.profile != "accounts" or "Authorization" not in exchange.ours_request.headers:
        return False
    if mismatch.where == "body.user":
        return mismatch.ours is None or not isinstance(mismatch.ours, dict)
    return exchange.ours.status == 401 and exchange.kinto.status in (200, 201, 403)


def tokens_of_accounts(exchange: Exchange, _: Mismatch) -> bool:
    unknown = exchange.kinto.status == 404 and exchange.kinto.errno == 111
    return exchange.path.startswith("/accounts/") and "/tokens" in exchange.path and unknown


def accounts_clock(exchange: Exchange, mismatch: Mismatch) -> bool:
    return exchange.path == "/accounts" and value(mismatch, "header.etag", "last_modified")


def exposed_everywhere(_: Exchange, mismatch: Mismatch) -> bool:
    if not value(mismatch, "header.access-control-expose-headers"):
        return False
    kinto, ours = (
        {name.strip() for name in ",".join(side or ()).split(",") if name}
        for side in (mismatch.kinto, mismatch.ours)
    )
    return "Retry-After" in ours and kinto < ours


def no_sniffing(_: Exchange, mismatch: Mismatch) -> bool:
    return value(mismatch, "header.x-content-type-options") and mismatch.kinto is None


def permissions_etag(exchange: Exchange, mismatch: Mismatch) -> bool:
    told = value(mismatch, "header.etag", "header.last-modified")
    return exchange.path == "/permissions" and told and not exchange.ours.all("last-modified")


def permissions_contain(exchange: Exchange, _: Mismatch) -> bool:
    asked = [text for name, text in arguments(exchange) if name == "contains_permissions"]
    answered = exchange.kinto.status == 400 and exchange.ours.status == 200
    found = [entry.get("permissions", ()) for entry in records(exchange.ours)]
    return (
        exchange.path == "/permissions"
        and bool(asked)
        and answered
        and all(asked[0] in each for each in found)
    )


def every_error_at_once(exchange: Exchange, mismatch: Mismatch) -> bool:
    if not exchange.kinto.status == exchange.ours.status == 400 or mismatch.where != "body.details":
        return False
    theirs, ours = (
        [(d["location"], d["name"]) for d in side.json["details"]] for side in (exchange.kinto, exchange.ours)
    )
    return len(ours) > len(theirs) and set(theirs) < set(ours)


def names_are_text(_: Exchange, mismatch: Mismatch) -> bool:
    return value(mismatch, ".name") and type(mismatch.kinto) is int and mismatch.ours == str(mismatch.kinto)


def limit_zero(exchange: Exchange, _: Mismatch) -> bool:
    sizes = len(records(exchange.kinto)), len(records(exchange.ours))
    paged = exchange.scenario.profile == "paged"  # paginate_by = 3, storage_max_fetch_size = 4
    return paged and ("_limit", "0") in arguments(exchange) and sizes == (4, 3)


def unprefixed_options(exchange: Exchange, mismatch: Mismatch) -> bool:
    unprefixed = exchange.step.method == "OPTIONS" and not exchange.ours_request.target.startswith("/v1")
    return unprefixed and value(mismatch, "header.content-type", "body") and exchange.ours.json is None


def nul_in_path(exchange: Exchange, _: Mismatch) -> bool:
    refused = exchange.ours.status == 400 and message(exchange.ours) == "Invalid URL path."
    return refused and "%00" in exchange.path and exchange.kinto.status in (400, 403, 404)


def hidden_writers_kept(exchange: Exchange, mismatch: Mismatch) -> bool:
    patched = media_type(exchange) in ("application/json-patch+json", "application/merge-patch+json")
    if not patched or mismatch.where != "body.permissions.write":
        return False
    return len(mismatch.kinto) == 1 and set(mismatch.kinto) < set(mismatch.ours)


def permissions_conditions(exchange: Exchange, _: Mismatch) -> bool:
    asked = {"If-Match", "If-None-Match"} & set(exchange.ours_request.headers)
    failed = exchange.kinto.status == 500 and exchange.ours.status == 412
    return exchange.path == "/permissions" and bool(asked) and failed


def permissions_of_settings(exchange: Exchange, mismatch: Mismatch) -> bool:
    told = in_scenario("permissions endpoint and settings")(exchange) and value(mismatch, ".permissions")
    implied = {"collection:create", "group:create", "record:create", "read:attributes"}
    return told and set(mismatch.ours) <= set(mismatch.kinto) <= set(mismatch.ours) | implied
