"""The fields that a deployment declares have an index, and lists are read by it."""

from __future__ import annotations

from pathlib import Path

import pytest

from kintoun.model.kinds import RECORD
from kintoun.model.paths import BUCKETS, ListPath, bucket_path, collection_path, record_path
from kintoun.model.permissions import NO_GRANTS
from kintoun.model.query import parse_query
from kintoun.settings import Index, Storage
from kintoun.storage import Store, open_store
from kintoun.storage.indexes import indexed_fields, name_of
from kintoun.storage.needs import Needs
from kintoun.storage.rows import Page, Wanted
from kintoun.storage.statements import question
from kintoun.storage.unit import Unit
from tests.support.postgres import Postgres

PLAN = {"sqlite": "EXPLAIN QUERY PLAN ", "postgresql": "EXPLAIN "}


def declared(*fields: str) -> list[Index]:
    return [Index(bucket="b", collection="c", field=field) for field in fields]


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path, postgres: Postgres) -> str:
    return f"sqlite:{tmp_path / 'data.sqlite'}" if request.param == "sqlite" else postgres.create_database()


class Fill:
    """Records enough for an index to be worth its while."""

    needs = Needs((BUCKETS,), ("b",))

    async def run(self, unit: Unit) -> None:
        for path in (bucket_path("b"), collection_path("b", "c")):
            await unit.put(path, {}, NO_GRANTS)
        for n in range(600):
            attributes = {"category": f"c{n % 50}", "title": f"t{n}", "price": {"amount": n}}
            await unit.put(record_path("b", "c", f"r{n}"), attributes, NO_GRANTS)
        await unit.flush()
        await unit.transaction.fetch("ANALYZE object")


async def migrated(url: str, *fields: str) -> Store:
    store = await open_store(Storage(url=url, indexes=declared(*fields)))
    if await store.migrate() == 0:
        await store.write(Fill())
    return store


async def plan(store: Store, query: str) -> str:
    parsed = parse_query([tuple(query.split("="))], now_ms=10**13)  # type: ignore[list-item]
    wanted = Wanted(clock=ListPath(RECORD, ("b", "c")), page=Page(parsed.filters, parsed.sort, 21))
    sql, values = question(wanted, store.engine.dialect, store.engine.indexed)
    engine = store.settings.url.partition(":")[0]
    return "\n".join(str(row[-1]) for row in await store.fetch(PLAN[engine] + sql, values))


async def test_a_declared_field_is_looked_up(url: str) -> None:
    store = await migrated(url, "category", "price.amount")
    try:
        for query in ("category=c7", "in_category=c1,c2", "price.amount=3"):
            field = "price.amount" if "price" in query else "category"
            assert name_of(field) in await plan(store, query), query
        assert "field_" not in await plan(store, "title=x")
    finally:
        await store.close()


async def test_indexes_follow_what_is_declared(url: str) -> None:
    await (await migrated(url, "category")).close()
    store = await migrated(url, "title")
    try:
        assert name_of("title") in await plan(store, "title=x")
        assert name_of("category") not in await plan(store, "category=x")
        again = await store.migrate()
        assert again == await store.engine.schema_version()
    finally:
        await store.close()


def test_a_field_that_cannot_be_indexed_is_refused() -> None:

    with pytest.raises(ValueError, match="only fields of letters"):
        indexed_fields(Storage(indexes=declared("a b")))
