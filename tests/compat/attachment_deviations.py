"""What the differences of attachments are recognised by."""

from __future__ import annotations

from tests.compat.compare import Exchange, Mismatch
from tests.compat.recognising import data, in_scenario

_MORE = {"PUT", "GET", "HEAD"}


def _here(exchange: Exchange) -> bool:
    return exchange.path.endswith("/attachment")


def version(exchange: Exchange, mismatch: Mismatch) -> bool:
    told = mismatch.where == "body.capabilities.attachments.version"
    return exchange.path in ("", "/") and told and mismatch.kinto == "8.0.0"


def demands(exchange: Exchange, _: Mismatch) -> bool:
    demanding = {"If-Match", "If-None-Match"} & exchange.ours_request.headers.keys()
    met = exchange.kinto.status in (200, 204)
    return _here(exchange) and bool(demanding) and met and exchange.ours.errno == 114


def removed(exchange: Exchange, _: Mismatch) -> bool:
    if not in_scenario("attachments that are not there")(exchange):
        return False
    method, status = exchange.step.method, (exchange.kinto.status, exchange.ours.status)
    if exchange.path.endswith("/none/attachment"):
        return method == "DELETE" and status == (204, 404)
    if exchange.path.endswith("/none"):
        return status == (200, 404)
    if exchange.path.endswith("/plain/attachment"):
        return status == (204, 204)
    written = data(exchange.kinto).get("attachment", 0) is None
    return status == (200, 200) and written and "attachment" not in data(exchange.ours)


def methods(exchange: Exchange, mismatch: Mismatch) -> bool:
    if not _here(exchange):
        return False
    if exchange.step.method in ("GET", "PUT"):
        return exchange.kinto.status == 405 and exchange.ours.status in (302, 400)
    if mismatch.where == "header.allow" or mismatch.where == "header.access-control-allow-methods":
        theirs, ours = (
            {name.strip() for name in side[0].split(",")} for side in (mismatch.kinto, mismatch.ours)
        )
        return ours - theirs == _MORE and not theirs - ours
    return exchange.step.method == "OPTIONS" and mismatch.kinto is not None and mismatch.ours is None


def not_an_object(exchange: Exchange, _: Mismatch) -> bool:
    asked = in_scenario("forms that break the server")(exchange)
    return asked and _here(exchange) and exchange.kinto.status == 500 and exchange.ours.status < 500


def parser_messages(exchange: Exchange, mismatch: Mismatch) -> bool:
    said = "body: data is not valid JSON ("
    texts = (mismatch.kinto, mismatch.ours)
    return mismatch.where == "body.message" and all(str(text).startswith(said) for text in texts)


def base_names(exchange: Exchange, mismatch: Mismatch) -> bool:
    told = mismatch.where == "body.filename" and isinstance(mismatch.kinto, str)
    return _here(exchange) and told and mismatch.kinto.rpartition("/")[2] == mismatch.ours != mismatch.kinto
