"""Who signs what: settings of ours, and those of a Kinto."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from kintoun.config.decoding import beside, field_types
from kintoun.features.signing.chains import base_url
from kintoun.features.signing.kinto_signers import added
from kintoun.features.signing.renewal import Renewal
from kintoun.features.signing.settings import Autograph, Local, SignersSection
from kintoun.features.signing.signers import Signers, sign_all
from kintoun.settings import Http, Server, Settings
from kintoun.signatures import chain, content_signature, key_files, pki
from kintoun.signatures.message import Message
from kintoun.signatures.signer import SignerUnavailable
from tests.signing.autograph_stand_in import ID, SECRET, stand_in
from tests.signing.worlds import DAY, NAME, Published, directory_with, new_issuer, now

AUTOGRAPH = {
    "autograph.server_url": "https://autograph.example.org",
    "autograph.hawk_id": "kinto",
    "autograph.hawk_secret": "s3cret",
}


def local(name: str) -> Local:
    return Local(name=name, private_key=f"{name}.pem")


def names(signers: Signers, bucket: str, collection: str) -> list[str]:
    return [signer.id for signer in signers.for_collection(bucket, collection)]


def test_who_signs_what() -> None:
    service = Autograph(
        name="service", server_url="https://a.example", hawk_id="i", hawk_secret="s", key_ids=["new", "old"]
    )
    section = SignersSection(
        local=[local("one"), local("two")],
        autograph=[service],
        sign_with=["two", "service"],
        sign_with_in={"b": ["one"], "b/c": ["service", "one"]},
    )
    signers = Signers(section, Published().keep)
    assert names(signers, "other", "c") == ["two", "service/new", "service/old"]
    assert names(signers, "b", "other") == ["one"]
    assert names(signers, "b", "c") == ["service/new", "service/old", "one"]
    assert [signer.id for signer in signers.all()] == ["two", "service/new", "service/old", "one"]


def test_the_only_signer_signs_everything() -> None:
    assert names(Signers(SignersSection(local=[local("one")]), Published().keep), "b", "c") == ["one"]


@pytest.mark.parametrize(
    ("section", "why"),
    [
        (SignersSection(local=[local("a"), local("a")]), "two signers are called a"),
        (SignersSection(local=[local("a"), local("b")]), "say which of them sign"),
        (SignersSection(local=[local("a")], sign_with=["b"]), "no signer is called b"),
        (
            SignersSection(local=[local("a")], sign_with_in={"x": ["b"]}),
            "sign_with_in.x: no signer is called b",
        ),
        (SignersSection(overrides={"signer_backend": "x.autograph"}), "`autograph.server_url` must be given"),
        (
            SignersSection(overrides={"b.signer_backend": "x.local_ecdsa"}),
            "`ecdsa.private_key` must be given for b",
        ),
    ],
)
def test_settings_that_do_not_fit_together(section: SignersSection, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        Signers(section, Published().keep)


async def test_nothing_is_published_unsigned() -> None:
    signers = Signers(SignersSection(), Published().keep)
    with pytest.raises(SignerUnavailable) as refused:
        await sign_all(signers.for_collection("b", "c"), Message(b"data"))
    assert "no signer is configured" in refused.value.reason
    assert await signers.check()


async def test_all_sign_or_none_does(tmp_path: Path) -> None:
    directory, published = directory_with(tmp_path, new_issuer()), Published()
    leaves = {}
    for name in ("one", "two"):
        leaves[name] = pki.new_leaf(directory.issuer(), [NAME], now(), 90 * DAY, DAY)
        key_files.write_holder(directory.leaf_file(name), leaves[name])
    section = SignersSection(
        local=[Local(name=name, private_key=str(directory.leaf_file(name))) for name in leaves],
        sign_with=["two", "one"],
    )
    signers = Signers(section, published.keep)
    assert await signers.check()
    signatures = await sign_all(signers.for_collection("b", "c"), Message(b"data"))
    for signature, name in zip(signatures, ("two", "one"), strict=True):
        content_signature.verify(leaves[name].key.public_key(), b"data", signature["signature"])
    directory.leaf_file("one").unlink()
    assert not await signers.check()
    with pytest.raises(SignerUnavailable):
        await sign_all(signers.for_collection("b", "c"), Message(b"data"))


async def test_what_was_signed_by_others_is_outdated(tmp_path: Path) -> None:
    directory, published = directory_with(tmp_path, new_issuer()), Published()
    file = directory.leaf_file("one")
    key_files.write_holder(file, pki.new_leaf(directory.issuer(), [NAME], now(), 90 * DAY, DAY))
    with stand_in() as service:
        autograph = Autograph(
            name="service", server_url=service.url, hawk_id=ID, hawk_secret=SECRET, renew_days=7
        )
        section = SignersSection(
            local=[Local(name="one", private_key=str(file))],
            autograph=[autograph],
            sign_with=["one", "service"],
        )
        signers = Signers(section, published.keep)
        signatures = await sign_all(signers.for_collection("b", "c"), Message(b"data"))

        async def outdated(age: timedelta = timedelta(), shown: list[dict[str, str]] | None = None) -> bool:
            return await signers.outdated("b", "c", signatures if shown is None else shown, now() - age)

        assert not await outdated()
        assert not await outdated(6 * DAY)
        assert await outdated(8 * DAY)
        assert await outdated(shown=signatures[:1])
        assert await outdated(shown=[])
        key_files.write_holder(file, pki.new_leaf(directory.issuer(), [NAME], now(), 90 * DAY, DAY))
        assert await outdated()
        file.unlink()
        assert not await outdated()


async def test_leaves_are_renewed_by_what_lies_beside_them(tmp_path: Path) -> None:
    directory = directory_with(tmp_path, new_issuer(now() - 100 * DAY))
    file, young = directory.leaf_file("one"), directory.leaf_file("young")
    bare = directory.leaf_file("bare")
    key_files.write_holder(
        file, pki.new_leaf(directory.issuer(), [NAME], now() - 50 * DAY, 90 * DAY, 30 * DAY)
    )
    key_files.write_holder(young, pki.new_leaf(directory.issuer(), [NAME], now(), 90 * DAY, 30 * DAY))
    key_files.write_private(bare, key_files.key_pem(pki.new_key()))
    files = (file, young, bare)
    section = SignersSection(local=[Local(name=each.stem, private_key=str(each)) for each in files])
    before = [each.read_bytes() for each in files]
    renewal = Renewal(section)
    await renewal.renew()
    after = [each.read_bytes() for each in files]
    assert [one == other for one, other in zip(before, after, strict=True)] == [False, True, True]
    root = chain.fingerprint(directory.issuer().chain[-1])
    chain.verify(key_files.read_leaf(file).chain, NAME, {root}, now())
    await renewal.renew()
    assert [each.read_bytes() for each in files] == after


def test_the_signers_of_a_kinto() -> None:
    overrides: dict[str, Any] = {
        "signer_backend": "kinto_remote_settings.signer.backends.local_ecdsa",
        "ecdsa.private_key": "/etc/kinto/key.pem",
        "ecdsa.public_key": "/etc/kinto/key.pub",
        **AUTOGRAPH,
        "blocklists.signer_backend": "kinto_remote_settings.signer.backends.autograph",
        "blocklists.autograph.key_ids": "new old",
        "blocklists.addons.ecdsa.private_key": "/etc/kinto/addons.pem",
        "blocklists.addons.signer_backend": "kinto_remote_settings.signer.backends.local_ecdsa",
        "blocklists.to_review_enabled": True,
    }
    section = added(SignersSection(overrides=overrides))
    assert {one.name: one.private_key for one in section.local} == {
        "kinto": "/etc/kinto/key.pem",
        "kinto.blocklists.addons": "/etc/kinto/addons.pem",
    }
    [service] = section.autograph
    assert (service.name, service.key_ids) == ("kinto.blocklists", ["new", "old"])
    assert (service.server_url, service.hawk_id) == ("https://autograph.example.org", "kinto")
    signers = Signers(SignersSection(overrides=overrides), Published().keep)
    assert names(signers, "main", "c") == ["kinto"]
    assert names(signers, "blocklists", "c") == ["kinto.blocklists/new", "kinto.blocklists/old"]
    assert names(signers, "blocklists", "addons") == ["kinto.blocklists.addons"]


def test_a_kinto_without_signers_has_none() -> None:
    section = SignersSection(overrides={"blocklists.to_review_enabled": True, "key": "x"})
    assert added(section) == section


@pytest.mark.parametrize(
    ("chains_url", "settings", "base"),
    [
        (None, Settings(server=Server(port=80)), "http://127.0.0.1:80/v1"),
        (None, Settings(server=Server(host="0.0.0.0")), "http://127.0.0.1:8888/v1"),
        (None, Settings(server=Server(host="::1")), "http://[::1]:8888/v1"),
        (None, Settings(http=Http(public_host="example.org")), "http://example.org/v1"),
        (
            None,
            Settings(http=Http(public_host="example.org", public_scheme="https")),
            "https://example.org/v1",
        ),
        ("https://cdn.example.org/v1/", Settings(), "https://cdn.example.org/v1"),
    ],
)
def test_where_clients_find_chains(chains_url: str | None, settings: Settings, base: str) -> None:
    assert base_url(chains_url, settings) == base


def test_relative_files_within_tables_lie_beside_the_configuration() -> None:
    types = field_types(SignersSection)
    here = Path("/etc/kintoun")
    assert beside(types["pki"], "pki", here) == "/etc/kintoun/pki"
    assert beside(types["chains_url"], "https://example.org/v1", here) == "https://example.org/v1"
    given = [
        {"name": "one", "private_key": "pki/one.pem"},
        {"name": "two", "private_key": "/two.pem", "chain": "two.chain", "x5u": "https://example.org/x"},
        "no table",
    ]
    assert beside(types["local"], given, here) == [
        {"name": "one", "private_key": "/etc/kintoun/pki/one.pem"},
        {
            "name": "two",
            "private_key": "/two.pem",
            "chain": "/etc/kintoun/two.chain",
            "x5u": "https://example.org/x",
        },
        "no table",
    ]
