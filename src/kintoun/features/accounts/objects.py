"""Accounts: users with a name and a password, kept as objects (protocol section 9.3).

The hash of a password is never part of the account: it is an object of its own that no URL leads to, written
in the account's transaction. What every reader sees in its place is `MASK`.
"""

from __future__ import annotations

from typing import Any

from kintoun.features.accounts.passwords import Hasher, hash_password
from kintoun.model.attributes import MAX_PASSWORD_BYTES
from kintoun.model.changes import Change
from kintoun.model.errors import UNDEFINED, ProtocolError, invalid
from kintoun.model.kinds import ACCOUNT, CREDENTIAL
from kintoun.model.paths import Path
from kintoun.model.permissions import NO_GRANTS
from kintoun.resources.context import Context, Work
from kintoun.resources.rules import Rules
from kintoun.storage.rows import Wanted

MASK = "**********"

_PASSWORD = "accounts.password"  # noqa: S105 - the name of a note
_HASH = "accounts.hash"


def user_id(path: Path) -> str:
    """The principal of an account."""
    return f"account:{path.id}"


class AccountRules:
    """What is particular to accounts, and the hook that keeps their credentials."""

    def __init__(self, hasher: Hasher) -> None:
        self._hasher = hasher

    def rules(self) -> Rules:
        return Rules(
            prepare=self.prepare,
            author=user_id,
            may_create=may_create,
            check_list=check_list,
            sees_all=sees_all,
            data_required=True,
            open_grants=True,
        )

    async def prepare(self, context: Context, path: Path | None, data: dict[str, Any]) -> dict[str, Any]:
        """Put the mask in the place of a password, and hash it outside of any transaction.

        Only for callers who may set it, as far as that can be told now: nobody else makes the server hash.
        """
        password = data.get("password")
        if not isinstance(password, str) or not password:
            return data
        if password == MASK:
            raise invalid("body", "data.password", "This is what hides a password, it cannot be one")
        if len(password.encode()) > MAX_PASSWORD_BYTES:
            raise invalid("body", "data.password", f"Longer than {MAX_PASSWORD_BYTES} bytes")
        notes = context.notes
        if notes.get(_PASSWORD) != password:
            notes[_PASSWORD] = password
            notes[_HASH] = None
        if notes[_HASH] is None and path is not None and await _may_set(context, path):
            notes[_HASH] = await self._hasher.run(hash_password, password)
        return {**data, "password": MASK}

    async def keep_credential(self, work: Work, change: Change) -> None:
        """Write the hash in the transaction that writes the account, and delete it with the account."""
        path = Path(CREDENTIAL, change.path.ids)
        if change.action == "delete":
            if (row := await work.unit.object(path)) is not None and not row.deleted:
                await work.unit.delete(path)
            return
        assert change.new.get("password") == MASK, "no password is ever stored"
        notes = work.context.notes
        if _PASSWORD not in notes:
            return
        if notes[_HASH] is None:  # the caller came to have the right after it was looked at
            notes[_HASH] = await self._hasher.run(hash_password, notes[_PASSWORD])
        await work.unit.put(path, {"hash": notes[_HASH]}, NO_GRANTS)


async def _may_set(context: Context, path: Path) -> bool:
    """Whether the caller may write an account, or make it."""
    [own] = (await context.load(Wanted(points=(path,)))).points
    access, principals = context.service.access, context.principals
    if own is not None and not own.deleted:
        return context.request.method != "POST" and access.may_write(ACCOUNT, (), own, principals)
    return context.request.method != "PATCH" and access.may_create(ACCOUNT, (), principals)


def may_create(context: Context, path: Path) -> None:
    """Users make an account of their own name only, unless they manage accounts."""
    manages = context.service.access.given(ACCOUNT, ("write",), context.principals)
    if not context.anonymous and not manages and context.user != user_id(path):
        raise invalid("body", "data.id", "Username and account ID do not match.")


def check_list(context: Context) -> None:
    if context.anonymous:
        raise ProtocolError(401, UNDEFINED, error="Cannot read accounts.")


def sees_all(context: Context) -> bool:
    access, principals = context.service.access, context.principals
    return access.given(ACCOUNT, ("read",), principals) and access.given(ACCOUNT, ("write",), principals)
