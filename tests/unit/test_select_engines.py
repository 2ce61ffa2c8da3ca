"""Every clause, on every engine, finds what `kintoun.model.filters` finds in memory."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kintoun.model.filters import is_after, matches, position, sort_objects
from kintoun.model.query import NEWEST_FIRST, Filter, Op, Sort
from tests.support.object_tables import (
    OTHER_LIST,
    PostgreSQLTable,
    SQLiteTable,
    Table,
    add_index,
    selected,
    statement,
)
from tests.support.postgres import Postgres

FIELDS = ("a", "b", "o.k", "é", 'odd "name"')
COMPARISONS = [Op.EQ, Op.NOT, Op.LT, Op.MAX, Op.GT, Op.MIN]
SORTABLE = ("a", "b", "o.k", "é", "id", "last_modified")


VARIANTS = ["sqlite", "sqlite-indexed", "postgresql", "postgresql-indexed"]


@pytest.fixture(scope="module", params=VARIANTS)
def table(request: pytest.FixtureRequest) -> Iterator[Table]:
    engine, _, variant = request.param.partition("-")
    made: Table
    if engine == "sqlite":
        made = SQLiteTable()
    else:
        server: Postgres = request.getfixturevalue("postgres")
        made = PostgreSQLTable(server.create_database())
    if variant == "indexed":
        for field in ("a", "o.k"):
            add_index(made, field)
    # A bait in a list beside it: an answer that contains it has read over the border.
    made.fill([{"id": f"bait{n}", "last_modified": n, "a": n, "b": "x"} for n in range(20)], OTHER_LIST)
    yield made
    made.close()


# Random objects and queries

characters = st.one_of(
    st.sampled_from(list('abAB01_%*\\"é É✓\U0001f600\uffff\u0131ſKσςΣ\n')),
    st.characters(codec="utf-8", exclude_characters="\0"),
)
texts = st.one_of(st.text(characters, max_size=4), st.sampled_from(["", "a", "A", "ab", "1", "true", "null"]))
long_texts = st.builds(
    lambda char, tail: char * 120 + tail, st.sampled_from("aé\U0001f600"), st.text("ab", max_size=2)
)
numbers = st.one_of(
    st.integers(-3, 12),
    st.sampled_from([1.0, 1.5, -0.0, 0.1, 1e22, 1e-7, -1e300, 2**53 - 1, 2**53 + 1, -(2**63), 2**63 - 1]),
    st.floats(-1e9, 1e9).filter(lambda number: abs(number) > 1e-300 or number == 0),
)
scalars = st.one_of(st.none(), st.booleans(), numbers, texts, long_texts)
values: st.SearchStrategy[Any] = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.sampled_from(["k", "kk", "a", "é"]), inner, max_size=3),
    ),
    max_leaves=5,
)


@st.composite
def worlds(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Objects whose fields hold anything, or nothing; few different values, so that many are equal."""
    pool = draw(st.lists(values, min_size=1, max_size=8))
    some = st.one_of(st.sampled_from(pool), values)
    objects = []
    for n in range(draw(st.integers(0, 9))):
        obj: dict[str, Any] = {"id": f"{draw(st.sampled_from('aBz_'))}{n}", "last_modified": 1000 + n}
        for field in ("a", "b", "é", 'odd "name"'):
            if draw(st.booleans()):
                obj[field] = draw(some)
        if draw(st.booleans()):
            obj["o"] = {"k": draw(some)} if draw(st.booleans()) else draw(some)
        objects.append(obj)
    return draw(st.permutations(objects))


def operands(world: list[dict[str, Any]]) -> st.SearchStrategy[Any]:
    """Values of a filter: often one that an object has."""
    held = [obj[key] for obj in world for key in obj if key not in ("id", "last_modified")]
    held += [item for value in held if isinstance(value, list) for item in value]
    return st.one_of(st.sampled_from(held), values) if held else values


