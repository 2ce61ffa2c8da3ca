"""The basicauth policy: any user name and password are a user of their own (protocol section 9.2)."""

from __future__ import annotations

import hashlib
import hmac
from functools import lru_cache
from typing import Any

from kintoun.http.credentials import basic_credentials
from kintoun.http.requests import Request
from kintoun.plugin import Plugin, Registry
from kintoun.resources.identity import Claim
from kintoun.settings import Policy as PolicySettings
from kintoun.settings import Settings
from kintoun.storage import Store


class BasicAuthPolicy:
    """Users without registration, for trials: whoever knows the same two words is the same user."""

    challenge = 'Basic realm="Realm"'

    def __init__(self, policy: PolicySettings, settings: Settings) -> None:
        self.name = policy.name
        secret = settings.protocol.userid_secret.encode()

        @lru_cache(maxsize=4096)
        def claim(user: str, password: str) -> Claim:
            digest = hmac.new(secret, f"{user}:{password}".encode(), hashlib.sha256).hexdigest()
            return Claim(f"{policy.name}:{digest}")

        self._claim = claim

    async def identify(self, request: Request, store: Store) -> Claim | None:
        credentials = basic_credentials(request)
        if credentials is None or not credentials[0]:
            return None
        return self._claim(*credentials)

    def forget(self, request: Request) -> None:
        """A digest is never stale."""


class BasicAuth(Plugin):
    """Basic authentication without accounts."""

    name = "basicauth"

    def setup(self, registry: Registry, settings: Any) -> None:
        registry.policy("basicauth", BasicAuthPolicy, asked="last")
        registry.capability(
            "basicauth",
            "Very basic authentication sessions. Not for production use.",
            f"{registry.settings.project.docs}reference/authentication/",
        )
