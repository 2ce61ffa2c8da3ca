"""The servers under comparison: every profile of settings on every implementation, started when needed."""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from tests.compat.wire import Client
from tests.support.postgres import Postgres
from tests.support.servers import Server, start_kinto, start_kintoun

COMMON = {
    "multiauth.policies": "basicauth",
    "kinto.userid_hmac_secret": "compat",
    "kinto.includes": "kinto.plugins.flush",
}


@dataclass(frozen=True)
class Profile:
    """Settings on top of `COMMON`; `shares` names the profile whose database it uses, if not its own."""

    settings: dict[str, str] = field(default_factory=dict)
    shares: str | None = None


USER_IDS = {
    "alice": "basicauth:a28a9a41efe7048487e9176ce93e37c339bb0f107b5b3aff51ea75c47db879f4",
    "bob": "basicauth:17b15692fd92f459dde94fc435a9353aa6837e99bbdc664c1261937ee2b6882e",
    "carol": "basicauth:4f7aab467fd3b957459bf648c0c9af15be8f036d4529d3ebe72a3b5a79ab065f",
    "admin": "basicauth:465cc3310f106c2c686121db65eff73ccb09ad968c76bb8d276844a4910b8c1c",
}
"""The principals of the users of `scenario.basic`, given the secret in `COMMON` (protocol section 9.2)."""

PERSONAL = "4b3a94da-6561-6de5-1c55-44a7afa7efb8"
"""The id of the personal bucket of alice in the profile `personal` (protocol section 7)."""

PROFILES: dict[str, Profile] = {
    "default": Profile(
        {
            "kinto.experimental_collection_schema_validation": "true",
            "kinto.experimental_permissions_endpoint": "true",
        }
    ),
    "readonly": Profile({"kinto.readonly": "true"}, shares="default"),
    "paged": Profile(
        {"kinto.paginate_by": "3", "kinto.storage_max_fetch_size": "4", "kinto.batch_max_requests": "4"}
    ),
    "edge": Profile(
        {
            "kinto.backoff": "7",
            "kinto.eos": "2099-12-31",
            "kinto.eos_message": "bye",
            "kinto.eos_url": "http://eos.example/",
            "kinto.retry_after_seconds": "11",
            "kinto.cors_origins": "http://good.example https://*.site.example",
            "kinto.cors_max_age_seconds": "77",
            "kinto.bucket_cache_expires_seconds": "20",
            "kinto.collection_cache_expires_seconds": "0",
            "kinto.record_cache_expires_seconds": "60",
            "kinto.b1.record_cache_expires_seconds": "120",
            "kinto.b1.c1.record_cache_expires_seconds": "240",
            "kinto.b2_record_cache_expires_seconds": "90",
            "kinto.version_prefix_redirect_ttl_seconds": "30",
            "kinto.trailing_slash_redirect_ttl_seconds": "40",
        }
    ),
    "gone": Profile(
        {"kinto.eos": "2001-01-01", "kinto.eos_message": "over", "kinto.eos_url": "http://eos.example/"}
    ),
    "disabled": Profile(
        {
            "kinto.plural_record_delete_enabled": "false",
            "kinto.plural_bucket_get_enabled": "false",
            "kinto.object_group_patch_enabled": "false",
            "kinto.object_collection_delete_enabled": "false",
            "kinto.version_prefix_redirect_enabled": "false",
            "kinto.trailing_slash_redirect_enabled": "false",
            "kinto.http_scheme": "https",
            "kinto.http_host": "api.example:444",
        }
    ),
    "principals": Profile(
        {
            "kinto.bucket_create_principals": USER_IDS["alice"],
            "kinto.bucket_read_principals": USER_IDS["carol"],
            "kinto.bucket_write_principals": USER_IDS["admin"],
            "kinto.record_read_principals": USER_IDS["carol"],
            "kinto.collection_write_principals": USER_IDS["admin"],
            "kinto.group_create_principals": "system.Authenticated",
            "kinto.user-data_delete_principals": USER_IDS["admin"],
            "kinto.experimental_permissions_endpoint": "true",
        }
    ),
    "implicit": Profile(
        {
            "kinto.explicit_permissions": "false",
            "kinto.includes": "kinto.plugins.history kinto.plugins.flush",
            "kinto.history_read_principals": USER_IDS["carol"],
        }
    ),
    "personal": Profile(
        {
            "kinto.includes": "kinto.plugins.default_bucket kinto.plugins.flush",
            "kinto.default_bucket_hmac_secret": "compat",
            "kinto.experimental_collection_schema_validation": "true",
            "kinto.experimental_permissions_endpoint": "true",
        }
    ),
    "personal-readonly": Profile(
        {
            "kinto.includes": "kinto.plugins.default_bucket kinto.plugins.flush",
            "kinto.default_bucket_hmac_secret": "compat",
            "kinto.readonly": "true",
        },
        shares="personal",
    ),
    "history": Profile(
        {"kinto.includes": "kinto.plugins.history kinto.plugins.counters kinto.plugins.flush"}
    ),
    "history-parts": Profile(
        {
            "kinto.includes": "kinto.plugins.history kinto.plugins.flush",
            "kinto.history.exclude_resources": "/buckets/b/collections/d /buckets/b/groups/h",
            "kinto.history.exclude_user_ids": USER_IDS["bob"],
            "kinto.history.auto_trim_max_count": "2",
            "kinto.history.auto_trim_user_ids": "nobody",
            "kinto.history_read_principals": USER_IDS["carol"],
        }
    ),
    "attachments": Profile(
        {
            "kinto.includes": "kinto.plugins.default_bucket kinto_attachment kinto.plugins.flush",
            "kinto.default_bucket_hmac_secret": "compat",
            "kinto.experimental_collection_schema_validation": "true",
            "kinto.attachment.base_path": "files",
            "kinto.attachment.base_url": "http://cdn.example/files/",
            "kinto.attachment.folder": "{bucket_id}/{collection_id}",
            "kinto.attachment.extensions": "default+pem+geojson+ftl",
            "kinto.attachment.mimetypes": ".ftl:application/vnd.fluent",
            "kinto.attachment.max_size_bytes": "1000",
            "kinto.attachment.resources.b.c.max_size_bytes": "100",
        }
    ),
    "accounts": Profile(
        {
            "multiauth.policies": "account basicauth",
            "multiauth.policy.account.use": "kinto.plugins.accounts.AccountsPolicy",
            "kinto.includes": "kinto.plugins.accounts kinto.plugins.flush",
            "kinto.account_create_principals": "system.Everyone",
            "kinto.account_read_principals": "account:admin",
            "kinto.account_write_principals": "account:admin",
        }
    ),
}


