"""Logins under way: what a state stands for, kept in the database, where every worker can take it, once."""

from __future__ import annotations

import hashlib
from typing import NamedTuple

from kintoun.model.timestamps import now
from kintoun.storage import Store
from kintoun.storage.engine import Transaction

MIGRATIONS = (
    (
        # `id` is a digest, so that who reads the database cannot finish a login; `expires` in milliseconds.
        """CREATE TABLE openid_login (
            id {text} NOT NULL PRIMARY KEY,
            provider {text} NOT NULL,
            callback {text} NOT NULL,
            redirect_uri {text} NOT NULL,
            verifier {text} NOT NULL,
            nonce {text} NOT NULL,
            expires {int} NOT NULL
        )""",
        "CREATE INDEX openid_login_expires ON openid_login (provider, expires)",
    ),
)

SWEEP = 200
"""Most rows that one statement clears away."""

EVERY = 32
"""Logins of a worker between two looks at how many are under way."""

_ADD = (
    "INSERT INTO openid_login (id, provider, callback, redirect_uri, verifier, nonce, expires)"
    " VALUES ($1, $2, $3, $4, $5, $6, $7)"
)
_TAKE = (
    "DELETE FROM openid_login WHERE id = $1"
    " RETURNING provider, callback, redirect_uri, verifier, nonce, expires"
)
_EXPIRED = (
    "DELETE FROM openid_login WHERE id IN"
    " (SELECT id FROM openid_login WHERE provider = $1 AND expires < $2 ORDER BY expires, id LIMIT $3)"
)
_EXCESS = (
    "DELETE FROM openid_login WHERE id IN"
    " (SELECT id FROM openid_login WHERE provider = $1 ORDER BY expires DESC, id DESC LIMIT $3 OFFSET $2)"
)


class Login(NamedTuple):
    """A login under way: where its tokens go, and the secrets that its end has to fit."""

    provider: str
    callback: str
    redirect_uri: str
    verifier: str
    nonce: str


def _id(state: str) -> str:
    return hashlib.sha256(state.encode()).hexdigest()


class Logins:
    """The logins under way, in all workers."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._begun = 0

    async def begin(self, state: str, login: Login, seconds: int, most: int) -> None:
        """Keep a login for `seconds`; of more than `most` of its provider the oldest are given up."""
        expires = now() + seconds * 1000
        self._begun += 1
        sweeps = self._begun % EVERY == 1

        async def act(transaction: Transaction) -> None:
            await transaction.fetch(_ADD, (_id(state), *login, expires))
            if sweeps:
                await transaction.fetch(_EXCESS, (login.provider, most, SWEEP))

        await self._store.transact(act)

    async def take(self, state: str, provider: str) -> Login | None:
        """The login that a state stands for, which is over by that; None when there is none."""

        async def act(transaction: Transaction) -> Login | None:
            rows = await transaction.fetch(_TAKE, (_id(state),))
            if not rows or rows[0][0] != provider or rows[0][5] < now():
                return None
            return Login(*tuple(rows[0])[:5])

        return await self._store.transact(act)

    async def sweep(self, provider: str, most: int) -> None:
        """Clear away what was never finished."""

        async def act(transaction: Transaction) -> None:
            await transaction.fetch(_EXPIRED, (provider, now(), SWEEP))
            await transaction.fetch(_EXCESS, (provider, most, SWEEP))

        rows = await self._store.fetch(
            "SELECT count(*) FROM openid_login WHERE provider = $1 AND expires < $2", (provider, now())
        )
        if rows[0][0]:
            await self._store.transact(act)
