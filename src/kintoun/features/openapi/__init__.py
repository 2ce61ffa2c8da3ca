"""The description of the API, in OpenAPI 3.1, made of the definitions that serve the requests.

`GET /__api__` is the document; `GET /__api__/` a page to browse it, which asks nothing of any other server.
(Kinto serves Swagger 2.0 there, which no client of the protocol reads; what generates clients or tests today
reads OpenAPI 3.1.)
"""

from __future__ import annotations

from functools import cache
from typing import Any

from kintoun.features.openapi.document import describe
from kintoun.features.openapi.page import PAGE, POLICY
from kintoun.http.answers import Answer
from kintoun.http.requests import Request
from kintoun.http.routing import Endpoint
from kintoun.model import json
from kintoun.plugin import Plugin, Registry
from kintoun.resources.context import Context


async def get_page(_context: Context, _request: Request) -> Answer:
    """The page that shows the document."""
    return Answer(200, PAGE, media_type="text/html; charset=UTF-8", policy=POLICY)


class OpenApi(Plugin):
    """The API's description, and a page to browse it."""

    name = "openapi"

    def setup(self, registry: Registry, settings: Any) -> None:
        service = registry.service

        # Made when it is first asked for, when every feature has brought its endpoints.
        @cache
        def document() -> bytes:
            return json.encode(describe(service))

        async def get_document(context: Context, request: Request) -> Answer:
            context.service.cors.check(request)
            return Answer(200, document())

        registry.endpoint(Endpoint("openapi", "/__api__", {"HEAD": get_document, "GET": get_document}))
        registry.endpoint(Endpoint("openapi-page", "/__api__/", {"HEAD": get_page, "GET": get_page}))
