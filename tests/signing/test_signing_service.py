"""The API of the signing service: every answer that it gives (signing sections 6.1 to 6.6)."""

from __future__ import annotations

import asyncio
import hashlib
import json
import sqlite3
import time
from base64 import b64decode, b64encode, urlsafe_b64decode
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.serialization import load_der_public_key
from hypothesis import given
from hypothesis import strategies as st

from kintoun.features.signing.settings import Pkcs11
from kintoun.http.answers import Answer
from kintoun.http.requests import Request
from kintoun.settings import Caller
from kintoun.signatures import chain, content_signature, directory
from kintoun.signer import asked
from kintoun.signer.application import Application, open_nonces
from kintoun.signer.asked import Refused
from kintoun.signer.keys import keys_of
from kintoun.signer.service import Service
from tests.signing.signing_service import (
    MONITOR_SECRET,
    NAME,
    OTHER_SECRET,
    SECRET,
    hawk,
    make_pki,
    settings,
)
from tests.signing.softhsm import LABEL, MODULE, PIN, Token

DATA = b'{"data":[],"last_modified":"1700000000000"}'
HOST = "signer.example:8889"


class Running:
    """A service in this process, and requests to it."""

    def __init__(self, path: Path, *hardware: Pkcs11, **own: Any) -> None:
        self.root = make_pki(path)
        self.path = path
        self.settings = settings(path, *hardware, **own)
        self.nonces = open_nonces(self.settings)
        self.service = Service(self.settings.signer, keys_of(self.settings), self.nonces)

    def send(
        self, method: str, target: str, body: bytes = b"", headers: dict[str, str] | None = None
    ) -> Answer:
        path, _, query = target.partition("?")
        request = Request(method, path, query.encode(), {"host": HOST, **(headers or {})}, body)
        return asyncio.run(self.service.respond(request))

    def post(self, target: str, body: bytes, *, content_type: str = "application/json", **how: Any) -> Answer:
        said = hawk(f"http://{HOST}{target}", "POST", body, content_type, **how)
        return self.send("POST", target, body, {"content-type": content_type, "authorization": said})

    def get(self, target: str, **how: Any) -> Answer:
        said = hawk(f"http://{HOST}{target}", "GET", b"", "", **how)
        return self.send("GET", target, headers={"authorization": said})

    def sign(self, target: str, *elements: dict[str, Any], **how: Any) -> Answer:
        return self.post(target, json.dumps(elements).encode(), **how)


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    service = Running(tmp_path)
    yield service
    service.nonces.close()


def element(data: bytes = DATA, **more: Any) -> dict[str, Any]:
    return {"input": b64encode(data).decode(), **more}


def leaf_key(running: Running, x5u: str) -> Any:
    """The key by which a client verifies, from the chain that the service serves at this URL."""
    answer = running.send("GET", "/" + x5u.split("/", 3)[3])
    assert answer.status == 200
    return chain.verify(chain.parse(answer.body), NAME, [running.root], datetime.now(UTC))


def test_data_is_signed_and_clients_believe_it(running: Running) -> None:
    answer = running.sign("/sign/data", element(keyid="remote-settings"))
    assert answer.status == 201
    assert answer.media_type == "application/json"
    (signed,) = json.loads(answer.body)
    assert signed["mode"] == "p384ecdsa"
    assert signed["type"] == "contentsignaturepki"
    assert signed["signer_id"] == "remote-settings"
    assert signed["ref"]
    key = leaf_key(running, signed["x5u"])
    content_signature.verify(key, DATA, signed["signature"])
    assert load_der_public_key(b64decode(signed["public_key"])) == key


def test_a_digest_is_signed_as_its_data_would_be(running: Running) -> None:
    digest = hashlib.sha384(b"Content-Signature:\x00" + DATA).digest()
    (signed,) = json.loads(running.sign("/sign/hash", element(digest)).body)
    content_signature.verify(leaf_key(running, signed["x5u"]), DATA, signed["signature"])


@pytest.mark.parametrize("scheme", [hashes.SHA256(), hashes.SHA384(), hashes.SHA512()])
def test_a_digest_may_be_one_of_three_hashes(running: Running, scheme: hashes.HashAlgorithm) -> None:
    digest = hashlib.new(scheme.name, DATA).digest()
    (signed,) = json.loads(running.sign("/sign/hash", element(digest)).body)
    verified_by_itself(leaf_key(running, signed["x5u"]), signed["signature"], scheme)


def verified_by_itself(key: ec.EllipticCurvePublicKey, signature: str, scheme: hashes.HashAlgorithm) -> None:
    """Verify a signature of `DATA` without the code under test."""
    raw = urlsafe_b64decode(signature)
    der = encode_dss_signature(int.from_bytes(raw[:48], "big"), int.from_bytes(raw[48:], "big"))
    key.verify(der, DATA, ec.ECDSA(scheme))


