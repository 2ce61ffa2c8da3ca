"""Forgetting a user without a server: the write of `DELETE /__user_data__/{principal}`."""

from __future__ import annotations

from collections import Counter
from functools import partial

from kintoun.app import create_app
from kintoun.config import migrations_of
from kintoun.http.requests import Request
from kintoun.resources.context import Context
from kintoun.resources.erasure import erase
from kintoun.settings import Settings
from kintoun.storage.needs import Needs


async def erase_user(settings: Settings, principal: str) -> Counter[str]:
    """Forget a user, with the hooks of all features that are on; returns how many objects met which action.

    Raises ProtocolError where a feature vetoes, and `Unavailable`.
    """
    service = create_app(settings).composition.service
    await service.store.open()
    try:
        await service.store.migrate(migrations_of(settings.features))
        context = Context(service, Request("DELETE", f"/v1/__user_data__/{principal}"))
        await context.write(Needs(), partial(erase, principal=principal))
        return Counter(change.action for change in context.changes)
    finally:
        await service.store.close()
