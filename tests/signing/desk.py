"""A server that reviews and publishes, with editors, reviewers, and a signer to play with."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from msgspec.structs import replace

from kintoun.features.signing import Signing
from kintoun.features.signing.settings import Local
from kintoun.features.signing.workflow import SigningSettings
from kintoun.model.paths import Path as ObjectPath
from kintoun.model.paths import collection_path
from kintoun.plugin import Plugin
from kintoun.signatures import content_signature
from kintoun.signatures.message import Message
from kintoun.signatures.signer import SignerUnavailable
from kintoun.storage.rows import Wanted
from tests.support.inprocess import App, opened, principal, settings_for

BUCKETS = "/buckets/main-workspace -> /buckets/main-preview -> /buckets/main"
SOURCE = "/buckets/main-workspace/collections/c1"
PREVIEW = "/buckets/main-preview/collections/c1"
DESTINATION = "/buckets/main/collections/c1"

PATIENCE = 60.0
"""Seconds that a test waits for what must happen."""

KEY = ec.generate_private_key(ec.SECP384R1())


class Desk:
    """The server, with the users `admin`, `ed` and `both` (editors), `rev` and `both` (reviewers)."""

    def __init__(self, app: App, signing: Signing) -> None:
        self.app = app
        self.signing = signing
        self.down = False
        self.asked = 0
        """How often something was to be signed."""
        self._more = asyncio.Condition()
        self.hold: asyncio.Event | None = None
        """What the signer waits for before it signs."""
        self._sign = signing.publisher._sign
        signing.publisher._sign = self.sign

    async def sign(self, source: ObjectPath, message: Message) -> Sequence[Mapping[str, Any]]:
        async with self._more:
            self.asked += 1
            self._more.notify_all()
        if self.hold is not None:
            await self.hold.wait()
        if self.down:
            raise SignerUnavailable("test", "it is down")
        return await self._sign(source, message)

    async def until_asked(self, times: int) -> None:
        """Wait until the signer was asked so often."""
        async with asyncio.timeout(PATIENCE), self._more:
            await self._more.wait_for(lambda: self.asked >= times)

    async def open(self) -> None:
        """A source with its groups, as an admin makes it."""
        await self.ok("PUT /buckets/main-workspace", {"data": {}}, user="admin")
        await self.ok(f"PUT {SOURCE}", {"data": {}}, user="admin")
        await self.members("editors", "ed", "both")
        await self.members("reviewers", "rev", "both")

    async def members(self, group: str, *users: str) -> None:
        members = [principal(user) for user in users]
        uri = f"/buckets/main-workspace/groups/c1-{group}"
        await self.ok(f"PATCH {uri}", {"data": {"members": members}}, user="admin")

    async def ok(self, request: str, body: Any = None, user: str = "ed", **arguments: Any) -> Any:
        return await self.app.ok(request, body, user=user, **arguments)

    async def call(self, request: str, body: Any = None, user: str = "ed", **arguments: Any) -> Any:
        return await self.app.call(request, body, user=user, **arguments)

    async def refused(self, status: int, request: str, body: Any = None, user: str = "ed") -> str:
        """The message of an answer that must be this refusal."""
        answer = await self.app.call(request, body, user=user)
        assert answer.status_code == status, answer.text
        return str(answer.json()["message"])

    async def put(self, record: str, user: str = "ed", **attributes: Any) -> Any:
        return await self.ok(f"PUT {SOURCE}/records/{record}", {"data": attributes}, user=user)

    async def status(self, status: str, user: str = "ed", **more: Any) -> Any:
        return await self.ok(f"PATCH {SOURCE}", {"data": {"status": status, **more}}, user=user)

    async def refuse_status(self, status: int, wanted: str, user: str = "ed", **more: Any) -> str:
        return await self.refused(status, f"PATCH {SOURCE}", {"data": {"status": wanted, **more}}, user=user)

    async def publish(self) -> None:
        await self.status("to-review")
        await self.status("to-sign", user="rev")

    async def metadata(self, collection: str = SOURCE) -> dict[str, Any]:
        """The attributes of a collection, read from the database."""
        row = (await self.store.read(Wanted(points=(path_of(collection),)))).points[0]
        assert row is not None, f"{collection} is not there"
        assert not row.deleted, f"{collection} was deleted"
        return dict((await self.ok(f"GET {collection}", user="admin"))["data"])

    @property
    def store(self) -> Any:
        return self.app.application.composition.service.store

    async def records(self, collection: str, user: str | None = None) -> dict[str, dict[str, Any]]:
        """The live records, by id, as anybody reads them unless a user is named."""
        answer = await self.app.call(f"GET {collection}/records", user=user)
        assert answer.status_code == 200, answer.text
        return {record["id"]: record for record in answer.json()["data"]}

    async def timestamp(self, collection: str) -> int:
        answer = await self.app.call(f"HEAD {collection}/records", user="admin")
        return int(answer.headers["ETag"].strip('"'))

    async def verify(
        self, collection: str, key: ec.EllipticCurvePrivateKey = KEY
    ) -> dict[str, dict[str, Any]]:
        """The records of a target, after its signature has proved good for what readers get."""
        records = await self.records(collection)
        metadata = await self.metadata(collection)
        signatures = metadata["signatures"]
        assert metadata["signature"] == signatures[0]
        signed = signed_form(list(records.values()), await self.timestamp(collection))
        content_signature.verify(key.public_key(), signed, signatures[0]["signature"])
        return records


def path_of(collection: str) -> ObjectPath:
    _, _, bucket, _, name = collection.split("/")
    return collection_path(bucket, name)


def signed_form(records: Sequence[Mapping[str, Any]], timestamp: int) -> bytes:
    """What is signed of records, by the rules and not by the code under test."""
    import json

    data = sorted(records, key=lambda record: record["id"])
    envelope = {"data": data, "last_modified": str(timestamp)}
    return json.dumps(envelope, sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode()


def key_file(directory: Path) -> str:
    file = directory / "key.pem"
    form = serialization.PrivateFormat.PKCS8
    file.write_bytes(KEY.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()))
    return str(file)


@asynccontextmanager
async def at_desk(
    url: str,
    directory: Path,
    *plugins: Plugin,
    features: Sequence[str] = (),
    access: Mapping[str, list[str]] | None = None,
    sections: Mapping[str, Any] | None = None,
    **changes: Any,
) -> AsyncIterator[Desk]:
    """A desk; `access` and `sections` are given besides, `changes` are to the section of the feature."""
    section = SigningSettings(local=[Local(name="test", private_key=key_file(directory))], resources=BUCKETS)
    section = replace(section, **{"to_review_enabled": True, **changes})
    settings = settings_for(url, sections={"signing": section, **(sections or {})})
    settings = replace(
        settings, features=[*settings.features, *features], access={**settings.access, **(access or {})}
    )
    signing = Signing()
    async with opened(settings, signing, *plugins) as app:
        desk = Desk(app, signing)
        yield desk
