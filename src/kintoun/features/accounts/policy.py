"""Recognises the owners of accounts, by their password or by a token."""

from __future__ import annotations

import asyncio
import hashlib
import secrets
from collections import OrderedDict
from functools import lru_cache

import structlog

from kintoun.features.accounts.lockout import Lockout
from kintoun.features.accounts.passwords import Hasher, hash_password, is_outdated, verifies
from kintoun.features.accounts.scopes import Scopes
from kintoun.features.accounts.tokens import PREFIX, Bearer, read_token
from kintoun.features.accounts.usage import Usage
from kintoun.http.addresses import Addresses
from kintoun.http.credentials import basic_credentials
from kintoun.http.requests import Request
from kintoun.model import json, timestamps
from kintoun.model.kinds import ACCOUNT
from kintoun.model.paths import CREDENTIALS, Path
from kintoun.model.permissions import NO_GRANTS
from kintoun.resources.identity import REJECTED, Claim, Rejected
from kintoun.storage import Store
from kintoun.storage.needs import Needs
from kintoun.storage.rows import Conflict, Stored, Unavailable, Wanted
from kintoun.storage.unit import Unit

log = structlog.get_logger()

BASICAUTH = "basicauth"

Outcome = Claim | Rejected | None


@lru_cache(maxsize=1)
def _nobodys_hash() -> str:
    return hash_password(secrets.token_hex(16))


def _is_nobodys(password: str) -> bool:
    """What takes as long as verifying a password, for names that have no account."""
    return verifies(password, _nobodys_hash())


class AccountPolicy:
    """Recognises the owners of accounts, and remembers whom it recognised without keeping a password."""

    challenge = 'Basic realm="Realm"'
    name = "account"

    def __init__(
        self,
        addresses: Addresses,
        hasher: Hasher,
        lockout: Lockout,
        usage: Usage,
        *,
        remembered: int,
        equal_time: bool,
        readonly: bool,
    ) -> None:
        """`remembered` is how many credentials a worker remembers; with `equal_time` a name without account
        takes as long as a wrong password; when it is `readonly`, hashes are not renewed."""
        self._addresses = addresses
        self._hasher = hasher
        self._lockout = lockout
        self._usage = usage
        self._most = remembered
        self._equal_time = equal_time
        self._readonly = readonly
        self._key = secrets.token_bytes(32)
        self._remembered: OrderedDict[bytes, Claim] = OrderedDict()
        self._verifying: dict[tuple[bytes, str], asyncio.Task[Outcome]] = {}

    async def identify(self, request: Request, store: Store) -> Outcome:
        header = request.headers.get("authorization")
        if header is None:
            return None
        name = self._name(header)
        claim = self._remembered.get(name)
        if claim is not None:
            self._remembered.move_to_end(name)
        else:
            outcome = await self._recognised(name, request, store)
            if not isinstance(outcome, Claim):
                return outcome
            claim = outcome
        if isinstance(claim.scope, Scopes):
            assert claim.witness is not None, "a token is its own witness"
            if claim.scope.expires is not None and claim.scope.expires <= timestamps.now():
                return REJECTED
            self._usage.note(claim.witness)
        return claim

    async def _recognised(self, name: bytes, request: Request, store: Store) -> Outcome:
        bearer = _bearer(request)
        if bearer is not None:
            return bearer if isinstance(bearer, Rejected) else await self._of_token(name, bearer, store)
        credentials = basic_credentials(request)
        if credentials is None or not ACCOUNT.accepts(credentials[0]):
            return None
        # Requests that come at once with the same credentials wait for one verification.
        address = self._addresses.network(request)
        task = self._verifying.get((name, address))
        if task is None:
            verification = self._of_password(name, *credentials, address, store)
            task = self._verifying[name, address] = asyncio.ensure_future(verification)
            task.add_done_callback(lambda _: self._verifying.pop((name, address), None))
        return await asyncio.shield(task)

    async def _of_token(self, name: bytes, bearer: Bearer, store: Store) -> Outcome:
        [row] = (await store.read(Wanted(points=(bearer.path,)))).points
        if row is None or row.deleted:
            return REJECTED
        token = json.decode(row.body.encode())
        scopes = Scopes(token["scopes"], token["expires"])
        return self._remember(
            name, Claim(f"account:{bearer.account}", bearer.path, row.timestamp, scope=scopes)
        )

    async def _of_password(
        self, name: bytes, user: str, password: str, address: str, store: Store
    ) -> Outcome:
        path = CREDENTIALS.object(user)
        [row] = (await store.read(Wanted(points=(path,)))).points
        if row is None or row.deleted:
            if self._equal_time:
                async with self._lockout.attempt(user, address) as attempt:
                    await self._hasher.run(_is_nobodys, password)
                    await attempt.failed()
            return None
        hashed = json.decode(row.body.encode())["hash"]
        async with self._lockout.attempt(user, address) as attempt:
            if not await self._hasher.run(verifies, password, hashed):
                await attempt.failed()
                return REJECTED
            await attempt.passed()
        timestamp = row.timestamp
        if is_outdated(password, hashed) and not self._readonly:
            timestamp = await self._renew(path, row, password, store)
        return self._remember(name, Claim(f"account:{user}", path, timestamp))

    async def _renew(self, path: Path, row: Stored, password: str, store: Store) -> int:
        """Hash a password that was just verified as new ones are; returns the credential's timestamp."""
        job = _Renewal(path, row.timestamp, await self._hasher.run(hash_password, password))
        try:
            renewed: int | None = await store.write(job)
        except (Unavailable, Conflict) as error:
            log.warning("a password could not be hashed anew", error=str(error))
            renewed = None
        return row.timestamp if renewed is None else renewed

    def _remember(self, name: bytes, claim: Claim) -> Claim:
        self._remembered[name] = claim
        if len(self._remembered) > self._most:
            self._remembered.popitem(last=False)
        return claim

    def _name(self, header: str) -> bytes:
        """What a credential is remembered by, which does not tell what it is."""
        return hashlib.blake2b(header.encode(), key=self._key, digest_size=16).digest()

    def forget(self, request: Request) -> None:
        header = request.headers.get("authorization")
        if header is not None:
            self._remembered.pop(self._name(header), None)


def _bearer(request: Request) -> Bearer | Rejected | None:
    """The token of a request: as `Bearer`, or as the password of its account; None when it has none."""
    scheme, _, text = request.headers.get("authorization", "").partition(" ")
    text = text.strip()
    if scheme.lower() == "bearer":
        return (read_token(text) or REJECTED) if text.startswith(PREFIX) else None
    credentials = basic_credentials(request)
    if credentials is None or not credentials[1].startswith(PREFIX):
        return None
    bearer = read_token(credentials[1])
    return bearer if bearer is not None and bearer.account == credentials[0] else None


class _Renewal:
    """The write that puts another hash of the same password in the place of one; a `Job` of the store.

    It changes nothing that any client sees: the account stays as it was.
    """

    def __init__(self, path: Path, timestamp: int, hashed: str) -> None:
        self._path = path
        self._timestamp = timestamp
        self._hashed = hashed
        self.needs = Needs((CREDENTIALS,), (), (path,))

    async def run(self, unit: Unit) -> int | None:
        """Write, unless the password was changed meanwhile; returns the new timestamp."""
        row = await unit.object(self._path)
        if row is None or row.deleted or row.timestamp != self._timestamp:
            return None
        return (await unit.put(self._path, {"hash": self._hashed}, NO_GRANTS)).row.timestamp
