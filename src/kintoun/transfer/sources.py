"""The files that collections come in: JSON, NDJSON, and directories of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID, uuid5

from kintoun.model import json
from kintoun.model.kinds import BUCKET, COLLECTION, RECORD, Kind
from kintoun.model.timestamps import LATEST

SUFFIXES = (".json", ".ndjson", ".jsonl")
ID_NAMESPACE = UUID("6ba7b811-9dad-11d1-80b4-00c04fd430c8")
ENVELOPE_DEPTH = 2
"""Levels that `{"data": [...]}` adds to those of a record."""


class BadFile(Exception):
    """A file cannot be imported; the message names the file, the place in it and the rule."""


@dataclass(frozen=True)
class Source:
    """A file, and the collection that it is for."""

    file: Path
    bucket: str
    collection: str

    def __str__(self) -> str:
        return f"{self.bucket}/{self.collection}"


@dataclass(frozen=True)
class Content:
    """What a file holds: records and tombstones as objects, and the timestamp of their list or None."""

    records: list[dict[str, Any]]
    timestamp: int | None


def find_sources(path: Path, bucket: str | None, collection: str | None) -> list[Source]:
    """The collections at a path, sorted; raises BadFile when a file cannot be told to belong to one.

    `main/regions.json` is collection `regions` of bucket `main`, unless the names are given. A directory
    holds the collections of one bucket, or directories that each do.
    """
    if path.is_dir():
        files = sorted(file for file in path.rglob("*") if file.suffix in SUFFIXES and file.is_file())
        sources = [
            Source(file, bucket or file.resolve().parent.name, collection or file.stem) for file in files
        ]
    elif path.exists():
        sources = [Source(path, bucket or path.resolve().parent.name, collection or path.stem)]
    else:
        raise BadFile(f"{path}: there is no such file")
    if not sources:
        raise BadFile(f"{path}: holds no file that ends in {', '.join(SUFFIXES)}")
    seen: dict[str, Source] = {}
    for source in sources:
        _check_id(source.file, BUCKET, source.bucket)
        _check_id(source.file, COLLECTION, source.collection)
        before = seen.setdefault(str(source), source)
        if before is not source:
            raise BadFile(f"{source.file}: collection {source} comes from {before.file} already")
    return sources


def read(file: Path) -> Content:
    """What a file holds; raises BadFile.

    It is `{"data": [...]}`, perhaps with `"timestamp"`, a bare array, or one object per line.
    """
    try:
        raw = file.read_bytes()
    except OSError as error:
        raise BadFile(f"{file}: cannot be read: {error.strerror}") from error
    lines = file.suffix != ".json"
    records, timestamp = (list(_lines(file, raw)), None) if lines else _document(file, raw)
    seen: set[str] = set()
    for position, record in enumerate(records, start=1):
        place = f"{file}: {'line' if lines else 'record'} {position}"
        _check_record(place, record)
        if "id" not in record:
            record["id"] = _id_from_content(record, seen)
        elif record["id"] in seen:
            raise BadFile(f"{place}: the id {record['id']!r} is there twice")
        seen.add(record["id"])
    return Content(records, timestamp)


def _id_from_content(record: dict[str, Any], seen: set[str]) -> str:
    """An id for a record without one: the same each time, so that an import can be repeated."""
    made = uuid5(ID_NAMESPACE, json.encode_text(record))
    while str(made) in seen:
        made = uuid5(made, "again")
    return str(made)


def _lines(file: Path, raw: bytes) -> Iterator[Any]:
    for number, line in enumerate(raw.splitlines(), start=1):
        if line.strip():
            yield _decode(f"{file}: line {number}", line, 0)


def _document(file: Path, raw: bytes) -> tuple[list[Any], int | None]:
    document = _decode(str(file), raw, ENVELOPE_DEPTH)
    timestamp = None
    if isinstance(document, dict):
        timestamp = document.get("timestamp")
        if timestamp is not None and not _is_timestamp(timestamp):
            raise BadFile(f"{file}: timestamp: must be a positive integer, in milliseconds")
        document = document.get("data")
    if not isinstance(document, list):
        raise BadFile(f'{file}: must be an array of records, or {{"data": [...]}}')
    return document, timestamp


def _decode(place: str, raw: bytes, extra_depth: int) -> Any:
    try:
        return json.decode(raw, max_depth=json.MAX_DEPTH + extra_depth)
    except json.InvalidJSON as error:
        raise BadFile(f"{place}: {error.name}{': ' if error.name else ''}{error.description}") from error


def _check_record(place: str, record: Any) -> None:
    if not isinstance(record, dict):
        raise BadFile(f"{place}: must be an object")
    if "id" in record and not RECORD.accepts(record["id"]):
        raise BadFile(f"{place}: id: {record['id']!r} cannot be the id of a record")
    if "last_modified" in record and not _is_timestamp(record["last_modified"]):
        raise BadFile(f"{place}: last_modified: must be a positive integer, in milliseconds")
    if record.get("deleted") is True and "id" not in record:
        raise BadFile(f"{place}: id: must be given with `deleted`")


def _check_id(file: Path, kind: Kind, object_id: str) -> None:
    if not kind.accepts(object_id):
        raise BadFile(f"{file}: {object_id!r} cannot be the id of a {kind.name}; name it with --{kind.name}")


def _is_timestamp(value: object) -> bool:
    return type(value) is int and 0 < value <= LATEST
