"""GET /__metrics__: what the server counts, as Prometheus reads it (protocol section 10.2).

Requests and their durations have the names that Kinto gives them. Ids never become labels, so the number of
series does not grow with the data.
"""

from __future__ import annotations

import asyncio
import os
import re
from pathlib import Path
from typing import Annotated

from msgspec import Meta, field

from kintoun.features.metrics.exposition import MEDIA_TYPE, exposition
from kintoun.features.metrics.instruments import Requests, Sampler, watch_storage
from kintoun.features.metrics.policies import TimedPolicy
from kintoun.http.answers import Answer
from kintoun.http.requests import Request
from kintoun.http.routing import Endpoint
from kintoun.measures.shared import RUN_DIRECTORY
from kintoun.plugin import Plugin, Registry
from kintoun.resources.context import Context
from kintoun.settings import Section

SAMPLE_SECONDS = 5.0
"""How old what one worker tells of another worker's memory and connections can be."""


class MetricsSettings(Section, frozen=True):
    """What `/v1/__metrics__` shows."""

    prefix: Annotated[
        str | None,
        Meta(description="What names begin with, before an underscore; default: the name of the project."),
    ] = None
    disabled: Annotated[
        list[str], Meta(description="Names of metrics to leave out, with or without the prefix.")
    ] = field(default_factory=list)
    buckets: Annotated[
        list[Annotated[float, Meta(gt=0)]],
        Meta(description="Upper bounds of the ranges of durations, in seconds.", min_length=1, max_length=50),
    ] = field(
        default_factory=lambda: [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 3.0, 6.0]
    )
    directory: Annotated[
        str | None,
        Meta(
            description="Where workers share their counts, when another server than `kintoun serve` starts "
            "them; it must be empty when they start."
        ),
    ] = None


class Metrics(Plugin):
    """The endpoint, and what it shows."""

    name = "metrics"
    settings = MetricsSettings
    kinto_includes = ("kinto.plugins.prometheus",)
    kinto_keys = {  # noqa: RUF012
        "prometheus_prefix": "prefix",
        "prometheus_disabled_metrics": "disabled",
        "prometheus_histogram_buckets": "buckets",
    }

    def setup(self, registry: Registry, settings: MetricsSettings | None) -> None:
        settings = settings or MetricsSettings()
        service = registry.service
        prefix = prefix_of(settings.prefix or registry.settings.project.name)
        hidden = frozenset(name.removeprefix(prefix) for name in settings.disabled)
        bounds = [bound for bound in settings.buckets if bound != float("inf")]

        async def metrics(_context: Context, _request: Request) -> Answer:
            return Answer(
                200, exposition(await service.measures.collect(), prefix, hidden), media_type=MEDIA_TYPE
            )

        registry.endpoint(
            Endpoint("metrics", "/__metrics__", {"HEAD": metrics, "GET": metrics}, operations=OPERATIONS)
        )
        registry.capability(
            "prometheus",
            "Prometheus metrics.",
            f"{registry.settings.project.docs}reference/metrics/",
            prefix=prefix,
            disabled_metrics=settings.disabled,
        )
        requests = Requests(service.measures, bounds)
        registry.observe(requests.observe, batched=True, ready=requests.observe_ready)
        watch_storage(service, bounds)
        registry.around_policies(lambda policy: TimedPolicy(policy, service.measures, bounds))
        sampler = Sampler(service)
        service.measures.before_collect.append(sampler.look)
        registry.background(lambda: _share_and_sample(sampler, settings.directory))


async def _share_and_sample(sampler: Sampler, given: str | None) -> None:
    directory = given or os.environ.get(RUN_DIRECTORY)
    if directory is not None:
        sampler.measures.share(Path(directory) / "measures")
    while True:
        sampler.sample()
        await asyncio.sleep(SAMPLE_SECONDS)


def prefix_of(name: str) -> str:
    """What the names of metrics begin with: one word, whose end is the first underscore."""
    word = re.sub(r"[^a-z0-9]", "", name.lower())
    return f"_{word}_" if word[:1].isdigit() else f"{word}_" if word else ""


OPERATIONS = {
    method: {
        "summary": "Show what the server counts",
        "description": "In the text format of Prometheus, over all workers of this server.",
        "responses": {"200": {"description": "The metrics.", "content": {"text/plain": {}}}},
    }
    for method in ("GET", "HEAD")
}
