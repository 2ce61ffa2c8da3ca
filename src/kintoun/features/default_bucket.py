"""The personal bucket: `/buckets/default` is a bucket of the caller's own, made when it is first touched.

Its collections are made at first touch too (protocol section 7). What is there already costs nothing: whether
the bucket and the collection are there comes with the storage call that a request makes anyway. Only when
something is missing a write makes it, under the clocks of the lists it stands in, so that of requests that
come at once one creates, and the others find.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Awaitable, Callable, Sequence
from functools import lru_cache
from typing import Annotated, Any
from uuid import UUID

import structlog
from msgspec import Meta

from kintoun.http.answers import Answer
from kintoun.http.requests import Request
from kintoun.http.routing import Handler
from kintoun.model.changes import Change
from kintoun.model.errors import InvalidParameters, invalid
from kintoun.model.kinds import BUCKET, COLLECTION
from kintoun.model.paths import Path, bucket_path, collection_path
from kintoun.model.permissions import NO_GRANTS
from kintoun.plugin import Plugin, Registry
from kintoun.resources.aliases import path_of
from kintoun.resources.context import Context, Work
from kintoun.resources.dispatch import method_not_allowed
from kintoun.resources.writing import body_of, needs_of, owned, write
from kintoun.settings import Section
from kintoun.storage.needs import Needs
from kintoun.storage.rows import Conflict, Found, Stored, Wanted

log = structlog.get_logger()

ALIAS = "default"

IDENTIFICATIONS = 3
"""How often a request may turn out to be somebody else's than its credentials said before."""

CREATIONS = 5
"""How often what a write needs is made, when somebody deletes it again meanwhile."""


class DefaultBucketSettings(Section, frozen=True):
    """The personal bucket."""

    secret: Annotated[
        str, Meta(description="Secret under which the ids of personal buckets are derived from user ids.")
    ] = ""


class _Missing(Exception):
    """What a request needs is not there, and the locks to make it are not held."""


class _SomeoneElse(Exception):
    """The credentials turned out to be those of another user, who has another bucket."""


class PersonalBucket:
    """What `default` stands for."""

    def __init__(self, secret: str) -> None:
        @lru_cache(maxsize=4096)
        def bucket(user: str) -> str:
            digest = hmac.new(secret.encode(), user.encode(), hashlib.sha256).hexdigest()
            return str(UUID(digest[:32]))

        self.bucket = bucket

    async def serve(self, handler: Handler, context: Context, request: Request) -> Answer:
        """The answer to a request on the caller's bucket, or on what is in it."""
        for _ in range(IDENTIFICATIONS):
            user = context.user
            if user is None:
                break
            if context.service.settings.protocol.readonly:
                raise method_not_allowed()
            bucket = self.bucket(user)
            meant = _meant(context, request, bucket)
            personal = PersonalContext(context, meant, user, _implied(context, meant, bucket))
            try:
                return await handler(personal, meant)
            except _SomeoneElse:
                continue
            finally:
                context.claim, context.user = personal.claim, personal.user
                context.principals = personal.principals
        raise context.refusal()


def _meant(context: Context, request: Request, bucket: str) -> Request:
    """The request with the bucket's id for the alias, in the URL and in a body that names the bucket."""
    meant = request.at(path_of(request, bucket), (bucket, *request.parameters[1:]))
    if request.method == "PATCH" and not request.body and request.payload is None:
        meant.payload = {"data": {}}
    elif meant.path.endswith(f"/buckets/{bucket}") and (
        request.payload is not None or b'"id"' in request.body
    ):
        try:
            body = body_of(context, request)
        except InvalidParameters:
            return meant  # the handler says so, in its turn
        if isinstance(body, dict) and isinstance(data := body.get("data"), dict) and data.get("id") == ALIAS:
            meant.payload = {**body, "data": {**data, "id": bucket}}
    return meant


def _implied(context: Context, request: Request, bucket: str) -> tuple[Path, ...]:
    """What a request makes when it is not there; a PUT makes its own object itself."""
    _, _, _, _, *below = request.path.split("/")
    if not below:
        return () if request.method == "PUT" else (bucket_path(bucket),)
    if below[0] != COLLECTION.plural or len(below) < 2 or (request.method == "PUT" and len(below) == 2):
        return (bucket_path(bucket),)
    name = below[1]
    if not COLLECTION.accepts(name) or len(name) > context.service.settings.limits.id_length:
        raise invalid("path", None, "Invalid collection id")
    return bucket_path(bucket), collection_path(bucket, name)


