"""Features as a third party would bring them, for tests that must not depend on the built-in ones."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Annotated, Any, ClassVar

import pytest
from msgspec import Meta, field

from kintoun.config import discovery
from kintoun.plugin import Plugin
from kintoun.settings import Section


class HistorySection(Section, frozen=True):
    """What is remembered."""

    exclude: Annotated[list[str], Meta(description="URIs that are left out.")] = field(default_factory=list)
    keep: Annotated[int, Meta(ge=-1, description="Entries to keep; -1 keeps all.")] = -1
    enabled: Annotated[bool, Meta(description="Whether anything is remembered.")] = True
    resources: Annotated[dict[str, Any], Meta(description="By resource.")] = field(default_factory=dict)


class SigningSection(Section, frozen=True):
    """A section with a key that must be given."""

    key_file: Annotated[str, Meta(description="File of the private key.")]


class History(Plugin):
    """A feature with settings and Kinto keys."""

    name: ClassVar[str] = "history"
    settings: ClassVar[type[Section] | None] = HistorySection
    kinto_keys: ClassVar[dict[str, str]] = {
        "history.exclude_resources": "exclude",
        "history.auto_trim_max_count": "keep",
        "history.enabled": "enabled",
        "history.resources.*": "resources",
        "history.*.own_keep": "resources",
    }

    @classmethod
    def kinto_names(cls, texts: Mapping[str, str]) -> Iterable[str]:
        return [f"history.{name}.own_keep" for name in texts.get("history.exclude_resources", "").split()]


class Signing(Plugin):
    """A feature that stands for a plugin with a name of its own."""

    name: ClassVar[str] = "signing"
    settings: ClassVar[type[Section] | None] = SigningSection
    kinto_keys: ClassVar[dict[str, str]] = {"signer.ecdsa.private_key": "key_file"}
    kinto_includes: ClassVar[tuple[str, ...]] = ("kinto_remote_settings.signer", "kinto_signer")


def _plain(feature_name: str) -> type[Plugin]:
    return type(feature_name.title(), (Plugin,), {"name": feature_name})


class _EntryPoint:
    def __init__(self, target: type[Plugin]) -> None:
        self.target = target

    def load(self) -> type[Plugin]:
        return self.target


@pytest.fixture
def features(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Only these features are installed."""
    plain = [_plain(name) for name in ("accounts", "basicauth", "permissions", "flush", "openapi")]
    points = {plugin.name: _EntryPoint(plugin) for plugin in [History, Signing, *plain]}
    monkeypatch.setattr(discovery, "_entry_points", lambda: points)
    discovery.feature.cache_clear()
    yield
    discovery.feature.cache_clear()
