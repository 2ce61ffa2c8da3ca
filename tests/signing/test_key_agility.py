"""Two roots at once, so that one can take the other's place."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec.structs import replace

from kintoun.features.signing.settings import Local
from kintoun.features.signing.workflow import SigningSettings
from kintoun.model.canonical import canonical, envelope
from kintoun.signatures import chain, content_signature, key_files, pki
from tests.signing.worlds import DAY, NAME, directory_with, new_issuer, now
from tests.support.inprocess import HOST, App, Databases, opened, settings_for

SOURCE, PUBLISHED = "/buckets/source/collections/c", "/buckets/published/collections/c"
BASE = f"http://{HOST}/v1"


def local(path: Path, name: str) -> tuple[Local, bytes]:
    """A signer with a PKI of its own, and the hash of its root."""
    directory = directory_with(path / name, new_issuer())
    file = directory.leaf_file("remote-settings")
    key_files.write_holder(file, pki.new_leaf(directory.issuer(), [NAME], now(), 90 * DAY, DAY))
    root = chain.fingerprint(directory.issuer().chain[-1])
    return Local(name=name, private_key=str(file)), root


async def believed(app: App, roots: set[bytes]) -> int:
    """The index of the first signature that who knows these roots believes."""
    metadata = (await app.ok(f"GET {PUBLISHED}", user=None))["data"]
    assert metadata["signature"] == metadata["signatures"][0]
    answer = await app.call(f"GET {PUBLISHED}/records", user=None)
    records = sorted(answer.json()["data"], key=lambda record: record["id"])
    data = envelope(map(canonical, records), int(answer.headers["ETag"].strip('"')))
    for at, signature in enumerate(metadata["signatures"]):
        served = await app.call(f"GET {signature['x5u'].removeprefix(BASE)}", user=None)
        certificates = chain.parse(served.content)
        if chain.fingerprint(certificates[-1]) in roots:
            key = chain.verify(certificates, NAME, roots, now())
            content_signature.verify(key, data, signature["signature"])
            return at
    raise AssertionError("nobody who is known has signed")


async def test_clients_that_know_either_root_believe(
    engine: str, databases: Databases, tmp_path: Path
) -> None:
    (old, old_root), (new, new_root) = (local(tmp_path, name) for name in ("old", "new"))
    section = SigningSettings(
        resources="/buckets/source -> /buckets/published",
        local=[old, new],
        sign_with=["old", "new"],
        chains_url=BASE,
    )
    everything = settings_for(databases.url(engine))
    settings = replace(everything, features=[*everything.features, "signing"], sections={"signing": section})
    async with opened(settings) as app:
        for path in ("/buckets/source", SOURCE):
            await app.ok(f"PUT {path}")
        await app.ok(f"PUT {SOURCE}/records/one", {"data": {"title": "one"}})
        await app.ok(f"PATCH {SOURCE}", {"data": {"status": "to-sign"}})
        assert await believed(app, {old_root}) == 0
        assert await believed(app, {new_root}) == 1
        assert await believed(app, {new_root, old_root}) == 0
        with pytest.raises(AssertionError, match="nobody who is known"):
            await believed(app, {bytes(32)})
