"""The page, the dashboard and the alert rules name the metrics that the server has, and all of them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from msgspec import convert as decoded
from prometheus_client.parser import text_string_to_metric_families

from kintoun.config import feature, feature_names
from tests.docs.walks import DOCS, ROOT
from tests.support.inprocess import opened, settings_for

RULES = ROOT / "deploy" / "prometheus" / "kintoun.rules.yaml"
DASHBOARD = ROOT / "deploy" / "grafana" / "kintoun.json"
NAME = re.compile(r"\bkintoun_[a-z_]+\b")


@pytest.fixture(scope="module")
def page() -> dict[str, str]:
    """The metrics that the page has, and their types."""
    text = (DOCS / "reference" / "metrics.md").read_text(encoding="utf-8")
    return dict(re.findall(r"^\| `([a-z_]+)` \| (counter|gauge|histogram|summary) \|", text, re.MULTILINE))


async def families(tmp_path: Path) -> dict[str, tuple[str, set[str]]]:
    """What a server with every feature shows: by the name without its prefix the type and the samples' names.

    The samples of what is only there on PostgreSQL, or after something happened, are those of its type.
    """
    names = sorted(feature_names())
    kinds = {name: feature(name).settings for name in names}
    sections = {name: decoded({}, kind) for name, kind in kinds.items() if kind is not None}
    url = f"sqlite:{tmp_path / 'metrics.sqlite'}"
    settings = settings_for(url, features=names, sections=sections)
    async with opened(settings) as app:
        text = (await app.call("GET /__metrics__", user=None)).text
    found = {}
    for family in text_string_to_metric_families(text):
        counted = family.name + ("_total" if family.type == "counter" else "")
        endings = {"histogram": ("_bucket", "_count", "_sum"), "summary": ("_count", "_sum")}
        samples = {counted + ending for ending in endings.get(family.type, ("",))}
        found[counted.removeprefix("kintoun_")] = (family.type, samples)
    return found


async def test_every_metric_is_described_and_none_that_is_not_there(tmp_path: Path, page) -> None:
    found = await families(tmp_path)
    assert found.pop("authentication_basicauth_seconds")[0] == "histogram", (
        "each policy has one of its own name"
    )
    assert page == {name: kind for name, (kind, _) in found.items()}


def expressions() -> Iterator[tuple[str, str]]:
    for group in yaml.safe_load(RULES.read_text(encoding="utf-8"))["groups"]:
        yield from ((rule["alert"], rule["expr"]) for rule in group["rules"])
    dashboard = json.loads(DASHBOARD.read_text(encoding="utf-8"))
    for panel in dashboard["panels"]:
        yield from ((panel["title"], target["expr"]) for target in panel["targets"])
    for variable in dashboard["templating"]["list"]:
        if variable["type"] == "query":
            yield variable["name"], variable["query"]["query"]


async def test_the_dashboard_and_the_rules_ask_for_what_there_is(tmp_path: Path) -> None:
    samples = {name for _, names in (await families(tmp_path)).values() for name in names}
    asked = {name for _, expression in expressions() for name in NAME.findall(expression)}
    assert asked
    assert asked <= samples
    for title, expression in expressions():
        assert expression.count("(") == expression.count(")"), title
        assert expression.count("{") == expression.count("}"), title


def test_every_alert_is_described() -> None:
    text = (DOCS / "operating" / "observing.md").read_text(encoding="utf-8")
    rules = yaml.safe_load(RULES.read_text(encoding="utf-8"))["groups"][0]["rules"]
    assert re.findall(r"^\| `(Kintoun\w+)` \|", text, re.MULTILINE) == [rule["alert"] for rule in rules]
