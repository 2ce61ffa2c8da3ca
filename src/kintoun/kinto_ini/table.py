"""The table of Kinto's settings: where each goes, which need no counterpart, and which have none."""

from __future__ import annotations

import json
import re
from typing import Any, Literal, NamedTuple

Form = Literal["text", "number", "flag", "words", "numbers"]

TRUE = frozenset({"t", "true", "y", "yes", "on", "1"})
FALSE = frozenset({"f", "false", "n", "no", "off", "0", ""})
NOTHING = frozenset({"", "none", "null"})


class Target(NamedTuple):
    """The section and key that a Kinto setting becomes, and how its text is read."""

    section: str
    key: str
    form: Form


SETTINGS: dict[str, Target] = {
    "project_name": Target("project", "name", "text"),
    "project_version": Target("project", "version", "text"),
    "project_docs": Target("project", "docs", "text"),
    "error_info_link": Target("project", "error_info_link", "text"),
    "version_json_path": Target("project", "version_file", "text"),
    "http_scheme": Target("http", "public_scheme", "text"),
    "http_host": Target("http", "public_host", "text"),
    "cors_origins": Target("http", "cors_origins", "words"),
    "cors_max_age_seconds": Target("http", "cors_max_age_seconds", "number"),
    "version_prefix_redirect_enabled": Target("http", "version_redirect", "flag"),
    "version_prefix_redirect_ttl_seconds": Target("http", "version_redirect_ttl_seconds", "number"),
    "trailing_slash_redirect_enabled": Target("http", "trailing_slash_redirect", "flag"),
    "trailing_slash_redirect_ttl_seconds": Target("http", "trailing_slash_redirect_ttl_seconds", "number"),
    "retry_after_seconds": Target("http", "retry_after_seconds", "number"),
    "backoff": Target("http", "backoff_seconds", "number"),
    "backoff_percentage": Target("http", "backoff_percentage", "number"),
    "root_cache_expires_seconds": Target("http", "root_cache_seconds", "number"),
    "heartbeat_timeout_seconds": Target("http", "heartbeat_timeout_seconds", "number"),
    "eos": Target("end_of_service", "date", "text"),
    "eos_message": Target("end_of_service", "message", "text"),
    "eos_url": Target("end_of_service", "url", "text"),
    "readonly": Target("protocol", "readonly", "flag"),
    "explicit_permissions": Target("protocol", "explicit_permissions", "flag"),
    "experimental_collection_schema_validation": Target("protocol", "schema_validation", "flag"),
    "pagination_token_validity_seconds": Target("protocol", "page_token_seconds", "number"),
    "userid_hmac_secret": Target("protocol", "userid_secret", "text"),
    "batch_max_requests": Target("limits", "batch_requests", "number"),
    "paginate_by": Target("limits", "page_size", "number"),
    "storage_max_fetch_size": Target("limits", "fetch_size", "number"),
}

OF_TRANSLATION = (
    "includes",
    "multiauth.policies",
    "multiauth.policy.basicauth.use",
    "storage_backend",
    "storage_url",
    "storage_pool_size",
    "permission_backend",
    "permission_url",
    "cache_backend",
    "cache_url",
    "experimental_permissions_endpoint",
    "permissions_read_principals",
)
"""Keys with a default in Kinto that `translation` reads itself."""

SWITCHES = ("sentry_dsn",)
"""Keys that switch on the feature whose they are."""

RESOURCES = ("bucket", "collection", "group", "record", "account", "history")

PRINCIPALS = (
    *(f"{resource}_{verb}_principals" for resource in RESOURCES for verb in ("create", "read", "write")),
    "user-data_delete_principals",
)

