"""GET /__metrics__, read by the parser of Prometheus's own library."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterator

import httpx
import psutil
import pytest
import pytest_asyncio
from msgspec.structs import replace
from prometheus_client.parser import text_string_to_metric_families

from kintoun.config import decode
from kintoun.features.metrics import MetricsSettings, prefix_of
from kintoun.kinto_ini import translate
from tests.support.inprocess import App, Databases, opened, settings_for
from tests.support.processes import SECONDS, Serving
from tests.support.servers import write_ini

PATH = "/buckets/secret-bucket/collections/secret-collection/records/secret-record"

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


def samples(text: str) -> Samples:
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def value(found: Samples, name: str, **labels: str) -> float:
    """The sum of the samples that have these labels."""
    return sum(number for (each, has), number in found.items() if each == name and labels.items() <= has)


@pytest_asyncio.fixture
async def app(engine: str, databases: Databases) -> AsyncIterator[App]:
    settings = settings_for(databases.url(engine))
    section = MetricsSettings(
        disabled=["kintoun_authentication", "workers"], buckets=[0.5, 5.0, float("inf")]
    )
    changed = replace(settings, features=[*settings.features, "metrics"], sections={"metrics": section})
    async with opened(changed) as made:
        yield made


async def scrape(app: App) -> Samples:
    answer = await app.call("GET /__metrics__", user=None)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    return samples(answer.text)


async def test_requests_are_counted_by_method_endpoint_and_status(app: App) -> None:
    before = await scrape(app)
    await app.ok("PUT /buckets/secret-bucket")
    await app.ok("PUT /buckets/secret-bucket/collections/secret-collection")
    for _ in range(3):
        await app.ok(f"PUT {PATH}", {"data": {"n": 1}})
    assert (await app.call(f"GET {PATH}", user="bob")).status_code == 403
    assert (await app.call("GET /nowhere/secret-record", user=None)).status_code == 404
    assert (await app.call(f"SECRETMETHOD {PATH}")).status_code == 405
    found = await scrape(app)

    def grown(name: str, **labels: str) -> float:
        return value(found, name, **labels) - value(before, name, **labels)

    served = "kintoun_request_summary_total"
    assert grown(served, method="put", endpoint="record-object", status="201") == 1
    assert grown(served, method="put", endpoint="record-object", status="200") == 2
    assert grown(served, method="get", endpoint="record-object", status="403") == 1
    assert grown(served, endpoint="unknown", status="404") == 1
    assert grown(served, method="other", status="405") == 1
    assert grown("kintoun_request_duration_seconds_count", method="put", endpoint="record-object") == 3
    assert grown("kintoun_request_duration_seconds_bucket", endpoint="record-object", le="+Inf") >= 3
    assert grown("kintoun_request_duration_seconds_sum", endpoint="record-object") > 0
    assert grown("kintoun_request_size_count", endpoint="record-object", method="put") == 3
    assert grown("kintoun_backend_storage_seconds_count", method="write") >= 5
    # Whoever sends no credentials is nobody, without a question.
    assert grown("kintoun_authentication_account_seconds_count", method="callback") == 7
    assert grown("kintoun_commit_group_size_sum") >= 5
    text = (await app.call("GET /__metrics__")).text
    assert "secret" not in text.lower()


async def test_the_requests_of_a_batch_are_counted_once_it_is_committed(app: App) -> None:
    before = await scrape(app)
    requests = [{"method": "PUT", "path": f"/buckets/b{n % 3}"} for n in range(5)]
    await app.ok("POST /batch", {"requests": [*requests, {"path": "/nope"}]})
    found = await scrape(app)
    items = "kintoun_batch_items_total"
    assert value(found, items, status="201", endpoint="bucket-object") == 3
    assert value(found, items, status="200", endpoint="bucket-object") == 2
    assert value(found, items, status="404", endpoint="unknown") == 1
    served = "kintoun_request_summary_total"
    assert value(found, served, endpoint="batch") - value(before, served, endpoint="batch") == 1
    assert value(found, served, endpoint="bucket-object") == value(before, served, endpoint="bucket-object")


async def test_what_is_switched_off_is_not_shown(app: App) -> None:
    found = await scrape(app)
    names = {name for name, _ in found}
    assert not {"kintoun_authentication_total", "kintoun_workers"} & names
    bounds = {dict(labels)["le"] for name, labels in found if name == "kintoun_commit_seconds_bucket"}
    assert bounds == {"0.5", "5.0", "+Inf"}
    capability = (await app.ok("GET /"))["capabilities"]["prometheus"]
    assert capability["prefix"] == "kintoun_"
    assert capability["disabled_metrics"] == ["kintoun_authentication", "workers"]


async def test_finished_lists_and_the_database_are_looked_at(app: App, engine: str) -> None:
    await app.ok("PUT /buckets/b")
    for _ in range(3):
        await app.ok("GET /buckets/b/collections")
    found = await scrape(app)
    assert value(found, "kintoun_cache_misses_total") >= 1
    assert value(found, "kintoun_cache_hits_total") >= 1
    assert value(found, "kintoun_objects", state="live") > 0
    assert value(found, "kintoun_lists") > 0
    assert value(found, "kintoun_objects_bytes") > 0
    assert value(found, "kintoun_process_resident_memory_bytes") > 1_000_000
    assert value(found, "kintoun_process_cpu_seconds_total") > 0
    pool = {dict(labels)["state"] for name, labels in found if name == "kintoun_storage_pool_connections"}
    assert pool == ({"idle", "busy", "waiting"} if engine == "postgresql" else set())


@pytest.mark.parametrize(
    ("name", "prefix"),
    [("kintoun", "kintoun_"), ("Remote Settings", "remotesettings_"), ("7up", "_7up_"), ("é", "")],
)
def test_a_prefix_is_one_word(name: str, prefix: str) -> None:
    assert prefix_of(name) == prefix
    assert re.fullmatch(r"([a-zA-Z_][a-zA-Z0-9_]*)?", prefix)


def test_the_keys_of_an_ini_are_carried_over(tmp_path) -> None:
    keys = {
        "kinto.includes": "kinto.plugins.prometheus",
        "kinto.prometheus_prefix": "remote-settings",
        "kinto.prometheus_disabled_metrics": "request_size remotesettings_workers",
        "kinto.prometheus_histogram_buckets": "0.01 0.5 6.0 Inf",
        "kinto.prometheus_created_metrics_enabled": "false",
        "kinto.metrics_matchdict_fields": "bucket_id collection_id",
    }
    translation = translate(write_ini(tmp_path / "kinto.ini", keys), {}, tmp_path)
    settings = decode(translation.tree)
    assert "metrics" in settings.features
    assert settings.sections["metrics"] == MetricsSettings(
        prefix="remote-settings",
        disabled=["request_size", "remotesettings_workers"],
        buckets=[0.01, 0.5, 6.0, float("inf")],
    )
    lost = [note.place for note in translation.notes if note.kind == "lost"]
    assert len(lost) == 1
    assert lost[0].endswith("kinto.metrics_matchdict_fields")


@pytest.fixture
def server(tmp_path) -> Iterator[Serving]:
    (tmp_path / "kintoun.toml").write_text('features = ["metrics"]\n')
    serving = Serving(tmp_path, "--data", "d", "--workers", "2")
    try:
        yield serving.ready()
    finally:
        serving.kill()


def test_all_workers_count_together_and_those_that_died_are_kept(server: Serving) -> None:
    def ask(times: int) -> None:
        for _ in range(times):  # each over a connection of its own, so that both workers answer some
            assert httpx.get(f"{server.url}/", timeout=SECONDS).status_code == 200

    def counted() -> tuple[float, float]:
        found = samples(httpx.get(f"{server.url}/__metrics__", timeout=SECONDS).text)
        workers = value(found, "kintoun_workers")
        return value(found, "kintoun_request_summary_total", endpoint="hello"), workers

    def settled(requests: float) -> None:
        server.wait_for(lambda: counted() == (requests, 2.0))

    ask(30)
    settled(30)
    victim: psutil.Process = server.workers()[0]
    victim.kill()
    server.wait_for(
        lambda: victim.pid not in {w.pid for w in server.workers()} and len(server.workers()) == 2
    )
    ask(20)
    settled(50)
    before = {worker.pid for worker in server.workers()}
    server.process.send_signal(1)  # SIGHUP
    server.wait_for(lambda: len(server.workers()) == 2 and before.isdisjoint(w.pid for w in server.workers()))
    ask(10)
    settled(60)
    assert server.stop() == 0
