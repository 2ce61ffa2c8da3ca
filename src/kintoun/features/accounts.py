"""Accounts: users with a name and a password, kept as objects (protocol section 9.3).

The hash of a password is never part of the account: it is an object of its own that no URL leads to, written
in the account's transaction. What every reader sees in its place is `MASK`.
"""

from __future__ import annotations

import asyncio
import hashlib
import secrets
from collections import OrderedDict
from typing import Any

import argon2
import bcrypt

from kintoun.http.credentials import basic_credentials
from kintoun.http.requests import Request
from kintoun.model import json
from kintoun.model.changes import Change
from kintoun.model.errors import UNDEFINED, ProtocolError, invalid
from kintoun.model.kinds import ACCOUNT, CREDENTIAL
from kintoun.model.paths import CREDENTIALS, Path
from kintoun.model.permissions import NO_GRANTS
from kintoun.plugin import Plugin, Registry
from kintoun.resources.context import Context, Rules, Work
from kintoun.resources.identity import Claim
from kintoun.settings import Policy as PolicySettings
from kintoun.settings import Settings
from kintoun.storage import Store
from kintoun.storage.rows import Wanted

MASK = "**********"

_HASH = "accounts.hash"

# The first parameters that OWASP recommends: 19 MiB keep many logins at once from exhausting a worker.
_argon2 = argon2.PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)


def hash_password(password: str) -> str:
    """The hash of a password of any length; takes some 20 ms of CPU."""
    return _argon2.hash(password)


def verifies(password: str, hashed: str) -> bool:
    """Whether a password is the one that was hashed, by argon2 or by the bcrypt of imported accounts."""
    try:
        if hashed.startswith("$argon2"):
            return _argon2.verify(hashed, password)
        # bcrypt looked at no more than 72 bytes when it hashed, and refuses more today.
        return bcrypt.checkpw(password.encode()[:72], hashed.encode())
    except (argon2.exceptions.VerificationError, argon2.exceptions.InvalidHashError, ValueError):
        return False


def user_id(path: Path) -> str:
    """The principal of an account."""
    return f"account:{path.id}"


class AccountPolicy:
    """Recognises the owners of accounts, and remembers whom it recognised without keeping a password."""

    challenge = 'Basic realm="Realm"'
    name = "account"

    REMEMBERED = 10_000
    """Credentials that a worker remembers."""

    def __init__(self, policy: PolicySettings, settings: Settings) -> None:
        self._key = secrets.token_bytes(32)
        self._claims: OrderedDict[bytes, Claim] = OrderedDict()
        self._verifying: dict[bytes, asyncio.Task[Claim | None]] = {}

    async def identify(self, request: Request, store: Store) -> Claim | None:
        header = request.headers.get("authorization")
        if header is None:
            return None
        name = self._name(header)
        claim = self._claims.get(name)
        if claim is not None:
            return claim
        credentials = basic_credentials(request)
        if credentials is None or not ACCOUNT.accepts(credentials[0]):
            return None
        # Requests that come at once with the same credentials wait for one verification.
        task = self._verifying.get(name)
        if task is None:
            task = self._verifying[name] = asyncio.ensure_future(self._verify(name, *credentials, store))
            task.add_done_callback(lambda _: self._verifying.pop(name, None))
        return await asyncio.shield(task)

    async def _verify(self, name: bytes, user: str, password: str, store: Store) -> Claim | None:
        path = CREDENTIALS.object(user)
        [row] = (await store.read(Wanted(points=(path,)))).points
        if row is None or row.deleted:
            return None
        hashed = json.decode(row.body.encode())["hash"]
        if not await asyncio.to_thread(verifies, password, hashed):
            return None
        claim = Claim(f"account:{user}", path, row.timestamp)
        self._claims[name] = claim
        if len(self._claims) > self.REMEMBERED:
            self._claims.popitem(last=False)
        return claim

    def _name(self, header: str) -> bytes:
        """What a credential is remembered by, which does not tell what it is."""
        return hashlib.blake2b(header.encode(), key=self._key, digest_size=16).digest()

    def forget(self, request: Request) -> None:
        header = request.headers.get("authorization")
        if header is not None:
            self._claims.pop(self._name(header), None)


async def prepare(context: Context, data: dict[str, Any]) -> dict[str, Any]:
    """Hash a password outside of any transaction, and put the mask in its place."""
    password = data.get("password")
    if not isinstance(password, str) or not password:
        return data
    if password == MASK:
        raise invalid("body", "data.password", "This is what hides a password, it cannot be one")
    context.notes[_HASH] = await asyncio.to_thread(hash_password, password)
    return {**data, "password": MASK}


async def keep_credential(work: Work, change: Change) -> None:
    """Write the hash in the transaction that writes the account, and delete it with the account."""
    path = Path(CREDENTIAL, change.path.ids)
    if change.action == "delete":
        if (row := await work.unit.object(path)) is not None and not row.deleted:
            await work.unit.delete(path)
        return
    assert change.new.get("password") == MASK, "no password is ever stored"
    hashed = work.context.notes.get(_HASH)
    if hashed is not None:
        await work.unit.put(path, {"hash": hashed}, NO_GRANTS)


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


class Accounts(Plugin):
    """Accounts and the policy that recognises their owners."""

    name = "accounts"

    def setup(self, registry: Registry, settings: Any) -> None:
        rules = Rules(
            prepare=prepare,
            author=user_id,
            may_create=may_create,
            check_list=check_list,
            sees_all=sees_all,
            data_required=True,
            open_grants=True,
        )
        registry.kind(ACCOUNT, rules)
        registry.before_commit(keep_credential, ACCOUNT)
        registry.policy("account", AccountPolicy)
        registry.capability(
            "accounts",
            "Manage user accounts.",
            f"{registry.settings.project.docs}reference/authentication/",
            validation_enabled=False,
        )
