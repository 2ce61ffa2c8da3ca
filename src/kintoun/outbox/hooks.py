"""Hooks in the metadata of collections and buckets: who wants to be told of what, and in which words."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any

import kintoun
from kintoun.http.addresses import Addresses
from kintoun.http.routing import PREFIX
from kintoun.model import json
from kintoun.model.changes import Change, Event
from kintoun.model.errors import invalid
from kintoun.model.kinds import BUCKET, COLLECTION, RECORD
from kintoun.model.matching import matches, pattern_error
from kintoun.model.paths import Path, bucket_path
from kintoun.resources.context import Context, Work

CHANGED = "kinto.core.events.AfterResourceChanged"
"""The event that every change of an object is."""

SIGNER = "kinto_remote_settings.signer.events."
OLD_SIGNER = "kinto_signer.events."
"""What the events of reviews are called now, and were called once."""

FILTERS = ("resource_name", "action", "id", "collection_id", "record_id")
MAX_HOOKS = 50
MAX_TEMPLATE = 20_000
"""Characters of a template, and of every other text of a hook."""

_LONGEST_CACHED = 100_000

Hook = Mapping[str, Any]
Subject = Change | Event
Check = Callable[[Hook, Path], str | None]
"""What is wrong with a hook that stands in the metadata of an object, if anything."""


class Hooks:
    """The hooks under one attribute, such as `kinto-emailer`.

    `event` is the event that a hook wants which names none, None for every one; `addresses` tells where who
    made a change is; `check` finds what is wrong with a hook beyond what all have in common.
    """

    def __init__(
        self, attribute: str, event: str | None, addresses: Addresses, check: Check | None = None
    ) -> None:
        self.attribute = attribute
        self._event = event
        self._addresses = addresses
        self._check = check
        self._mark = f'"{attribute}"'

    def validate(self, change: Change) -> None:
        """Refuse metadata whose hooks are wrong, with a 400 that names the attribute."""
        if change.path.kind not in (BUCKET, COLLECTION) or change.action == "delete":
            return
        if self._mark not in change.new_body or self.attribute not in change.new:
            return
        wrong = self._problem(change.new[self.attribute], change.path)
        if wrong is not None:
            raise invalid("body", self.attribute, wrong)

    def _problem(self, settings: object, path: Path) -> str | None:
        hooks = settings.get("hooks") if isinstance(settings, dict) else None
        if hooks is None:
            return 'Missing "hooks".'
        if not isinstance(hooks, list) or not all(isinstance(hook, dict) for hook in hooks):
            return '"hooks" is not a list of objects.'
        if len(hooks) > MAX_HOOKS:
            return f"More than {MAX_HOOKS} hooks."
        for hook in hooks:
            wrong = _problem_of(hook) or (self._check(hook, path) if self._check is not None else None)
            if wrong is not None:
                return wrong
        return None

    async def matching(self, work: Work, subject: Subject) -> list[Hook]:
        """The hooks that want to be told of a change or an event.

        Those of the collection stand in place of its bucket's. Objects outside of collections have none.
        """
        if subject.path.kind not in (COLLECTION, RECORD):
            return []
        hooks = await self._found(work, subject)
        if not hooks:
            return []
        values = filtered_by(subject)
        names = _names(subject)
        return [hook for hook in hooks if self._wants(hook, names, values)]

    async def _found(self, work: Work, subject: Subject) -> Sequence[Hook]:
        path = subject.path
        collection = path if path.kind is COLLECTION else path.lineage[-2]
        body = None
        if isinstance(subject, Change) and subject.action == "delete" and path.kind is COLLECTION:
            body = subject.old_body  # what it said before it went
        elif (row := await work.unit.object(collection)) is not None:
            body = row.body
        if body is None or self._mark not in body:
            bucket = await work.unit.object(bucket_path(path.ids[0]))
            body = bucket.body if bucket is not None else None
        if body is None or self._mark not in body:
            return ()
        return (_hooks_in if len(body) <= _LONGEST_CACHED else _hooks_in.__wrapped__)(body, self.attribute)

    def _wants(self, hook: Hook, names: Sequence[str], values: Mapping[str, str]) -> bool:
        event = hook.get("event", self._event)
        if isinstance(event, str) and not any(matches(event, name) for name in names):
            return False
        return all(
            matches(hook[name], values[name])
            for name in FILTERS
            if name in values and isinstance(hook.get(name), str)
        )

    def placeholders(self, context: Context, subject: Subject) -> dict[str, object]:
        """What templates can name."""
        request, project = context.request, context.service.settings.project
        root = f"{request.base}{PREFIX}/"
        said = dict(subject.values) if isinstance(subject, Event) else {}
        return {
            **said,
            **filtered_by(subject),
            "event": _names(subject)[0],
            "uri": str(subject.path),
            "timestamp": subject.timestamp,
            "user_id": subject.user or "",
            "root_url": root,
            "client_address": self._addresses.client(request),
            "user_agent": request.headers.get("user-agent", ""),
            "settings[project_name]": project.name,
            "settings[project_version]": project.version or kintoun.__version__,
            "settings[url]": root,
        }


@lru_cache(maxsize=128)
def _hooks_in(body: str, attribute: str) -> Sequence[Hook]:
    """The hooks in the metadata of an object, those left out that were written before anybody checked."""
    settings = json.decode(body.encode()).get(attribute)
    hooks = settings.get("hooks") if isinstance(settings, dict) else None
    found = [hook for hook in hooks if isinstance(hook, dict)] if isinstance(hooks, list) else []
    return [hook for hook in found if _problem_of(hook) is None][:MAX_HOOKS]


def _problem_of(hook: Hook) -> str | None:
    if not isinstance(hook.get("template"), str):
        return 'Missing "template".'
    for name, value in hook.items():
        if isinstance(value, str) and len(value) > MAX_TEMPLATE:
            return f'"{name}" is longer than {MAX_TEMPLATE} characters.'
    for name in ("event", *FILTERS, "subject", "sender", "channel"):
        if name in hook and not isinstance(hook[name], str):
            return f'"{name}" is not a string.'
    for name in ("event", *FILTERS):
        wrong = pattern_error(hook[name]) if name in hook else None
        if wrong is not None:
            return f'"{name}" is {wrong}.'
    return None


def _names(subject: Subject) -> tuple[str, ...]:
    """What the event of a subject is called, now and formerly."""
    if isinstance(subject, Change):
        return (CHANGED,)
    if subject.name.startswith(SIGNER):
        return (subject.name, OLD_SIGNER + subject.name.removeprefix(SIGNER))
    return (subject.name,)


def filtered_by(subject: Subject) -> dict[str, str]:
    """What filters look at."""
    path = subject.path
    values = {f"{step.name}_id": each for step, each in zip(path.kind.lineage, path.ids, strict=True)}
    action = subject.action if isinstance(subject, Change) else "update"
    return {**values, "id": path.id, "resource_name": path.kind.name, "action": action}