def test_without_a_key_id_the_first_of_the_caller_signs_and_the_order_is_kept(running: Running) -> None:
    answer = running.sign("/sign/data", element(keyid="bare"), element())
    bare, first = json.loads(answer.body)
    assert (bare["signer_id"], first["signer_id"]) == ("bare", "remote-settings")
    assert "x5u" not in bare
    assert (bare["type"], bare["public_key"]) == ("contentsignature", "")


def test_a_replaced_leaf_signs_from_the_next_request_on_and_old_chains_stay(running: Running) -> None:
    (before,) = json.loads(running.sign("/sign/data", element()).body)
    lifetime, skew = timedelta(days=90), timedelta(days=30)
    assert directory.renew(
        directory.Directory(running.path), running.path / "remote-settings.pem", lifetime, skew, now=True
    )
    (after,) = json.loads(running.sign("/sign/data", element()).body)
    assert before["x5u"] != after["x5u"]
    for signed in (before, after):
        content_signature.verify(leaf_key(running, signed["x5u"]), DATA, signed["signature"])


def test_a_key_in_hardware_signs_data_and_digests(token: Token, tmp_path: Path) -> None:
    hardware = Pkcs11(name="hardware", module=MODULE, token=token.name, pin_secret=PIN, key=LABEL)
    caller = Caller(id="kinto", secret=SECRET, keys=["hardware"])
    running = Running(tmp_path, hardware, callers=[caller])
    digest = hashlib.sha384(b"Content-Signature:\x00" + DATA).digest()
    for target, data in (("/sign/data", DATA), ("/sign/hash", digest)):
        (signed,) = json.loads(running.sign(target, element(data)).body)
        content_signature.verify(token.public_key, DATA, signed["signature"])
    for scheme in (hashes.SHA256(), hashes.SHA512()):
        shorter_or_longer = hashlib.new(scheme.name, DATA).digest()
        (signed,) = json.loads(running.sign("/sign/hash", element(shorter_or_longer)).body)
        verified_by_itself(token.public_key, signed["signature"], scheme)
    assert json.loads(running.send("GET", "/__heartbeat__").body)["hsmAccessible"] is True
    running.nonces.close()


DENIED = [
    ({"caller": "nobody"}, "credential error with id nobody"),
    ({"key": "another key, and long"}, "hawk: invalid MAC"),
    ({"_timestamp": int(time.time()) - 3600}, "timestamp skew too high"),
    ({"_timestamp": int(time.time()) + 3600}, "timestamp skew too high"),
]


@pytest.mark.parametrize(("how", "reason"), DENIED)
def test_who_cannot_prove_who_it_is_is_told_why(running: Running, how: dict[str, Any], reason: str) -> None:
    answer = running.sign("/sign/data", element(), **how)
    assert answer.status == 401
    assert f"authorization verification failed: {reason}" in answer.body.decode()
    assert "\r\nrequest-id: " in answer.body.decode()


@pytest.mark.parametrize(
    ("headers", "reason"),
    [
        ({}, "missing Authorization header"),
        ({"authorization": "Basic YTpi"}, "hawk: invalid scheme, must be Hawk"),
        ({"authorization": 'Hawk id="kinto"'}, "hawk: invalid header"),
    ],
)
def test_what_is_no_hawk_is_refused(running: Running, headers: dict[str, str], reason: str) -> None:
    answer = running.send("POST", "/sign/data", b"[]" * 10, {"content-type": "application/json", **headers})
    assert answer.status == 401
    assert reason in answer.body.decode()


def test_the_body_the_path_the_query_and_the_host_are_covered(running: Running) -> None:
    body = json.dumps([element()]).encode()
    url = f"http://{HOST}/sign/data"
    said = hawk(url, "POST", body)
    headers = {"content-type": "application/json", "authorization": said}
    for target, sent, host in (
        ("/sign/data", body.replace(b"[", b"[ "), HOST),
        ("/sign/hash", body, HOST),
        ("/sign/data?x", body, HOST),
        ("/sign/data", body, "signer.example"),
    ):
        answer = running.send("POST", target, sent, {**headers, "host": host})
        assert answer.status == 401, target
    assert running.send("POST", "/sign/data", body, headers).status == 201


def test_a_request_is_served_once(running: Running) -> None:
    body = json.dumps([element()]).encode()
    headers = {
        "content-type": "application/json",
        "authorization": hawk(f"http://{HOST}/sign/data", "POST", body),
    }
    assert running.send("POST", "/sign/data", body, headers).status == 201
    answer = running.send("POST", "/sign/data", body, headers)
    assert answer.status == 401
    assert b"request nonce is being replayed" in answer.body
    again = Service(running.settings.signer, keys_of(running.settings), open_nonces(running.settings))
    request = Request("POST", "/sign/data", b"", {"host": HOST, **headers}, body)
    assert asyncio.run(again.respond(request)).status == 401, "another worker knows it too"


