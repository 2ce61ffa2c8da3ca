"""An application in this process whose users come from the fake provider."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx

from kintoun.features.openid.policy import OpenIdPolicy
from kintoun.settings import Policy
from tests.openid.fake import CLIENT, SECRET, FakeProvider
from tests.support.inprocess import FEATURES, App, opened, settings_for

CALLBACK = "http://localhost:3000/#tokens="


def options(provider: FakeProvider, **changes: Any) -> dict[str, Any]:
    made = {
        "issuer": provider.issuer,
        "client_id": CLIENT,
        "client_secret": SECRET,
        "keys_refetch_seconds": 3600,
        "timeout_seconds": 30,
        **changes,
    }
    return {name: value for name, value in made.items() if value is not None}


@asynccontextmanager
async def world(url: str, *policies: Policy) -> AsyncIterator[App]:
    """An application with these policies, accounts and basicauth."""
    settings = settings_for(
        url,
        features=[*dict.fromkeys((*FEATURES, "openid"))],
        policies=[
            *policies,
            Policy(name="account", use="account"),
            Policy(name="basicauth", use="basicauth"),
        ],
    )
    async with opened(settings) as app:
        try:
            yield app
        finally:
            for policy in openid_policies(app):
                await policy.provider.close()


def openid_policies(app: App) -> list[OpenIdPolicy]:
    service = app.application.composition.service
    return [policy for policy in service.policies if isinstance(policy, OpenIdPolicy)]


async def bearing(
    app: App, token: str, request: str = "GET /", body: Any = None, **more: Any
) -> httpx.Response:
    """The answer to a request that bears a token."""
    headers = {"Authorization": f"Bearer {token}", **more}
    return await app.call(request, body, user=None, headers=headers)


async def who(app: App, token: str) -> str | None:
    """Whom the server takes the bearer of a token for."""
    response = await bearing(app, token)
    assert response.status_code == 200, response.text
    found = response.json().get("user")
    return found["id"] if found else None
