"""History: every change of a bucket's objects is entered, and what was can be read and restored.

`recording` writes the entries; the endpoint of a bucket's history is a list like any other, on a table of its
own; `past` reads lists as they were, `snapshot` and `restoring` use that; `purging`, `trimming` and `erasing`
take entries away again.
"""

from __future__ import annotations

import re
from functools import partial
from typing import Annotated, Any, ClassVar

from msgspec import Meta, field
from msgspec.structs import fields as declared_fields

from kintoun.features.history.erasing import forget_user
from kintoun.features.history.operations import LIST, RESTORE, SNAPSHOT
from kintoun.features.history.past import get_past_list
from kintoun.features.history.purging import delete_history
from kintoun.features.history.recording import Recorder
from kintoun.features.history.restoring import restore_collection, restore_object
from kintoun.features.history.snapshot import get_snapshot
from kintoun.features.history.table import HISTORY, KNOWN_FIELDS, MIGRATIONS, PAGES, RECORDED
from kintoun.features.history.trimming import Retention, Trimmer
from kintoun.http.routing import Endpoint, Handler
from kintoun.model import json
from kintoun.model.kinds import GROUP, RECORD, register
from kintoun.plugin import Plugin, Registry
from kintoun.resources.listing import get_list
from kintoun.resources.rules import Rules
from kintoun.settings import Count, Section
from kintoun.storage.rows import Page

_ID_FIELDS = frozenset(("bucket_id", "collection_id", "group_id", "record_id"))
_URI = re.compile(
    r"/buckets/(?P<bucket>[^/]+)"
    r"(/groups/(?P<group>[^/]+)|/collections/(?P<collection>[^/]+)(/records/(?P<record>[^/]+))?)?"
)


class HistorySettings(Section, frozen=True):
    """What is entered, and how long it is kept."""

    exclude_resources: Annotated[
        list[str],
        Meta(
            description="URIs, as `/buckets/b/collections/c`, of objects whose changes are not entered, with "
            "all that is below them."
        ),
    ] = field(default_factory=list)
    exclude_user_ids: Annotated[
        list[str], Meta(description="Ids of users whose changes are not entered.")
    ] = field(default_factory=list)
    auto_trim_max_count: Annotated[
        int,
        Meta(
            ge=-1,
            description="Newest entries to keep of each kind of object in a bucket; -1 keeps all.",
        ),
    ] = -1
    auto_trim_threshold: Annotated[
        Count, Meta(description="How many more there may be before the oldest of them go.")
    ] = 100
    auto_trim_user_ids: Annotated[
        list[str],
        Meta(
            description="Ids of the users whose entries are counted and trimmed, each by itself; empty: all."
        ),
    ] = field(default_factory=list)
    max_age_days: Annotated[
        Annotated[int, Meta(ge=1, le=36500)] | None,
        Meta(description="Days after which entries go; default: they stay."),
    ] = None


class History(Plugin):
    """The feature."""

    name = "history"
    settings = HistorySettings
    migrations = MIGRATIONS
    kinto_keys: ClassVar[dict[str, str]] = {
        f"history.{each.name}": each.name
        for each in declared_fields(HistorySettings)
        if each.name != "max_age_days"
    }

    def setup(self, registry: Registry, settings: Any) -> None:
        settings = settings or HistorySettings()
        excluded = [_excluded(uri) for uri in settings.exclude_resources]
        register(HISTORY)
        recorder = Recorder(settings.exclude_resources, settings.exclude_user_ids)
        registry.widen(recorder.widen)
        registry.before_commit(recorder.record, *RECORDED, together=recorder.record_together)
        registry.erase(forget_user)
        registry.reclaim("history")
        registry.past_list(get_past_list)
        explicit = registry.settings.protocol.explicit_permissions
        registry.service.rules[HISTORY] = Rules(known_fields=KNOWN_FIELDS, page=_page, partly=explicit)
        for endpoint in _endpoints():
            registry.endpoint(endpoint)
        self._retain(registry, settings)
        extra: dict[str, Any] = {"point_in_time": True, "restore": True}
        if excluded:
            extra["excluded_resources"] = excluded
        if settings.auto_trim_max_count >= 0:
            extra["auto_trim_max_count"] = settings.auto_trim_max_count
        if settings.auto_trim_user_ids:
            extra["auto_trim_user_ids"] = settings.auto_trim_user_ids
        docs = f"{registry.settings.project.docs}reference/history/"
        registry.capability("history", "Track changes on data.", docs, **extra)

    @staticmethod
    def _retain(registry: Registry, settings: HistorySettings) -> None:
        retention = Retention(
            settings.max_age_days,
            settings.auto_trim_max_count,
            settings.auto_trim_threshold,
            tuple(settings.auto_trim_user_ids),
        )
        if retention.max_age_days is not None or retention.max_count >= 0:
            registry.background(Trimmer(registry.service.store, retention).run, lease="history")


def _endpoints() -> list[Endpoint]:
    read: Handler = partial(get_list, HISTORY)
    entries = {"GET": read, "HEAD": read, "DELETE": delete_history}
    snapshot: dict[str, Handler] = {"GET": get_snapshot, "HEAD": get_snapshot}
    groups: dict[str, Handler] = {"POST": partial(restore_object, GROUP)}
    records: dict[str, Handler] = {"POST": partial(restore_object, RECORD)}
    bucket = "/buckets/{bucket_id}"
    collection = f"{bucket}/collections/{{collection_id}}"
    return [
        Endpoint("history-plural", f"{bucket}/history", entries, resource=True, operations=LIST),
        Endpoint("snapshot", f"{bucket}/snapshot/collections/{{moment}}", snapshot, operations=SNAPSHOT),
        Endpoint("group-restore", f"{bucket}/groups/{{id}}/restore", groups, operations=RESTORE),
        Endpoint(
            "collection-restore", f"{collection}/restore", {"POST": restore_collection}, operations=RESTORE
        ),
        Endpoint("record-restore", f"{collection}/records/{{id}}/restore", records, operations=RESTORE),
    ]


def _page(page: Page) -> Page:
    """Entries stand in a table of their own; their ids are texts, also those that look like numbers."""
    filters = tuple(
        filter_._replace(value=json.encode_text(filter_.value))
        if filter_.field in _ID_FIELDS and type(filter_.value) in (int, float)
        else filter_
        for filter_ in page.filters
    )
    return page._replace(filters=filters, source=PAGES)


def _excluded(uri: str) -> dict[str, str]:
    """The parts of an excluded URI, as the capability tells them. Raises ValueError."""
    match = _URI.fullmatch(uri)
    if match is None:
        raise ValueError(f"history.exclude_resources: {uri!r} is no bucket, group, collection or record")
    return {name: part for name, part in match.groupdict().items() if part is not None}