def test_a_query_string_is_refused(running: Running) -> None:
    answer = running.sign("/sign/data?x=1", element())
    assert answer.status == 400
    assert b"query" in answer.body


def test_keys_of_others_are_refused(running: Running) -> None:
    for key in ("remote-settings", "nope"):
        answer = running.sign("/sign/data", element(keyid=key), caller="other", key=OTHER_SECRET)
        assert answer.status == 401
        assert answer.body.startswith(f"other is not authorized to sign with key ID {key}\r\n".encode())
    answer = running.sign("/sign/data", element(), caller="monitor", key=MONITOR_SECRET)
    assert answer.status == 401


BAD = [
    (b"[]", "empty or invalid request"),
    (b'{"input": "YWJjZGVmZ2hpams="}', "failed to parse request body"),
    (b"not JSON at all", "failed to parse request body"),
    (b"[" * 100_000, "failed to parse request body"),
    (b"[          ]", "asks for no signature"),
    (b'[{"keyid": "bare"}]', "missing input in signature request 0"),
    (b'[{"input": "", "keyid": "bare"}]', "missing input in signature request 0"),
    (b'[{"input": "YWJj*GVmZ2hpams="}]', "illegal base64 data at input byte 4"),
    (b'[{"input": "YWJj-GVm_2hpams="}]', "illegal base64 data at input byte 4"),
    (b'[{"input": "YWJjZGVmZ2hpams"}]', "illegal base64 data"),
    (b'[{"input": "YWJjZGVmZ2hpams=YQ=="}]', "illegal base64 data"),
    (b'[{"input": "YWJj"}]', "input has 3 bytes"),
    (b'[{"input": 12345678}]', "failed to parse request body"),
    (json.dumps([element()] * 65).encode(), "more than 64 signatures"),
]


@pytest.mark.parametrize(("body", "reason"), BAD)
def test_bodies_that_ask_for_nothing_are_a_400(running: Running, body: bytes, reason: str) -> None:
    answer = running.post("/sign/data", body)
    assert answer.status == 400
    assert reason in answer.body.decode()


@given(st.binary(max_size=300))
def test_any_body_is_read_or_refused(body: bytes) -> None:
    for digests in (False, True):
        with suppress(Refused):
            assert asked.read(body, 10, digests=digests)


@given(st.lists(st.binary(min_size=10, max_size=60), min_size=1, max_size=5))
def test_what_is_asked_for_is_what_was_sent(inputs: list[bytes]) -> None:
    body = json.dumps([element(each, keyid="k", options={"zip": "all"}) for each in inputs]).encode()
    assert [each.data for each in asked.read(body, 5, digests=False)] == inputs


@pytest.mark.parametrize("size", [10, 20, 31, 47, 49, 65])
def test_a_digest_of_another_size_is_a_400(running: Running, size: int) -> None:
    answer = running.sign("/sign/hash", element(b"x" * size))
    assert answer.status == 400
    assert f"a digest has 32 or 48 or 64 bytes, input has {size}".encode() in answer.body


@pytest.mark.parametrize("content_type", ["application/json; charset=utf-8", "text/plain", ""])
def test_another_content_type_is_a_400(running: Running, content_type: str) -> None:
    answer = running.sign("/sign/data", element(), content_type=content_type)
    assert answer.status == 400
    assert answer.body.startswith(b"invalid content type, expected application/json\r\n")


def test_files_are_not_signed(running: Running) -> None:
    for target in ("/sign/file", "/sign/files"):
        answer = running.sign(target, element())
        assert answer.status == 400
        assert b"does not implement" in answer.body
    assert running.sign("/sign/file", element(), caller="monitor", key=MONITOR_SECRET).status == 401


def test_key_ids_are_told_to_their_caller(running: Running) -> None:
    answer = running.get("/auths/kinto/keyids")
    assert (answer.status, json.loads(answer.body)) == (200, ["bare", "remote-settings"])
    other = running.get("/auths/other/keyids")
    assert other.status == 403
    assert other.body.startswith(b'Authorized user "kinto" cannot request keyids for user "other"\r\n')
    unhashed = running.get("/auths/kinto/keyids", always_hash_content=False)
    assert unhashed.status == 200
    said = hawk(f"http://{HOST}/auths/kinto/keyids", "GET", b"{}", "")
    assert running.send("GET", "/auths/kinto/keyids", b"{}", {"authorization": said}).status == 400