class PersonalContext(Context):
    """A request's way through its user's bucket: what is implied is there before a handler looks."""

    __slots__ = ("_implied", "_owner")

    def __init__(self, context: Context, request: Request, owner: str, implied: tuple[Path, ...]) -> None:
        super().__init__(context.service, request)
        self.claim, self.user, self.principals = context.claim, context.user, context.principals
        self.changes, self.notes, self.needs = context.changes, context.notes, context.needs
        self._claims = context._claims
        self.work = Work(context.work.unit, self) if context.work is not None else None
        self._owner = owner
        self._implied = implied

    async def load(self, wanted: Wanted) -> Found:
        found = await super().load(wanted)
        if self.user != self._owner:
            raise _SomeoneElse
        n = len(self._implied)
        if wanted.points[:n] == self._implied and self._lacks(found.points[:n]):
            await self._make()
            found = await super().load(wanted)
        return found

    async def write(self, needs: Needs, action: Callable[[Work], Awaitable[Answer]]) -> Answer:
        async def act(work: Work) -> Answer:
            if self.user != self._owner:
                raise _SomeoneElse
            await self._ensure(work)
            return await action(work)

        for _ in range(CREATIONS):
            try:
                return await super().write(needs, act)
            except _Missing:
                await self._make()
        raise Conflict("what a request made was deleted again before it could go on")

    async def _make(self) -> None:
        """Make what is missing, for good, whatever becomes of the request (protocol section 7)."""

        async def act(work: Work) -> Answer:
            if self.user != self._owner:
                raise _SomeoneElse
            await self._create(work)
            return Answer(204)

        if self.work is not None:
            await self._ensure(self.work)
        else:
            await super().write(Needs.union(map(needs_of, self._implied)), act)

    async def _ensure(self, work: Work) -> None:
        """See that what is implied is there. Raises `_Missing` where the locks to make it are not held."""
        if not self._lacks([await work.unit.object(path) for path in self._implied]):
            return
        if not self.request.in_batch:
            raise _Missing
        # A batch has its transaction already: should the order of locks end in a deadlock, it runs again.
        await work.unit.prepare([needs_of(path) for path in self._implied])
        await self._create(work)

    async def _create(self, work: Work) -> None:
        rows: list[Stored | None] = []
        for path in self._implied:
            rows.append(await work.unit.object(path))
            if self._lacks(rows):
                rows[-1] = await write(work, "create", path, None, {}, owned(self, path, NO_GRANTS))

    def _lacks(self, rows: Sequence[Stored | None]) -> bool:
        """Whether something implied is missing, of which these are the rows, and is the caller's to make."""
        if not rows or not _there(rows[0]):
            return bool(rows)
        # Who gave the bucket away makes nothing in it: the handler refuses.
        return not _there(rows[-1]) and self.service.access.may_create(COLLECTION, rows[:1], self.principals)


def _there(row: Stored | None) -> bool:
    return row is not None and not row.deleted


async def keep_the_name(_: Work, change: Change) -> None:
    """Refuse a bucket that the alias would hide from everybody."""
    if change.path.id == ALIAS and change.action == "create":
        raise invalid("body", "data.id", f"`{ALIAS}` stands for everybody's own bucket")


class DefaultBucket(Plugin):
    """A bucket for every user."""

    name = "default_bucket"
    settings = DefaultBucketSettings
    kinto_keys = {"default_bucket_hmac_secret": "secret"}  # noqa: RUF012

    def setup(self, registry: Registry, settings: Any) -> None:
        secret = (settings or DefaultBucketSettings()).secret
        if not secret:
            log.warning("default_bucket secret is not set: ids of personal buckets can be guessed")
        alias = PersonalBucket(secret)

        def describe(context: Context) -> dict[str, Any]:
            assert context.user is not None, "only authenticated callers are described"
            return {"bucket": alias.bucket(context.user)}

        registry.alias(ALIAS, alias)
        registry.user_info(describe)
        registry.before_commit(keep_the_name, BUCKET)
        registry.capability(
            "default_bucket",
            "The default bucket is an alias for a personal bucket where collections are created implicitly.",
            f"{registry.settings.project.docs}concepts/personal-buckets/",
        )
