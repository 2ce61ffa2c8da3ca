"""GET /blocklist/{version}/{application}/{version of it}/…: blocklists as old applications read them, as XML.

They are made of four collections, whose records everybody is sent in this way whatever their permissions say.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, ClassVar, Literal

from msgspec import Meta, field

import kintoun
from kintoun.features.amo.endpoint import BlocklistEndpoint
from kintoun.features.amo.export import TYPES
from kintoun.features.amo.source import Source
from kintoun.http.routing import Endpoint
from kintoun.model.kinds import BUCKET, COLLECTION, RECORD
from kintoun.model.paths import ListPath
from kintoun.plugin import Plugin, Registry
from kintoun.settings import Count, Section

PREFIX = "blocklist"
_PREFIX = re.compile(r"(?!buckets$)[a-z][a-z0-9_-]*")
_COLLECTION = re.compile(r"/buckets/([^/]+)/collections/([^/]+)")
DEFAULT = {f"{PREFIX}.{kind}": f"/buckets/blocklists/collections/{kind}" for kind in TYPES}


class AmoSettings(Section, frozen=True):
    """Blocklists as XML."""

    lists: Annotated[
        dict[str, str],
        Meta(
            description="Where the records are: `PREFIX.addons`, `PREFIX.plugins`, `PREFIX.gfx` and "
            "`PREFIX.certificates`, each a URI such as `/buckets/blocklists/collections/addons`. Everybody "
            "may read them in this way."
        ),
    ] = field(default_factory=lambda: dict(DEFAULT))
    lastupdate: Annotated[
        Literal["records", "collections"],
        Meta(
            description="What `lastupdate` of the document is: the time of the newest record that is "
            "enabled, or that of the last change of any of the collections."
        ),
    ] = "records"
    cache_seconds: Annotated[
        Count, Meta(description="`max-age` of the answers; 0 says nothing about it.")
    ] = 0
    cache_bytes: Annotated[
        Count, Meta(description="Memory of one worker for finished documents, in bytes.")
    ] = 8 * 1024 * 1024


class Amo(Plugin):
    """The feature."""

    name = "amo"
    settings = AmoSettings
    kinto_keys: ClassVar[dict[str, str]] = {"amo.*": "lists"}
    kinto_includes = ("kinto_amo",)

    def setup(self, registry: Registry, settings: Any) -> None:
        settings = settings or AmoSettings()
        lists = parse_lists(settings.lists)
        for prefix, collections in lists.items():
            source = Source(registry.service.store, collections, settings.lastupdate)
            endpoint = BlocklistEndpoint(source, settings.cache_bytes // len(lists), settings.cache_seconds)
            place = f"/{prefix}/{{api_version}}/{{application}}/{{version}}"
            for name, pattern in (("", place), ("-pinged", f"{place}/{{ignored:tail}}")):
                methods = {"GET": endpoint.get, "HEAD": endpoint.get}
                operations = {"GET": OPERATION, "HEAD": OPERATION}
                registry.endpoint(Endpoint(f"amo-{prefix}{name}", pattern, methods, operations=operations))
        registry.capability(
            "blocklist-xml",
            "Blocklists as XML, as old applications read them.",
            f"{registry.settings.project.docs}reference/amo/",
            version=kintoun.__version__,
            resources={
                prefix: {
                    kind: {"bucket": path.parents[0], "collection": path.parents[1]}
                    for kind, path in collections.items()
                }
                for prefix, collections in lists.items()
            },
        )


OPERATION: dict[str, Any] = {
    "summary": "A blocklist as XML",
    "responses": {
        "200": {"description": "It.", "content": {"application/xml": {}}},
        "304": {"description": "It is still what the client has."},
        "404": {"description": "The first part is no number."},
    },
}


def parse_lists(lists: dict[str, str]) -> dict[str, dict[str, ListPath]]:
    """The lists of records by prefix and type. Raises ValueError for what is not whole."""
    found: dict[str, dict[str, ListPath]] = {}
    for name, uri in lists.items():
        prefix, _, kind = name.partition(".")
        if _PREFIX.fullmatch(prefix) is None or kind not in TYPES:
            raise ValueError(f"amo.lists: {name!r} is not PREFIX.TYPE, with one of {', '.join(TYPES)}")
        match = _COLLECTION.fullmatch(uri.strip())
        if match is None or not (BUCKET.accepts(match[1]) and COLLECTION.accepts(match[2])):
            raise ValueError(f"amo.lists: {name}: {uri!r} is not /buckets/ID/collections/ID")
        found.setdefault(prefix, {})[kind] = ListPath(RECORD, (match[1], match[2]))
    for prefix, collections in found.items():
        missing = [kind for kind in TYPES if kind not in collections]
        if missing:
            raise ValueError(f"amo.lists: {prefix}.{missing[0]} is missing")
    return found
