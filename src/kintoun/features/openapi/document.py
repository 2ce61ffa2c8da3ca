"""The OpenAPI document as a whole, made of what the server serves."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import kintoun
from kintoun.features.openapi import components
from kintoun.features.openapi.components import Part, error
from kintoun.features.openapi.kinds import json_patch, kind_schemas, list_operations, object_operations
from kintoun.features.openapi.services import service_operations, service_schemas
from kintoun.http.routing import PREFIX, Endpoint
from kintoun.model.kinds import Kind
from kintoun.resources.root import HTTP_API_VERSION
from kintoun.resources.service import Service

VERSION = "3.1.0"

_VARIABLE = re.compile(r"\{(\w+)(:tail)?\}")
_EVERYWHERE = ("400", "404", "405", "410", "413", "414", "429", "500", "503")
_DESCRIPTION = """Timestamped JSON objects in collections, changes fetched as diffs.

**Errors** are JSON: `code` (the status), `errno`, `error`, often `message` and `details`. **Timestamps** are
milliseconds since the epoch; `ETag` is a timestamp between double quotes. **OPTIONS** answers preflight
requests of other origins on every URL. Numbers must fit in a double, strings have no NUL, arrays and objects
stand at most {depth} deep in one another, a body has at most {body} bytes, a URL {url}."""


def describe(service: Service) -> dict[str, Any]:
    """The document that describes everything `service` serves."""
    settings = service.settings
    limits = settings.limits
    schemas = {
        **components.schemas(settings, _kinds(service)),
        **service_schemas(settings),
        "JSONPatch": json_patch(limits.patch_operations),
    }
    for kind in _kinds(service):
        schemas.update(kind_schemas(kind))
    paths = _Paths(service)
    return {
        "openapi": VERSION,
        "info": {
            "title": settings.project.name,
            "version": HTTP_API_VERSION,
            "summary": kintoun.__doc__,
            "description": _DESCRIPTION.format(
                depth=limits.json_depth, body=limits.body_bytes, url=limits.url_bytes
            ),
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "externalDocs": {"url": settings.project.docs},
        "servers": [{"url": PREFIX}],
        "security": [{}, *({name: []} for name in _schemes(service))],
        "tags": paths.tags(),
        "paths": paths.described(),
        "components": {
            "schemas": schemas,
            "headers": components.HEADERS,
            "parameters": components.parameters(settings),
            "responses": components.error_answers(),
            "securitySchemes": _schemes(service),
        },
    }


def _kinds(service: Service) -> list[Kind]:
    """The kinds whose objects have no fixed schema; others are described where their endpoints are made."""
    return [kind for kind, rules in service.rules.items() if rules.known_fields is None]


def _schemes(service: Service) -> dict[str, Part]:
    """What the policies recognise, by the scheme of their challenge."""
    names: dict[str, list[str]] = {}
    for policy in service.policies:
        names.setdefault(policy.challenge.partition(" ")[0].lower(), []).append(policy.name)
    return {
        scheme: {"type": "http", "scheme": scheme, "description": f"Policies: {', '.join(policies)}."}
        for scheme, policies in names.items()
    }


class _Paths:
    """The paths of the document, one for each endpoint."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._kinds: dict[str, Kind] = {}
        self._operations: dict[str, Mapping[str, Mapping[str, Any]]] = {}
        self._operations.update(service_operations())
        for kind in _kinds(service):
            plural, single = f"{kind.name}-plural", f"{kind.name}-object"
            self._kinds[plural] = self._kinds[single] = kind
            self._operations[plural] = list_operations(kind)
            self._operations[single] = object_operations(kind)

    def tags(self) -> list[Part]:
        used = {self._tag(endpoint): None for endpoint in self._service.router.endpoints}
        return [{"name": name} for name in used]

    def described(self) -> dict[str, Part]:
        """Every path with its operations."""
        paths: dict[str, Part] = {}
        for endpoint in self._service.router.endpoints:
            paths.setdefault(_VARIABLE.sub(r"{\1}", endpoint.pattern), {}).update(self._path(endpoint))
        return paths

    def _path(self, endpoint: Endpoint) -> Part:
        path: Part = {method.lower(): self._operation(endpoint, method) for method in endpoint.methods}
        variables = [self._variable(endpoint, name) for name, _ in _VARIABLE.findall(endpoint.pattern)]
        if variables:
            path["parameters"] = variables
        return path

    def _operation(self, endpoint: Endpoint, method: str) -> Part:
        said = endpoint.operations.get(method) or self._operations.get(endpoint.name, {}).get(method, {})
        responses = {**{status: error(status) for status in _EVERYWHERE}, **said.get("responses", {})}
        if "default" not in responses and not any(status[0] == "2" for status in responses):
            responses["default"] = {"description": "The answer."}
        return {
            "operationId": f"{endpoint.name}-{method.lower()}",
            "tags": [self._tag(endpoint)],
            **said,
            "responses": dict(sorted(responses.items())),
        }

    def _tag(self, endpoint: Endpoint) -> str:
        kind = self._kinds.get(endpoint.name)
        return kind.plural if kind is not None else "service"

    def _variable(self, endpoint: Endpoint, name: str) -> Part:
        kinds = {f"{kind.name}_id": kind for kind in _kinds(self._service)}
        kind = self._kinds.get(endpoint.name) if name == "id" else kinds.get(name)
        spec: Part = {"type": "string", "minLength": 1}
        if kind is not None:
            length = self._service.settings.limits.id_length
            spec = {"type": "string", "pattern": f"^{kind.id_pattern.pattern}$", "maxLength": length}
        described = f"The id of the {kind.name}." if kind is not None else name
        return {"name": name, "in": "path", "required": True, "description": described, "schema": spec}
