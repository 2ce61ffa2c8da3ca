"""Accounts as the command line makes them: straight in the store, without a running server."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from kintoun.features.accounts import MASK, hash_password
from kintoun.features.accounts.tokens import token_id, token_text
from kintoun.model import json
from kintoun.model.kinds import ACCOUNT, TOKEN
from kintoun.model.paths import ACCOUNTS, CREDENTIALS, ListPath, Path
from kintoun.model.permissions import NO_GRANTS, acl_text
from kintoun.model.query import EVERYTHING
from kintoun.storage import Store
from kintoun.storage.needs import Needs
from kintoun.storage.rows import Page, Wanted
from kintoun.storage.unit import Unit


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


@dataclass(frozen=True)
class AddToken:
    """The write that adds a token to an account: a `Job` of the store."""

    path: Path
    attributes: dict[str, Any]

    @property
    def needs(self) -> Needs:
        """The list of tokens, and the account."""
        return Needs((self.path.list,), (), self.path.lineage)

    async def run(self, unit: Unit) -> bool:
        """Write, and return whether the account is there."""
        account = await unit.object(self.path.lineage[0])
        if account is None or account.deleted:
            return False
        await unit.put(self.path, dict(self.attributes), NO_GRANTS)
        return True


@dataclass(frozen=True)
class RevokeTokens:
    """The write that deletes tokens: a `Job` of the store."""

    paths: Sequence[Path]

    @property
    def needs(self) -> Needs:
        """The tokens and their list."""
        return Needs(tuple({path.list for path in self.paths}), (), tuple(self.paths))

    async def run(self, unit: Unit) -> int:
        """Delete, and return how many there were."""
        revoked = 0
        for path in self.paths:
            row = await unit.object(path)
            if row is not None and not row.deleted:
                await unit.delete(path)
                revoked += 1
        return revoked


def tokens_of(account: str) -> ListPath:
    """The list of an account's tokens."""
    return ListPath(TOKEN, (account,))


async def add_token(store: Store, account: str, attributes: dict[str, Any]) -> str | None:
    """Make a token and return it; None when there is no such account."""
    secret = secrets.token_urlsafe(32)
    path = tokens_of(account).object(token_id(secret))
    return token_text(account, secret) if await store.write(AddToken(path, attributes)) else None


async def revoke_tokens(store: Store, account: str, ids: Sequence[str]) -> int:
    """Delete tokens; returns how many of them there were."""
    place = tokens_of(account)
    revoked: int = await store.write(RevokeTokens([place.object(name) for name in ids]))
    return revoked


async def objects_of(store: Store, place: ListPath, most: int = 10_000) -> list[dict[str, Any]]:
    """The objects of a list in the order of their ids, at most so many."""
    found = await store.read(Wanted(clock=place, page=Page((), EVERYTHING.sort, most)))
    objects = [json.decode(row[3].encode()) for row in found.rows or ()]
    return sorted(objects, key=lambda item: str(item["id"]))
