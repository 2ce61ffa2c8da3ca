"""Manifests: what a client believes, and each way in which it could be deceived."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from hashlib import sha256
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kintoun.signatures import content_signature, pki
from kintoun.signatures.manifest import FORMAT, Manifest, Refused, following, read, verify

DAY = 86_400_000
NOW = 1_700_000_000_000
KEY = pki.new_key()
ELSE = pki.new_key()
RECORDS = b'{"data":[{"id":"a"}],"last_modified":"1699999999000"}'
TIMESTAMP = 1_699_999_999_000


def believe(data: bytes, signatures: Sequence[Mapping[str, Any]], _at: int) -> None:
    content_signature.verify(KEY.public_key(), data, signatures[0]["signature"])


def made(before: Manifest | None = None, **more: Any) -> Manifest:
    fields = {
        "timestamp": TIMESTAMP,
        "content": sha256(RECORDS).hexdigest(),
        "log": "",
        "now": NOW,
        "lifetime": 30 * DAY,
        **more,
    }
    return following(before, "main", "blocklist", **fields)


def served(manifest: Manifest, key: Any = KEY) -> dict[str, Any]:
    signature = content_signature.sign(key, manifest.signed())
    return {**manifest.as_json(), "signatures": [{"signature": signature}]}


def check(value: Any, **more: Any) -> Manifest:
    fields = {
        "bucket": "main",
        "collection": "blocklist",
        "timestamp": TIMESTAMP,
        "content": RECORDS,
        "known": None,
        "now": NOW,
        "believe": believe,
        **more,
    }
    bucket, collection = fields.pop("bucket"), fields.pop("collection")
    return verify(value, bucket, collection, **fields)


def refused(reason: str, value: Any, **more: Any) -> None:
    with pytest.raises(Refused) as caught:
        check(value, **more)
    assert caught.value.reason == reason


def test_the_present_state_is_believed_first_and_again() -> None:
    first = check(served(made()))
    assert check(served(made()), known=first) == first


def test_what_follows_is_believed_whether_or_not_all_between_was_seen() -> None:
    first = made()
    second = made(first, now=NOW + 1, timestamp=TIMESTAMP + 5)
    third = made(second, now=NOW + 2, timestamp=TIMESTAMP + 9)
    assert second.previous == first.digest()
    for manifest in (second, third):
        assert check(served(manifest), known=first, timestamp=manifest.timestamp) == manifest


def test_an_older_state_is_refused_however_well_it_is_signed() -> None:
    first = made()
    second = made(first, now=NOW + 1, timestamp=TIMESTAMP + 5)
    refused("replayed", served(first), known=second)
    renewed = replace(first, version=second.version + 1)
    refused("replayed", served(renewed), known=second)


def test_a_state_that_is_served_for_ever_expires() -> None:
    manifest = made()
    assert check(served(manifest), now=manifest.expires) == manifest
    refused("expired", served(manifest), now=manifest.expires + 1)


def test_another_collection_is_refused() -> None:
    refused("collection", served(made()), collection="addons")
    refused("collection", served(made()), bucket="main-preview")


def test_other_records_are_refused() -> None:
    refused("content", served(made()), content=RECORDS.replace(b'"a"', b'"b"'))
    refused("content", served(made()), timestamp=TIMESTAMP + 1)


def test_two_states_of_one_version_or_one_timestamp_are_refused() -> None:
    first = made()
    refused("forked", served(replace(first, expires=first.expires + 1)), known=first)
    other = b'{"data":[],"last_modified":"1699999999000"}'
    second = made(first, now=NOW + 1, content=sha256(other).hexdigest())
    refused("forked", served(second), known=first, content=other)


def test_who_is_not_trusted_cannot_sign() -> None:
    refused("signature", served(made(), ELSE))
    refused("signature", {**served(made()), "signatures": []})


def test_no_manifest_is_no_manifest() -> None:
    refused("missing", None)
    refused("missing", None, known=made())


@given(st.sampled_from(Manifest.__slots__), st.data())
def test_no_field_can_be_changed(name: str, data: st.DataObject) -> None:
    value = served(made(made()))
    old = value[name]
    digests = st.text("0123456789abcdef", min_size=64, max_size=64)
    words = digests if name in ("previous", "content", "log") else st.text(min_size=1, max_size=20)
    new = data.draw(st.integers(0, 2**53 - 1) if isinstance(old, int) else words)
    if new == old:
        return
    refused("signature", {**value, name: new})


@pytest.mark.parametrize(
    "change",
    [
        {"format": "kintoun-manifest-2"},
        {"more": 1},
        {"version": "1700000000000"},
        {"version": True},
        {"version": -1},
        {"expires": 2**53},
        {"timestamp": 1.5},
        {"bucket": None},
        {"content": ""},
        {"content": "A" * 64},
        {"previous": "abc"},
        {"log": 5},
        {"signatures": {}},
        {"signatures": ["x"]},
    ],
)
def test_what_has_another_form_is_refused(change: dict[str, Any]) -> None:
    refused("malformed", {**served(made()), **change})


@pytest.mark.parametrize("name", [*Manifest.__slots__, "format", "signatures"])
def test_what_lacks_a_field_is_refused(name: str) -> None:
    value = served(made())
    del value[name]
    refused("malformed", value)


@given(st.recursive(st.none() | st.integers() | st.text(), lambda each: st.dictionaries(st.text(), each)))
def test_anything_else_is_refused(value: Any) -> None:
    refused("missing" if value is None else "malformed", value)


def test_versions_grow_when_the_clock_does_not_and_when_a_backup_was_restored() -> None:
    first = made()
    assert made(first, now=NOW - 5).version == first.version + 1
    assert made(first, now=NOW + 5).version == NOW + 5


def test_what_is_signed_is_no_collection() -> None:
    assert made().signed().startswith(b'{"bucket":"main","collection":"blocklist","content":"')
    assert FORMAT.encode() in made().signed()
    assert read(served(made()))[0] == made()
