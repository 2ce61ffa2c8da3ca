"""The servers that are compared: Kinto on PostgreSQL, ours on PostgreSQL, ours on SQLite."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import asyncpg

from bench import dataset, seed
from bench.processes import ProcessTree
from bench.workloads import World
from tests.support.postgres import Postgres
from tests.support.servers import Server, start_kinto, start_kintoun

KINTO, POSTGRESQL, SQLITE = "kinto", "postgresql", "sqlite"
OURS = (POSTGRESQL, SQLITE)
ENGINES = (KINTO, *OURS)
KINTO_THREADS = 16
WAITRESS_THREADS = 4


@dataclass
class Contender:
    """A running, seeded server."""

    label: str
    engine: str
    server: Server
    world: World
    database: str | None
    """DSN of its database, None on SQLite."""

    @property
    def storage_url(self) -> str:
        """Where one of ours keeps its data, as its settings say it."""
        return self.database or f"sqlite:{self.server.directory / 'data' / 'kintoun.sqlite'}"

    @property
    def tree(self) -> ProcessTree:
        return ProcessTree(self.server.pid)


def settings(database: str | None) -> dict[str, str]:
    """The Kinto settings that every contender is started from."""
    ini = {
        "kinto.includes": "kinto.plugins.accounts",
        "kinto.userid_hmac_secret": "a secret of the benchmark",
        "kinto.account_create_principals": "system.Everyone",
        "kinto.bucket_create_principals": "system.Authenticated",
        "kinto.experimental_collection_schema_validation": "false",
        "multiauth.policies": "account",
        "multiauth.policy.account.use": "kinto.plugins.accounts.AccountsPolicy",
    }
    for part in ("storage", "permission", "cache"):
        if database is None:
            ini[f"kinto.{part}_backend"] = f"kinto.core.{part}.memory"
        else:
            ini[f"kinto.{part}_backend"] = f"kinto.core.{part}.postgresql"
            ini[f"kinto.{part}_url"] = database
    return ini


HISTORY = {"kinto.includes": f"{settings(None)['kinto.includes']} kinto.plugins.history"}
"""What switches history on, for Kinto and for ours."""


def start_server(engine: str, ini: Mapping[str, str], *, waitress: bool = False) -> Server:
    """Start one server of *engine*, a single process; Kinto under waitress as its own container has it."""
    if engine == KINTO:
        return start_kinto(ini, threads=WAITRESS_THREADS if waitress else KINTO_THREADS, waitress=waitress)
    return start_kintoun(ini)


@dataclass
class Arena:
    """One PostgreSQL for all, with autovacuum off: its workers would be counted on whoever is under load."""

    postgres: Postgres
    stack: ExitStack

    @property
    def postgres_tree(self) -> ProcessTree:
        return ProcessTree(self.postgres.pid)

    def start(
        self, engine: str, label: str, more: Mapping[str, str] | None = None, *, waitress: bool = False
    ) -> tuple[Server, str | None]:
        """Start an empty server, with *more* settings; it ends with the arena. Also returns its DSN."""
        name = f"bench_{label.replace(' ', '_')}"
        database = None if engine == SQLITE else self.postgres.create_database(name)
        ini = {**settings(database), **(more or {})}
        server = self.stack.enter_context(start_server(engine, ini, waitress=waitress))
        return server, database

    def contender(
        self,
        engine: str,
        label: str,
        records: int = dataset.RECORDS,
        more: Mapping[str, str] | None = None,
    ) -> Contender:
        """Start a server, with *more* settings, and seed it."""
        server, database = self.start(engine, label, more)
        seed.make_tree(server.url)
        for collection in (dataset.READ, dataset.WRITE):
            if engine == KINTO:
                assert database is not None
                seed.load_kinto_by_sql(database, collection, records)
            else:
                seed.load_over_http(server.url, collection, records)
        return Contender(label, engine, server, World(server.url, records), database)


def vacuum(contenders: Sequence[Contender]) -> None:
    """What autovacuum would have done by now."""

    async def run(dsn: str) -> None:
        connection = await asyncpg.connect(dsn)
        try:
            await connection.execute("VACUUM ANALYZE")
        finally:
            await connection.close()

    for contender in contenders:
        if contender.database is not None:
            asyncio.run(run(contender.database))


@contextmanager
def arena() -> Iterator[Arena]:
    """A PostgreSQL of its own in a temporary directory; everything started in it ends with it."""
    with ExitStack() as stack:
        directory = stack.enter_context(tempfile.TemporaryDirectory(prefix="kintoun-bench-"))
        postgres = Postgres.start(Path(directory) / "postgres")
        stack.callback(postgres.stop)
        postgres.psql("ALTER SYSTEM SET autovacuum = off")
        postgres.psql("SELECT pg_reload_conf()")
        yield Arena(postgres, stack)
