"""The heartbeat with checks of features, and what tells of the version (protocol section 2.2)."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from msgspec.structs import replace

from kintoun.plugin import Plugin
from kintoun.settings import Http, Project
from tests.support.inprocess import Databases, opened, settings_for

STORAGE = {"storage": True, "permission": True, "cache": True}


class Checks(Plugin):
    """Brings checks, each of which says what it is given, raises it, or never ends."""

    name = "checks"

    def __init__(self, **answers: Any) -> None:
        self.answers = answers
        self.cancelled: list[str] = []

    def setup(self, registry: Any, settings: Any) -> None:
        for name, answer in self.answers.items():
            registry.heartbeat(name, self._check(name, answer))

    def _check(self, name: str, answer: Any) -> Any:
        async def check() -> Any:
            if isinstance(answer, Exception):
                raise answer
            if answer == "never":
                try:
                    await asyncio.Event().wait()
                except asyncio.CancelledError:
                    self.cancelled.append(name)
                    raise
            return answer

        return check


@pytest.mark.parametrize(
    ("answers", "status", "told"),
    [
        ({"mail": True, "files": None}, 200, {"mail": True, "files": None}),
        ({"mail": False, "files": True}, 503, {"mail": False, "files": True}),
        ({"mail": RuntimeError("broken")}, 503, {"mail": False}),
    ],
)
async def test_every_check_has_its_name(
    engine: str, databases: Databases, answers: dict[str, Any], status: int, told: dict[str, Any]
) -> None:
    async with opened(settings_for(databases.url(engine)), Checks(**answers)) as app:
        answer = await app.call("GET /__heartbeat__", user=None)
        assert (answer.status_code, answer.json()) == (status, {**STORAGE, **told})
        assert (await app.call("HEAD /__heartbeat__", user=None)).status_code == status
        lb = await app.call("GET /__lbheartbeat__", user=None)
        assert (lb.status_code, lb.json()) == (200, {})


async def test_a_check_that_takes_too_long_is_given_up(databases: Databases) -> None:
    checks = Checks(mail="never", files="never", other=True)
    settings = settings_for(databases.url("sqlite"), http=Http(heartbeat_timeout_seconds=0.2))
    async with opened(settings, checks) as app:
        async with asyncio.timeout(60):
            answer = await app.call("GET /__heartbeat__", user=None)
    assert answer.status_code == 503
    assert answer.json() == {**STORAGE, "mail": False, "files": False, "other": True}
    assert sorted(checks.cancelled) == ["files", "mail"]


async def test_the_version_is_that_of_the_file_or_of_the_package(databases: Databases, tmp_path) -> None:
    file = tmp_path / "version.json"
    settings = replace(settings_for(databases.url("sqlite")), project=Project(version_file=str(file)))
    async with opened(settings) as app:
        own = await app.ok("GET /__version__", user=None)
        assert set(own) == {"name", "version", "source", "commit", "build"}
        told = {
            "source": "https://git.example/it",
            "version": "1.2",
            "commit": "abc",
            "build": "https://ci/1",
        }
        file.write_text(json.dumps(told))
        assert await app.ok("GET /__version__", user=None) == told