def test_the_monitor_sees_a_signature_by_every_key(running: Running) -> None:
    answer = running.get("/__monitor__", caller="monitor", key=MONITOR_SECRET)
    assert answer.status == 201
    lines = [json.loads(line) for line in answer.body.splitlines()]
    assert [line["signer_id"] for line in lines] == ["remote-settings", "bare"]
    key = leaf_key(running, lines[0]["x5u"])
    content_signature.verify(key, b"AUTOGRAPH MONITORING", lines[0]["signature"])
    assert running.get("/__monitor__", caller="monitor", key=MONITOR_SECRET).body == answer.body
    refused = running.get("/__monitor__")
    assert refused.status == 401
    assert refused.body.startswith(b"user is not permitted to call this endpoint\r\n")


def test_what_monitors_ask_without_credentials(running: Running) -> None:
    answer = running.send("GET", "/__lbheartbeat__")
    assert (answer.status, answer.body) == (200, b"ohai")
    answer = running.send("GET", "/__heartbeat__")
    told = json.loads(answer.body)
    assert answer.status == 200
    assert told == {"dbAccessible": True, "keys": {"remote-settings": True, "bare": True}}
    assert {"version", "source", "commit", "build"} <= set(
        json.loads(running.send("GET", "/__version__").body)
    )


def test_a_key_that_is_gone_is_told_and_costs_no_other(running: Running) -> None:
    (running.path / "remote-settings.pem").unlink()
    answer = running.sign("/sign/data", element())
    assert answer.status == 503
    assert dict(answer.headers)["Retry-After"]
    assert str(running.path) not in answer.body.decode()
    assert running.sign("/sign/data", element(keyid="bare")).status == 201
    heartbeat = running.send("GET", "/__heartbeat__")
    assert heartbeat.status == 500
    assert json.loads(heartbeat.body)["keys"] == {"remote-settings": False, "bare": True}


def test_when_nonces_cannot_be_remembered_nobody_is_let_in(running: Running) -> None:
    other = sqlite3.connect(running.path / "signer" / "nonces.sqlite")
    other.execute("DROP TABLE nonce")
    other.close()
    assert running.sign("/sign/data", element()).status == 503
    heartbeat = running.send("GET", "/__heartbeat__")
    assert heartbeat.status == 500
    assert json.loads(heartbeat.body)["dbAccessible"] is False


@pytest.mark.parametrize(
    ("method", "target", "status", "location"),
    [
        ("GET", "/sign/data", 405, None),
        ("POST", "/__heartbeat__", 405, None),
        ("PUT", "/x5u/a/b", 405, None),
        ("GET", "/__heartbeat__/", 301, "http://localhost/__heartbeat__"),
        ("GET", "/nothing", 404, None),
        ("GET", "/", 404, None),
        ("GET", "/config/remote-settings", 404, None),
        ("GET", "/x5u/remote-settings/nothing.chain", 404, None),
        ("GET", "/x5u/remote-settings/../remote-settings.pem", 404, None),
        ("GET", "/x5u/remote-settings/..%2fx.chain", 404, None),
        ("GET", "/x5u/nothing/nothing.chain", 404, None),
    ],
)
def test_other_urls_and_methods(
    running: Running, method: str, target: str, status: int, location: str | None
) -> None:
    answer = running.send(method, target)
    assert answer.status == status
    assert dict(answer.headers).get("Location") == location
    if status == 405:
        assert answer.body == b""
    headers = dict(answer.headers)
    assert headers["X-Frame-Options"] == "SAMEORIGIN"
    assert "max-age" in headers["Strict-Transport-Security"]
    assert answer.policy == "default-src 'none'; object-src 'none';"


def test_chains_are_kept_by_clients_for_ever(running: Running) -> None:
    (signed,) = json.loads(running.sign("/sign/data", element()).body)
    answer = running.send("GET", "/" + signed["x5u"].split("/", 3)[3])
    assert "immutable" in dict(answer.headers)["Cache-Control"]
    assert answer.media_type.startswith("text/plain")
    assert len(chain.parse(answer.body)) == 3


@pytest.mark.parametrize(
    ("own", "reason"),
    [
        ({"callers": [], "monitor_secret": None}, "nobody may call"),
        ({"callers": [Caller(id="monitor", secret="x" * 16, keys=["bare"])]}, "reserved"),
        ({"callers": [Caller(id="a", secret="x" * 16, keys=["bare"])] * 2}, "same id"),
        ({"callers": [Caller(id="a", secret="x" * 16, keys=["none"])]}, "no key is called none"),
    ],
)
def test_settings_that_do_not_fit_together_are_named(
    tmp_path: Path, own: dict[str, Any], reason: str
) -> None:
    with pytest.raises(ValueError, match=reason):
        Application(settings(tmp_path, **own))
