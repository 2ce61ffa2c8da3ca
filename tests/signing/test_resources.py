"""Which collections are published where, and what configurations are refused (signing section 7)."""

from __future__ import annotations

from typing import Any

import pytest

from kintoun.features.signing.resources import Resources, kinto_names
from kintoun.features.signing.workflow import SigningSettings

LINES = """
/buckets/main-workspace -> /buckets/main-preview -> /buckets/main
/buckets/staging;/buckets/blocklists
  pinning/keys   public/pins
/buckets/dev/collections/a -> /buckets/p/collections/b -> /buckets/dev/collections/c
"""


def resources(lines: str = LINES, **more: Any) -> Resources:
    return Resources(SigningSettings(resources=lines, **more))


def shown(of: Resources, bucket: str, collection: str) -> list[str]:
    workflow = of.source(bucket, collection)
    assert workflow is not None
    return [str(path).replace("/buckets/", "").replace("collections/", "") for path in workflow.targets]


def test_where_sources_are_published() -> None:
    found = resources()
    assert shown(found, "main-workspace", "x") == ["main-preview/x", "main/x"]
    assert shown(found, "staging", "x") == ["blocklists/x"]
    assert shown(found, "pinning", "keys") == ["public/pins"]
    assert shown(found, "dev", "a") == ["p/b", "dev/c"]
    assert found.source("pinning", "other") is None
    assert found.source("main", "x") is None


def test_whose_targets_there_are() -> None:
    found = resources()
    for target, source in (
        (("main", "x"), "/buckets/main-workspace/collections/x"),
        (("main-preview", "x"), "/buckets/main-workspace/collections/x"),
        (("public", "pins"), "/buckets/pinning/collections/keys"),
        (("dev", "c"), "/buckets/dev/collections/a"),
    ):
        workflow = found.target(*target)
        assert workflow is not None
        assert str(workflow.source) == source
    for other in (("public", "x"), ("dev", "a"), ("main-workspace", "x"), ("nowhere", "x")):
        assert found.target(*other) is None


def test_a_collection_of_its_own_goes_before_its_bucket() -> None:
    found = resources("ws -> out\nws/c -> other/c")
    assert shown(found, "ws", "c") == ["other/c"]
    assert found.target("out", "c") is None
    assert found.target("out", "d") is not None


@pytest.mark.parametrize(
    "lines",
    [
        "a",
        "a -> b -> c -> d",
        "a -> b/c",
        "a -> a",
        "a -> b -> a",
        "a -> b\na -> c",
        "a -> b\nc -> b",
        "a -> x -> b\nc -> x -> d",
        "a -> b\nb -> c",
        "a -> b!",
        "/buckets/a/groups/g -> /buckets/b/groups/g",
        "/buckets/a/collections -> b",
        "/buckets/ -> /buckets/b",
        "a/b/c -> d/e",
    ],
)
def test_what_contradicts_itself_is_refused(lines: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        resources(lines)


def test_review_by_collection_bucket_and_server() -> None:
    overrides = {
        "main-workspace.to_review_enabled": False,
        "main-workspace.a.to_review_enabled": "true",
        "main-workspace_b.to_review_enabled": "yes",
        r"main-workspace.quicksuggest-(\w+)-(desktop|mobile).to_review_enabled": True,
    }
    found = resources(to_review_enabled=True, overrides=overrides)

    def reviewed(bucket: str, collection: str) -> bool:
        workflow = found.source(bucket, collection)
        assert workflow is not None
        return workflow.review

    assert [reviewed("main-workspace", name) for name in ("a", "b", "c")] == [True, True, False]
    assert reviewed("staging", "x")
    assert reviewed("main-workspace", "quicksuggest-us-desktop")
    assert not reviewed("main-workspace", "quicksuggest-us-desktop-2")
    assert not reviewed("main-workspace", "my-quicksuggest-us-mobile")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("a.to_review_enabled", "maybe"),
        ("a.(.to_review_enabled", True),
        ("(a).to_review_enabled", True),
        ("to_review_enabled", True),
        ("to_reveiw_enabled", True),
        ("a.to_reveiw_enabled", True),
        ("a.c.editors_group", "editors"),
    ],
)
def test_overrides_that_say_nothing_are_refused(key: str, value: Any) -> None:
    with pytest.raises(ValueError, match="overrides"):
        resources("a -> b", overrides={key: value})


def test_what_a_kinto_looks_for_in_its_environment() -> None:
    names = list(kinto_names("a -> b\nnonsense\nc-d/e_f;g/h"))
    assert [name for name in names if name.endswith("to_review_enabled")] == [
        "signer.a.to_review_enabled",
        "signer.c-d.to_review_enabled",
        "signer.c-d.e_f.to_review_enabled",
    ]
    assert "signer.c-d.e_f.autograph.hawk_secret" in names


def test_what_the_capability_shows() -> None:
    found = resources(
        "/buckets/ws -> /buckets/pre -> /buckets/out\nx/y -> z/y",
        overrides={
            "ws.c.to_review_enabled": True,
            "ws.d.autograph.key_ids": "k",
            "ws.autograph.key_ids": "k",
            "ws.p(1|2).to_review_enabled": True,
            "x.y.to_review_enabled": False,
        },
    )

    def of(bucket: str, collection: str | None) -> dict[str, Any]:
        return {"bucket": bucket, "collection": collection}

    def line(collection: str | None, **more: Any) -> dict[str, Any]:
        places = {"source": of("ws", collection), "preview": of("pre", collection)}
        return {**places, "destination": of("out", collection), **more}

    plain = [line(None), {"source": of("x", "y"), "destination": of("z", "y")}]
    named = [line("c", to_review_enabled=True), line("d")]
    assert found.as_json() == [*plain, *named]
    assert found.singled_out("ws", "p1")
    assert not found.singled_out("ws", "p3")
    assert found.as_json((("ws", "p1"),)) == [*plain, *named, line("p1", to_review_enabled=True)]
