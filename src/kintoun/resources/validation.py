"""Validation by the JSON schemas that collections and buckets carry (protocol section 5.6)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from kintoun.model import json, schemas
from kintoun.model.kinds import BUCKET, RECORD, Kind
from kintoun.resources.context import Context
from kintoun.storage.rows import Stored


@lru_cache(maxsize=256)
def _schema_in(body: str, attribute: str) -> dict[str, Any] | None:
    found = json.decode(body.encode()).get(attribute)
    return found if isinstance(found, dict) else None


def _schema_of(row: Stored | None, attribute: str) -> dict[str, Any] | None:
    if row is None or row.deleted or f'"{attribute}"' not in row.body:
        return None
    return _schema_in(row.body, attribute)


def has_schemas(context: Context, kind: Kind, above: Sequence[Stored | None]) -> bool:
    """Whether an object below these rows has to be validated."""
    if kind is BUCKET or not above or not context.service.settings.protocol.schema_validation:
        return False
    of_collection = _schema_of(above[-1], "schema") if len(above) > 1 else None
    return of_collection is not None or _schema_of(above[0], f"{kind.name}:schema") is not None


def validate(kind: Kind, above: Sequence[Stored | None], attributes: dict[str, Any]) -> None:
    """Check an object by the schemas above it; a record that its collection's schema accepted says so.

    Raises InvalidParameters.
    """
    if len(above) > 1:
        collection = above[-1]
        schema = _schema_of(collection, "schema")
        if schema is not None and collection is not None:
            schemas.validate(schema, attributes)
            attributes["schema"] = collection.timestamp
    schema = _schema_of(above[0], f"{kind.name}:schema")
    if schema is not None:
        ignored = schemas.RECORD_IGNORES if kind is RECORD else schemas.PARENT_IGNORES
        schemas.validate(schema, attributes, ignored)
