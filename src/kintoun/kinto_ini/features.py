"""What the installed features say about Kinto: their plugins' names, their policies and their keys."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec
import msgspec.inspect

from kintoun.config import feature, feature_names
from kintoun.config.decoding import field_types
from kintoun.kinto_ini import table

BUILT_IN = "kinto.plugins."
BROUGHT_ALONG = {"kinto.plugins.admin": ("permissions",)}
"""Kinto's admin switches the permissions endpoint on (protocol section 10.2)."""


class PolicyKind(NamedTuple):
    """An authentication policy: its name here, the feature that brings it, its fixed user prefix."""

    use: str
    feature: str
    user_prefix: str | None


POLICIES = {
    "AccountsPolicy": PolicyKind("account", "accounts", "account"),
    "AccountsAuthenticationPolicy": PolicyKind("account", "accounts", "account"),
    "BasicAuthAuthenticationPolicy": PolicyKind("basicauth", "basicauth", "basicauth"),
    "basicauth": PolicyKind("basicauth", "basicauth", "basicauth"),
    "OpenIDConnectPolicy": PolicyKind("openid", "openid", None),
}
"""By the last part of the dotted name in `multiauth.policy.NAME.use`."""


class FeatureKey(NamedTuple):
    """The field of a feature's section that a Kinto key becomes.

    `rest` is the key within a table field, `template` what is made of the text, which stands for `{}` in it.
    """

    feature: str
    field: str
    rest: str | None
    template: str | None = None

    def read(self, text: str) -> Any:
        """The key's text in the form that the field declares; None where it says nothing."""
        kind = feature(self.feature).settings
        declared = msgspec.inspect.type_info(field_types(kind)[self.field] if kind is not None else str)
        if self.rest is not None:
            return table.read_as("text", text) if _of_texts(declared) else table.option(text)
        value = table.read_as(_form(declared), text)
        return value if self.template is None or value is None else self.template.replace("{}", value)


class FeatureKeys:
    """The Kinto keys of all installed features.

    `prefix.*` and `prefix.*.suffix` stand for every key that begins, and ends, so; it becomes an entry of a
    table. `field.rest` as a target is the entry `rest` of the table `field`, and `field = x{}` what is made
    of the key's text.
    """

    def __init__(self) -> None:
        self._exact: dict[str, tuple[str, str]] = {}
        self._patterns: dict[tuple[str, str], tuple[str, str]] = {}
        for name in feature_names():
            for key, target in feature(name).kinto_keys.items():
                prefix, star, suffix = key.partition("*")
                if star:
                    self._patterns[prefix, suffix] = (name, target)
                else:
                    self._exact[key] = (name, target)

    def names(self) -> list[str]:
        """The keys that have a name of their own."""
        return list(self._exact)

    def names_by(self, texts: Mapping[str, str]) -> list[str]:
        """The keys that other keys, with these texts, let a Kinto look for in its environment."""
        return [key for name in feature_names() for key in feature(name).kinto_names(texts)]

    def find(self, key: str) -> FeatureKey | None:
        """Where a key goes, or None."""
        if key in self._exact:
            name, target = self._exact[key]
            place, _, template = target.partition(" = ")
            field, _, rest = place.partition(".")
            return FeatureKey(name, field, rest or None, template or None)
        for (prefix, suffix), (name, target) in self._patterns.items():
            if len(key) > len(prefix + suffix) and key.startswith(prefix) and key.endswith(suffix):
                return FeatureKey(name, target, rest=key.removeprefix(prefix))
        return None

    def policy_kind(self, use: str) -> PolicyKind | None:
        """The policy that a dotted name stands for, when the feature that brings it is installed."""
        kind = POLICIES.get(use.replace(":", ".").rsplit(".", 1)[-1])
        return kind if kind is not None and kind.feature in feature_names() else None


def includes_of(module: str) -> list[str]:
    """The installed features that stand for a module of Kinto's `includes`."""
    names = [name for name in feature_names() if module in feature(name).kinto_includes]
    if module.startswith(BUILT_IN):
        names += [
            name
            for name in (module.removeprefix(BUILT_IN), *BROUGHT_ALONG.get(module, ()))
            if name in feature_names()
        ]
    return list(dict.fromkeys(names))


def _of_texts(info: msgspec.inspect.Type) -> bool:
    kind = info.type if isinstance(info, msgspec.inspect.Metadata) else info
    return isinstance(kind, msgspec.inspect.DictType) and isinstance(kind.value_type, msgspec.inspect.StrType)


def _form(info: msgspec.inspect.Type) -> table.Form:
    """How text becomes a field of that type."""
    kinds = info.types if isinstance(info, msgspec.inspect.UnionType) else (info,)
    for kind in kinds:
        inner = kind.type if isinstance(kind, msgspec.inspect.Metadata) else kind
        match inner:
            case msgspec.inspect.BoolType():
                return "flag"
            case msgspec.inspect.IntType() | msgspec.inspect.FloatType():
                return "number"
            case msgspec.inspect.ListType():
                return "numbers" if _form(inner.item_type) == "number" else "words"
            case msgspec.inspect.UnionType():
                return _form(inner)
    return "text"
