"""Kinto's ini files and environment as our settings (protocol section 12)."""

from __future__ import annotations

import tomllib
from pathlib import Path
from textwrap import dedent

import pytest

from kintoun.config import ConfigError, decode, load, toml
from kintoun.kinto_ini import Translation, plain, translate
from kintoun.settings import Policy, Settings
from tests.unit.fake_features import HistorySection, SigningSection, features

__all__ = ["features"]

pytestmark = pytest.mark.usefixtures("features")

POLICY = "multiauth.policy.account.use = kinto.plugins.accounts.AccountsPolicy"


def translated(
    directory: Path,
    lines: str,
    environ: dict[str, str] | None = None,
    other: str = "",
    data: Path | None = None,
) -> Translation:
    path = directory / "kinto.ini"
    path.write_text(f"[app:main]\nuse = egg:kinto\n{dedent(lines)}\n\n{other}\n", encoding="utf-8")
    return translate(path, environ or {}, data)


def settings(directory: Path, lines: str, environ: dict[str, str] | None = None, other: str = "") -> Settings:
    return decode(translated(directory, lines, environ, other).tree)


def lost(translation: Translation) -> list[str]:
    return [
        f"{note.place.rpartition(': ')[2]}: {note.reason}"
        for note in translation.notes
        if note.kind == "lost"
    ]


@pytest.mark.parametrize("prefix", ["", "kinto."])
@pytest.mark.parametrize(
    ("key", "text", "section", "name", "value"),
    [
        ("project_name", "My store", "project", "name", "My store"),
        ("project_version", "1.2", "project", "version", "1.2"),
        ("http_scheme", "https", "http", "public_scheme", "https"),
        ("http_host", "kinto.example:8443", "http", "public_host", "kinto.example:8443"),
        ("cors_origins", "https://a https://b", "http", "cors_origins", ["https://a", "https://b"]),
        ("cors_origins", "\n  https://a\n  https://b", "http", "cors_origins", ["https://a", "https://b"]),
        ("cors_max_age_seconds", "7", "http", "cors_max_age_seconds", 7),
        ("version_prefix_redirect_enabled", "false", "http", "version_redirect", False),
        ("version_prefix_redirect_ttl_seconds", "9", "http", "version_redirect_ttl_seconds", 9),
        ("trailing_slash_redirect_enabled", "no", "http", "trailing_slash_redirect", False),
        ("retry_after_seconds", "30", "http", "retry_after_seconds", 30),
        ("backoff", "10", "http", "backoff_seconds", 10),
        ("backoff", "", "http", "backoff_seconds", None),
        ("backoff_percentage", "50", "http", "backoff_percentage", 50),
        ("eos", "2030-01-01", "end_of_service", "date", "2030-01-01"),
        ("eos_message", "bye", "end_of_service", "message", "bye"),
        ("eos_url", "http://eos/", "end_of_service", "url", "http://eos/"),
        ("readonly", "true", "protocol", "readonly", True),
        ("readonly", "off", "protocol", "readonly", False),
        ("explicit_permissions", "false", "protocol", "explicit_permissions", False),
        ("experimental_collection_schema_validation", "true", "protocol", "schema_validation", True),
        ("pagination_token_validity_seconds", "5", "protocol", "page_token_seconds", 5),
        ("userid_hmac_secret", "s3cr%%t", "protocol", "userid_secret", "s3cr%t"),
        ("batch_max_requests", "100", "limits", "batch_requests", 100),
        ("batch_max_requests", "none", "limits", "batch_requests", 0),
        ("paginate_by", "7", "limits", "page_size", 7),
        ("paginate_by", "", "limits", "page_size", 0),
        ("storage_max_fetch_size", "50", "limits", "fetch_size", 50),
        ("plural_bucket_delete_enabled", "false", "protocol", "disabled_endpoints", ["plural_bucket_delete"]),
        ("object_record_patch_enabled", "true", "protocol", "disabled_endpoints", []),
    ],
)
def test_a_key_becomes_a_setting(
    tmp_path: Path, prefix: str, key: str, text: str, section: str, name: str, value: object
) -> None:
    assert getattr(getattr(settings(tmp_path, f"{prefix}{key} = {text}"), section), name) == value


