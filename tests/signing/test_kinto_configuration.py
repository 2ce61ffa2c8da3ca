"""A server that is started with the configuration of a Kinto which signs."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest

from kintoun.model.canonical import canonical, envelope
from kintoun.signatures import content_signature, key_files, pki
from tests.signing.autograph_stand_in import ID, SECRET, stand_in
from tests.support.servers import start_kintoun

BACKENDS = "kinto_remote_settings.signer.backends"


def test_sources_are_signed_by_the_backends_that_it_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = pki.new_key()
    key_files.write_private(tmp_path / "key.pem", key_files.key_pem(key))
    monkeypatch.setenv("KINTO_SIGNER_AUTOGRAPH_HAWK_SECRET", SECRET)
    monkeypatch.setenv("KINTO_SIGNER_BLOCKLISTS_STAGING_SIGNER_BACKEND", f"{BACKENDS}.autograph")
    monkeypatch.setenv("KINTO_SIGNER_STAGING_TO_REVIEW_ENABLED", "true")
    with (
        stand_in() as service,
        start_kintoun(
            {
                "kinto.includes": "kinto_remote_settings.signer",
                "multiauth.policies": "basicauth",
                "kinto.userid_hmac_secret": "of the tests",
                "kinto.signer.resources": "/buckets/staging -> /buckets/main\n"
                "    /buckets/blocklists-staging -> /buckets/blocklists",
                "kinto.signer.signer_backend": f"{BACKENDS}.local_ecdsa",
                "kinto.signer.ecdsa.private_key": str(tmp_path / "key.pem"),
                "kinto.signer.autograph.server_url": service.url,
                "kinto.signer.autograph.hawk_id": ID,
                "kinto.signer.blocklists-staging.autograph.key_ids": "new old",
            }
        ) as server,
        httpx.Client(base_url=server.url, timeout=60) as client,
    ):

        def signed(source: str, destination: str) -> tuple[list[dict[str, str]], bytes]:
            for path in (f"/buckets/{source}", f"/buckets/{source}/collections/c"):
                client.put(path, auth=("ed", "pw")).raise_for_status()
            path = f"/buckets/{destination}/collections/c"
            metadata = client.get(path).json()["data"]
            assert metadata["signature"] == metadata["signatures"][0]
            answer = client.get(f"{path}/records")
            timestamp = int(answer.headers["ETag"].strip('"'))
            return metadata["signatures"], envelope(map(canonical, answer.json()["data"]), timestamp)

        told = client.get("/").json()["capabilities"]["signer"]["resources"]
        assert [line.get("to_review_enabled") for line in told] == [True, None]
        [one], data = signed("staging", "main")
        content_signature.verify(key.public_key(), data, one["signature"])
        assert one["x5u"] == ""
        signatures, data = signed("blocklists-staging", "blocklists")
        assert [each["signer_id"] for each in signatures] == ["new", "old"]
        for each in signatures:
            content_signature.verify(service.key.public_key(), data, each["signature"])
            assert each["x5u"] == f"https://example.org/{each['signer_id']}.chain"
