"""Settings of the features that are installed, and the mistakes that only the whole server can tell."""

from __future__ import annotations

import re

import pytest

from kintoun.app import Composition
from kintoun.config import load
from kintoun.settings import EndOfService, Http, Settings


def test_a_list_of_numbers_may_be_written_with_commas() -> None:
    settings = load(None, {"KINTOUN_FEATURES": "metrics", "KINTOUN_METRICS__BUCKETS": "0.5, 1"})
    assert settings.sections["metrics"].buckets == [0.5, 1.0]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (Settings(end_of_service=EndOfService(date="soon")), "[end_of_service] date: 'soon' is no ISO date"),
        (Settings(access={"recrod_read": ["account:a"]}), "[access] recrod_read: there is nothing of this"),
        (
            Settings(http=Http(trusted_proxies=["10.0.0.0/99"]), features=["rates"]),
            "[http] trusted_proxies: '10.0.0.0/99'",
        ),
    ],
)
def test_what_only_the_whole_can_tell_is_named_too(settings: Settings, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        Composition(settings).compose()


def test_what_is_off_may_have_settings() -> None:
    Composition(Settings(access={"history_read": ["account:a"], "account_write": ["account:a"]})).compose()