def test_kinto_goes_on_under_the_name_its_clients_know(tmp_path: Path) -> None:
    assert settings(tmp_path, "").project.name == "kinto"


def test_a_key_set_twice_with_different_values_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"batch_max_requests: is set twice with different values"):
        translated(tmp_path, "kinto.batch_max_requests = 5\nbatch_max_requests = 6")
    assert (
        settings(tmp_path, "kinto.batch_max_requests = 5\nbatch_max_requests = 5").limits.batch_requests == 5
    )


def test_every_resource_and_permission_has_principals(tmp_path: Path) -> None:
    found = settings(
        tmp_path,
        """
        kinto.bucket_create_principals = account:a  account:b
        record_read_principals = system.Everyone
        kinto.account_write_principals =
            account:admin
            /buckets/b/groups/g
        kinto.user-data_delete_principals = account:gdpr
        kinto.group_write_principals =
        """,
    ).access
    assert found == {
        "bucket_create": ["account:a", "account:b"],
        "record_read": ["system.Everyone"],
        "account_write": ["account:admin", "/buckets/b/groups/g"],
        "user-data_delete": ["account:gdpr"],
        "group_write": [],
    }


def test_policies_keep_their_order_kinds_and_options(tmp_path: Path) -> None:
    found = settings(
        tmp_path,
        f"""
        multiauth.policies = account basicauth
        {POLICY}
        multiauth.policy.account.ttl = 5
        kinto.multiauth.policy.basicauth.use = kinto.core.authentication.BasicAuthAuthenticationPolicy
        """,
    )
    assert found.policies == [
        Policy(name="account", use="account", options={"ttl": 5}),
        Policy(name="basicauth", use="basicauth"),
    ]
    assert found.features == ["openapi", "accounts", "basicauth"]


def test_an_id_or_a_secret_of_digits_is_kept_as_it_is_written(tmp_path: Path) -> None:
    found = settings(
        tmp_path,
        f"""
        multiauth.policies = account
        {POLICY}
        multiauth.policy.account.secret = 1234e5678
        multiauth.policy.account.id = 12345678901234567890123
        multiauth.policy.account.seconds = 86400
        multiauth.policy.account.share = 0.50
        """,
    )
    assert found.policies[0].options == {
        "secret": "1234e5678",
        "id": 12345678901234567890123,
        "seconds": 86400,
        "share": "0.50",
    }


def test_basicauth_needs_no_use(tmp_path: Path) -> None:
    assert settings(tmp_path, "multiauth.policies = basicauth").policies == [
        Policy(name="basicauth", use="basicauth")
    ]


def test_without_policies_there_is_no_authentication(tmp_path: Path) -> None:
    assert settings(tmp_path, POLICY).policies == []


def test_a_policy_that_is_not_here_is_named(tmp_path: Path) -> None:
    lines = """
        multiauth.policies = ldap
        multiauth.policy.ldap.use = kinto_ldap.Policy
        multiauth.policy.ldap.x = 1
        """
    assert lost(translated(tmp_path, lines)) == [
        "[app:main] multiauth.policy.ldap.use: no authentication policy `kinto_ldap.Policy` here",
        "[app:main] multiauth.policy.ldap.x: belongs to a policy that is not supported",
    ]


def test_includes_become_features(tmp_path: Path) -> None:
    translation = translated(
        tmp_path,
        """
        kinto.includes = kinto.plugins.history
            kinto.plugins.flush kinto_remote_settings.signer
            kinto.plugins.admin kinto_megaphone
        kinto.signer.ecdsa.private_key = /key.pem
        kinto.experimental_permissions_endpoint = true
        """,
    )
    found = decode(translation.tree)
    assert found.features == ["openapi", "history", "flush", "signing", "permissions"]
    assert found.sections["signing"] == SigningSection(key_file="/key.pem")
    assert lost(translation) == ["[app:main] kinto.includes: the plugin `kinto_megaphone` is not supported"]


