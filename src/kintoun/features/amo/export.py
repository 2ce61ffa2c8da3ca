"""The blocklist of one application, as XML (Firefox before version 60, Thunderbird and others read it).

Every piece of a record that is not of the form it should have is as if it were not there: who writes a record
can spoil that, but no more.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from kintoun.features.amo.versions import version_number
from kintoun.features.amo.xml import DECLARATION, element, leaf

Record = Mapping[str, Any]

TYPES = ("addons", "plugins", "gfx", "certificates")
NAMESPACE = "http://www.mozilla.org/2006/addons-blocklist"

FIREFOX = "{ec8030f7-c20a-464f-9b0e-13a3a9e97384}"
WITHOUT_CERTIFICATES = version_number("58.0")
"""From this version on, Firefox has its certificates from elsewhere."""

_GFX_TEXTS = ("os", "vendor", "feature", "featureStatus", "driverVersion", "driverVersionComparator")
_MATCHES = (("name", "matchName"), ("filename", "matchFilename"), ("description", "matchDescription"))


class Reader(NamedTuple):
    """Who a blocklist is for. `version` may be that of any other application that is sent the same."""

    api: int
    app: str
    version: int
    certificates: bool


class Blocklist:
    """The enabled records of the four lists, the oldest first, and what they are sent as."""

    def __init__(self, lists: Mapping[str, Sequence[Record]], last_update: int) -> None:
        self._lists = lists
        self._last_update = last_update
        targets = [target for kind in ("addons", "plugins") for each in lists[kind] for target in _all(each)]
        guids = [each.get("guid") for each in (*targets, *lists["gfx"])]
        self._apps = {guid for guid in guids if isinstance(guid, str)}
        self._limits = sorted({version_number(target.get("maxVersion")) for target in targets})

    def reader(self, api: int, app: str, version: str) -> Reader:
        """One of the few kinds of readers that there are, however many names and versions are asked for."""
        number = version_number(version)
        certificates = not (app == FIREFOX and number >= WITHOUT_CERTIFICATES)
        place = bisect_right(self._limits, number)
        # Greater than as many limits as the number itself; and what is no version is below all.
        alike = max(self._limits[place - 1] if place else 1, 1) if number else 0
        return Reader(min(api, 3), app if app in self._apps else "", alike, certificates)

    def xml(self, reader: Reader) -> bytes:
        """The document for a reader."""
        sections = (
            ("emItems", list(_addons(self._lists["addons"], reader))),
            ("pluginItems", list(_plugins(self._lists["plugins"], reader))),
            ("gfxItems", list(_gfx(self._lists["gfx"], reader))),
            ("certItems", list(_certificates(self._lists["certificates"])) if reader.certificates else []),
        )
        lines = [line for name, items in sections if items for line in element(name, {}, items)]
        root = element("blocklist", {"xmlns": NAMESPACE, "lastupdate": self._last_update}, lines)
        return (DECLARATION + "\n".join(root) + "\n").encode("utf-8", "replace")


def _dicts(value: object) -> list[Record]:
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []


def _ranges(record: Record) -> list[Record]:
    return _dicts(record.get("versionRange"))


def _targets(version_range: Record) -> list[Record]:
    return [
        target
        for target in _dicts(version_range.get("targetApplication"))
        if isinstance(target.get("guid", ""), str)
    ]


def _all(record: Record) -> Iterator[Record]:
    for version_range in _ranges(record):
        yield from _targets(version_range)


def _concerns(version_range: Record, reader: Reader) -> bool:
    """Whether a range is of this application, or may be of a later version of it."""
    targets = _dicts(version_range.get("targetApplication"))
    if not targets:
        return True
    return any(
        target.get("guid", "") in ("", reader.app)
        and 0 < reader.version < version_number(target.get("maxVersion"))
        for target in _targets(version_range)
    )


def _of_app(version_range: Record, reader: Reader) -> list[Record]:
    return [target for target in _targets(version_range) if target.get("guid") in ("", reader.app)]


def _given(record: Record, *names: tuple[str, str]) -> dict[str, object]:
    """The attributes of an element, by their names in the record, as far as these say anything."""
    return {name: record[key] for name, key in names if record.get(key)}


def _target_lines(targets: Sequence[Record]) -> list[str]:
    lines: list[str] = []
    for target in targets:
        bounds = _given(target, ("maxVersion", "maxVersion"), ("minVersion", "minVersion"))
        lines += element("targetApplication", _given(target, ("id", "guid")), element("versionRange", bounds))
    return lines


# Add-ons


def _addons(records: Sequence[Record], reader: Reader) -> Iterator[str]:
    merged: dict[str, tuple[dict[str, object], list[str], list[str]]] = {}
    for record in records:
        guid = record.get("guid")
        ranges = _ranges(record)
        if not isinstance(guid, str) or not guid:
            continue
        if ranges and not any(_concerns(each, reader) for each in ranges):
            continue
        head, prefs, lines = merged.setdefault(guid, ({}, [], []))
        head["blockID"] = _later(head.get("blockID"), record)
        head["id"] = guid
        head.update(_given(record, ("name", "name"), ("os", "os")))
        given = record.get("prefs")
        prefs += (
            [leaf("pref", pref) for pref in given if isinstance(pref, str)] if isinstance(given, list) else []
        )
        lines += [line for each in ranges for line in _addon_range(each, reader)]
    for head, prefs, lines in merged.values():
        yield from element("emItem", head, (*element("prefs", {}, prefs), *lines))


def _addon_range(version_range: Record, reader: Reader) -> list[str]:
    targets = _of_app(version_range, reader)
    if _dicts(version_range.get("targetApplication")) and not targets:
        return []
    bounds = _given(
        version_range, ("minVersion", "minVersion"), ("maxVersion", "maxVersion"), ("severity", "severity")
    )
    return element("versionRange", bounds, _target_lines(targets))


def _later(former: object, record: Record) -> object:
    """The block of records for one add-on, up to this one: the highest number, or the last without a number.

    Records are not numbered any longer, so those without a number are the later ones: their id stands for it.
    """
    block = record.get("blockID")
    if not block:
        return record.get("id")
    return block if former is None or _block_number(block) > _block_number(former) else former


def _block_number(block: object) -> int:
    digits = str(block)[1:19]
    return int(digits) if digits.isascii() and digits.isdigit() else -1


# Plugins


def _plugins(records: Sequence[Record], reader: Reader) -> Iterator[str]:
    for record in records:
        ranges = _ranges(record)
        head = {
            "blockID": record.get("blockID") or record.get("id"),
            **_given(record, ("name", "name"), ("os", "os"), ("xpcomabi", "xpcomabi")),
        }
        about = [
            line
            for name, key in _MATCHES
            if record.get(key)
            for line in element("match", {"exp": record[key], "name": name})
        ]
        if record.get("infoURL"):
            about.append(leaf("infoURL", record["infoURL"]))
        for each in [each for each in ranges if _concerns(each, reader)] if ranges else [{}]:
            yield from element("pluginItem", head, (*about, *_plugin_range(each, reader)))


def _plugin_range(version_range: Record, reader: Reader) -> list[str]:
    targets = _of_app(version_range, reader)
    bounds = _given(version_range, ("maxVersion", "maxVersion"), ("minVersion", "minVersion"))
    severity, status = version_range.get("severity"), version_range.get("vulnerabilityStatus")
    harm: dict[str, object] = {"severity": severity} if severity is not None else {}
    if status:
        harm["vulnerabilitystatus"] = status
    if targets:
        attributes = {**bounds, **harm} if len(bounds) == 2 else harm
        return element("versionRange", attributes, _target_lines(targets) if reader.api > 2 else ())
    if reader.api > 2 and len(bounds) == 2:
        return element("versionRange", {**bounds, **harm})
    if harm and (severity == 0 or not bounds):
        return element("versionRange", harm)
    return []


# Graphics and certificates


def _gfx(records: Sequence[Record], reader: Reader) -> Iterator[str]:
    for record in records:
        if record.get("guid") and record["guid"] != reader.app:
            continue
        lines = [leaf(name, record[name]) for name in _GFX_TEXTS if record.get(name)]
        devices = record.get("devices")
        if isinstance(devices, list) and devices:
            lines += element("devices", {}, [leaf("device", device) for device in devices])
        bounds = record.get("versionRange")
        if isinstance(bounds, dict):
            given = _given(bounds, ("minVersion", "minVersion"), ("maxVersion", "maxVersion"))
            lines += element("versionRange", given)
        block = record.get("blockID") or record.get("id")
        yield from element("gfxBlacklistEntry", {"blockID": block}, lines)


def _certificates(records: Sequence[Record]) -> Iterator[str]:
    for record in records:
        if record.get("subject") and record.get("pubKeyHash"):
            yield from element(
                "certItem", _given(record, ("pubKeyHash", "pubKeyHash"), ("subject", "subject"))
            )
        elif record.get("issuerName") and record.get("serialNumber"):
            serial = leaf("serialNumber", record["serialNumber"])
            yield from element("certItem", _given(record, ("issuerName", "issuerName")), [serial])
