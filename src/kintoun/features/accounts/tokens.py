"""API tokens: objects below their account, of which only a digest of the secret is kept.

The id of a token is the digest, so that a request that bears the secret finds the token by its path, and that
path is the witness of the claim: a token that is revoked counts for nothing at once, in every worker. Tokens
are made and revoked, never changed; so what was decided by the scopes of one stays decided.
"""

from __future__ import annotations

import binascii
import hashlib
import secrets
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any, NamedTuple

from kintoun.features.accounts.scopes import is_scope
from kintoun.features.accounts.settings import AccountsSection
from kintoun.http.answers import Answer
from kintoun.http.credentials import OF_ACCOUNTS
from kintoun.http.requests import Request
from kintoun.http.routing import Endpoint
from kintoun.model import json, timestamps
from kintoun.model.attributes import shown, string_error
from kintoun.model.changes import Change
from kintoun.model.errors import FORBIDDEN, Detail, InvalidParameters, ProtocolError
from kintoun.model.kinds import ACCOUNT, TOKEN
from kintoun.model.paths import Path
from kintoun.resources.context import Context, Work
from kintoun.resources.endpoints import endpoints_of
from kintoun.resources.post import post_object
from kintoun.resources.rules import Rules

PREFIX = OF_ACCOUNTS
"""By this people, and programs that look for leaked secrets, recognise a token."""

DAY = 86_400_000
MAX_NAME = 200
MAX_SCOPES = 50

_FIELDS = frozenset(("name", "scopes", "expires"))


class Bearer(NamedTuple):
    """What the text of a token says: whose it is, and its id."""

    account: str
    id: str

    @property
    def path(self) -> Path:
        return Path(TOKEN, (self.account, self.id))


def token_text(account: str, secret: str) -> str:
    """A token as its bearer sends it."""
    return f"{PREFIX}{urlsafe_b64encode(account.encode()).decode().rstrip('=')}.{secret}"


def token_id(secret: str) -> str:
    """The id of the token with this secret. It has 256 bits of chance, so a plain digest cannot be undone."""
    return hashlib.sha256(secret.encode()).hexdigest()[:40]


def read_token(text: str) -> Bearer | None:
    """What a token says; None for a text that is none."""
    encoded, dot, secret = text.removeprefix(PREFIX).partition(".")
    if not text.startswith(PREFIX) or not dot or not text.isascii():
        return None
    try:
        account = urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4)).decode()
    except (binascii.Error, ValueError):
        return None
    if not ACCOUNT.accepts(account) or token_text(account, secret) != text:
        return None
    return Bearer(account, token_id(secret))


async def issue(context: Context, request: Request) -> Answer:
    """POST on the tokens of an account: make one. Its secret is in this answer, and nowhere else."""
    secret = secrets.token_urlsafe(32)
    request.new_id = token_id(secret)
    answer = await post_object(TOKEN, context, request)
    if answer.status != 201:
        return answer
    body = json.decode(answer.body)
    body["data"]["token"] = token_text(request.parameters[0], secret)
    return Answer(201, json.encode(body), answer.headers, exposed=answer.exposed)


class TokenRules:
    """What is particular to tokens."""

    def __init__(self, settings: AccountsSection) -> None:
        self._settings = settings

    def rules(self) -> Rules:
        return Rules(prepare=self.prepare, author=_nobody, data_required=True)

    def endpoints(self, disabled: list[str]) -> tuple[Endpoint, ...]:
        """The endpoints of tokens: POST makes a secret, and there is no way to change a token."""
        plural, single = endpoints_of(TOKEN, disabled)
        made: dict[str, Callable[[Any, Request], Awaitable[Answer]]] = dict(plural.methods)
        if "POST" in made:
            made["POST"] = issue
        kept = {name: handler for name, handler in single.methods.items() if name not in ("PUT", "PATCH")}
        return replace(plural, methods=made), replace(single, methods=kept)

    async def prepare(self, context: Context, path: Path | None, data: dict[str, Any]) -> dict[str, Any]:
        """The attributes of a new token, complete. Raises InvalidParameters."""
        return token_attributes(data, self._settings)

    async def limit(self, work: Work, change: Change) -> None:
        """Refuse a token beyond the number that an account may have. The list is locked, so it is exact."""
        if change.action != "create":
            return
        clock = await work.unit.standing(change.path.list)
        if clock.live > self._settings.tokens:
            message = f"An account has at most {self._settings.tokens} tokens."
            raise ProtocolError(403, FORBIDDEN, message)


def token_attributes(data: dict[str, Any], settings: AccountsSection) -> dict[str, Any]:
    """The attributes of a new token, complete. Raises InvalidParameters."""
    wrong = [
        Detail("body", f"data.{name}", "Not an attribute that can be set")
        for name in data
        if name not in _FIELDS
    ]
    wrong += _name_errors(data.get("name"))
    wrong += _scope_errors(data.get("scopes"))
    days = min(settings.token_days, settings.token_days_most or settings.token_days)
    expires = data["expires"] if "expires" in data else timestamps.now() + days * DAY
    error = _expiry_error(expires, settings.token_days_most)
    if error is not None:
        wrong.append(Detail("body", "data.expires", error))
    if wrong:
        raise InvalidParameters(*wrong)
    return {"name": data["name"], "scopes": sorted(set(data["scopes"])), "expires": expires}


def _expiry_error(expires: Any, most: int) -> str | None:
    if expires is None:
        return "Required: tokens expire here" if most else None
    if type(expires) is not int:
        return f'"{shown(expires)}" is not a timestamp in milliseconds'
    now = timestamps.now()
    if expires <= now:
        return "Is not in the future"
    if expires > (now + most * DAY if most else timestamps.LATEST):
        return f"Is more than {most} days away" if most else "Is beyond the year 9999"
    return None


def _nobody(_: Path) -> None:
    """Tokens have no ACL: who may write the account may do everything with them."""


def _name_errors(name: Any) -> list[Detail]:
    error = string_error(name, "name")
    if error is None and len(name) > MAX_NAME:
        error = f"Longer than {MAX_NAME} characters"
    return [Detail("body", "data.name", error)] if error is not None else []


def _scope_errors(scopes: Any) -> list[Detail]:
    if not isinstance(scopes, list) or not scopes:
        return [Detail("body", "data.scopes", "Required: a list of scopes, such as read:/")]
    if len(scopes) > MAX_SCOPES:
        return [Detail("body", "data.scopes", f"More than {MAX_SCOPES} scopes")]
    return [
        Detail("body", f"data.scopes.{n}", f'"{shown(scope)}" is not a scope')
        for n, scope in enumerate(scopes)
        if not isinstance(scope, str) or not is_scope(scope)
    ]