@pytest.mark.parametrize(("text", "there"), [("true", True), ("false", False), ("", False)])
def test_the_permissions_endpoint_is_a_feature(tmp_path: Path, text: str, there: bool) -> None:
    found = settings(tmp_path, f"kinto.experimental_permissions_endpoint = {text}")
    assert ("permissions" in found.features) is there


def test_features_bring_their_own_keys(tmp_path: Path) -> None:
    found = settings(
        tmp_path,
        """
        kinto.history.exclude_resources = /buckets/a  /buckets/b
        kinto.history.auto_trim_max_count = 5
        history.enabled = yes
        history.resources.blog.keep = 7
        history.resources.blog.articles.keep = true
        """,
    )
    assert found.sections["history"] == HistorySection(
        exclude=["/buckets/a", "/buckets/b"],
        keep=5,
        enabled=True,
        resources={"blog.keep": 7, "blog.articles.keep": True},
    )


def test_a_key_of_a_feature_that_says_nothing_leaves_its_default(tmp_path: Path) -> None:
    lines = "kinto.includes = kinto.plugins.history\nkinto.history.auto_trim_max_count ="
    assert "keep" not in translated(tmp_path, lines).tree.sections.get("history", {})
    assert "features" in toml.write(plain(translated(tmp_path, lines).tree))


def test_cache_keys_in_every_spelling(tmp_path: Path) -> None:
    found = settings(
        tmp_path,
        """
        kinto.bucket_cache_expires_seconds = 1
        kinto.collection_cache_expires_seconds =
        kinto.Main.record_cache_expires_seconds = 2
        kinto.Main.certs.record_cache_expires_seconds = 3
        kinto.blog_record_cache_expires_seconds = 4
        kinto.a_b_record_cache_expires_seconds = 5
        """,
    )
    assert found.cache_expires == {
        "bucket": 1,
        "Main.record": 2,
        "Main.certs.record": 3,
        "blog.record": 4,
        "a.b.record": 5,
        "a_b.record": 5,
    }


def test_the_older_cache_keys_come_last_as_in_kinto(tmp_path: Path) -> None:
    lines = "record_cache_expires_seconds = 9\nblog_record_cache_expires_seconds = 4"
    assert settings(tmp_path, lines).cache_expires == {"record": 9}
    lines = "blog.record_cache_expires_seconds = 9\nblog_posts_record_cache_expires_seconds = 4"
    assert settings(tmp_path, lines).cache_expires == {"blog.record": 9, "blog_posts.record": 4}


def test_memory_becomes_a_file(tmp_path: Path) -> None:
    for backend in ("", "kinto.storage_backend = kinto.core.storage.memory"):
        translation = translated(tmp_path, backend, data=tmp_path / "data")
        assert translation.in_memory
        assert decode(translation.tree).storage.url == f"sqlite:{tmp_path}/data/kintoun.sqlite"
        assert not lost(translation)


@pytest.mark.parametrize("scheme", ["postgresql", "postgres", "postgresql+psycopg2", "postgresql+psycopg"])
def test_postgresql_stays(tmp_path: Path, scheme: str) -> None:
    translation = translated(
        tmp_path,
        f"""
        kinto.storage_backend = kinto.core.storage.postgresql
        kinto.storage_url = {scheme}://u:p%%40@h:5432/db
        kinto.storage_pool_size = 33
        kinto.storage_max_overflow = 5
        kinto.permission_backend = kinto.core.permission.postgresql
        kinto.permission_url = {scheme}://u:p%%40@h:5432/db
        kinto.cache_backend = kinto.core.cache.memcached
        kinto.cache_hosts = 127.0.0.1:11211
        """,
    )
    assert not translation.in_memory
    storage = decode(translation.tree).storage
    assert (storage.url, storage.pool_size) == ("postgresql://u:p%40@h:5432/db", 33)
    assert not lost(translation)


