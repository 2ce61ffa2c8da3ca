"""Accounts as the command line makes them: straight in the store, without a running server."""

from __future__ import annotations

import secrets
from dataclasses import dataclass

from kintoun.features.accounts import MASK, hash_password
from kintoun.model.kinds import ACCOUNT
from kintoun.model.paths import ACCOUNTS, CREDENTIALS
from kintoun.model.permissions import NO_GRANTS, acl_text
from kintoun.storage import Store
from kintoun.storage.unit import Needs, Unit


def made_up_password() -> str:
    """A password that nobody guesses."""
    return secrets.token_urlsafe(12)


def is_account_name(name: str) -> bool:
    """Whether an account can be called so."""
    return ACCOUNT.accepts(name)


@dataclass(frozen=True)
class PutAccount:
    """The write that makes an account, or sets its password with `overwrite`: a `Job` of the store."""

    name: str
    hashed: str
    overwrite: bool

    @property
    def needs(self) -> Needs:
        """The account, its credential, and their lists."""
        points = (ACCOUNTS.object(self.name), CREDENTIALS.object(self.name))
        return Needs((ACCOUNTS, CREDENTIALS), (), points)

    async def run(self, unit: Unit) -> bool:
        """Write, and return whether anything was written."""
        path = ACCOUNTS.object(self.name)
        present = await unit.object(path)
        if present is not None and not present.deleted:
            if not self.overwrite:
                return False
        else:
            grants = {"write": [f"account:{self.name}"]}
            await unit.put(path, {"password": MASK}, acl_text(grants))
        await unit.put(CREDENTIALS.object(self.name), {"hash": self.hashed}, NO_GRANTS)
        return True


@dataclass(frozen=True)
class DeleteAccount:
    """The write that deletes an account: a `Job` of the store."""

    name: str

    @property
    def needs(self) -> Needs:
        """The account, its credential, and their lists."""
        points = (ACCOUNTS.object(self.name), CREDENTIALS.object(self.name))
        return Needs((ACCOUNTS, CREDENTIALS), (), points)

    async def run(self, unit: Unit) -> bool:
        """Delete, and return whether the account was there."""
        paths = (ACCOUNTS.object(self.name), CREDENTIALS.object(self.name))
        rows = [await unit.object(path) for path in paths]
        for path, row in zip(paths, rows, strict=True):
            if row is not None and not row.deleted:
                await unit.delete(path)
        return rows[0] is not None and not rows[0].deleted


async def add_account(store: Store, name: str, password: str, *, overwrite: bool = False) -> bool:
    """Make an account, or set its password with `overwrite`; returns whether anything was written."""
    written: bool = await store.write(PutAccount(name, hash_password(password), overwrite))
    return written


async def delete_account(store: Store, name: str) -> bool:
    """Delete an account; returns whether it was there."""
    deleted: bool = await store.write(DeleteAccount(name))
    return deleted
