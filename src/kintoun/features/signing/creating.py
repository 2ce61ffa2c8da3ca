"""Creating the configured sources when the server starts (`auto_create_resources`, signing section 7)."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from kintoun.features.signing import applying
from kintoun.features.signing.resources import Resources
from kintoun.http.answers import Answer
from kintoun.http.requests import Request
from kintoun.http.routing import PREFIX
from kintoun.model.paths import Path, bucket_path, collection_path
from kintoun.model.permissions import acl_text
from kintoun.resources.context import Context, Work
from kintoun.resources.service import Service
from kintoun.resources.writing import needs_of
from kintoun.storage.needs import Needs


def creator(
    service: Service, resources: Resources, principals: Sequence[str]
) -> Callable[[], Awaitable[None]]:
    """What creates the missing sources, once, with `write` for these principals: no groups, no signature."""
    paths: list[Path] = []
    for source in (resource.source for resource in resources.all):
        paths.append(bucket_path(source.bucket))
        if source.collection is not None:
            paths.append(collection_path(source.bucket, source.collection))
    paths = list(dict.fromkeys(paths))
    grants = acl_text({"write": principals})

    async def create() -> None:
        context = Context(service, Request("PUT", f"{PREFIX}/"))
        context.user = applying.SIGNER_USER

        async def act(work: Work) -> Answer:
            with applying.as_the_signer(context):
                for path in paths:
                    if not await applying.is_there(work, path):
                        await applying.write(work, path, {}, grants)
            return Answer(204)

        await context.write(Needs.union(map(needs_of, paths)), act)
        await asyncio.Event().wait()  # what somebody deletes later stays deleted until the next start

    return create
