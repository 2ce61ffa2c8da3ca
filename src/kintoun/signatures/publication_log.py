"""The publication log: what was published by whom and when, each entry chained to the one before by its hash.

An entry that is changed, removed, moved or put in between breaks the chain. Whoever can write the database
could make the chain anew from there on; but each entry has a manifest, which is signed, follows the manifest
before it of the same collection, and names an entry before it. So that takes the key of a signer as well, but
for the last entries: what is missing there, an older copy of the log shows, or what is served.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from hashlib import sha256
from typing import Any, Literal, NamedTuple

from kintoun.model import json
from kintoun.model.canonical import canonical
from kintoun.signatures.manifest import Believe, Manifest, Refused, read

START = ""
"""What the first entry has as the hash of the one before."""

Rule = Literal[
    "form",  # it is no entry
    "number",  # an entry is missing, moved, or put in between
    "hash",  # the entry was changed
    "link",  # it does not follow the entry before
    "time",  # it is older than the entry before
    "manifest",  # its manifest is none, or of another collection
    "signature",  # nobody who is trusted has signed its manifest
    "order",  # its manifest does not follow the one before of its collection
    "anchor",  # its manifest names an entry that is not before it
    "copy",  # an older copy of the log has another entry here, or one more
    "end",  # what is served is not in the log
]


class Problem(NamedTuple):
    """What is wrong with the entry of a number."""

    number: int
    rule: Rule
    sentence: str


@dataclass(frozen=True, slots=True)
class Entry:
    """One publication.

    `time` is in milliseconds since the epoch, `user` who did it, `action` what, as `approve`. `manifest` is
    that of the collection, as it is served, in canonical JSON. `previous` is the hash of the entry before,
    `hash` the SHA-256 in hexadecimal of all the others.
    """

    number: int
    time: int
    user: str
    action: str
    bucket: str
    collection: str
    manifest: str
    previous: str
    hash: str = ""

    def sealed(self) -> Entry:
        """The entry with its hash."""
        return replace(self, hash=self.computed())

    def computed(self) -> str:
        """The hash that it should have."""
        fields = asdict(self)
        del fields["hash"]
        return sha256(canonical(fields)).hexdigest()

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def read_entry(value: Any) -> Entry:
    """An entry out of a copy of the log. Raises ValueError."""
    if not isinstance(value, Mapping) or set(value) != set(Entry.__slots__):
        raise ValueError("fields are missing, or there are others")
    for name, each in value.items():
        kind = int if name in ("number", "time") else str
        if not isinstance(each, kind) or isinstance(each, bool):
            raise ValueError(f"`{name}` has another type")
    return Entry(**value)


class Auditor:
    """Follows a log from its beginning; what is wrong with each entry is found when it is added.

    `believe` checks signatures, None leaves them alone. `copy` has the hashes of an older copy by number.
    """

    def __init__(self, believe: Believe | None = None, copy: Mapping[int, str] | None = None) -> None:
        self._believe = believe
        self._copy = dict(copy or {})
        self._hashes: set[str] = {START}
        self._last: Entry | None = None
        self.manifests: dict[tuple[str, str], Manifest] = {}
        """The last manifest of each collection, by bucket and collection."""

    def add(self, entry: Entry) -> Iterator[Problem]:
        """What is wrong with the next entry."""
        found = [*self._chain(entry), *self._manifest(entry)]
        copied = self._copy.pop(entry.number, entry.hash)
        if copied != entry.hash:
            found.append(("copy", "the older copy has another entry here"))
        self._hashes.add(entry.hash)
        self._last = entry
        return (Problem(entry.number, rule, sentence) for rule, sentence in found)

    def end(self, served: Iterable[Manifest] = ()) -> Iterator[Problem]:
        """What is missing behind the last entry; `served` are the manifests that clients are given now."""
        last = self._last.number if self._last is not None else 0
        if self._copy:
            yield Problem(last + 1, "copy", f"the older copy has {len(self._copy)} entries that are missing")
        for manifest in served:
            place = (manifest.bucket, manifest.collection)
            if self.manifests.get(place) != manifest:
                yield Problem(
                    last + 1, "end", f"what is served of {'/'.join(place)} is not the last that was published"
                )

    def _chain(self, entry: Entry) -> Iterator[tuple[Rule, str]]:
        last = self._last
        expected = 1 if last is None else last.number + 1
        if entry.number != expected:
            yield "number", f"entry {expected} should come here"
        if entry.hash != entry.computed():
            yield "hash", "the entry is not what it was when it was written"
        if entry.previous != (START if last is None else last.hash):
            yield "link", "it was written behind another entry than the one before"
        if last is not None and entry.time < last.time:
            yield "time", "it is older than the entry before"

    def _manifest(self, entry: Entry) -> Iterator[tuple[Rule, str]]:
        try:
            value = json.decode(entry.manifest.encode())
            manifest, signatures = read(value)
        except (json.InvalidJSON, Refused) as error:
            yield "manifest", f"its manifest cannot be read: {error}"
            return
        place = (entry.bucket, entry.collection)
        if (manifest.bucket, manifest.collection) != place:
            yield "manifest", "its manifest is of another collection"
            return
        if self._believe is not None:
            try:
                self._believe(manifest.signed(), signatures, manifest.version)
            except Exception as error:
                yield "signature", f"its manifest is not signed: {error}"
        before = self.manifests.get(place)
        expected = "" if before is None else before.digest()
        if manifest.previous != expected or (before is not None and manifest.version <= before.version):
            yield "order", "its manifest does not follow the one before of the collection"
        if manifest.log not in self._hashes:
            yield "anchor", "its manifest names an entry that is not before it"
        self.manifests[place] = manifest


def audit(
    entries: Iterable[Entry],
    *,
    believe: Believe | None = None,
    copy: Mapping[int, str] | None = None,
    served: Iterable[Manifest] = (),
) -> Iterator[Problem]:
    """All that is wrong with a log: see `Auditor`."""
    auditor = Auditor(believe, copy)
    for entry in entries:
        yield from auditor.add(entry)
    yield from auditor.end(served)
