"""A store with the tables of files, on either engine, and files on a disk."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from kintoun.files import MIGRATIONS, Files
from kintoun.files.backends.local import LocalDisk
from kintoun.files.references import follow_references
from kintoun.settings import Storage
from kintoun.storage import Store, open_store, schema
from kintoun.storage.engine import Writes
from tests.support.fixtures import databases, engine  # noqa: F401 - fixtures
from tests.support.inprocess import TABLES, Databases, tables_of


@pytest_asyncio.fixture
async def store(engine: str, databases: Databases) -> AsyncIterator[Store]:  # noqa: F811 - the fixtures
    opened = await open_store(Storage(url=databases.url(engine, "files"), durability="normal", pool_size=8))
    try:
        await opened.migrate({"files": MIGRATIONS})
        transaction = await opened.engine.begin()
        for table in (*TABLES, *tables_of(MIGRATIONS)):
            await transaction.fetch(f"DELETE FROM {table}")
        await transaction.write(Writes(clocks=schema.first_clocks()))
        await transaction.commit()
        yield opened
    finally:
        await opened.close()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "root"


@pytest.fixture
def small() -> int:
    """Bytes up to which content is kept in the database."""
    return 0


@pytest.fixture
def files(store: Store, root: Path, small: int) -> Files:
    made = Files(store, LocalDisk(root), small=small)
    store.closing.append(follow_references(made.relative, store.engine.dialect))
    return made
