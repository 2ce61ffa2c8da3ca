"""A database that a real Kinto filled is migrated, and both servers give the same answers."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.operations.kinto_world import (
    ALICE,
    BOB,
    CAROL,
    QUERIES,
    STRANGER,
    USERS,
    Auth,
    Client,
    fill,
    lists,
    on,
    shown,
)
from tests.support.postgres import Postgres
from tests.support.servers import Server, start_kinto, start_kintoun, write_ini

ENGINES = ("sqlite", "postgresql")
OLD = "old_kinto"
RECORDS = "/buckets/main/collections/c/records"
NEVER_READ = "/collections/never-read/records"


@pytest.fixture(scope="module")
def kinto(postgres: Postgres) -> Iterator[Server]:
    """The old server, filled."""
    with start_kinto(on(postgres.create_database(OLD)), threads=4) as server:
        client = Client(server.url)
        fill(client)
        for path in lists(client):
            if NEVER_READ not in path:  # Kinto gives a list its timestamp when somebody looks at it
                for user in (ALICE, STRANGER):
                    client.send(f"GET {path}", auth=user)
        client.close()
        yield server


class Answers:
    """What the old server, which does not change any more, answers; each request is sent once."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self._known: dict[tuple[str, Auth], httpx.Response] = {}

    def get(self, request: str, user: Auth) -> httpx.Response:
        """The answer to a read."""
        if (request, user) not in self._known:
            self._known[request, user] = self.client.send(request, auth=user)
        return self._known[request, user]


@pytest.fixture(scope="module")
def old(kinto: Server) -> Iterator[Answers]:
    client = Client(kinto.url)
    yield Answers(client)
    client.close()


