"""Accounts: users with a name and a password, and API tokens that act for them (protocol section 9.3)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from kintoun.features.accounts.lockout import MIGRATIONS, Lockout, MemoryCounts, TableCounts
from kintoun.features.accounts.objects import MASK, AccountRules
from kintoun.features.accounts.passwords import Hasher, hash_password
from kintoun.features.accounts.policy import BASICAUTH, AccountPolicy
from kintoun.features.accounts.scopes import Scopes
from kintoun.features.accounts.settings import AccountsSection
from kintoun.features.accounts.tokens import TokenRules
from kintoun.features.accounts.usage import Usage
from kintoun.http.addresses import Addresses
from kintoun.model.kinds import ACCOUNT, TOKEN
from kintoun.plugin import Plugin, Registry
from kintoun.resources.context import Context
from kintoun.settings import Policy as PolicySettings
from kintoun.settings import Settings

__all__ = ["MASK", "Accounts", "hash_password"]


class Accounts(Plugin):
    """Accounts, their tokens, and the policy that recognises who bears either."""

    name = "accounts"
    settings = AccountsSection
    migrations: ClassVar = MIGRATIONS

    def setup(self, registry: Registry, settings: Any) -> None:
        section: AccountsSection = settings or AccountsSection()
        readonly = registry.settings.protocol.readonly
        hasher = Hasher(section.hashing_threads, section.hashing_queue)
        store, service = registry.service.store, registry.service
        counts = MemoryCounts() if readonly else TableCounts(store)
        usage = Usage()

        accounts = AccountRules(hasher)
        registry.kind(ACCOUNT, accounts.rules())
        registry.before_commit(accounts.keep_credential, ACCOUNT)
        tokens = TokenRules(section)
        registry.kind(TOKEN, tokens.rules(), tokens.endpoints(registry.settings.protocol.disabled_endpoints))
        registry.before_commit(tokens.limit, TOKEN)
        service.access.follow(TOKEN, ACCOUNT)
        registry.user_info(_described)

        def policy(_: PolicySettings, everything: Settings) -> AccountPolicy:
            others = {each.use for each in everything.policies}
            return AccountPolicy(
                Addresses(everything.http.trusted_proxies),
                hasher,
                Lockout(section, counts, service.token_key),
                usage,
                remembered=section.remembered,
                equal_time=section.equal_time and BASICAUTH not in others,
                readonly=readonly,
            )

        registry.policy("account", policy, asked="first")
        if isinstance(counts, TableCounts):
            registry.background(counts.purge, lease="accounts")
            registry.background(lambda: usage.write(store))
        registry.capability(
            "accounts",
            "Manage user accounts.",
            f"{registry.settings.project.docs}reference/authentication/",
            validation_enabled=False,
        )


def _described(context: Context) -> Mapping[str, Any]:
    """What the root view tells the bearer of a token of it."""
    claim = context.claim
    if claim is None or not isinstance(claim.scope, Scopes):
        return {}
    return {"token": {"scopes": list(claim.scope.names), "expires": claim.scope.expires}}
