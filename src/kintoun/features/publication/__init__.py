"""Publication: what Firefox and others read of signed collections, and of any other that is public.

`changesets` makes the bytes of a collection's changeset once, `monitor` knows when each collection changed
last, and `freshness` tells both, in every worker, when to look again. `endpoints`, `changes` and `broadcasts`
answer requests, `bundles` puts much of it into files.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, ClassVar

import kintoun
from kintoun.features.publication.broadcasts import MIGRATIONS, Broadcasts
from kintoun.features.publication.bundles import Bundles
from kintoun.features.publication.changes import ChangesEndpoint
from kintoun.features.publication.changesets import Changesets
from kintoun.features.publication.encodings import Encodings
from kintoun.features.publication.endpoints import ChangesetEndpoint, MonitorEndpoint, Redirects, Sender
from kintoun.features.publication.freshness import Freshness
from kintoun.features.publication.lifetimes import Lifetimes
from kintoun.features.publication.marks import Marks
from kintoun.features.publication.monitor import Monitor, Resources
from kintoun.features.publication.operations import BROADCASTS, CHANGES, CHANGESET
from kintoun.features.publication.settings import PublicationSettings
from kintoun.features.publication.shelf import Shelf
from kintoun.http.routing import Endpoint, Handler
from kintoun.measures.shared import RUN_DIRECTORY
from kintoun.plugin import Plugin, Registry


class Publication(Plugin):
    """The feature."""

    name = "publication"
    settings = PublicationSettings
    migrations = MIGRATIONS
    kinto_includes = ("kinto_changes", "kinto_remote_settings.changes", "kinto_remote_settings")
    kinto_keys: ClassVar[dict[str, str]] = {
        "changes.resources": "resources",
        "changes.excluded_collections": "excluded_collections",
        "changes.http_host": "http_host",
        "changes.since_max_age_days": "since_max_age_days",
        "changes.since_max_age_redirect_ttl_seconds": "since_max_age_redirect_ttl_seconds",
        "push_broadcast_min_debounce_interval_seconds": "broadcast_min_seconds",
        "push_broadcast_max_debounce_interval_seconds": "broadcast_max_seconds",
    }

    def setup(self, registry: Registry, settings: Any) -> None:
        """Serve what is published. Raises ValueError for resources that are none."""
        declared: PublicationSettings = settings or PublicationSettings()
        service, http = registry.service, registry.settings.http
        resources = Resources(declared.resources, declared.excluded_collections)
        marks = Marks(_shared_file())
        shelf: Shelf[Any] = Shelf(declared.cache_bytes, declared.large_bytes, service.ready.forget)
        monitor = Monitor(service.store, resources, declared.http_host or http.public_host or "", marks)
        changesets = Changesets(service.access, marks, shelf)
        lifetimes = Lifetimes(registry.settings.cache_expires)
        redirects = Redirects(declared, http.public_scheme)
        sent = service.measures.counter(
            "changesets_total",
            "Changesets that were sent, by whether they were ready, kept or had to be made.",
            ("how",),
        )
        sender = Sender(Encodings(), lifetimes, service.ready, sent)
        monitored = MonitorEndpoint(monitor, shelf, marks, sender, redirects)
        changeset = ChangesetEndpoint(changesets, monitored, marks, sender, redirects)
        changes = ChangesEndpoint(monitor, redirects, lifetimes)
        broadcasts = Broadcasts(service.store, monitor, declared)
        for name, pattern, handler, operations in (
            (
                "changeset",
                "/buckets/{bucket_id}/collections/{collection_id}/changeset",
                changeset.get,
                CHANGESET,
            ),
            ("changes-plural", "/buckets/monitor/collections/changes/records", changes.get, CHANGES),
            ("broadcasts", "/__broadcasts__", broadcasts.get, BROADCASTS),
        ):
            registry.endpoint(_readable(name, pattern, handler, operations))
        registry.capability(
            "changes",
            "When each of the collections that clients follow has changed last, and what of it.",
            f"{registry.settings.project.docs}reference/publication/",
            version=kintoun.__version__,
            collections=declared.resources,
        )

        freshness = Freshness(service.store, marks, monitor, changesets)
        freshness.begin()
        registry.background(freshness.look)
        bundles = service.shared[Bundles] = Bundles(service, monitor, changesets, marks, declared)
        registry.background(bundles.run)


def _shared_file() -> Path | None:
    """Where the workers of this server mark what has moved; None: there is one process."""
    directory = os.environ.get(RUN_DIRECTORY)
    return Path(directory) / "publication" if directory else None


def _readable(name: str, pattern: str, handler: Handler, operations: dict[str, Any]) -> Endpoint:
    resource = name != "broadcasts"
    return Endpoint(name, pattern, {"HEAD": handler, "GET": handler}, resource, operations)
