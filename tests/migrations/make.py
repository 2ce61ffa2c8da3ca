"""Databases of this version of the schema as SQL text: `python -m tests.migrations.make` writes them.

What is written when a version of the schema is released stays as it is, and every later version is tested
with it. The tables of features are not in it: theirs are made by the same steps, in the same way.
"""

from __future__ import annotations

import asyncio
import json
import sqlite3
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from kintoun.settings import Settings
from kintoun.storage import schema
from kintoun.storage.dialect import Dialect
from tests.operations.databases import answers, fill, served
from tests.support.inprocess import settings_for

HERE = Path(__file__).parent
FEATURES = ["accounts", "basicauth", "permissions"]
TABLES = ("clock", "object", "acl_entry", "member", "unlinked", "nonce")
ENGINES = tuple(dialect.name.lower() for dialect in Dialect)


def settings_of(url: str) -> Settings:
    """Settings with the features that the databases were filled with."""
    return replace(settings_for(url), features=FEATURES)


def script_of(version: int, engine: str) -> Path:
    """The file with the SQL of a database."""
    return HERE / f"schema-{version}.{engine}.sql"


def answers_of(version: int) -> Path:
    """The file with what users were answered then."""
    return HERE / f"schema-{version}.answers.json"


def statements(version: int, engine: str, rows: dict[str, list[tuple[Any, ...]]]) -> Iterator[str]:
    """The SQL that makes the tables of a version, and fills them."""
    yield schema.VERSION_TABLE.format_map(schema.TYPES[engine])
    for number, step in schema.statements(engine, 0)[:version]:
        yield from step
        yield f"INSERT INTO schema_version VALUES ({number})"
    for table, content in rows.items():
        for row in content:
            yield f"INSERT INTO {table} VALUES ({', '.join(_literal(value, engine) for value in row)})"


def _literal(value: Any, engine: str) -> str:
    if value is None:
        return "NULL"
    if isinstance(value, bytes):
        return f"X'{value.hex()}'" if engine == "sqlite" else f"'\\x{value.hex()}'::bytea"
    return str(value) if isinstance(value, int) else "'" + value.replace("'", "''") + "'"


async def make(version: int) -> None:
    """Write the files of a version, whose tables must be as this version of the code makes them."""
    with tempfile.TemporaryDirectory() as directory:
        file = Path(directory) / "made.sqlite"
        async with served(settings_of(f"sqlite:{file}")) as app:
            await fill(app)
            given = await answers(app)
        connection = sqlite3.connect(file)
        rows = {table: connection.execute(f"SELECT * FROM {table}").fetchall() for table in TABLES}
        connection.close()
    for engine in ENGINES:
        text = "".join(f"{sql};\n" for sql in statements(version, engine, rows))
        script_of(version, engine).write_text(text, encoding="utf-8")
    content = json.dumps(given, ensure_ascii=False, indent=1)
    answers_of(version).write_text(content + "\n", encoding="utf-8")


if __name__ == "__main__":
    asyncio.run(make(len(schema.STEPS)))
