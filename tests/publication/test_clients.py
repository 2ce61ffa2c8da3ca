"""The settings and the clients of a Remote Settings: what they ask is understood."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import kinto_http
import pytest

from kintoun.config.decoding import decode
from kintoun.features.publication.settings import PublicationSettings
from kintoun.kinto_ini import translate
from tests.publication.test_workers import INI, storage
from tests.support.fixtures import ENGINES
from tests.support.postgres import Postgres
from tests.support.servers import start_kintoun

REMOTE_SETTINGS = """
[app:main]
use = egg:kinto
kinto.includes = kinto_changes
kinto.changes.resources = /buckets/main
                          /buckets/security-state/collections/onecrl
kinto.changes.excluded_collections = /buckets/main/collections/tests
kinto.changes.http_host = settings.example
kinto.changes.since_max_age_days = 7
kinto.changes.since_max_age_redirect_ttl_seconds = 60
kinto.push_broadcast_min_debounce_interval_seconds = 30
kinto.push_broadcast_max_debounce_interval_seconds = 90
kinto.monitor.changes.record_cache_expires_seconds = 60
kinto.monitor.changes.record_cache_maximum_expires_seconds = 3600
kinto.monitor.changes.record_cache_minimum_expires_seconds = 61
kinto.monitor.other.record_cache_maximum_expires_seconds =
"""


def test_the_settings_of_a_remote_settings_are_understood(tmp_path: Path) -> None:
    ini = tmp_path / "remote-settings.ini"
    ini.write_text(REMOTE_SETTINGS)
    settings: Any = decode(translate(ini, {}).tree)
    assert "publication" in settings.features
    assert settings.sections["publication"] == PublicationSettings(
        resources=["/buckets/main", "/buckets/security-state/collections/onecrl"],
        excluded_collections=["/buckets/main/collections/tests"],
        http_host="settings.example",
        since_max_age_days=7,
        since_max_age_redirect_ttl_seconds=60,
        broadcast_min_seconds=30,
        broadcast_max_seconds=90,
    )
    assert settings.cache_expires == {
        "monitor.changes.record": 60,
        "monitor.changes.record_maximum": 3600,
        "monitor.changes.record_minimum": 61,
    }


@pytest.mark.parametrize("engine", ENGINES)
def test_kinto_http_reads_changesets(engine: str, postgres: Postgres) -> None:
    with start_kintoun({**INI, **storage(engine, postgres)}) as server:
        client = kinto_http.Client(server_url=server.url, auth=("owner", "pw"))
        client.create_bucket(id="main", permissions={"read": ["system.Everyone"]})
        client.create_collection(id="c", bucket="main")
        record = client.create_record(id="r", data={"n": 1}, bucket="main", collection="c")["data"]
        reader = kinto_http.Client(server_url=server.url)
        (entry,) = reader.get_changeset("monitor", "changes", bust_cache=True)["changes"]
        changeset = reader.get_changeset("main", "c", _expected=entry["last_modified"])
        assert changeset["changes"] == [record]
        assert changeset["timestamp"] == entry["last_modified"]
        assert reader.get_records(bucket="monitor", collection="changes") == [entry]
        client.delete_record(id="r", bucket="main", collection="c")
        news = reader.get_changeset("main", "c", bust_cache=True, _since=f'"{changeset["timestamp"]}"')
        assert [each["deleted"] for each in news["changes"]] == [True]
