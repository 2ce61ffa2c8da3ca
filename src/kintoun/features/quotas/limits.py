"""Which limits hold for a bucket or a collection."""

from __future__ import annotations

from functools import lru_cache
from typing import Annotated, NamedTuple

from msgspec import Meta, field

from kintoun.settings import Count, Section

EVERY = "*"


class Override(Section, frozen=True):
    """Limits of one bucket, or of collections in it, in place of the general ones."""

    bucket: Annotated[str, Meta(description="Id of the bucket.")]
    collection: Annotated[
        str | None,
        Meta(description="Id of the collection, `*` for each of the bucket; none: the bucket's own."),
    ] = None
    max_bytes: Annotated[Count | None, Meta(description="Size of all that is in it, in bytes.")] = None
    max_items: Annotated[Count | None, Meta(description="Records in it.")] = None
    max_bytes_per_item: Annotated[Count | None, Meta(description="Size of one object, in bytes.")] = None


class QuotasSettings(Section, frozen=True):
    """What buckets and collections may hold. The size of an object is that of its JSON, id and timestamp
    included; what is deleted has none.
    """

    bucket_max_bytes: Annotated[
        Count | None,
        Meta(
            description="Size of the collections, groups and records of a bucket, in bytes; none: no limit."
        ),
    ] = None
    bucket_max_items: Annotated[Count | None, Meta(description="Records in a bucket.")] = None
    bucket_max_bytes_per_item: Annotated[
        Count | None, Meta(description="Size of a bucket, or of an object in it, in bytes.")
    ] = None
    collection_max_bytes: Annotated[
        Count | None, Meta(description="Size of the records of a collection, in bytes.")
    ] = None
    collection_max_items: Annotated[Count | None, Meta(description="Records in a collection.")] = None
    collection_max_bytes_per_item: Annotated[
        Count | None, Meta(description="Size of a record, in bytes.")
    ] = None
    overrides: Annotated[
        list[Override], Meta(description="Limits of single buckets and collections, the first that fits.")
    ] = field(default_factory=list)
    named: Annotated[
        dict[str, Count],
        Meta(
            description="The same under the names that a Kinto ini has for them: `bucket_BUCKET_max_bytes`, "
            "`collection_BUCKET_max_items`, `collection_BUCKET_COLLECTION_max_bytes`."
        ),
    ] = field(default_factory=dict)


class Limits(NamedTuple):
    """The limits of one bucket or collection, None where there is none."""

    bytes: int | None
    items: int | None
    item_bytes: int | None

    @property
    def on_totals(self) -> bool:
        return self.bytes is not None or self.items is not None


NAMES = ("max_bytes", "max_items", "max_bytes_per_item")


class LimitsOf:
    """Looks limits up."""

    def __init__(self, settings: QuotasSettings) -> None:
        self._settings = settings
        self.bucket = lru_cache(maxsize=4096)(self._bucket)
        self.collection = lru_cache(maxsize=4096)(self._collection)
        single = [*settings.overrides, *settings.named]
        self.any_of_buckets = any(
            getattr(settings, f"bucket_{name}") is not None for name in NAMES[:2]
        ) or bool(single)
        self.any_on_totals = self.any_of_buckets or any(
            getattr(settings, f"collection_{name}") is not None for name in NAMES[:2]
        )

    def _bucket(self, bucket: str) -> Limits:
        return Limits(*(self._find("bucket", name, bucket, None) for name in NAMES))

    def _collection(self, bucket: str, collection: str) -> Limits:
        return Limits(*(self._find("collection", name, bucket, collection) for name in NAMES))

    def _find(self, kind: str, name: str, bucket: str, collection: str | None) -> int | None:
        settings = self._settings
        for override in settings.overrides:
            fits = override.collection == collection or (
                collection is not None and override.collection == EVERY
            )
            value: int | None = getattr(override, name)
            if override.bucket == bucket and fits and value is not None:
                return value
        places = (
            [f"{kind}_{bucket}"]
            if collection is None
            else [f"{kind}_{bucket}_{collection}", f"{kind}_{bucket}"]
        )
        for place in places:
            if f"{place}_{name}" in settings.named:
                return settings.named[f"{place}_{name}"]
        general: int | None = getattr(settings, f"{kind}_{name}")
        return general