class Target:
    """An empty place to migrate to."""

    def __init__(self, engine: str, postgres: Postgres, directory: Path) -> None:
        self.engine = engine
        self.data = directory / "data"
        self.url = postgres.create_database() if engine == "postgresql" else ""
        self.ini = dict(on(self.url or "unused"))
        if engine == "sqlite":
            self.ini = {key: value for key, value in self.ini.items() if "_backend" not in key}
        self._file = write_ini(directory / "new.ini", self.ini)

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a command of ours on it."""
        command = [sys.executable, "-c", "from kintoun.cli import main; main()", *arguments]
        command += ["--kinto-ini", str(self._file), "--data", str(self.data)]
        return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)

    def serve(self) -> Server:
        return start_kintoun(self.ini, data=self.data)


@pytest.fixture(scope="module", params=ENGINES)
def target(
    request: pytest.FixtureRequest, postgres: Postgres, tmp_path_factory: pytest.TempPathFactory
) -> Target:
    return Target(request.param, postgres, tmp_path_factory.mktemp("target"))


@pytest.fixture(scope="module")
def migrated(kinto: Server, target: Target, postgres: Postgres) -> Iterator[Client]:
    """Our server on the migrated database."""
    done = target.run("migrate-from-kinto", postgres.database_uri(OLD))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 differences" in done.stdout
    assert re.search(r"record +1\d\d\n", done.stdout), done.stdout
    assert "passwords              2" in done.stdout
    with target.serve() as server:
        client = Client(server.url)
        yield client
        client.close()


def test_reads_have_the_same_answers(old: Answers, migrated: Client) -> None:
    compared = 0
    for path in lists(old.client):
        requests = [(f"GET {path}", user) for user in USERS]
        queries = QUERIES if path == RECORDS else QUERIES[:2]
        requests += [(f"GET {path}{query}", user) for query in queries for user in (ALICE, BOB)]
        if not path.endswith("/history"):  # where Kinto does not tell the total
            requests += [(f"HEAD {path}", user) for user in (None, STRANGER)]
        for request, user in requests:
            theirs, ours = old.get(request, user), migrated.send(request, auth=user)
            if NEVER_READ in request:
                assert (ours.status_code, ours.content) == (theirs.status_code, theirs.content)
            else:
                assert shown(ours) == shown(theirs), (request, user)
                compared += 1
    assert compared > 100


def test_objects_have_the_same_permissions(old: Answers, migrated: Client) -> None:
    for path in lists(old.client):
        if not path.startswith("/buckets/main"):
            continue
        for item in old.get(f"GET {path}?_limit=8", ALICE).json()["data"]:
            for user in (ALICE, None):
                request = f"GET {path}/{item['id']}"
                assert shown(migrated.send(request, auth=user)) == shown(old.get(request, user)), request


def test_accounts_keep_their_passwords(old: Answers, migrated: Client) -> None:
    for user in (ALICE, BOB):
        request = f"GET /accounts/{user[0]}"
        theirs, ours = old.get(request, user).json(), migrated.ok(request, auth=user)
        assert ours["data"].pop("password") != theirs["data"].pop("password")
        assert ours == theirs
        wrong = migrated.send(f"GET /accounts/{user[0]}", auth=(user[0], "wrong"))
        assert wrong.status_code in (401, 403)
    assert migrated.ok("GET /", auth=CAROL)["user"]["id"].startswith("basicauth:")


def test_permissions_are_found_by_their_principals(old: Answers, migrated: Client) -> None:
    for user in (ALICE, BOB, STRANGER):
        answers = (old.get("GET /permissions", user), migrated.send("GET /permissions", auth=user))
        theirs, ours = ({_entry(entry) for entry in answer.json()["data"]} for answer in answers)
        assert ours == theirs


def _entry(entry: dict[str, object]) -> tuple[object, frozenset[str]]:
    permissions = entry["permissions"]
    assert isinstance(permissions, list)
    # Kinto names this one on buckets and collections only.
    return entry["uri"], frozenset(permissions) - {"read:attributes"}


def test_history_goes_on_where_kinto_stopped(old: Answers, migrated: Client) -> None:
    entries = "/buckets/main/history"
    before = old.get(f"GET {entries}?_limit=1", ALICE).json()["data"][0]
    migrated.ok("PATCH /buckets/main/groups/editors", {"data": {"colour": "blue"}})
    newest = migrated.ok(f"GET {entries}?_limit=2")["data"]
    assert newest[0]["uri"] == "/buckets/main/groups/editors"
    assert newest[1] == before
    past = migrated.send(f"GET {RECORDS}?_at={before['last_modified'] - 60_000}", auth=ALICE)
    assert past.status_code == 400, "what was before is not known"


def test_writes_go_on_where_kinto_stopped(old: Answers, migrated: Client, target: Target) -> None:
    etag = migrated.send(f"GET {RECORDS}", auth=ALICE).headers["ETag"]
    assert etag == old.get(f"GET {RECORDS}", ALICE).headers["ETag"]
    made = migrated.ok(f"PUT {RECORDS}/after-{target.engine}", {"data": {"n": 1}}, BOB)
    assert made["data"]["last_modified"] > int(etag.strip('"'))
    changed = migrated.ok(f"GET {RECORDS}?_since={etag}")
    assert [record["id"] for record in changed["data"]] == [f"after-{target.engine}"]
    refused = migrated.send(f"PUT {RECORDS}/other", {"data": {"n": "text"}}, BOB)
    assert refused.status_code == 400, "the collection's schema is in force"


def test_a_migration_into_a_database_with_objects_is_refused(
    migrated: Client, target: Target, postgres: Postgres
) -> None:
    again = target.run("migrate-from-kinto", postgres.database_uri(OLD))
    assert again.returncode == 1
    assert "empty" in again.stderr
    assert migrated.send("GET /buckets/main").status_code == 200


@pytest.mark.parametrize("engine", ENGINES)
def test_a_dry_run_leaves_nothing(engine: str, kinto: Server, postgres: Postgres, tmp_path: Path) -> None:
    target = Target(engine, postgres, tmp_path)
    for _ in range(2):
        done = target.run("migrate-from-kinto", postgres.database_uri(OLD), "--dry-run")
        assert done.returncode == 0, done.stderr
        assert "taken back" in done.stdout


def test_a_database_that_is_no_kinto_is_refused(postgres: Postgres, tmp_path: Path) -> None:
    target = Target("sqlite", postgres, tmp_path)
    other = target.run("migrate-from-kinto", postgres.create_database())
    assert (other.returncode, "not the database of a Kinto" in other.stderr) == (1, True)
    unknown = target.run("migrate-from-kinto", "mysql://somewhere/x")
    assert (unknown.returncode, "postgresql://" in unknown.stderr) == (1, True)
    away = target.run("migrate-from-kinto", "postgresql://postgres@127.0.0.1:1/none")
    assert (away.returncode, "cannot be reached" in away.stderr) == (1, True)
