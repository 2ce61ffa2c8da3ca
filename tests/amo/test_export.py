"""What the exporter of old makes of the same records, to the byte; and records of every wrong form."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kintoun.features.amo.export import FIREFOX, TYPES, Blocklist
from kintoun.features.amo.versions import LARGEST, version_number

DATA = Path(__file__).parent / "data"
THUNDERBIRD = "{3550f703-e582-4d05-9a08-453d09bdfdc6}"
ANDROID = "{aa3c5121-dab2-40e2-81ca-7ea25febc110}"

GOLDEN = {
    "fx46-v3": (3, FIREFOX, "46.0"),
    "fx46-v2": (2, FIREFOX, "46.0"),
    "fx60-v3": (3, FIREFOX, "60.0"),
    "fx3-v3": (3, FIREFOX, "3.6"),
    "tb45-v3": (3, THUNDERBIRD, "45.0"),
    "android46-v3": (3, ANDROID, "46.0"),
}


def records(kind: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads((DATA / f"{kind}.json").read_text())["data"]
    return sorted(found, key=lambda record: record["last_modified"])


@pytest.fixture(scope="module")
def blocklist() -> Blocklist:
    lists = {kind: records(kind) for kind in TYPES}
    return Blocklist(lists, max(each[-1]["last_modified"] for each in lists.values()))


@pytest.mark.parametrize("name", GOLDEN)
def test_the_golden_files(blocklist: Blocklist, name: str) -> None:
    assert blocklist.xml(blocklist.reader(*GOLDEN[name])) == (DATA / f"golden-{name}.xml").read_bytes()


def test_there_are_few_kinds_of_readers(blocklist: Blocklist) -> None:
    """However many applications and versions are asked for, and each is sent what its own version is."""
    asked = [(api, app, f"{n}.0") for api in range(9) for app in (FIREFOX, "{other}", "") for n in range(120)]
    assert len({blocklist.reader(*each) for each in asked}) < 150


@pytest.mark.parametrize(
    ("lower", "higher"),
    [
        ("3.6a1", "3.6b1"),
        ("3.6b1", "3.6"),
        ("3.6a1pre", "3.6a1"),
        ("3.6", "3.6.1"),
        ("3.6.9", "3.6.*"),
        ("3.6.*", "3.7a1pre"),
        ("3.99", "4.0"),
        ("46.0", "*"),
        ("1.0.0.1", "1.0.0.2"),
    ],
)
def test_versions_are_in_order(lower: str, higher: str) -> None:
    assert 0 < version_number(lower) < version_number(higher)


@pytest.mark.parametrize("version", ["", "x", " ", None, 3, ["3"], "a1", "-1", "٣"])
def test_what_is_no_version(version: object) -> None:
    assert version_number(version) == 0


def test_no_version_is_too_large() -> None:
    assert version_number("9" * 5000) == LARGEST


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.sampled_from([FIREFOX, "3.*", "*"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=3,
)
FIELDS = (
    "blockID", "guid", "name", "os", "prefs", "versionRange", "matchName", "infoURL", "xpcomabi",
    "devices", "driverVersion", "issuerName", "serialNumber", "subject", "pubKeyHash",
)  # fmt: skip
RANGE = st.dictionaries(
    st.sampled_from(["minVersion", "maxVersion", "severity", "vulnerabilityStatus", "targetApplication"]),
    JSON | st.lists(st.dictionaries(st.sampled_from(["guid", "minVersion", "maxVersion"]), JSON), max_size=2),
)
RECORDS = st.lists(
    st.dictionaries(st.sampled_from(FIELDS), JSON | st.lists(RANGE, max_size=2), max_size=6), max_size=3
)


@given(st.fixed_dictionaries(dict.fromkeys(TYPES, RECORDS)), st.text(max_size=8))
@settings(deadline=None, max_examples=50)
def test_no_record_breaks_the_document(lists: dict[str, list[dict[str, Any]]], version: str) -> None:
    made = Blocklist(lists, 1)
    for app in (FIREFOX, ""):
        ElementTree.fromstring(made.xml(made.reader(3, app, version)))


@pytest.mark.parametrize(
    ("blocks", "told"),
    [
        (["i9", "i10", "i8"], "i10"),
        (["i10", None], "id-1"),
        (["i10", ""], "id-1"),
        ([None, None], "id-1"),
        ([None, "i10"], "i10"),
        (["i9", "no number"], "i9"),
    ],
)
def test_add_ons_with_one_guid_are_one_item_of_the_latest_block(blocks: list[str | None], told: str) -> None:
    lists: dict[str, list[dict[str, Any]]] = {kind: [] for kind in TYPES}
    for n, block in enumerate(blocks):
        numbered = {} if block is None else {"blockID": block}
        lists["addons"].append({"guid": "a@b", "id": f"id-{n}", **numbered})
    made = Blocklist(lists, 1)
    document = made.xml(made.reader(3, FIREFOX, "46.0")).decode()
    assert document.count("<emItem ") == 1
    assert f'<emItem blockID="{told}" id="a@b">' in document


def test_versions_that_are_sent_alike_are() -> None:
    """The reader that stands for others is on the same side of every limit."""
    lists: dict[str, list[dict[str, Any]]] = {kind: [] for kind in TYPES}
    limits = ["", "1", "3.6.*", "46.0", "*"]
    lists["addons"] = [
        {"guid": f"g{n}", "versionRange": [{"targetApplication": [{"guid": FIREFOX, "maxVersion": limit}]}]}
        for n, limit in enumerate(limits)
    ]
    made = Blocklist(lists, 1)
    for version in (
        "",
        "0",
        "0.5",
        "1",
        "2",
        "3.6",
        "3.6.98",
        "3.7",
        "45",
        "46.0",
        "46.1",
        "98",
        "99",
        "100",
    ):
        number = version_number(version)
        document = made.xml(made.reader(3, FIREFOX, version)).decode()
        expected = {f"g{n}" for n, limit in enumerate(limits) if 0 < number < version_number(limit)}
        assert {f"g{n}" for n in range(len(limits)) if f'id="g{n}"' in document} == expected, version
