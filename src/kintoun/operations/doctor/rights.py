"""Rights: that permissions and members are found by whom they name, and objects are what their rows say."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

import msgspec

from kintoun.model import json
from kintoun.model.permissions import parse_acl
from kintoun.operations.acls import missing_entries
from kintoun.operations.doctor.findings import Finding, Patient, Repair
from kintoun.operations.kinto_copy import acl_entries
from kintoun.operations.purge_entries import used_by_features
from kintoun.operations.tables import acl_columns
from kintoun.storage.engine import Transaction
from kintoun.storage.outgoing import digest

_UNUSED = "SELECT e.acl FROM acl_entry e WHERE NOT EXISTS (SELECT 1 FROM object o WHERE o.acl = e.acl)"
_NAMES = "SELECT acl, min(grants), max(grants) FROM object GROUP BY acl"
_ENTRY = "INSERT INTO acl_entry (principal, permission, acl) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING"
_LOST_MEMBERS = (
    "SELECT m.list, m.id, count(*) FROM member m WHERE NOT EXISTS (SELECT 1 FROM object o"
    " WHERE o.list = m.list AND o.id = m.id AND o.deleted = 0)"
    " AND NOT EXISTS (SELECT 1 FROM unlinked u WHERE u.list = m.list) GROUP BY m.list, m.id"
)
_GROUPS = (
    "SELECT k.path, k.list, o.id, o.body FROM clock k JOIN object o ON o.list = k.list"
    " WHERE k.path = '/buckets/' || k.bucket || '/groups' AND o.deleted = 0"
)
_MEMBERS = "SELECT principal FROM member WHERE list = $1 AND id = $2"
_OBJECTS = "SELECT k.path, o.id, o.ts, o.deleted, o.body FROM clock k JOIN object o ON o.list = k.list"


async def check_permissions(patient: Patient) -> AsyncIterator[Finding]:
    """The entries of every ACL are there, under the digest of its text."""
    async for rows in patient.snapshot.scan(_NAMES):
        for name, least, most in rows:
            try:
                parse_acl(least)
            except msgspec.MsgspecError as error:
                yield Finding("permissions", "error", f"permissions that cannot be read: {least!r}: {error}")
            if least != most or bytes(name) != digest(least):
                yield Finding(
                    "permissions", "error", f"objects stand under the permissions of others: {least}"
                )
    for grants in await missing_entries(patient.snapshot):
        text = f"objects with these permissions are not found by those whom they name: {grants}"
        yield Finding("permissions", "error", text, _add_entries(grants))
    columns = await acl_columns(patient.snapshot, patient.store.engine.dialect, patient.versions)
    used = await used_by_features(patient.snapshot, columns)
    unused = 0
    async for rows in patient.snapshot.scan(_UNUSED):
        unused += sum(bytes(row[0]) not in used for row in rows)
    if unused:
        text = f"{unused} entries of permissions that nothing has: `kintoun purge --permissions` removes them"
        yield Finding("permissions", "note", text)


def _add_entries(grants: str) -> Repair:
    async def repair(transaction: Transaction) -> None:
        with suppress(msgspec.MsgspecError):  # what cannot be read has been reported, and has no entries
            await transaction.execute_many(_ENTRY, list(acl_entries(grants)))

    return repair


async def check_members(patient: Patient) -> AsyncIterator[Finding]:
    """Who is found as a member of a group is one, and the other way round."""
    async for rows in patient.snapshot.scan(_LOST_MEMBERS):
        for number, group, count in rows:
            text = f"{count} members of a group {group!r} that is not there (list {number})"
            yield Finding("members", "error", text, _rewrite_members(None, number, group))
    async for rows in patient.snapshot.scan(_GROUPS):
        for path, number, group, body in rows:
            named = _members_of(body)
            found = {row[0] for row in await patient.snapshot.fetch(_MEMBERS, (number, group))}
            if found != named:
                text = f"{path}/{group}: has {len(named)} members, {len(found & named)} of them are found"
                text += f", and {len(found - named)} others" if found - named else ""
                yield Finding("members", "error", text, _rewrite_members(path, number, group))


def _members_of(body: str) -> set[str]:
    members = json.decode(body.encode()).get("members") or []
    return {member for member in members if isinstance(member, str)}


def _rewrite_members(path: str | None, number: int, group: str) -> Repair:
    async def repair(transaction: Transaction) -> None:
        if path is not None:
            await transaction.lock([path], ())
        rows = await transaction.fetch(
            "SELECT body FROM object WHERE list = $1 AND id = $2 AND deleted = 0", (number, group)
        )
        await transaction.fetch("DELETE FROM member WHERE list = $1 AND id = $2", (number, group))
        members = sorted(_members_of(rows[0][0])) if rows else []
        sql = "INSERT INTO member (principal, list, id) VALUES ($1, $2, $3)"
        await transaction.execute_many(sql, [(member, number, group) for member in members])

    return repair


async def check_bodies(patient: Patient) -> AsyncIterator[Finding]:
    """Every object is JSON, and says of itself what its row says."""
    async for rows in patient.snapshot.scan(_OBJECTS):
        for path, object_id, timestamp, deleted, body in rows:
            wrong = _wrong_with(object_id, timestamp, deleted, body)
            if wrong:
                yield Finding("objects", "error", f"{path}/{object_id}: {wrong}")


def _wrong_with(object_id: str, timestamp: int, deleted: int, body: str) -> str | None:
    try:
        value: Any = json.decode(body.encode(), max_depth=900)
    except json.InvalidJSON as error:
        return f"is no JSON: {error}"
    if not isinstance(value, dict):
        return "is no JSON object"
    if (value.get("id"), value.get("last_modified")) != (object_id, timestamp):
        return f"says that it is {value.get('id')!r} at {value.get('last_modified')}"
    if deleted and value != {"id": object_id, "last_modified": timestamp, "deleted": True}:
        return "is a tombstone, and has attributes"
    return None