NEEDLESS: list[tuple[re.Pattern[str], str]] = [
    (re.compile(pattern), reason)
    for pattern, reason in [
        (r"use$", "names Kinto itself"),
        (r"(permission|cache)_(backend|url)$", "permissions and caches live with the data"),
        (
            r"(storage|permission|cache)_(max_overflow|pool_\w+|max_backlog|poolclass)$",
            "pools are sized by `pool_size`",
        ),
        (r"(permission|cache)_\w+$", "permissions and caches live with the data"),
        (r"storage_strict_json$", "stored JSON is always strict"),
        (r"multiauth\.(groupfinder|authorization_policy)$", "groups are part of the server"),
        (r"http_api_version$", "the version of the protocol is the server's own"),
        (
            r"pyramid\.\w+$|debugtoolbar\.|handle_exceptions$|initialization_sequence$",
            "belongs to the web framework",
        ),
        (r"prometheus_created_metrics_enabled$", "there are no `_created` series"),
        (
            r"account_(cache_ttl_seconds|hmac_secret|bcrypt_rounds)$",
            "verified credentials are checked with every request, and hashes are argon2id",
        ),
        (r"logger_renderer$|logging_renderer$|color$", "logs have one form"),
    ]
]

WITHOUT_COUNTERPART: list[tuple[re.Pattern[str], str]] = [
    (re.compile(pattern), reason)
    for pattern, reason in [
        (r"event_listeners", "listeners written for Kinto cannot be loaded; write a plugin"),
        (r"\w+_id_generator$", "ids of new records are always UUIDs; any id that a client chooses is kept"),
        (r"sentry_(breadcrumbs|events)_min_level$", "sentry is sent errors; see `[sentry] level`"),
        (r"metrics_matchdict_fields$", "ids never become labels of metrics"),
        (r"newrelic_|profiler_|statsd_", "this monitoring system is not supported"),
        (
            r"account_validation|account_\w*(email|validation)\w*$",
            "accounts are not validated by e-mail, nor are they in Kinto 26",
        ),
        (
            r"attachment\.(aws|gcloud)\.\w+$",
            "buckets are made, and opened to readers, at the object store; see `[attachments] store_options`",
        ),
        (
            r"signer\.(.+\.)?(group_check_enabled|(editors|reviewers)_group)$",
            "reviews are asked for and approved by the groups `{collection_id}-editors` and `-reviewers`",
        ),
        (r"signer\.allow_floats$", "clients do not agree how floats are written, so none are published"),
        (r"signer\.heartbeat_certificate_", "`[signing]` and its alerts tell how long chains are valid"),
        (r"transaction_per_request$", "every request is one transaction"),
        (r"set |get ", "changes of the global configuration are not read"),
    ]
]


def words(text: str) -> list[str]:
    """A list as Kinto reads it: separated by white space or lines, or a JSON list."""
    stripped = text.strip()
    if stripped.startswith("["):
        try:
            decoded = json.loads(stripped)
        except json.JSONDecodeError:
            return stripped.split()
        return [str(item) for item in decoded]
    return stripped.split()


def flag(text: str) -> bool | str:
    """A boolean in the spellings Kinto takes; other texts are returned for the settings to refuse."""
    lowered = text.strip().lower()
    return True if lowered in TRUE else False if lowered in FALSE else text


def read_as(form: Form, text: str) -> Any:
    """A key's text as a plain value; None where it says nothing, so that the default holds."""
    stripped = text.strip()
    match form:
        case "words":
            return words(text)
        case "numbers":
            return [_number(word) for word in words(text)]
        case "flag":
            return flag(text)
        case "number":
            return None if stripped.lower() in NOTHING else _number(stripped)
        case "text":
            return _unquoted(stripped) if stripped.lower() not in NOTHING else None


def native(text: str) -> Any:
    """A value without a declared form: JSON where it is, text otherwise."""
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text.strip()


def option(text: str) -> Any:
    """A policy's option: as `native`, but a number that would be written otherwise is an id or a secret."""
    value = native(text)
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return text.strip() if is_number and str(value) != text.strip() else value


def _number(text: str) -> int | float | str:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def _unquoted(text: str) -> str:
    """Text from the environment may be a JSON string."""
    if len(text) > 1 and text[0] == text[-1] == '"':
        decoded = native(text)
        return decoded if isinstance(decoded, str) else text
    return text
