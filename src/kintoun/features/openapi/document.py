"""The OpenAPI document as a whole."""

from __future__ import annotations

import re
from typing import Any

import kintoun
from kintoun.http.routing import PREFIX, Endpoint
from kintoun.resources.context import Service
from kintoun.resources.root import HTTP_API_VERSION

_VARIABLE = re.compile(r"\{(\w+)(:tail)?\}")


def describe(service: Service, base: str) -> dict[str, Any]:
    """The document that describes everything `service` serves, at URLs that begin with `base`."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": service.settings.project.name,
            "version": HTTP_API_VERSION,
            "description": kintoun.__doc__,
        },
        "servers": [{"url": f"{base}{PREFIX}"}],
        "paths": {_path(endpoint): _operations(endpoint) for endpoint in service.router.endpoints},
    }


def _path(endpoint: Endpoint) -> str:
    return _VARIABLE.sub(r"{\1}", endpoint.pattern)


def _operations(endpoint: Endpoint) -> dict[str, Any]:
    parameters = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        for name, _ in _VARIABLE.findall(endpoint.pattern)
    ]
    operations: dict[str, Any] = {
        method.lower(): {
            "operationId": f"{endpoint.name}-{method.lower()}",
            "responses": {"default": {"description": "See the documentation."}},
        }
        for method in endpoint.methods
    }
    if parameters:
        operations["parameters"] = parameters
    return operations
