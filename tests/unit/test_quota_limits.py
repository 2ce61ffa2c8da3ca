"""Which limits hold where, and what a Kinto ini says of them."""

from __future__ import annotations

from pathlib import Path

from kintoun.config import decode
from kintoun.features.quotas.limits import Limits, LimitsOf, Override, QuotasSettings
from kintoun.kinto_ini import translate

INI = """\
[app:main]
use = egg:kinto
kinto.includes = kinto.plugins.quotas
kinto.quotas.bucket_max_bytes = 1000
kinto.quotas.collection_max_items = 5
kinto.quotas.collection_max_bytes_per_item = 100
kinto.quotas.bucket_blog_max_bytes = 3000
kinto.quotas.collection_blog_max_items = 7
kinto.quotas.collection_blog_articles_max_items = 9
"""


def test_the_keys_of_kinto_mean_what_they_meant(tmp_path: Path) -> None:
    path = tmp_path / "kinto.ini"
    path.write_text(INI)
    translation = translate(path, {})
    assert not [note for note in translation.notes if note.kind == "lost"]
    settings = decode(translation.tree)
    assert "quotas" in settings.features
    of = LimitsOf(settings.sections["quotas"])
    assert of.bucket("b") == Limits(1000, None, None)
    assert of.bucket("blog") == Limits(3000, None, None)
    assert of.collection("b", "c") == Limits(None, 5, 100)
    assert of.collection("blog", "c") == Limits(None, 7, 100)
    assert of.collection("blog", "articles") == Limits(None, 9, 100)


def test_what_is_nearest_holds() -> None:
    of = LimitsOf(
        QuotasSettings(
            bucket_max_bytes=1,
            collection_max_bytes=2,
            overrides=[
                Override(bucket="b", collection="c", max_items=3),
                Override(bucket="b", collection="*", max_items=4, max_bytes=5),
                Override(bucket="b", max_bytes=0),
            ],
        )
    )
    assert of.bucket("b") == Limits(0, None, None)
    assert of.bucket("c") == Limits(1, None, None)
    assert of.collection("b", "c") == Limits(5, 3, None)
    assert of.collection("b", "d") == Limits(5, 4, None)
    assert of.collection("c", "c") == Limits(2, None, None)


def test_buckets_cost_nothing_unless_one_has_a_limit_on_its_total() -> None:
    assert not LimitsOf(QuotasSettings(collection_max_bytes=1, bucket_max_bytes_per_item=1)).any_of_buckets
    assert LimitsOf(QuotasSettings(bucket_max_items=1)).any_of_buckets
    assert LimitsOf(QuotasSettings(named={"bucket_b_max_items": 1})).any_of_buckets
