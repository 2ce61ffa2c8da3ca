"""The configuration file, the environment on top of it, and the errors that name what is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from kintoun.config import ConfigError, dump, load, revive, toml, tree_of
from kintoun.settings import Index, Policy
from tests.unit.fake_features import HistorySection, features

__all__ = ["features"]

pytestmark = pytest.mark.usefixtures("features")


def write(directory: Path, text: str) -> Path:
    path = directory / "kintoun.toml"
    path.write_text(text, encoding="utf-8")
    return path


def problems(path: Path | None, environ: dict[str, str] | None = None) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load(path, environ or {})
    return [str(problem) for problem in caught.value.problems]


def test_without_anything_the_defaults_hold() -> None:
    settings = load(None, {})
    assert settings.server.port == 8888
    assert settings.storage.url == "sqlite:kintoun.sqlite"
    assert settings.access == {"bucket_create": ["system.Authenticated"]}
    assert settings.policies == []


def test_a_file_is_read(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        """
        features = ["accounts", "history"]
        [limits]
        batch_requests = 50
        [storage]
        indexes = [{ bucket = "main", collection = "certs", field = "serial" }]
        [access]
        record_read = ["system.Everyone"]
        [cache_expires]
        record = 60
        main.certs.record = 5
        [history]
        keep = 7
        [[policies]]
        name = "account"
        use = "account"
        """,
    )
    settings = load(path, {})
    assert settings.limits.batch_requests == 50
    assert settings.storage.indexes == [Index(bucket="main", collection="certs", field="serial")]
    assert settings.access == {"bucket_create": ["system.Authenticated"], "record_read": ["system.Everyone"]}
    assert settings.cache_expires == {"record": 60, "main.certs.record": 5}
    assert settings.sections == {"history": HistorySection(keep=7)}
    assert settings.policies == [Policy(name="account", use="account")]


def test_a_relative_sqlite_file_lies_beside_the_configuration(tmp_path: Path) -> None:
    path = write(tmp_path, '[storage]\nurl = "sqlite:data/x.sqlite"')
    assert load(path, {}).storage.url == f"sqlite:{tmp_path}/data/x.sqlite"
    assert load(path, {"KINTOUN_STORAGE__URL": "sqlite:y"}).storage.url == "sqlite:y"


@pytest.mark.parametrize(
    ("variable", "text", "section", "key", "value"),
    [
        ("KINTOUN_STORAGE__URL", "postgresql://h/d", "storage", "url", "postgresql://h/d"),
        ("KINTOUN_LIMITS__BATCH_REQUESTS", "50", "limits", "batch_requests", 50),
        ("KINTOUN_STORAGE__TIMEOUT_SECONDS", "0.5", "storage", "timeout_seconds", 0.5),
        ("KINTOUN_PROTOCOL__READONLY", "true", "protocol", "readonly", True),
        ("KINTOUN_HTTP__BACKOFF_SECONDS", "7", "http", "backoff_seconds", 7),
        ("KINTOUN_HTTP__BACKOFF_SECONDS", "null", "http", "backoff_seconds", None),
        (
            "KINTOUN_HTTP__CORS_ORIGINS",
            "https://a, https://b",
            "http",
            "cors_origins",
            ["https://a", "https://b"],
        ),
        ("KINTOUN_HTTP__CORS_ORIGINS", '["https://a"]', "http", "cors_origins", ["https://a"]),
        ("KINTOUN_PROJECT__NAME", "12", "project", "name", "12"),
        ("KINTOUN_END_OF_SERVICE__DATE", "2030-01-01", "end_of_service", "date", "2030-01-01"),
    ],
)
def test_the_environment_stands_above_the_file(
    tmp_path: Path, variable: str, text: str, section: str, key: str, value: object
) -> None:
    path = write(tmp_path, "[limits]\nbatch_requests = 1\n[http]\nbackoff_seconds = 1\n")
    assert getattr(getattr(load(path, {variable: text}), section), key) == value


def test_the_environment_gives_lists_tables_and_feature_sections() -> None:
    settings = load(
        None,
        {
            "KINTOUN_FEATURES": "accounts,flush",
            "KINTOUN_POLICIES": '[{"name": "account", "use": "account"}]',
            "KINTOUN_ACCESS__RECORD_READ": "system.Everyone,account:a",
            "KINTOUN_HISTORY__EXCLUDE": "/buckets/a",
        },
    )
    assert settings.features == ["accounts", "flush"]
    assert settings.policies == [Policy(name="account", use="account")]
    assert settings.access["record_read"] == ["system.Everyone", "account:a"]
    assert settings.sections == {"history": HistorySection(exclude=["/buckets/a"])}


def test_variables_of_orchestrators_and_others_are_left_alone() -> None:
    environ = {"KINTOUN_PORT": "tcp://10.0.0.1:8888", "KINTOUN_SERVICE_HOST": "10.0.0.1", "HOME": "/root"}
    assert load(None, environ) == load(None, {})


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "[limits]\nbatch_request = 5",
            "[limits] batch_request: no such key; did you mean `batch_requests`?",
        ),
        ("[limits]\nbatch_requests = -1", "[limits] batch_requests: expected `int` >= 0"),
        ("[limits]\nbatch_requests = '5'", "[limits] batch_requests: expected `int`, got `str`"),
        ("[limit]\nfilters = 5", "[limit]: no such section; did you mean `limits`?"),
        ("[limit]", "[limit]: no such section; did you mean `limits`?"),
        ("[history]\nkep = 5", "[history] kep: no such key; did you mean `keep`?"),
        ("[history]\nkeep = -2", "[history] keep: expected `int` >= -1"),
        ("[flush]\nx = 1", "[flush]: this feature has no settings"),
        ("[signing]", "[signing] key_file: must be given"),
        ("storage = 5", "[storage]: is a table: write `[storage]` and its keys below"),
        ("feature = ['accounts']", "feature: no such key; did you mean `features`?"),
        ("features = ['acounts']", "features: no feature `acounts` is installed; did you mean `accounts`?"),
        ("[[policies]]\nname = 'a'", "policies[0]: object missing required field `use`"),
        ("[[policies]]\nname = 'a'\nuse = 'b'\nuze = 1", "policies[0]: object contains unknown field `uze`"),
        ("[access]\nbucket_make = []", "[access] bucket_make: expected `str` matching regex"),
        ("[access]\nbucket_create = 'x'", "[access] bucket_create: expected `array`, got `str`"),
        ("[cache_expires]\nrecord = -1", "[cache_expires] record: expected `int` >= 0"),
        (
            "[protocol]\ndisabled_endpoints = ['x']",
            "[protocol] disabled_endpoints[0]: expected `str` matching",
        ),
        ("[storage]\nindexes = [{bucket = 'b'}]", "[storage] indexes[0]: object missing required field"),
        ("[http]\npublic_scheme = 'ftp'", "[http] public_scheme: expected `str` matching regex"),
        ("[http]\npublic_host = 'a b'", "[http] public_host: expected `str` matching regex"),
        ("[server\n", "is not valid TOML"),
    ],
)
def test_a_mistake_is_named_with_file_section_key_and_rule(tmp_path: Path, text: str, expected: str) -> None:
    path = write(tmp_path, text)
    (message,) = problems(path)
    assert message.startswith(f"{path}: ")
    assert expected in message


def test_all_mistakes_are_named_at_once_with_their_sources(tmp_path: Path) -> None:
    path = write(tmp_path, "[limits]\nfilters = 0\nsort_fields = 0\n")
    found = problems(path, {"KINTOUN_LIMITS__FILTERS": "many", "KINTOUN_HISTORY__KEEP": "x"})
    assert found == [
        "environment KINTOUN_LIMITS__FILTERS: [limits] filters: expected `int`, got `str`",
        f"{path}: [limits] sort_fields: expected `int` >= 1",
        "environment KINTOUN_HISTORY__KEEP: [history] keep: expected `int`, got `str`",
    ]


def test_values_are_never_in_messages(tmp_path: Path) -> None:
    path = write(tmp_path, '[limits]\nfilters = "hunter2"')
    assert "hunter2" not in problems(path)[0]


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    (message,) = problems(tmp_path / "none.toml")
    assert "none.toml: cannot be read" in message


def test_settings_survive_the_way_to_a_worker() -> None:
    settings = load(None, {"KINTOUN_HISTORY__KEEP": "3", "KINTOUN_FEATURES": "history"})
    assert revive(dump(settings)) == settings


def test_settings_survive_being_written_as_a_file(tmp_path: Path) -> None:
    environ = {
        "KINTOUN_STORAGE__URL": "postgresql://u:p@h/d",
        "KINTOUN_FEATURES": "history,accounts",
        "KINTOUN_HISTORY__KEEP": "3",
        "KINTOUN_ACCESS__RECORD_READ": 'a"b\\c,é\u007f',
        "KINTOUN_POLICIES": '[{"name": "account", "use": "account", "options": {"a b": [1, true, 1.5]}}]',
        "KINTOUN_STORAGE__INDEXES": '[{"bucket": "b", "collection": "c", "field": "f"}]',
    }
    settings = load(None, environ)
    path = write(tmp_path, toml.write(tree_of(settings)))
    assert load(path, {}) == settings
