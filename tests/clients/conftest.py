"""One server for each engine, started from a Kinto ini as an operator of Kinto has it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.fixtures import ENGINES
from tests.support.postgres import Postgres
from tests.support.servers import Server, start_kintoun

SETTINGS = {
    "kinto.includes": "kinto.plugins.accounts kinto.plugins.default_bucket kinto.plugins.flush"
    " kinto.plugins.history kinto_attachment",
    "multiauth.policies": "account basicauth",
    "multiauth.policy.account.use": "kinto.plugins.accounts.AccountsPolicy",
    "kinto.account_create_principals": "system.Everyone",
    "kinto.userid_hmac_secret": "not much of a secret",
    "kinto.experimental_permissions_endpoint": "true",
    "kinto.experimental_collection_schema_validation": "true",
    "kinto.paginate_by": "5",
}


@pytest.fixture(scope="session", params=ENGINES)
def server(request: pytest.FixtureRequest, postgres: Postgres) -> Iterator[Server]:
    settings = dict(SETTINGS)
    if request.param == "postgresql":
        uri = postgres.create_database()
        for part in ("storage", "permission", "cache"):
            settings[f"kinto.{part}_backend"] = f"kinto.core.{part}.postgresql"
            settings[f"kinto.{part}_url"] = uri
    with start_kintoun(settings) as started:
        yield started