def filters_of(world: list[dict[str, Any]]) -> st.SearchStrategy[Filter]:
    some = operands(world)
    many = st.lists(some, max_size=4).map(tuple)
    field, an_id = st.sampled_from(FIELDS), st.just("id")
    some_texts = st.lists(texts, max_size=3).map(tuple)
    patterns = st.one_of(texts, st.text("aA*1é_%\\", max_size=4))
    return st.one_of(
        st.builds(Filter, field, st.sampled_from(COMPARISONS), some),
        st.builds(Filter, field, st.sampled_from([Op.IN, Op.EXCLUDE, Op.CONTAINS, Op.CONTAINS_ANY]), many),
        st.builds(Filter, field, st.just(Op.LIKE), patterns),
        st.builds(Filter, field, st.just(Op.HAS), st.booleans()),
        st.builds(Filter, an_id, st.sampled_from([Op.EQ, Op.NOT, Op.LT, Op.MIN]), st.one_of(texts, scalars)),
        st.builds(Filter, an_id, st.sampled_from([Op.IN, Op.EXCLUDE]), some_texts),
        st.builds(Filter, an_id, st.just(Op.LIKE), patterns),
        st.builds(Filter, an_id, st.just(Op.HAS), st.booleans()),
        st.builds(Filter, st.just("last_modified"), st.sampled_from(COMPARISONS), st.integers(998, 1012)),
    )


def total(sort: list[Sort]) -> tuple[Sort, ...]:
    return tuple(sort) if any(item.field == "last_modified" for item in sort) else (*sort, NEWEST_FIRST)


sorts = st.lists(st.builds(Sort, st.sampled_from(SORTABLE), st.booleans()), max_size=3).map(total)
thorough = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def expected(world: list[dict[str, Any]], filters: list[Filter], sort: tuple[Sort, ...]) -> list[str]:
    return [obj["id"] for obj in sort_objects([obj for obj in world if matches(filters, obj)], sort)]


@thorough
@given(data=st.data())
def test_random_filters_and_orders(table: Table, data: st.DataObject) -> None:
    world = data.draw(worlds())
    table.fill(world)
    for _ in range(4):
        filters = data.draw(st.lists(filters_of(world), max_size=2))
        sort = data.draw(sorts)
        assert selected(table, filters, sort) == expected(world, filters, sort)


@thorough
@given(data=st.data())
def test_pages_are_the_whole_list_once(table: Table, data: st.DataObject) -> None:
    world = data.draw(worlds())
    table.fill(world)
    filters = data.draw(st.lists(filters_of(world), max_size=1))
    sort = data.draw(sorts)
    whole = expected(world, filters, sort)
    by_id = {obj["id"]: obj for obj in world}
    pages: list[str] = []
    seen_from: tuple[Any, ...] | None = None
    while True:
        page = selected(table, filters, sort, limit=data.draw(st.integers(1, 4)), position=seen_from)
        if not page:
            break
        pages += page
        assert len(pages) <= len(whole), "the pages do not end"
        seen_from = position(by_id[page[-1]], sort)
        rest = [obj for obj in world if matches(filters, obj) and is_after(obj, sort, seen_from)]
        assert len(rest) == len(whole) - len(pages)
    assert pages == whole


# Every operator with every type

SAMPLES: dict[str, Any] = {
    "missing": ..., "null": None, "false": False, "true": True, "zero": 0, "one": 1, "one-and-a-half": 1.5,
    "empty": "", "digit": "1", "upper": "ABC", "lower": "abc", "accent": "éa", "percent": "a%b",
    "underscore": "a_b", "backslash": "a\\b", "quote": 'a"b', "newline": "a\nb", "bmp": "\uffff",
    "astral": "\U0001f600", "nothing": [], "nulls": [None], "ones": [1], "ones-twos": [1, 2],
    "words": ["x", "y"], "nested": [[1]], "records": [{"k": 1}], "object": {}, "k": {"k": 1},
    "kk": {"a": 1, "bb": {"c": [1]}},
}  # fmt: skip


@pytest.mark.parametrize("operand", SAMPLES.values(), ids=SAMPLES.keys())
def test_every_operator_with_every_type(table: Table, operand: Any) -> None:
    world = [
        {"id": name, "last_modified": n} | ({} if value is ... else {"a": value, "o": {"k": value}})
        for n, (name, value) in enumerate(SAMPLES.items())
    ]
    table.fill(world)
    newest = (NEWEST_FIRST,)
    for field in ("a", "b", "o.k", "o.k.k", "a.0"):
        for descending in (False, True):
            sort = (Sort(field, descending), NEWEST_FIRST)
            assert selected(table, [], sort) == expected(world, [], sort)
        for op in COMPARISONS:
            if operand is not ...:
                filters = [Filter(field, op, operand)]
                assert selected(table, filters, newest) == expected(world, filters, newest), (field, op)
        for op in (Op.IN, Op.EXCLUDE, Op.CONTAINS, Op.CONTAINS_ANY):
            for items in ((), (operand,), (operand, 1, [1], "x")):
                if ... not in items:
                    filters = [Filter(field, op, items)]
                    assert selected(table, filters, newest) == expected(world, filters, newest), filters
        if isinstance(operand, str):
            for pattern in (operand, f"{operand}*", f"*{operand}", operand.swapcase()):
                filters = [Filter(field, Op.LIKE, pattern)]
                assert selected(table, filters, newest) == expected(world, filters, newest), (field, pattern)
        for wanted in (True, False):
            filters = [Filter(field, Op.HAS, wanted)]
            assert selected(table, filters, newest) == expected(world, filters, newest)


