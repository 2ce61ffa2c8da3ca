"""Forgetting a user: sources no longer tell what they did there, nor is it known beside the metadata.

The publication log goes on naming who published: without that nobody could verify it.
"""

from __future__ import annotations

from kintoun.features.signing import applying
from kintoun.features.signing.review import TRACKING
from kintoun.features.signing.state import state_in, state_path, states_of
from kintoun.model import json
from kintoun.model.paths import Path, collection_path
from kintoun.resources.context import Work
from kintoun.storage.needs import Needs

_SOURCES = (
    "SELECT k.bucket, o.id FROM clock k JOIN object o ON o.list = k.list"
    " WHERE k.path = '/buckets/' || k.bucket || '/workspaces' AND o.deleted = 0"
)


async def forget_user(work: Work, principal: str) -> None:
    """Take a user out of all sources, those too that are no longer configured to be one."""
    await work.unit.flush()  # what was written before this may have made or removed some
    for bucket, name in sorted(tuple(row) for row in await work.unit.transaction.fetch(_SOURCES)):
        source = collection_path(bucket, name)
        places = (state_path(source), source)
        await work.unit.prepare([Needs((states_of(bucket), source.list), (), places)])
        await _forget_editor(work, source, principal)
        await _forget_tracks(work, source, principal)


async def _forget_editor(work: Work, source: Path, principal: str) -> None:
    state = state_in(await work.unit.object(state_path(source)))
    if principal in state.editors:
        others = tuple(editor for editor in state.editors if editor != principal)
        await state._replace(editors=others).save(work.unit, source)


async def _forget_tracks(work: Work, source: Path, principal: str) -> None:
    row = await work.unit.object(source)
    if row is None or row.deleted:
        return
    metadata = json.decode(row.body.encode())
    del metadata["last_modified"]
    told = {name: value for name, value in metadata.items() if name not in TRACKING or value != principal}
    if len(told) < len(metadata):
        with applying.as_the_signer(work.context):
            await applying.write(work, source, told, row.grants)
