"""`kintoun user erase`: what `DELETE /__user_data__/{principal}` leaves, it leaves too."""

from __future__ import annotations

import asyncio
import json
import re
import uuid
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from kintoun.cli import main
from kintoun.cli.exits import Exit
from kintoun.cli.options import resolve
from tests.operations.databases import ENGINES, served
from tests.support.inprocess import App
from tests.support.postgres import Postgres

CONFIGURATION = """
features = ["accounts", "history"]
policies = [{{ name = "account", use = "account" }}]

[storage]
url = "{url}"

[access]
account_create = ["system.Everyone"]
user-data_delete = ["account:ann"]
"""
BOB = "account:bob"
C = "/buckets/b/collections/c"
READ = (
    "/buckets?_since=0",
    "/buckets/b/groups/g",
    C,
    f"{C}/records?_since=0",
    "/buckets/b/history",
    "/accounts/ann",
)
VARYING = re.compile(r'"[0-9a-f-]{36}"|1[0-9]{12}|"date": "[^"]*"|"user_id": (null|"account:ann")')


async def fill(app: App) -> None:
    for name in ("ann", "bob"):
        await app.ok(f"PUT /accounts/{name}", {"data": {"password": "pw"}}, user=None)
    await app.ok("PUT /buckets/bobs", user="bob")
    await app.ok("PUT /buckets/b", {"permissions": {"read": [BOB]}}, user="ann")
    await app.ok("PUT /buckets/b/groups/g", {"data": {"members": [BOB, "account:ann"]}}, user="ann")
    await app.ok(f"PUT {C}", {"permissions": {"record:create": [BOB]}}, user="ann")
    await app.ok(f"PUT {C}/records/r", {"data": {"n": 1}}, user="bob")
    await app.ok(f"PUT {C}/records/s", {"permissions": {"write": [BOB]}}, user="ann")


async def shown(app: App) -> list[str]:
    answers = [await app.call(f"GET {path}", user="ann") for path in READ]
    assert {answer.status_code for answer in answers} == {200}
    texts = [VARYING.sub("?", json.dumps(answer.json())) for answer in answers]
    return [*texts, str((await app.call("GET /accounts/bob", user="bob")).status_code)]


def erase(*arguments: str, code: Exit = Exit.OK) -> str:
    result = CliRunner().invoke(main, ["user", "erase", *arguments])
    assert result.exit_code == code, result.output + repr(result.exception)
    return result.output


@pytest.mark.parametrize("engine", ENGINES)
def test_the_command_leaves_what_the_endpoint_leaves(engine: str, tmp_path: Path, postgres: Postgres) -> None:
    def new(name: str) -> Path:
        file = tmp_path / f"{name}.toml"
        url = f"sqlite:{tmp_path / name}.sqlite" if engine == "sqlite" else postgres.create_database()
        file.write_text(CONFIGURATION.format(url=url))
        return file

    def within(file: Path, *steps: Callable[[App], Awaitable[object]]) -> object:
        async def act() -> object:
            async with served(resolve(file, None, None)) as app:
                return [await step(app) for step in steps][-1]

        return asyncio.run(act())

    over_http, by_command = new("http"), new("command")
    expected = within(over_http, fill, lambda app: app.ok(f"DELETE /__user_data__/{BOB}", user="ann"), shown)
    within(by_command, fill)
    assert "Erased account:bob: deleted 3 objects, changed 4." in erase("bob", "-c", str(by_command))
    assert within(by_command, shown) == expected
    assert BOB not in json.dumps(expected)
    assert "deleted 0 objects, changed 0" in erase(f"openid:{uuid.uuid4()}", "-c", str(by_command))
    assert "cannot be the name" in erase("/buckets/b/groups/g", "-c", str(by_command), code=Exit.USAGE)
    assert within(by_command, shown) == expected
