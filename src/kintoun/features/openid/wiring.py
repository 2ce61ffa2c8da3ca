"""What the feature brings, put together. Nothing of it is loaded by servers without providers."""

from __future__ import annotations

import asyncio

from kintoun.features.openid import states
from kintoun.features.openid.description import LOGIN, TOKEN
from kintoun.features.openid.login import LoginEndpoints
from kintoun.features.openid.options import decode
from kintoun.features.openid.policy import OpenIdPolicy, profile_of
from kintoun.features.openid.provider import Provider
from kintoun.features.openid.wire import Wire
from kintoun.http.routing import PREFIX, Endpoint
from kintoun.plugin import Registry

USE = "openid"
ADMIN = "admin"
LOOK_SECONDS = 30.0
"""Between two looks at what is too old or was never finished."""

SOON_SECONDS = 5.0
"""The same while a provider has not been reached yet."""


def bring(registry: Registry) -> None:
    """Hand over the policies, the endpoints and the capability; raises ValueError for wrong options."""
    whole = registry.settings
    wire = Wire()
    policies = [policy for policy in whole.policies if policy.use == USE]
    providers = {policy.name: Provider(policy.name, decode(policy), wire) for policy in policies}
    for name in providers:
        if sum(policy.name == name for policy in whole.policies) > 1:
            raise ValueError(f"policies: two have the name {name!r}, and so would give the same ids")
    retry_after = whole.http.retry_after_seconds
    registry.policy(USE, lambda policy, _: OpenIdPolicy(providers[policy.name], retry_after))
    registry.user_info(lambda context: profile_of(context.claim))
    logins = states.Logins(registry.service.store)
    own = (f"{PREFIX}/admin/",) if ADMIN in whole.features else ()
    endpoints = LoginEndpoints(providers, logins, retry_after, own)
    for end, handler, operations in (
        ("login", endpoints.get_login, LOGIN),
        ("token", endpoints.get_token, TOKEN),
    ):
        pattern = f"/openid/{{provider}}/{end}"
        methods = {"GET": handler, "HEAD": handler}
        registry.endpoint(Endpoint(f"openid-{end}", pattern, methods, operations=operations))
    if providers:
        registry.capability(
            "openid",
            "OpenID connect support.",
            f"{whole.project.docs}reference/openid/",
            providers=[provider.described for provider in providers.values()],
        )
        registry.background(lambda: _maintain(providers, logins))


async def _maintain(providers: dict[str, Provider], logins: states.Logins) -> None:
    """Keep what is known of the providers up to date, and the logins few."""
    try:
        while True:
            await asyncio.gather(*(provider.maintain() for provider in providers.values()))
            for provider in providers.values():
                await logins.sweep(provider.name, provider.options.pending_logins)
            await asyncio.sleep(LOOK_SECONDS if _all_known(providers) else SOON_SECONDS)
    finally:
        for provider in providers.values():
            await provider.close()


def _all_known(providers: dict[str, Provider]) -> bool:
    return all(provider.keys.value is not None for provider in providers.values())
