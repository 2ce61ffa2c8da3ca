"""Indexes on the fields that a deployment declares: made and dropped with the schema's migration."""

from __future__ import annotations

from collections.abc import Collection
from hashlib import blake2b

from kintoun.settings import Storage
from kintoun.storage.dialect import Dialect
from kintoun.storage.select import index_expression

PREFIX = "field_"
"""What the names of these indexes begin with, and no other's."""


def indexed_fields(settings: Storage) -> frozenset[str]:
    """The fields that are declared. Raises ValueError for one that cannot be indexed."""
    fields = frozenset(index.field for index in settings.indexes)
    for field in fields:
        index_expression(field, Dialect.SQLITE)
    return fields


def name_of(field: str) -> str:
    """The name of a field's index."""
    return PREFIX + blake2b(field.encode(), digest_size=8).hexdigest()


def index_changes(
    fields: Collection[str], present: Collection[str], dialect: Dialect, options: str = ""
) -> list[str]:
    """The statements that turn the indexes that are `present` (names) into those of `fields`."""
    names = {name_of(field): field for field in sorted(fields)}
    drops = [f"DROP INDEX {options} {name}" for name in present if name not in names]
    return drops + [
        f"CREATE INDEX {options} {name} ON object (list, {index_expression(field, dialect)})"
        for name, field in names.items()
        if name not in present
    ]
