"""The settings of attachments, and which of them hold for a collection."""

from __future__ import annotations

from functools import lru_cache
from typing import Annotated, Any, NamedTuple

import msgspec
from msgspec import Meta, field

from kintoun.features.attachments.names import check_pattern
from kintoun.features.attachments.serving import ServingSettings
from kintoun.settings import Count, Section

OF_RESOURCES = ("randomize", "keep_old_files", "max_size_bytes", "filename_pattern", "gzipped")
"""What can be said of single buckets and collections."""

GIB = 1024**3


class Override(Section, frozen=True):
    """What holds for one bucket, or one collection in it, in place of what holds for all."""

    bucket: Annotated[str, Meta(description="Id of the bucket.")]
    collection: Annotated[str | None, Meta(description="Id of the collection; none: all of the bucket.")] = (
        None
    )
    randomize: Annotated[bool | None, Meta(description="See above.")] = None
    keep_old_files: Annotated[bool | None, Meta(description="See above.")] = None
    max_size_bytes: Annotated[Count | None, Meta(description="See above.")] = None
    filename_pattern: Annotated[str | None, Meta(description="See above.")] = None
    gzipped: Annotated[bool | None, Meta(description="See above.")] = None


class AttachmentsSettings(ServingSettings, frozen=True):
    """Files on records: what may be uploaded, what it is called, where it is kept and read."""

    folder: Annotated[
        str,
        Meta(
            description="Folder of the locations, in which `{bucket_id}`, `{collection_id}` and `{id}` stand "
            "for those of the record."
        ),
    ] = ""
    randomize: Annotated[
        bool, Meta(description="Call files by random names in place of those that they are uploaded with.")
    ] = True
    filename_pattern: Annotated[
        str | None,
        Meta(
            description="What files are called instead, as `{datetime}-{rid}-{filename}`: the time in UTC, "
            "the record's id, and the name that they are uploaded with."
        ),
    ] = None
    keep_old_files: Annotated[
        bool, Meta(description="Keep files for ever, also when no record names them any longer.")
    ] = False
    gzipped: Annotated[
        bool,
        Meta(
            description="Compress what is uploaded, unless the request says `?gzipped=false`; the attachment "
            "tells of the file before that as `original`."
        ),
    ] = False
    extensions: Annotated[
        str,
        Meta(
            description="Which files may be uploaded: groups and extensions, as `default+video+ttf`; `any` "
            "for all."
        ),
    ] = "default"
    mimetypes: Annotated[
        str,
        Meta(description="Media types by extension, as `.ftl:application/vnd.fluent;.db:text/plain`."),
    ] = ""
    max_size_bytes: Annotated[Count, Meta(description="Size of a file, in bytes; 0: no limit.")] = 2 * GIB
    ignore_preconditions: Annotated[
        bool, Meta(description="Attach and remove files whatever `If-Match` and `If-None-Match` demand.")
    ] = False
    allow_foreign: Annotated[
        bool,
        Meta(description="Let who writes records name files in `attachment` that this server does not have."),
    ] = True
    overrides: Annotated[
        list[Override], Meta(description="What holds for single buckets and collections.")
    ] = field(default_factory=list)
    named: Annotated[
        dict[str, Any],
        Meta(
            description="The same under the names that a Kinto ini has for them: `BUCKET.max_size_bytes`, "
            "`BUCKET.COLLECTION.keep_old_files`."
        ),
    ] = field(default_factory=dict)


class Options(NamedTuple):
    """What holds for one collection; `max_size_bytes` is None for no limit."""

    randomize: bool
    keep_old_files: bool
    max_size_bytes: int | None
    filename_pattern: str | None
    gzipped: bool


class OptionsOf:
    """Looks up what holds for a collection: its own, then its bucket's, then what holds for all.

    Raises ValueError for a name or a value that cannot be.
    """

    def __init__(self, settings: AttachmentsSettings) -> None:
        self._settings = settings
        self._own = {(each.bucket, each.collection): each for each in settings.overrides}
        for override in (_named(name, value) for name, value in settings.named.items()):
            place = (override.bucket, override.collection)
            self._own[place] = _merged(self._own.get(place), override)
        for pattern in (settings.filename_pattern, *(each.filename_pattern for each in self._own.values())):
            if pattern is not None:
                check_pattern("filename_pattern", pattern, "datetime", "rid", "filename")
        self.of = lru_cache(maxsize=4096)(self._of)

    def _of(self, bucket: str, collection: str) -> Options:
        found = {name: self._find(name, bucket, collection) for name in OF_RESOURCES}
        found["max_size_bytes"] = found["max_size_bytes"] or None
        return Options(**found)

    def _find(self, name: str, bucket: str, collection: str) -> Any:
        for place in ((bucket, collection), (bucket, None)):
            override = self._own.get(place)
            if override is not None and getattr(override, name) is not None:
                return getattr(override, name)
        return getattr(self._settings, name)


def _named(name: str, value: Any) -> Override:
    """The override that a key of an ini stands for."""
    *place, option = name.split(".")
    if len(place) not in (1, 2) or option not in OF_RESOURCES:
        known = ", ".join(OF_RESOURCES)
        raise ValueError(f"attachments.named: {name!r} is not BUCKET[.COLLECTION].NAME with one of {known}")
    try:
        return msgspec.convert({"bucket": place[0], "collection": (*place, None)[1], option: value}, Override)
    except msgspec.ValidationError as error:
        raise ValueError(f"attachments.named: {name}: {error}") from None


def _merged(one: Override | None, other: Override) -> Override:
    more = {name: value for name in OF_RESOURCES if (value := getattr(other, name)) is not None}
    return msgspec.structs.replace(one, **more) if one is not None else other
