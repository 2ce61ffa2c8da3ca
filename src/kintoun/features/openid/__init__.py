"""OpenID Connect: users of other providers (protocol section 9.4).

Each policy with `use = "openid"` is a provider. The browser is led there and back (`login.py`); requests bear
the token that it gave (`policy.py`), which is verified here when it is signed (`tokens.py`), and at the
provider when it is opaque.
"""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

from kintoun.features.openid.states import MIGRATIONS
from kintoun.plugin import Plugin, Registry


class OpenId(Plugin):
    """Logins with other providers, and the policy that recognises their tokens."""

    name = "openid"
    migrations = MIGRATIONS

    def setup(self, registry: Registry, settings: Any) -> None:
        # Who only reads what features there are needs no HTTP client and no cryptography.
        for module in ("httpx", "jwt", "cryptography"):
            if find_spec(module) is None:
                raise ValueError("the feature `openid` needs more: pip install 'kintoun[openid]'")
        from kintoun.features.openid.wiring import bring

        bring(registry)