def test_permissions_kept_elsewhere_are_named(tmp_path: Path) -> None:
    lines = """
        kinto.storage_backend = kinto.core.storage.postgresql
        kinto.storage_url = postgresql://h/a
        kinto.permission_url = postgresql://h/b
        """
    (message,) = lost(translated(tmp_path, lines))
    assert message.startswith("[app:main] kinto.permission_url: permissions are kept with the data")


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ("kinto.storage_backend = kinto_redis.storage", "no such storage here: kinto_redis.storage"),
        ("kinto.storage_backend = kinto.core.storage.postgresql", "storage_url: must be a postgresql:// URL"),
        ("kinto.storage_url = %(nope)s", "Bad value substitution"),
        ("kinto.batch_max_requests = many", r"batch_max_requests: \[limits\] batch_requests: expected `int`"),
        ("kinto.readonly = perhaps", r"readonly: \[protocol\] readonly: expected `bool`"),
    ],
)
def test_what_cannot_be_is_an_error_that_names_the_key(tmp_path: Path, lines: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        settings(tmp_path, lines)


def test_the_server_section(tmp_path: Path) -> None:
    found = settings(
        tmp_path, "", other="[server:main]\nuse = egg:waitress\nhost = 0.0.0.0\nport = %(http_port)s"
    )
    assert (found.server.host, found.server.port) == ("0.0.0.0", 8888)
    found = settings(tmp_path, "", other="[server:main]\nlisten = *:9999 [::1]:1\nthreads = 4")
    assert (found.server.host, found.server.port) == ("0.0.0.0", 9999)


def test_what_could_not_be_carried_over_is_named(tmp_path: Path) -> None:
    translation = translated(
        tmp_path,
        """
        kinto.event_listeners = x
        kinto.record_id_generator = a.B
        kinto.sentry_dsn = https://x
        kinto.statsd_url = udp://x
        kinto.bogus = 1
        pyramid.debug_notfound = false
        """,
        {"KINTO_NONSENSE": "1", "KINTO_INI": "kinto.ini"},
        "[loggers]\nkeys = root",
    )
    assert [line.partition(": ")[0] for line in lost(translation)] == [
        "[app:main] kinto.event_listeners",
        "[app:main] kinto.record_id_generator",
        "[app:main] kinto.sentry_dsn",
        "[app:main] kinto.statsd_url",
        "[app:main] kinto.bogus",
        "environment KINTO_NONSENSE",
    ]
    needless = [note.place.rpartition(": ")[2] for note in translation.notes if note.kind == "needless"]
    assert needless == ["[app:main] use", "[app:main] pyramid.debug_notfound", "[loggers]"]


def test_a_key_without_a_value_is_not_missed(tmp_path: Path) -> None:
    found = translated(tmp_path, "event_listeners =\nstatsd_url = ")
    assert lost(found) == []
    assert [note.reason for note in found.notes].count("has no value") == 2


def test_defaults_are_no_settings_of_the_application(tmp_path: Path) -> None:
    path = tmp_path / "kinto.ini"
    path.write_text(
        "\ufeff[DEFAULT]\nname = Defaults\npaginate_by = 3\nreadonly = true\n"
        "[app:main]\nproject_name = My %(name)s in %(here)s\nreadonly = false\n",
        encoding="utf-8",
    )
    found = translate(path, {}, None)
    assert lost(found) == []
    made = decode(found.tree)
    assert made.project.name == f"My Defaults in {tmp_path}"
    assert (made.limits.page_size, made.protocol.readonly) == (0, False)


def test_the_environment_stands_above_the_file(tmp_path: Path) -> None:
    lines = (
        "kinto.batch_max_requests = 5\nkinto.cors_origins = a\ngroup_read_principals = x\nkinto.my.key = 1"
    )
    environ = {
        "KINTO_BATCH_MAX_REQUESTS": "6",
        "BATCH_MAX_REQUESTS": "7",
        "CORS_ORIGINS": "https://b",
        "KINTO_READONLY": "true",
        "KINTO_MULTIAUTH_POLICIES": "basicauth",
        "KINTO_INCLUDES": '["kinto.plugins.flush"]',
        "KINTO_BUCKET_CREATE_PRINCIPALS": "account:x",
        "GROUP_READ_PRINCIPALS": "y",
        "KINTO_HISTORY_AUTO_TRIM_MAX_COUNT": "3",
        "KINTO_PROJECT_NAME": '"quoted"',
        "HOME": "/root",
    }
    found = settings(tmp_path, lines, environ)
    assert found.limits.batch_requests == 6
    assert found.http.cors_origins == ["https://b"]
    assert found.protocol.readonly is True
    assert [policy.use for policy in found.policies] == ["basicauth"]
    assert "flush" in found.features
    assert found.access["bucket_create"] == ["account:x"]
    assert found.access["group_read"] == ["y"]
    assert found.sections["history"] == HistorySection(keep=3)
    assert found.project.name == "quoted"


def test_keys_with_names_inside_and_where_they_come_from(tmp_path: Path) -> None:
    lines = """
    kinto.history.exclude_resources = my-list other
    kinto.history.a.b.own_keep = 1
    kinto.history.own_keep = 2
    kinto.history..own_keep = 3
    kinto.history.a.own_kept = 4
    """
    environ = {"KINTO_HISTORY_MY_LIST_OWN_KEEP": "5", "KINTO_HISTORY_YOUR_LIST_OWN_KEEP": "6"}
    translation = translated(tmp_path, lines, environ)
    history = decode(translation.tree).sections["history"]
    assert history.resources == {"a.b.own_keep": 1, "my-list.own_keep": 5}
    assert [line.partition(": ")[0] for line in lost(translation)] == [
        "[app:main] kinto.history.own_keep",
        "[app:main] kinto.history..own_keep",
        "[app:main] kinto.history.a.own_kept",
        "environment KINTO_HISTORY_YOUR_LIST_OWN_KEEP",
    ]


def test_postgresql_from_the_environment_alone(tmp_path: Path) -> None:
    environ = {
        "KINTO_STORAGE_BACKEND": "kinto.core.storage.postgresql",
        "KINTO_STORAGE_URL": "postgresql://h/d",
        "KINTO_PERMISSION_BACKEND": "kinto.core.permission.postgresql",
        "KINTO_PERMISSION_URL": "postgresql://h/d",
        "KINTO_CACHE_BACKEND": "kinto.core.cache.postgresql",
        "KINTO_CACHE_URL": "postgresql://h/d",
    }
    translation = translated(tmp_path, "", environ)
    assert decode(translation.tree).storage.url == "postgresql://h/d"
    assert not lost(translation)


def test_the_written_file_means_the_same(tmp_path: Path) -> None:
    translation = translated(
        tmp_path,
        f"""
        kinto.includes = kinto.plugins.history
        multiauth.policies = account basicauth
        {POLICY}
        kinto.account_create_principals = system.Everyone
        kinto.a.b.record_cache_expires_seconds = 3
        kinto.history.exclude_resources = /buckets/a
        kinto.storage_backend = kinto.core.storage.postgresql
        kinto.storage_url = postgresql://u:p@h/d
        """,
    )
    text = toml.write(plain(translation.tree))
    tomllib.loads(text)
    path = tmp_path / "kintoun.toml"
    path.write_text(text, encoding="utf-8")
    assert load(path, {}) == decode(translation.tree)


def test_another_single_application_is_found(tmp_path: Path) -> None:
    path = tmp_path / "kinto.ini"
    path.write_text(
        "[app:kinto]\nkinto.readonly = true\n[pipeline:main]\npipeline = kinto\n", encoding="utf-8"
    )
    assert decode(translate(path, {}).tree).protocol.readonly is True


def test_a_file_without_application_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "kinto.ini"
    path.write_text("[server:main]\nport = 1\n", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"\[app:main\]: this section is missing"):
        translate(path, {})
