"""Strings are ordered by code point whatever the database's own collation is."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from kintoun.model.filters import matches, sort_objects
from kintoun.model.query import NEWEST_FIRST, Filter, Op, Sort
from tests.support.object_tables import PostgreSQLTable, Table, add_index, selected
from tests.support.postgres import Postgres

WORDS = ["a", "B", "b", "A", "é", "e", "f", "Z", "_", "-a", "ab", "a b", "", "1", "10", "É", "ß", "ss"]
OTHERS = [None, True, False, 1, 2.5, [], [1], {}, {"k": 1}]

needs_localedef = pytest.mark.skipif(
    shutil.which("localedef") is None or not Path("/usr/share/i18n/locales/en_US").exists(),
    reason="the system cannot make a locale that orders strings otherwise than by code point",
)


@pytest.fixture(scope="module")
def english() -> Iterator[Table]:
    """A table in a database whose collation is American English."""
    # Not one of pytest's directories: only their owner may enter those.
    directory = Path(tempfile.mkdtemp(prefix="kintoun-locales-"))
    subprocess.run(["localedef", "-i", "en_US", "-f", "UTF-8", directory / "en_US.UTF-8"], check=True)
    for part in (directory, directory / "en_US.UTF-8"):
        part.chmod(part.stat().st_mode | 0o055)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LOCPATH", str(directory))
        with Postgres.start(tempfile.mkdtemp(prefix="kintoun-pg-")) as server:
            server.psql("CREATE DATABASE english TEMPLATE template0 ENCODING 'UTF8' LOCALE 'en_US.UTF-8'")
            assert server.psql("SELECT 'a' < 'B'", "english") == "t", "this is not the order of code points"
            table = PostgreSQLTable(server.database_uri("english"))
            yield table
            table.close()


@needs_localedef
@pytest.mark.parametrize("declared", [False, True])
def test_the_collation_of_the_database_does_not_matter(english: Table, declared: bool) -> None:
    world = [{"id": f"r{n}", "last_modified": n, "a": value} for n, value in enumerate([*WORDS, *OTHERS])]
    english.fill(world)
    if declared:
        add_index(english, "a")
    for descending in (False, True):
        sort = (Sort("a", descending), NEWEST_FIRST)
        assert selected(english, [], sort) == [obj["id"] for obj in sort_objects(world, sort)]
    newest = (NEWEST_FIRST,)
    for word in WORDS:
        for op in (Op.LT, Op.MAX, Op.GT, Op.MIN, Op.EQ, Op.LIKE):
            filters = [Filter("a", op, word)]
            found = [obj for obj in world if matches(filters, obj)]
            assert selected(english, filters, newest) == [obj["id"] for obj in sort_objects(found, newest)]
