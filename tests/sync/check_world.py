"""What holds for the run as a whole: isolation (S8), convergence (S7) and durability (S10)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from tests.sync.history import NEVER
from tests.sync.steps import Listing, Step
from tests.sync.versions import Violation

if TYPE_CHECKING:
    from tests.sync.checker import Evidence


def tenants(evidence: Evidence) -> Iterator[Violation]:
    """S8: a list's data is shown to its owner only, and in that list's answers only.

    Every record of a run names its list in the field ``home``, so a record that strays is known by its looks.
    """
    owners = evidence.history.owners
    for step in evidence.steps:
        owner = owners.get(step.list_path)
        if owner is None:
            continue
        if (
            step.op.user != owner
            and step.status is not None
            and step.status not in (401, 403)
            and step.status < 500
        ):
            text = f"{step.op.user} was answered {step.status} on what only {owner} may see: {step}"
            yield Violation("S8", step.list_path, text, (step.op.number,))
        for home in _homes(step.answer):
            if home != step.list_path:
                yield Violation(
                    "S8", step.list_path, f"{step} shows what belongs to {home}", (step.op.number,)
                )
                break


def _homes(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if isinstance(value.get("home"), str):
            yield value["home"]
        for inner in value.values():
            if isinstance(inner, (dict, list)):
                yield from _homes(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _homes(inner)


def convergence(evidence: Evidence) -> Iterator[Violation]:
    """S7: after the last write every local copy becomes equal to the server's list."""
    quiet = evidence.history.quiet
    if quiet is None:
        return
    truth: dict[str, Listing] = {}
    copies: defaultdict[tuple[str, str], list[Listing]] = defaultdict(list)
    for listing in evidence.listings:
        if listing.filtered or not listing.complete:
            continue
        if (
            listing.invoked > quiet
            and listing.since is None
            and len(listing.pages) == 1
            and listing.sync is None
        ):
            truth[listing.list_path] = listing
        if listing.sync is not None:
            copies[listing.list_path, listing.sync].append(listing)
    last_of_client: dict[tuple[str, str], str] = {}
    for name, sync in copies:
        last_of_client[name, copies[name, sync][0].client] = sync
    for (name, client), sync in last_of_client.items():
        listings = copies[name, sync]
        if listings[-1].invoked <= quiet:
            yield Violation("S7", name, f"{client} did not sync again after the last write")
        elif name not in truth:
            yield Violation("S7", name, "nobody read the whole list after the last write")
        else:
            yield from _compare(name, listings, truth[name])


def _compare(name: str, listings: list[Listing], truth: Listing) -> Iterator[Violation]:
    copy = replay(listings)
    wanted = {item["id"]: item for item in truth.items()}
    numbers = (listings[-1].pages[0].op.number, truth.pages[0].op.number)
    client = listings[0].client
    if listings[-1].etag != truth.etag:
        text = f"{client} ends at ETag {listings[-1].etag}, the server at {truth.etag}"
        yield Violation("S7", name, text, numbers)
    different = sorted(
        object_id for object_id in copy.keys() | wanted.keys() if copy.get(object_id) != wanted.get(object_id)
    )
    for object_id in different[:3]:
        text = f"{client} ends with {copy.get(object_id)!r}, the server with {wanted.get(object_id)!r}"
        yield Violation("S7", name, text, numbers)


def replay(listings: list[Listing]) -> dict[str, dict[str, Any]]:
    """The local copy that a sequence of syncs makes: later answers and later pages win."""
    copy: dict[str, dict[str, Any]] = {}
    for listing in listings:
        for item in listing.items():
            if item.get("deleted") is True:
                copy.pop(item["id"], None)
            else:
                copy[item["id"]] = item
    return copy


def durability(evidence: Evidence) -> Iterator[Violation]:
    """S10: the last word of the server has every write that it ever acknowledged, or what came after it."""
    history = evidence.history
    last: dict[str, Listing] = {}
    for listing in evidence.listings:
        if listing.complete and listing.since is not None and listing.sync is None and not listing.unchanged:
            last[listing.list_path] = listing
    for name, versions in evidence.versions.lists.items():
        listing = last.get(name)
        if listing is None or not history.faults:
            continue
        shown = {item["id"]: item["last_modified"] for item in listing.items()}
        for version in versions.ordered:
            if (
                version.write is None
                or version.seen.end > listing.invoked
                or version.ts <= (listing.since or 0)
            ):
                continue
            if shown.get(version.id, 0) < version.ts and _survivor(version.write, history.faults[-1].begin):
                text = f"{version} was acknowledged, and {listing} does not have it"
                yield Violation("S10", name, text, (version.seen.number, listing.pages[0].op.number))


def _survivor(step: Step, fault: int) -> bool:
    """Whether a write was acknowledged before the last fault, so that it is one which had to survive."""
    return step.op.end < min(fault, NEVER)
