"""Which collections are sources, and where what they hold is published (signing section 7)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from functools import lru_cache
from typing import Any, NamedTuple

from kintoun.features.signing.settings import KINTO_NAMES
from kintoun.features.signing.workflow import OWN, SigningSettings
from kintoun.features.signing.workflow import REVIEW as _REVIEW
from kintoun.model.kinds import BUCKET, COLLECTION
from kintoun.model.matching import matches, pattern_error
from kintoun.model.paths import Path, collection_path, group_path
from kintoun.settings import Settings

EDITORS = "{collection_id}-editors"
REVIEWERS = "{collection_id}-reviewers"
"""The names of the groups of a source."""

_SEPARATORS = re.compile(r"\s*(?:->|;|\s)\s*")
_PATTERN_PLACE = re.compile(r"((?:[^.()]|\([^()]*\))+)\.(.+)")
_YES = ("true", "yes", "on", "1")
_NO = ("false", "no", "off", "0")


class Place(NamedTuple):
    """A bucket, or one collection of it."""

    bucket: str
    collection: str | None

    def of(self, collection: str) -> Path:
        """The collection that stands for the one of this name in the source."""
        return collection_path(self.bucket, self.collection or collection)

    def as_json(self) -> dict[str, str | None]:
        return {"bucket": self.bucket, "collection": self.collection}


class Resource(NamedTuple):
    """One line of the setting: what is edited where, and published where."""

    source: Place
    preview: Place | None
    destination: Place

    @property
    def targets(self) -> tuple[Place, ...]:
        return (self.destination,) if self.preview is None else (self.preview, self.destination)

    def as_json(self) -> dict[str, Any]:
        named = {"source": self.source, "preview": self.preview, "destination": self.destination}
        return {name: place.as_json() for name, place in named.items() if place is not None}


class Workflow(NamedTuple):
    """How one collection is reviewed and published; all are paths of collections."""

    source: Path
    preview: Path | None
    destination: Path
    review: bool

    @property
    def targets(self) -> tuple[Path, ...]:
        """Where it is published, the preview first."""
        return (self.destination,) if self.preview is None else (self.preview, self.destination)

    @property
    def editors(self) -> Path:
        """The group of those who may ask for a review."""
        return group_path(self.source.ids[0], EDITORS.format(collection_id=self.source.id))

    @property
    def reviewers(self) -> Path:
        """The group of those who may approve."""
        return group_path(self.source.ids[0], REVIEWERS.format(collection_id=self.source.id))

    @property
    def groups(self) -> tuple[str, str]:
        """Both groups as principals."""
        return str(self.editors), str(self.reviewers)


class Resources:
    """The configured resources. Raises ValueError for settings that contradict themselves."""

    def __init__(self, settings: SigningSettings) -> None:
        self.review = settings.to_review_enabled
        self.all = [parse_line(line) for line in settings.resources.splitlines() if line.strip()]
        _check(self.all)
        self._overrides: Mapping[str, Any] = settings.overrides
        self._patterns = [
            _pattern(key, settings.overrides[key]) for key in self._overrides if _is_pattern(key)
        ]
        for key, value in settings.overrides.items():
            if key not in KINTO_NAMES and not key.endswith(tuple(f".{name}" for name in OWN)):
                raise ValueError(f"overrides: {key!r} is no setting of a source")
            if key.endswith(f".{_REVIEW}"):
                _flag(key, value)
        self._by_source = {resource.source: resource for resource in self.all}
        self.source_buckets = frozenset(resource.source.bucket for resource in self.all)
        self.target_buckets = frozenset(target.bucket for resource in self.all for target in resource.targets)
        self.source = lru_cache(maxsize=4096)(self._source)
        self.target = lru_cache(maxsize=4096)(self._target)

    def _source(self, bucket: str, collection: str) -> Workflow | None:
        """The workflow of a collection that is a source."""
        resource = self._by_source.get(Place(bucket, collection)) or self._by_source.get(Place(bucket, None))
        if resource is None:
            return None
        preview = resource.preview.of(collection) if resource.preview is not None else None
        review = self._reviewed(bucket, collection)
        return Workflow(
            collection_path(bucket, collection), preview, resource.destination.of(collection), review
        )

    def _target(self, bucket: str, collection: str) -> Workflow | None:
        """The workflow of which a collection is the preview or the destination."""
        path = collection_path(bucket, collection)
        for resource in self.all:
            if any(target.bucket == bucket for target in resource.targets):
                workflow = self.source(resource.source.bucket, resource.source.collection or collection)
                if workflow is not None and path in workflow.targets:
                    return workflow
        return None

    def setting(self, bucket: str, collection: str | None, name: str) -> Any:
        """What the overrides say for a source, the narrowest first; None when they say nothing."""
        places = (
            [bucket] if collection is None else [f"{bucket}.{collection}", f"{bucket}_{collection}", bucket]
        )
        return next(
            (self._overrides[key] for key in (f"{at}.{name}" for at in places) if key in self._overrides),
            None,
        )

    def _reviewed(self, bucket: str, collection: str | None) -> bool:
        exact = [f"{bucket}.{collection}", f"{bucket}_{collection}"] if collection is not None else []
        for place in exact:
            if f"{place}.{_REVIEW}" in self._overrides:
                return _flag(place, self._overrides[f"{place}.{_REVIEW}"])
        if collection is not None:
            for in_bucket, in_collection, reviewed in self._patterns:
                if matches(in_bucket, bucket) and matches(in_collection, collection):
                    return reviewed
        value = self._overrides.get(f"{bucket}.{_REVIEW}")
        return self.review if value is None else _flag(bucket, value)

    @property
    def has_patterns(self) -> bool:
        return bool(self._patterns)

    def singled_out(self, bucket: str, collection: str) -> bool:
        """Whether a pattern fits a collection, so that clients have to be told of it by name."""
        return any(matches(one, bucket) and matches(other, collection) for one, other, _ in self._patterns)

    def as_json(self, singled_out: tuple[tuple[str, str], ...] = ()) -> list[dict[str, Any]]:
        """The resources as the capability shows them: those with settings of their own by name too."""
        shown = {resource.source: resource for resource in self.all}
        places = [_owner(key).split(".") for key in self._overrides if "(" not in key]
        named = [(place[0], place[1]) for place in places if len(place) == 2]
        for bucket, collection in (*named, *singled_out):
            general = self._by_source.get(Place(bucket, None))
            if general is not None and Place(bucket, collection) not in shown:
                targets = [Place(place.bucket, collection) for place in general.targets]
                preview = targets[0] if general.preview is not None else None
                shown[Place(bucket, collection)] = Resource(Place(bucket, collection), preview, targets[-1])
        result = []
        for source, resource in shown.items():
            reviewed = self._reviewed(*source)
            own = {} if reviewed == self.review else {_REVIEW: reviewed}
            result.append({**resource.as_json(), **own})
        return result


def resources_of(settings: Settings) -> Resources:
    """The resources of a configuration. Raises ValueError for one that contradicts itself."""
    return Resources(settings.sections.get("signing") or SigningSettings())


def kinto_names(resources: str) -> Iterator[str]:
    """The keys of a Kinto ini for what sources can have of their own; wrong lines have no sources."""
    for line in resources.splitlines():
        with suppress(ValueError):
            bucket, collection = parse_line(line).source
            for place in (bucket,) if collection is None else (bucket, f"{bucket}.{collection}"):
                yield from (f"signer.{place}.{name}" for name in OWN)


def parse_line(line: str) -> Resource:
    """The resource that a line of the setting describes. Raises ValueError."""
    uris = [uri for uri in _SEPARATORS.split(line.strip()) if uri]
    if len(uris) not in (2, 3):
        raise ValueError(
            f"{line.strip()!r} is not `source -> destination` or `source -> preview -> destination`"
        )
    places = [_place(uri) for uri in uris]
    if len({place.collection is None for place in places}) > 1:
        raise ValueError(f"{line.strip()!r} names buckets and collections")
    if len(set(places)) < len(places):
        raise ValueError(f"{line.strip()!r} names the same twice")
    return Resource(places[0], places[1] if len(places) == 3 else None, places[-1])


def _place(uri: str) -> Place:
    parts = uri.strip("/").split("/")
    if parts[0] == "buckets" and len(parts) in (2, 4):
        parts = parts[1::2] if len(parts) == 2 or parts[2] == "collections" else []
    elif uri.startswith("/"):
        parts = []
    if len(parts) not in (1, 2) or not BUCKET.accepts(parts[0]) or not COLLECTION.accepts(parts[-1]):
        raise ValueError(f"{uri!r} is no bucket or collection")
    return Place(parts[0], parts[1] if len(parts) == 2 else None)


def _check(resources: list[Resource]) -> None:
    """Refuse lines that would publish to, or from, the same place."""
    sources = [resource.source for resource in resources]
    targets = [target for resource in resources for target in resource.targets]
    for places, role in ((sources, "source"), (targets, "preview or destination")):
        twice = next((place for place in places if places.count(place) > 1), None)
        if twice is not None:
            raise ValueError(f"{_shown(twice)} is more than once a {role}")
    both = set(sources) & set(targets)
    if both:
        raise ValueError(f"{_shown(both.pop())} is a source and a preview or destination")


def _shown(place: Place) -> str:
    return "/".join(part for part in place if part is not None)


def _owner(key: str) -> str:
    """`BUCKET`, or `BUCKET.COLLECTION`, whose setting an override is; nothing for one of all sources."""
    return next((key.removesuffix(f".{name}") for name in OWN if key.endswith(f".{name}")), "")


def _is_pattern(key: str) -> bool:
    return "(" in key and key.endswith(f".{_REVIEW}")


def _pattern(key: str, value: Any) -> tuple[str, str, bool]:
    """The patterns of buckets and collections in the name of an override. Raises ValueError."""
    match = _PATTERN_PLACE.fullmatch(key.removesuffix(f".{_REVIEW}"))
    if match is None:
        raise ValueError(f"overrides: {key!r} is not BUCKET.COLLECTION.{_REVIEW}")
    patterns = [f"^(?:{part})$" if "(" in part else part for part in match.groups()]
    for pattern in patterns:
        wrong = pattern_error(pattern)
        if wrong is not None:
            raise ValueError(f"overrides: {key!r} is {wrong}")
    return patterns[0], patterns[1], _flag(key, value)


def _flag(key: str, value: Any) -> bool:
    if isinstance(value, bool):
        return value
    text = str(value).strip().lower()
    if text not in (*_YES, *_NO):
        raise ValueError(f"overrides: {key!r} must be true or false")
    return text in _YES
