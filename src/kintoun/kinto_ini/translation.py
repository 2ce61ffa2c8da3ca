"""From Kinto's keys to our settings, with a note for every key that did not become one."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple

from kintoun.config import Tree, Value
from kintoun.config.problems import ConfigError, Problem
from kintoun.kinto_ini import table
from kintoun.kinto_ini.caches import cache_expires
from kintoun.kinto_ini.features import FeatureKeys, includes_of
from kintoun.kinto_ini.reading import Entry, Ini

PRINCIPALS = re.compile(r"(?P<resource>[a-z][a-z_-]*)_(?P<verb>create|read|write|delete)_principals$")
ENDPOINT = re.compile(r"(?P<endpoint>(plural|object)_[a-z_-]+_(get|head|post|put|patch|delete))_enabled$")
POLICY_OPTION = re.compile(r"multiauth\.policy\.(?P<name>[^.]+)\.(?P<option>.+)$")
POSTGRESQL = re.compile(r"postgres(ql)?(\+\w+)?://")
STORAGE_BACKENDS = {"memory": "memory", "postgresql": "postgresql"}
SERVER_KEYS = {"host": "host", "port": "port", "workers": "workers"}
EVERY_ADDRESS = "0.0.0.0"  # noqa: S104 - only where the ini asks for it
KINTO_NAME = "kinto"
"""The `project_name` of a Kinto that says nothing: its clients go on seeing it."""


class Note(NamedTuple):
    """A key that became no setting: `lost` ones change what the server does, `needless` ones do not."""

    kind: Literal["lost", "needless"]
    place: str
    reason: str


@dataclass
class Translation:
    """The settings that an ini becomes, and what has to be said about the rest."""

    tree: Tree
    notes: list[Note] = field(default_factory=list)
    in_memory: bool = False
    """The ini keeps its data in memory, so that nothing need outlive the process."""


class Translator:
    """Translates one ini; `data` is the directory of the SQLite file that stands for the memory backend."""

    def __init__(self, ini: Ini, keys: FeatureKeys, data: Path | None) -> None:
        self.ini = ini
        self.keys = keys
        self.data = data
        self.result = Translation(Tree())
        self.features: dict[str, str] = {"openapi": str(ini.path)}
        self.left = dict(ini.application)

    def translate(self) -> Translation:
        """Do it; raises ConfigError for what would change the server's meaning silently."""
        if "project_name" not in self.left:
            self._put("project", "name", KINTO_NAME, str(self.ini.path))
        self._storage()
        self._policies()
        self._includes()
        self._caches()
        for key, entry in self.left.items():
            self._key(key, entry)
        self._server()
        source = next(iter(self.features.values()))
        self.result.tree.put("", "features", Value(list(self.features), source))
        return self.result

    def _put(self, section: str, key: str, value: Any, place: str) -> None:
        self.result.tree.put(section, key, Value(value, place))

    def _note(self, kind: Literal["lost", "needless"], place: str, reason: str) -> None:
        self.result.notes.append(Note(kind, place, reason))

    def _take(self, key: str) -> Entry | None:
        entry = self.left.pop(key, None)
        return entry if entry is not None and entry.text.strip() else None

    def _key(self, key: str, entry: Entry) -> None:
        steps: list[Callable[[str, Entry], bool]] = [
            self._setting,
            self._feature_key,
            self._principals,
            self._endpoint,
            self._switch,
        ]
        if not any(step(key, entry) for step in steps):
            self._without_counterpart(key, entry)

    def _setting(self, key: str, entry: Entry) -> bool:
        target = table.SETTINGS.get(key)
        if target is None:
            return False
        value = table.read_as(target.form, entry.text)
        if key == "batch_max_requests" and value is None:
            value = 0
        if value is not None:
            self._put(target.section, target.key, value, entry.place)
        return True

    def _feature_key(self, key: str, entry: Entry) -> bool:
        found = self.keys.find(key)
        if found is None:
            return False
        if key in table.SWITCHES and entry.text.strip():
            self.features.setdefault(found.feature, entry.place)
        value = found.read(entry.text)
        if value is None:
            return True
        before = self.result.tree.sections.get(found.feature, {}).get(found.field)
        if found.rest is not None:
            value = {**(before.value if before else {}), found.rest: value}
        elif before is not None and found.template is not None:
            self._note("needless", entry.place, f"{before.source} goes before it")
            return True
        self.result.tree.put(found.feature, found.field, Value(value, entry.place))
        return True

    def _principals(self, key: str, entry: Entry) -> bool:
        match = PRINCIPALS.match(key)
        if match is None:
            return False
        self._put("access", f"{match['resource']}_{match['verb']}", table.words(entry.text), entry.place)
        return True

    def _endpoint(self, key: str, entry: Entry) -> bool:
        match = ENDPOINT.match(key)
        if match is None:
            return False
        if table.flag(entry.text) is False:
            so_far = self.result.tree.sections.get("protocol", {}).get("disabled_endpoints")
            names = [*(so_far.value if so_far else []), match["endpoint"]]
            self._put("protocol", "disabled_endpoints", names, entry.place)
        return True

    def _switch(self, key: str, entry: Entry) -> bool:
        if key != "experimental_permissions_endpoint":
            return False
        if table.flag(entry.text) is True:
            self.features.setdefault("permissions", entry.place)
        return True

    def _without_counterpart(self, key: str, entry: Entry) -> None:
        if not entry.text.strip():
            self._note("needless", entry.place, "has no value")
            return
        for pattern, reason in table.NEEDLESS:
            if pattern.match(key):
                self._note("needless", entry.place, reason)
                return
        for pattern, reason in table.WITHOUT_COUNTERPART:
            if pattern.match(key):
                self._note("lost", entry.place, reason)
                return
        self._note("lost", entry.place, "is no key that this server knows")

    def _storage(self) -> None:
        backend = self._take("storage_backend")
        url = self._take("storage_url")
        pool = self._take("storage_pool_size")
        kind = backend.text.strip().rsplit(".", 1)[-1] if backend else "memory"
        if kind not in STORAGE_BACKENDS and backend is not None:
            rule = f"no such storage here: {backend.text.strip()}; it is PostgreSQL or SQLite"
            raise ConfigError([Problem(backend.place, "", "", rule)])
        if kind == "memory":
            self.result.in_memory = True
            file = (self.data or Path()) / "kintoun.sqlite"
            self._put("storage", "url", f"sqlite:{file}", backend.place if backend else str(self.ini.path))
            if url is not None:
                self._note("needless", url.place, "the memory backend has no URL")
            if pool is not None:
                self._note("needless", pool.place, "the memory backend has no pool")
            return
        if url is None or backend is None or not POSTGRESQL.match(url.text.strip()):
            place = url.place if url else str(self.ini.path)
            raise ConfigError([Problem(place, "", "storage_url", "must be a postgresql:// URL")])
        self._put("storage", "url", POSTGRESQL.sub("postgresql://", url.text.strip()), url.place)
        if pool is not None:
            self._put("storage", "pool_size", table.read_as("number", pool.text), pool.place)
        self._other_url("permission_url", url)

    def _other_url(self, key: str, storage: Entry) -> None:
        entry = self.left.get(key)
        if entry is not None and entry.text.strip() not in ("", storage.text.strip()):
            del self.left[key]
            self._note(
                "lost", entry.place, "permissions are kept with the data, in the database of `storage_url`"
            )

    def _policies(self) -> None:
        names = self._take("multiauth.policies")
        policies = []
        for name in table.words(names.text) if names else []:
            policy = self._policy(name, names.place if names else "")
            if policy is not None:
                policies.append(policy)
                self.features.setdefault(policy["feature"], policy["place"])
        for key in [key for key in self.left if POLICY_OPTION.match(key)]:
            entry = self.left.pop(key)
            self._note("needless", entry.place, "this policy is not in `multiauth.policies`")
        plain = [{name: policy[name] for name in ("name", "use", "options")} for policy in policies]
        self._put("", "policies", plain, names.place if names else str(self.ini.path))

    def _policy(self, name: str, place: str) -> dict[str, Any] | None:
        options = {}
        for key in list(self.left):
            match = POLICY_OPTION.match(key)
            if match is not None and match["name"] == name:
                options[match["option"]] = self.left.pop(key)
        use = options.pop("use", None)
        text = use.text.strip() if use else ""
        kind = self.keys.policy_kind(text or ("basicauth" if name == "basicauth" else ""))
        if kind is None:
            self._note("lost", use.place if use else place, f"no authentication policy `{text or name}` here")
            for entry in options.values():
                self._note("lost", entry.place, "belongs to a policy that is not supported")
            return None
        return {
            "name": kind.user_prefix or name,
            "use": kind.use,
            "options": {option: table.option(entry.text) for option, entry in options.items()},
            "feature": kind.feature,
            "place": use.place if use else place,
        }

    def _includes(self) -> None:
        includes = self._take("includes")
        for module in table.words(includes.text) if includes else []:
            features = includes_of(module)
            for feature in features:
                self.features.setdefault(feature, includes.place if includes else "")
            if not features and includes is not None:
                self._note("lost", includes.place, f"the plugin `{module}` is not supported")

    def _caches(self) -> None:
        for key, seconds, entry in cache_expires(self.left):
            self._put("cache_expires", key, table.read_as("number", seconds), entry.place)

    def _server(self) -> None:
        for key, entry in self.ini.server.items():
            if key in SERVER_KEYS:
                self._put("server", SERVER_KEYS[key], self._server_value(key, entry), entry.place)
            elif key == "listen":
                self._listen(entry)
            else:
                self._note("needless", entry.place, "belongs to Kinto's own server")
        for section in self.ini.other_sections:
            self._note(
                "needless", f"{self.ini.path}: [{section}]", "only the application and the server are read"
            )

    def _server_value(self, key: str, entry: Entry) -> Any:
        return table.read_as("text" if key == "host" else "number", entry.text)

    def _listen(self, entry: Entry) -> None:
        first, *others = entry.text.split()
        host, _, port = first.rpartition(":")
        self._put("server", "host", EVERY_ADDRESS if host in ("", "*") else host.strip("[]"), entry.place)
        self._put("server", "port", table.read_as("number", port), entry.place)
        if others:
            self._note("lost", entry.place, f"one address is listened on, {first}")


def plain(tree: Tree) -> Mapping[str, Any]:
    """The tree as the content of a TOML file, keys outside tables first, without empty parts."""
    content: dict[str, Any] = {key: value.value for key, value in tree.sections.get("", {}).items()}
    policies = content.pop("policies", None)
    for section, values in tree.sections.items():
        if section and values:
            content[section] = {key: value.value for key, value in values.items()}
    if policies:
        content["policies"] = [{key: item for key, item in policy.items() if item} for policy in policies]
    return content
