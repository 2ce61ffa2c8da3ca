"""How the named differences of the personal bucket look on the wire."""

from __future__ import annotations

from tests.compat.compare import Exchange, Mismatch
from tests.compat.recognising import data, ids, in_scenario, message, sent, value


def empty_put(exchange: Exchange, mismatch: Mismatch) -> bool:
    told = in_scenario("an empty put")(exchange) and mismatch.where == "body.data.color"
    return told and "color" not in data(exchange.kinto) and mismatch.ours == "red"


def schema(exchange: Exchange, _: Mismatch) -> bool:
    if not in_scenario("schemas")(exchange) or exchange.scenario.profile != "personal":
        return False
    if '"one"' in sent(exchange):
        return exchange.kinto.status == 200 and message(exchange.ours) == "'one' is not of type 'integer'"
    validated = "schema" in data(exchange.ours) and "schema" not in data(exchange.kinto)
    return validated and data(exchange.ours)["n"] == 1


def replaced_id(exchange: Exchange, mismatch: Mismatch) -> bool:
    told = in_scenario("a collection called default")(exchange) and value(mismatch, ".id")
    return told and mismatch.ours == "default" and len(mismatch.kinto) == 36


def bucket_called_default(exchange: Exchange, _: Mismatch) -> bool:
    if not in_scenario("a bucket called default")(exchange):
        return False
    if exchange.step.method == "POST":
        return exchange.kinto.status == 201 and exchange.ours.json["details"][0]["name"] == "data.id"
    return ids(exchange.kinto) == ["default"] and ids(exchange.ours) == []


def rolled_back(exchange: Exchange, _: Mismatch) -> bool:
    told = in_scenario("a write inside a batch to a record that is not there")(exchange)
    return (
        told and exchange.step.method == "GET" and (exchange.kinto.status, exchange.ours.status) == (200, 403)
    )
