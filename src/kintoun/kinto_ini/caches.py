"""The keys that tell how long anonymous answers may be cached (protocol section 1.7)."""

from __future__ import annotations

import re
from collections.abc import Iterator

from kintoun.kinto_ini.reading import Entry

DOTTED = re.compile(r"((?P<scope>.+)\.)?(?P<resource>bucket|collection|group|record)_cache_expires_seconds$")
BOUNDS = re.compile(r"(?P<scope>.+\..+)\.record_cache_(?P<bound>minimum|maximum)_expires_seconds$")
JOINED = re.compile(r"(?P<scope>.+)_record_cache_expires_seconds$")


def cache_expires(keys: dict[str, Entry]) -> Iterator[tuple[str, str, Entry]]:
    """Take the cache keys out of `keys`: (key of `cache_expires`, its text, where it stood).

    Kinto's older spelling `BUCKET_COLLECTION_record_…` does not tell where the bucket's id ends: it becomes
    every reading that Kinto would give it, unless a key that Kinto looks at earlier decides already.
    """
    for key in list(keys):
        bound = BOUNDS.match(key)
        entry = keys.pop(key) if bound is not None else None
        if bound is not None and entry is not None and entry.text.strip():
            yield f"{bound['scope']}.record_{bound['bound']}", entry.text, entry
    found: dict[str, tuple[str, Entry]] = {}
    older: dict[str, Entry] = {}
    for key in list(keys):
        match = DOTTED.match(key)
        if match is not None:
            entry = keys.pop(key)
            if entry.text.strip():
                name = (
                    match["resource"] if match["scope"] is None else f"{match['scope']}.{match['resource']}"
                )
                found[name] = (entry.text, entry)
        elif JOINED.match(key):
            older[key] = keys.pop(key)
    for name, (text, entry) in found.items():
        yield name, text, entry
    if "record" in found:
        return
    decided = set(found)
    readings = [(name, entry) for key, entry in older.items() for name in _readings(key)]
    for name, entry in sorted(readings, key=lambda reading: -reading[0].count(".")):
        bucket = name.split(".")[0]
        if entry.text.strip() and name not in decided and f"{bucket}.record" not in found:
            decided.add(name)
            yield name, entry.text, entry


def _readings(key: str) -> Iterator[str]:
    match = JOINED.match(key)
    parts = match["scope"].split("_") if match else []
    for cut in range(1, len(parts)):
        yield f"{'_'.join(parts[:cut])}.{'_'.join(parts[cut:])}.record"
    yield f"{'_'.join(parts)}.record"