IMPLEMENTATIONS = ("kinto", "kintoun-sqlite", "kintoun-postgresql", "kinto-twin", "kinto-memory")


class Fleet:
    """Starts servers on demand and stops them all at the end."""

    def __init__(self, postgres: Postgres) -> None:
        self._directory = Path(tempfile.mkdtemp(prefix="compat-"))
        self._postgres = postgres
        self._servers: dict[tuple[str, str], Server] = {}
        self._clients: dict[tuple[str, str], Client] = {}
        self._databases: dict[tuple[str, str], str] = {}

    def client(self, implementation: str, profile: str) -> Client:
        """A connection to the server of that implementation with that profile."""
        key = (implementation, profile)
        if key not in self._clients:
            self._servers[key] = self._start(implementation, profile)
            self._clients[key] = Client(self._servers[key].root)
        return self._clients[key]

    def server(self, implementation: str, profile: str) -> Server:
        """The running server behind `client`."""
        self.client(implementation, profile)
        return self._servers[implementation, profile]

    def close(self) -> None:
        """Stop everything and delete its data."""
        for client in self._clients.values():
            client.close()
        for server in self._servers.values():
            server.close()
        shutil.rmtree(self._directory, ignore_errors=True)

    def _start(self, implementation: str, profile: str) -> Server:
        store = PROFILES[profile].shares or profile
        settings = {**COMMON, **PROFILES[profile].settings}
        if implementation == "kintoun-sqlite":
            return start_kintoun(settings, data=self._directory / f"sqlite-{store}")
        if implementation == "kinto-memory":
            return start_kinto(settings)
        uri = self._database(implementation, store)
        for backend in ("storage", "permission", "cache"):
            settings[f"kinto.{backend}_backend"] = f"kinto.core.{backend}.postgresql"
            settings[f"kinto.{backend}_url"] = uri
        if implementation == "kintoun-postgresql":
            return start_kintoun(settings)
        return start_kinto(settings, threads=4)

    def _database(self, implementation: str, store: str) -> str:
        key = (implementation, store)
        if key not in self._databases:
            name = f"{implementation}_{store}".replace("-", "_")
            self._databases[key] = self._postgres.create_database(name)
            # Durability is another room's subject; thousands of small commits are ours.
            self._postgres.psql(f'ALTER DATABASE "{name}" SET synchronous_commit = off')
            # In what order Kinto deletes a list would otherwise change with the statistics of its tables.
            for method in ("hashjoin", "mergejoin"):
                self._postgres.psql(f'ALTER DATABASE "{name}" SET enable_{method} = off')
        return self._databases[key]