def test_a_hundred_filters_and_a_thousand_items(table: Table) -> None:
    world = [{"id": f"r{n}", "last_modified": n, "a": n, "t": [n]} for n in range(50)]
    table.fill(world)
    newest = (NEWEST_FIRST,)
    filters = [Filter("a", Op.NOT, n) for n in range(100)] + [Filter("id", Op.EXCLUDE, ("r1",))]
    assert selected(table, filters, newest) == []
    for op in (Op.IN, Op.EXCLUDE):
        many = [Filter("a", op, (*range(25, 1000), "x", None, [1]))]
        assert selected(table, many, newest) == expected(world, many, newest)
    contains = [Filter("t", Op.CONTAINS_ANY, tuple(range(25, 1000)))]
    assert selected(table, contains, newest) == expected(world, contains, newest)
    deep = Filter(".".join("a" * 60), Op.EQ, 1)
    assert selected(table, [deep], (Sort(deep.field, True), NEWEST_FIRST))[:0] == []


def test_integers_that_no_column_holds(table: Table) -> None:
    objects = [{"id": "small", "last_modified": 1, "a": 1}, {"id": "big", "last_modified": 2, "a": 2**64 - 1}]
    table.fill(objects)
    newest = (NEWEST_FIRST,)
    assert selected(table, [Filter("a", Op.GT, 2**63)], newest) == ["big"]
    assert selected(table, [Filter("a", Op.EQ, 2**64 - 1)], newest) == ["big"]
    assert selected(table, [Filter("a", Op.IN, (2**64 - 1, 1))], newest) == ["big", "small"]


def test_long_values_can_be_indexed(table: Table) -> None:
    noise = "".join(chr(33 + (n * 7919) % 90) for n in range(20_000))
    world = [{"id": f"r{n}", "last_modified": n, "a": noise + str(n)} for n in range(5)]
    table.fill(world)
    newest = (NEWEST_FIRST,)
    for op in (Op.EQ, Op.GT, Op.MAX, Op.NOT):
        filters = [Filter("a", op, noise + "2")]
        assert selected(table, filters, newest) == expected(world, filters, newest)
    sort = (Sort("a", False), NEWEST_FIRST)
    assert selected(table, [], sort) == expected(world, [], sort)


def test_names_of_fields_never_reach_the_statement(table: Table) -> None:
    names = ["a'b", 'a"b', "a\\b", "a b", "a;b", "a--b", "$a", "a[0]", "é", "", ".", "*", "?1", "$1", "%"]
    world = [{"id": f"r{n}", "last_modified": n, name: 1} for n, name in enumerate(names)]
    table.fill(world)
    for name in names:
        filters = [Filter(name, Op.EQ, 1)]
        sort = (Sort(name, False), NEWEST_FIRST)
        sql, _ = statement(table, filters, sort)
        assert not any(part in sql for part in ("a'b", 'a"b', "a\\b", "a b", "a--b", "a[0]", "é"))
        assert selected(table, filters, sort) == expected(world, filters, sort)


def test_values_never_reach_the_statement(table: Table) -> None:
    secret = "S3cr3t'\"\\ \U0001f600é"
    table.fill([{"id": "r", "last_modified": 1, "a": secret, "t": [secret], "o": {"k": {"s": secret}}}])
    plain = [Filter("a", op, secret) for op in (Op.EQ, Op.MAX, Op.MIN, Op.LIKE)]
    lists = [Filter("t", op, (secret,)) for op in (Op.CONTAINS, Op.CONTAINS_ANY)]
    deep = [Filter("o.k", Op.EQ, {"s": secret}), Filter("o", Op.MIN, {"k": {"s": secret}})]
    filters = [*plain, *lists, *deep, Filter("a", Op.IN, (secret, 1)), Filter("id", Op.NOT, secret)]
    sort = (Sort("a", True), NEWEST_FIRST)
    sql, _ = statement(table, filters, sort, position=(secret, 0))
    assert "S3cr3t" not in sql
    assert selected(table, filters, sort) == ["r"]
