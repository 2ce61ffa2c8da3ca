"""How fast the database of a Kinto is migrated: `python -m bench.kinto_migration [OBJECTS]`.

The tables are made by Kinto itself, and filled by SQL: records of some 300 bytes in ten collections, each
with an ACL of one of 500 users, one in twenty of them a tombstone.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from tests.operations.kinto_world import on
from tests.support.postgres import Postgres
from tests.support.servers import REFERENCE, write_ini

OBJECTS = 200_000

PARENTS = """
INSERT INTO objects SELECT 'b', '', 'bucket', '2026-01-01', '{}', false;
INSERT INTO objects SELECT 'c' || g, '/buckets/b', 'collection',
    '2026-01-01'::timestamp + g * interval '1 ms', '{}', false FROM generate_series(0, 9) g
"""
RECORDS = """
INSERT INTO objects SELECT md5(g::text), '/buckets/b/collections/c' || (g % 10), 'record',
    '2026-01-01'::timestamp + g * interval '1 ms',
    CASE WHEN g % 20 = 0 THEN '{{"deleted": true}}'::jsonb ELSE jsonb_build_object(
        'title', 'record ' || g, 'n', g, 'tags', jsonb_build_array('a', 'b', g % 7),
        'attachment', jsonb_build_object('hash', md5(g::text) || md5((g + 1)::text), 'size', g * 3.5,
            'mimetype', 'text/plain'), 'filter', 'env.version >= 2', 'schema', 1700000000000 + g) END,
    g % 20 = 0 FROM generate_series(1, {amount}) g
"""
RIGHTS = """
INSERT INTO access_control_entries
    SELECT '/buckets/b/collections/c' || (g % 10) || '/records/' || md5(g::text), 'write',
    'account:user' || (g % 500) FROM generate_series(1, {amount}) g WHERE g % 20 <> 0
"""


def main(amount: int) -> None:
    """Fill a database, migrate it into each engine, and print what the command says."""
    with (
        tempfile.TemporaryDirectory() as name,
        Postgres.start(tempfile.mkdtemp(prefix="kintoun-pg-")) as postgres,
    ):
        directory = Path(name)
        old = postgres.create_database("old")
        ini = write_ini(directory / "old.ini", on(old))
        subprocess.run(
            [REFERENCE / "bin" / "kinto", "migrate", "--ini", ini], check=True, capture_output=True
        )
        for sql in (PARENTS, RECORDS.format(amount=amount), RIGHTS.format(amount=amount)):
            # Without Kinto's triggers, which would take minutes.
            postgres.psql(f"SET session_replication_role = replica; {sql}", "old")
        postgres.psql("ANALYZE", "old")
        for engine in ("sqlite", "postgresql"):
            settings = on(postgres.create_database()) if engine == "postgresql" else {}
            new = write_ini(directory / f"{engine}.ini", settings)
            command = [
                sys.executable,
                "-c",
                "from kintoun.cli import main; main()",
                "migrate-from-kinto",
                old,
            ]
            command += ["--kinto-ini", str(new), "--data", str(directory / engine)]
            done = subprocess.run(command, check=True, capture_output=True, text=True)
            print(f"{engine}\n{done.stdout}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else OBJECTS)
