"""Signers: keys in files, in a hardware module, and in a service, and what each does when it cannot sign."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from kintoun.signatures import chain, content_signature, key_files, pki
from kintoun.signatures.autograph import AutographSigner
from kintoun.signatures.hawk import Credentials
from kintoun.signatures.local import LocalSigner
from kintoun.signatures.pkcs11 import Pkcs11Signer
from kintoun.signatures.signer import MODE, Signer, SignerUnavailable
from tests.signing.autograph_stand_in import ID, SECRET, StandIn, stand_in
from tests.signing.softhsm import LABEL, MODULE, PIN, Token
from tests.signing.worlds import DAY, NAME, Published, directory_with, new_issuer, now
from tests.support.ports import free_port

DATA = b'{"data":[],"last_modified":"1603992731957"}'
LIFE, SKEW = 90 * DAY, 30 * DAY


async def reason(signer: Signer) -> str:
    """Why a signer does not sign, and that its check says the same."""
    with pytest.raises(SignerUnavailable) as refused:
        await signer.sign(DATA)
    with pytest.raises(SignerUnavailable) as checked:
        await signer.check()
    assert checked.value.reason[:12] == refused.value.reason[:12]
    assert (refused.value.status, dict(refused.value.headers)) == (503, {"Retry-After": "10"})
    assert refused.value.reason not in str(refused.value.body())
    return refused.value.reason


class TestLocal:
    async def test_signs_with_the_chain_behind_its_key(self, tmp_path: Path) -> None:
        directory, published = directory_with(tmp_path, new_issuer()), Published()
        file = directory.leaf_file("remote-settings")
        key_files.write_holder(file, pki.new_leaf(directory.issuer(), [NAME], now(), LIFE, SKEW))
        signer = LocalSigner("remote-settings", file, published.keep)
        signature = await signer.sign(DATA)
        root = chain.fingerprint(directory.issuer().chain[-1])
        published.believe(signature, DATA, root)
        assert signature.as_json() == {
            "signature": signature.signature,
            "x5u": signature.x5u,
            "mode": "p384ecdsa",
            "signer_id": "remote-settings",
        }
        await signer.check()

        key_files.write_holder(file, pki.new_leaf(directory.issuer(), [NAME], now(), LIFE, SKEW))
        later = await signer.sign(DATA)
        published.believe(later, DATA, root)
        published.believe(signature, DATA, root)
        assert later.x5u != signature.x5u
        assert len(published.chains) == 2

    async def test_signs_with_a_bare_key(self, tmp_path: Path) -> None:
        key = pki.new_key()
        file = tmp_path / "key.pem"
        key_files.write_private(file, key_files.key_pem(key))
        published = Published()
        signature = await LocalSigner("bare", file, published.keep).sign(DATA)
        content_signature.verify(key.public_key(), DATA, signature.signature)
        assert (signature.x5u, signature.mode, published.chains) == ("", MODE, {})
        elsewhere = LocalSigner("bare", file, published.keep, x5u="https://example.org/chain")
        assert (await elsewhere.sign(DATA)).x5u == "https://example.org/chain"

    async def test_names_the_place_where_its_chain_is_served(self, tmp_path: Path) -> None:
        leaf, published = pki.new_leaf(new_issuer(), [NAME], now(), LIFE, SKEW), Published()
        key_file, chain_file = tmp_path / "key.pem", tmp_path / "chain.pem"
        key_files.write_private(key_file, key_files.key_pem(leaf.key))
        key_files.write_public(chain_file, leaf.chain)
        url = "https://cdn.example.org/some.chain"
        signer = LocalSigner("one", key_file, published.keep, chain_file=chain_file, x5u=url)
        assert (await signer.sign(DATA)).x5u == url
        assert published.chains == {}

    async def test_does_not_sign_what_nobody_would_believe(self, tmp_path: Path) -> None:
        published, file = Published(), tmp_path / "leaf.pem"
        signer = LocalSigner("one", file, published.keep)
        assert "cannot be read" in await reason(signer) or "No such file" in await reason(signer)
        issuer = new_issuer(now() - 200 * DAY)
        key_files.write_holder(file, pki.new_leaf(issuer, [NAME], now() - 100 * DAY, LIFE, SKEW))
        assert "has expired" in await reason(signer)
        leaf = pki.new_leaf(issuer, [NAME], now(), LIFE, SKEW)
        key_files.write_private(file, key_files.key_pem(pki.new_key()) + chain.to_pem(leaf.chain))
        assert "not the one of the certificate" in await reason(signer)
        key_files.write_private(file, key_files.key_pem(leaf.key) + chain.to_pem(leaf.chain[:1]))
        assert "nothing but the leaf" in await reason(signer)
        assert published.chains == {}
        key_files.write_holder(file, leaf)
        published.believe(await signer.sign(DATA), DATA, chain.fingerprint(issuer.chain[-1]))

    async def test_stops_when_its_leaf_expires(self, tmp_path: Path) -> None:
        published, file = Published(), tmp_path / "leaf.pem"
        leaf = pki.new_leaf(new_issuer(), [NAME], now(), timedelta(seconds=2), SKEW)
        key_files.write_holder(file, leaf)
        signer = LocalSigner("one", file, published.keep)
        await signer.sign(DATA)
        left = leaf.chain[0].not_valid_after_utc - now()
        await asyncio.sleep(max(left.total_seconds(), 0) + 0.01)
        assert "has expired" in await reason(signer)


def pkcs11_signer(at: Token, published: Published, **changed: Any) -> Pkcs11Signer:
    options: dict[str, Any] = {
        "module": MODULE,
        "token": at.name,
        "pin": PIN,
        "label": LABEL,
        "timeout": 30.0,
    }
    return Pkcs11Signer("hardware", published.keep, **{**options, **changed})


class TestPkcs11:
    async def test_signs_with_a_key_that_stays_in_its_token(self, token: Token, tmp_path: Path) -> None:
        issuer, published = new_issuer(), Published()
        chain_file = tmp_path / "chain.pem"
        key_files.write_public(chain_file, pki.certify(issuer, token.public_key, [NAME], now(), LIFE, SKEW))
        signer = pkcs11_signer(token, published, chain_file=chain_file)
        for _ in range(3):
            signature = await signer.sign(DATA)
            published.believe(signature, DATA, chain.fingerprint(issuer.chain[-1]))
        await signer.check()
        many = await asyncio.gather(*(signer.sign(DATA) for _ in range(20)))
        for signature in many:
            content_signature.verify(token.public_key, DATA, signature.signature)

    async def test_opens_another_session_when_its_own_has_ended(self, token: Token) -> None:
        signer = pkcs11_signer(token, Published())
        await signer.sign(DATA)
        signer._session.close()
        signature = await signer.sign(DATA)
        content_signature.verify(token.public_key, DATA, signature.signature)
        assert signature.x5u == ""

    async def test_shares_its_token_with_another_signer(self, token: Token) -> None:
        signers = [pkcs11_signer(token, Published()) for _ in range(3)]
        for signature in await asyncio.gather(*(signer.sign(DATA) for signer in signers * 5)):
            content_signature.verify(token.public_key, DATA, signature.signature)

    async def test_does_not_sign_with_the_chain_of_another_key(self, token: Token, tmp_path: Path) -> None:
        chain_file = tmp_path / "chain.pem"
        key_files.write_public(chain_file, pki.new_leaf(new_issuer(), [NAME], now(), LIFE, SKEW).chain)
        assert "of another key" in await reason(pkcs11_signer(token, Published(), chain_file=chain_file))

    @pytest.mark.parametrize(
        ("changed", "why"),
        [
            ({"label": "nobody"}, "NoSuchKey"),
            ({"token": "nowhere"}, "NoSuchToken"),
            ({"module": "/nonexistent.so"}, "nonexistent"),
            ({"chain_file": Path("/nonexistent.pem")}, "No such file"),
        ],
    )
    async def test_says_what_is_missing(self, token: Token, changed: dict[str, Any], why: str) -> None:
        assert why in await reason(pkcs11_signer(token, Published(), **changed))

    async def test_does_not_guess_the_pin(self, hsm: Path) -> None:
        guarded = Token(hsm, "guarded")
        assert "PinIncorrect" in await reason(pkcs11_signer(guarded, Published(), pin="9999"))

    async def test_takes_no_other_curve(self, hsm: Path) -> None:
        other = Token(hsm, "p256", "secp256r1")
        assert "not on P-384" in await reason(pkcs11_signer(other, Published()))

    async def test_does_not_wait_for_ever(self, token: Token) -> None:
        signer = pkcs11_signer(token, Published(), timeout=0.000001)
        assert "no signature within" in await reason(signer)


@pytest.fixture
def service() -> Iterator[StandIn]:
    with stand_in() as found:
        yield found


def autograph_signer(url: str, key_id: str = "remote-settings", timeout: float = 30.0) -> AutographSigner:
    return AutographSigner("service", url, key_id, Credentials(ID, SECRET), timeout)


class TestAutograph:
    async def test_has_a_service_sign(self, service: StandIn) -> None:
        signer = autograph_signer(f"{service.url}/base/")
        signature = await signer.sign(DATA)
        content_signature.verify(service.key.public_key(), DATA, signature.signature)
        assert signature.as_json() == {
            "ref": "wkj4lvx1ho9l3hu4khxilx0gm",
            "type": "contentsignaturepki",
            "mode": "p384ecdsa",
            "signer_id": "remote-settings",
            "public_key": "",
            "signature": signature.signature,
            "x5u": "https://example.org/remote-settings.chain",
        }
        await signer.check()
        assert {asked["path"] for asked in service.asked} == {"/base/sign/data"}

    async def test_needs_no_chain_of_the_service(self, service: StandIn) -> None:
        service.alter = lambda item: (
            201,
            "application/json; charset=utf-8",
            json.dumps([{name: item[name] for name in ("signature", "mode")}]).encode(),
        )
        assert (await autograph_signer(service.url).sign(DATA)).x5u == ""

    @pytest.mark.parametrize(
        ("status", "content_type", "changed", "why"),
        [
            (401, "text/plain", {}, "answered 401"),
            (200, "application/json", {}, "answered 200"),
            (307, "application/json", {}, "answered 307"),
            (201, "text/html", {}, "not one signature in JSON"),
            (201, "application/json", {"signature": None}, "`signature` is no text"),
            (201, "application/json", {"signature": ""}, "no signature on P-384"),
            (201, "application/json", {"signature": "A" * 86}, "no signature on P-384"),
            (201, "application/json", {"signature": "+" * 128}, "no signature on P-384"),
            (201, "application/json", {"mode": "p256ecdsa"}, "the mode 'p256ecdsa'"),
            (201, "application/json", {"signer_id": "another"}, "signed by 'another'"),
            (201, "application/json", {"x5u": "file:///etc/passwd"}, "no client can fetch"),
            (201, "application/json", {"x5u": 7}, "`x5u` is no text"),
        ],
    )
    async def test_believes_no_other_answer(
        self, service: StandIn, status: int, content_type: str, changed: dict[str, Any], why: str
    ) -> None:
        service.alter = lambda item: (status, content_type, json.dumps([{**item, **changed}]).encode())
        assert why in await reason(autograph_signer(service.url))
        assert all(asked["path"] == "/sign/data" for asked in service.asked)

    @pytest.mark.parametrize("body", [b"", b"[]", b"[1]", b"{}", b"[", b" " * 70_000, b"[{},{}]", b"\xff"])
    async def test_believes_no_other_body(self, service: StandIn, body: bytes) -> None:
        service.alter = lambda item: (201, "application/json", body)
        assert "its answer is no signature" in await reason(autograph_signer(service.url))

    async def test_does_not_wait_for_ever(self, service: StandIn) -> None:
        service.hanging.set()
        assert "no answer within 0.3 seconds" in await reason(autograph_signer(service.url, timeout=0.3))

    async def test_says_that_nobody_answers(self) -> None:
        assert "ConnectError" in await reason(autograph_signer(f"http://127.0.0.1:{free_port()}"))
