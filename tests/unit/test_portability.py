"""The schema and the statements keep to what any SQL engine can run (architecture: the tables)."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from kintoun.storage import schema

SOURCE = Path(__file__).parents[2] / "src" / "kintoun"

FORBIDDEN = {
    "trigger": r"\bTRIGGER\b",
    "stored procedure": r"\bCREATE\s+(OR\s+REPLACE\s+)?(FUNCTION|PROCEDURE)\b",
    "sequence": r"\bSEQUENCE\b|\bSERIAL\b|\bAUTOINCREMENT\b|\bnextval\b|\bGENERATED\b.*\bIDENTITY\b",
    "advisory lock": r"\bpg_(try_)?advisory",
    "notification": r"^\s*(LISTEN|NOTIFY)\b|\bpg_notify\b",
    "deferrable constraint": r"\bDEFERRABLE\b",
    "table lock": r"\bLOCK\s+TABLE\b",
    "pattern on a key": r"\b(path|id|bucket|principal)\s+(I?LIKE|GLOB|~)\s",
    "value in the text of a statement": r"=\s*'%s'|=\s*'\{",
}
"""What correctness must not rest on, by name."""

EXCEPTIONS = {
    # An operator's command, of one engine: where it cannot be run, unused entries stay, and nothing is wrong.
    ("operations/purge_entries.py", "table lock"),
    # A hint: where there is none, the clocks are looked at more often.
    ("storage/listening.py", "notification"),
}

_SQL = re.compile(r"\b(SELECT|INSERT INTO|UPDATE|DELETE FROM|CREATE|DROP|LOCK|LISTEN|NOTIFY|WHERE)\b")


def offences(text: str) -> list[str]:
    return [name for name, pattern in FORBIDDEN.items() if re.search(pattern, text, re.IGNORECASE)]


def statements() -> list[tuple[str, str]]:
    """Every string of the source that looks like SQL, f-strings with their holes left out, and its place."""
    found = []
    for file in sorted(SOURCE.rglob("*.py")):
        tree = ast.parse(file.read_text())
        for node in ast.walk(tree):
            if isinstance(node, ast.JoinedStr):
                text = "".join(part.value for part in node.values if isinstance(part, ast.Constant))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                text = node.value
            else:
                continue
            if _SQL.search(text):
                found.append((f"{file.relative_to(SOURCE)}:{node.lineno}", text))
    return found


def test_the_schema_is_portable() -> None:
    for engine in schema.TYPES:
        for _, steps in schema.statements(engine, 0):
            for sql in steps:
                assert offences(sql) == [], sql


def test_the_statements_are_portable() -> None:
    seen = statements()
    assert len(seen) > 40, "the statements are found"
    found = [(place, wrong) for place, text in seen for wrong in offences(text)]
    assert [each for each in found if (each[0].partition(":")[0], each[1]) not in EXCEPTIONS] == []


@pytest.mark.parametrize(
    "sql",
    [
        "CREATE TRIGGER t AFTER INSERT ON object",
        "SELECT nextval('ids')",
        "SELECT pg_advisory_xact_lock(1)",
        "LOCK TABLE object IN ACCESS EXCLUSIVE MODE",
        "SELECT * FROM clock WHERE path LIKE '/buckets/b%'",
        "NOTIFY changes",
    ],
)
def test_the_linter_sees_offences(sql: str) -> None:
    assert offences(sql)
