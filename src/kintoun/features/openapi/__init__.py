"""The description of the API, in OpenAPI 3.1, made of the definitions that serve the requests.

`GET /__api__` is the document; `GET /__api__/` a page to browse it, which asks nothing of any other server.
"""

from __future__ import annotations

from typing import Any

from kintoun.features.openapi.document import describe
from kintoun.http.answers import Answer, json_answer
from kintoun.http.requests import Request
from kintoun.http.routing import Endpoint
from kintoun.plugin import Plugin, Registry
from kintoun.resources.context import Context


async def get_document(context: Context, request: Request) -> Answer:
    """The OpenAPI document."""
    context.service.cors.check(request)
    return json_answer(describe(context.service, request.base))


class OpenApi(Plugin):
    """The API's description, and a page to browse it."""

    name = "openapi"

    def setup(self, registry: Registry, settings: Any) -> None:
        registry.endpoint(Endpoint("openapi", "/__api__", {"HEAD": get_document, "GET": get_document}))
