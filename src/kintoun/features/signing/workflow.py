"""The settings of the workflow: what is edited where, reviewed or not, and published where."""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import Meta, field

from kintoun.features.signing.settings import KINTO_KEYS as SIGNERS_KEYS
from kintoun.features.signing.settings import KINTO_NAMES, SignersSection
from kintoun.settings import Count

REVIEW = "to_review_enabled"
OWN = (REVIEW, *KINTO_NAMES)
"""What a source, or all sources of a bucket, can have of their own, by its name in a Kinto."""

DEFAULT_RESOURCES = "/buckets/main-workspace -> /buckets/main-preview -> /buckets/main"


class SigningSettings(SignersSection, frozen=True):
    """What is published from where to where, who has to agree, and who signs it."""

    resources: Annotated[
        str,
        Meta(
            description="One line for each: `source -> destination`, or `source -> preview -> destination`, "
            "all of them buckets (`/buckets/B`) or all collections (`/buckets/B/collections/C`, or `B/C`)."
        ),
    ] = DEFAULT_RESOURCES
    to_review_enabled: Annotated[
        bool, Meta(description="Publish only what somebody else than its editors has approved.")
    ] = False
    overrides: Annotated[
        dict[str, Any],
        Meta(
            description="Settings of single sources: `BUCKET.to_review_enabled`, `BUCKET.COLLECTION."
            "to_review_enabled`, where a part with a `(` in it is a regular expression for the whole of a "
            "name. Also signers as a Kinto's configuration names them: `signer_backend`, "
            "`ecdsa.private_key`, `autograph.server_url`, …, of all sources, of `BUCKET`, or "
            "of `BUCKET.COLLECTION`."
        ),
    ] = field(default_factory=dict)
    auto_create_resources: Annotated[
        bool, Meta(description="Create the sources when the server starts, if they are missing.")
    ] = False
    auto_create_resources_principals: Annotated[
        list[str], Meta(description="Who may write the sources that are created so.")
    ] = field(default_factory=lambda: ["system.Authenticated"])
    hard_delete_destination_on_source_deletion: Annotated[
        bool,
        Meta(
            description="Delete the preview and the destination with their source; otherwise they stay, "
            "empty and signed, so that clients learn that everything was deleted."
        ),
    ] = False
    manifest_days: Annotated[
        float,
        Meta(
            ge=0,
            le=3650,
            description="How long the signed manifest of a publication is believed, which is made anew "
            "before half of that is over; 0 makes none, and keeps no publication log.",
        ),
    ] = 30.0
    cache_bytes: Annotated[
        Count,
        Meta(
            description="Memory of each worker for what is published, in bytes, so that one more change does "
            "not read all of it again. Long lists are read when a worker starts, while there is room."
        ),
    ] = 128 * 1024 * 1024


KINTO_KEYS = {
    **SIGNERS_KEYS,
    **{
        f"signer.{name}": name
        for name in (
            "resources",
            "to_review_enabled",
            "auto_create_resources",
            "auto_create_resources_principals",
            "hard_delete_destination_on_source_deletion",
        )
    },
    **{f"signer.*.{name}": "overrides" for name in OWN},
}
"""The keys of a Kinto ini that are settings of this feature."""
