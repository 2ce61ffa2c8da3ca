"""The settings of publication."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, field

from kintoun.settings import Count, Section


class PublicationSettings(Section, frozen=True):
    """What clients such as Firefox can follow, and how they are told."""

    resources: Annotated[
        list[str],
        Meta(description="URIs of the buckets and collections in `monitor/changes`, as `/buckets/main`."),
    ] = field(default_factory=list)
    excluded_collections: Annotated[
        list[str], Meta(description="URIs of collections, or buckets, that it leaves out.")
    ] = field(default_factory=list)
    http_host: Annotated[
        str | None,
        Meta(
            description="Host that its entries and redirects name; default: `public_host` of `[http]`, in "
            "redirects that of the request."
        ),
    ] = None
    since_max_age_days: Annotated[
        int,
        Meta(
            ge=-1,
            le=36500,
            description="Who asks it for changes since longer ago is sent to the whole list; -1: nobody.",
        ),
    ] = 21
    since_max_age_redirect_ttl_seconds: Annotated[
        int,
        Meta(ge=-1, description="For how long caches may keep the redirect to the whole list; -1: unsaid."),
    ] = 86_400
    cache_bytes: Annotated[
        Count,
        Meta(
            description="Memory of one worker for changesets, plain and compressed, in bytes; 0 keeps none."
        ),
    ] = 24 * 1024 * 1024
    large_bytes: Annotated[
        Count,
        Meta(
            description="Memory of one worker, beside it, for changesets of which one would take half of "
            "`cache_bytes`. One that does not fit is made for each who asks, but for those who ask at once."
        ),
    ] = 96 * 1024 * 1024
    broadcast_min_seconds: Annotated[
        Count,
        Meta(
            description="Least time between two announcements at `/__broadcasts__`: changes wait until there "
            "has been none for so long, or as long has passed between the first and the last."
        ),
    ] = 300
    bundle_seconds: Annotated[
        float,
        Meta(ge=0.1, le=86_400, description="Pause between two looks whether bundles have to be made anew."),
    ] = 10.0
    bundle_bytes: Annotated[
        Count,
        Meta(description="Size of the changesets, together, above which the bundle of all of them is empty."),
    ] = 64 * 1024 * 1024
    archive_bytes: Annotated[
        Count,
        Meta(description="Size of a collection's files, together, above which its archive is not made anew."),
    ] = 20_000_000
    broadcast_max_seconds: Annotated[
        Count, Meta(description="Longest time that a change waits there while others follow it.")
    ] = 1200
