"""Files: that there are bytes for all that records name, and that they are what they were."""

from __future__ import annotations

from collections.abc import AsyncIterator
from hashlib import sha256

from kintoun.files import BackendFailed, Files, files_at
from kintoun.operations.doctor.findings import Finding, Patient

FEATURE = "attachments"
READ_AGAIN = 20
"""Files whose bytes are read: those that were kept last."""

LISTED = 5

_BLOBS = "SELECT b.sha256, b.key, b.size, length(c.bytes) FROM blob b LEFT JOIN content c ON c.key = b.key"
_KEYS = "SELECT key FROM variant WHERE key IS NOT NULL UNION ALL SELECT key FROM loose"
_NEWEST = f"SELECT sha256, key, size FROM blob ORDER BY created DESC LIMIT {READ_AGAIN}"
_WITHOUT_BLOB = (
    "SELECT l.location FROM location l WHERE NOT EXISTS (SELECT 1 FROM blob b WHERE b.sha256 = l.sha256)"
)
_WITHOUT_LOCATION = (
    "SELECT k.path, r.id, r.location FROM reference r JOIN clock k ON k.list = r.list"
    " WHERE NOT EXISTS (SELECT 1 FROM location l WHERE l.location = r.location)"
)


async def check_files(patient: Patient) -> AsyncIterator[Finding]:
    """The bytes of every file are there, as many as there should be; those kept last are read again."""
    section = patient.settings.sections.get(FEATURE)
    if section is None or FEATURE not in patient.versions.features:
        return
    for row in await patient.snapshot.fetch(_WITHOUT_BLOB):
        yield Finding("files", "error", f"{row[0]} stands for content that is not known")
    for path, record, location in await patient.snapshot.fetch(_WITHOUT_LOCATION):
        yield Finding("files", "error", f"{path}/{record} refers to {location}, which is not known")
    try:
        async for finding in _compared(patient, files_at(patient.store, patient.settings, section)):
            yield finding
    except (BackendFailed, ValueError) as error:
        yield Finding("files", "error", f"the store of files is not available: {error}")


async def _compared(patient: Patient, files: Files) -> AsyncIterator[Finding]:
    sizes = {each.key: each.size async for each in files.backend.walk()}
    missing: set[str] = set()
    async for rows in patient.snapshot.scan(_BLOBS):
        for digest, key, size, small in rows:
            if (sizes.pop(key, None) if small is None else small) != size:
                missing.add(key)
                yield Finding("files", "error", f"the bytes of {digest} are gone, or too few: {key}")
    async for rows in patient.snapshot.scan(_KEYS):
        for row in rows:
            sizes.pop(row[0], None)
    if sizes:
        some = ", ".join(sorted(sizes)[:LISTED])
        text = f"{len(sizes)} files ({sum(sizes.values()):,} bytes) in the store are not known here: {some}"
        yield Finding("files", "note", text)
    for digest, key, size in await patient.snapshot.fetch(_NEWEST):
        if key not in missing and await _digest(files, key, size) not in (digest, None):
            yield Finding("files", "error", f"the bytes of {digest} are not what they were: {key}")


async def _digest(files: Files, key: str, size: int) -> str | None:
    """The digest of the bytes under a key; None when they were swept meanwhile."""
    found = sha256()
    try:
        async for part in files.read_key(key, 0, size):
            found.update(part)
    except KeyError:
        return None
    return found.hexdigest()
