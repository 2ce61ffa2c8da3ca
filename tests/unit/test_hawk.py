"""Hawk, from both ends and beside another implementation of it (signing section 6.5)."""

from __future__ import annotations

import string

import mohawk
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mohawk.exc import HawkFail

from kintoun.signatures.hawk import (
    MOST_HEADER,
    Credentials,
    Message,
    Unauthorized,
    Verifier,
    authorization,
    host_and_port,
    parse,
)
from kintoun.signer.nonces import NonceFile

NOW = 1_700_000_000
AGES = 10**10
"""The other implementation looks at the clock."""
ALICE = Credentials("alice", "fs5wgcer9qj819kfptdlp8gm227ewxnzvsuj9ztycsx08hfhzu")
BODY = b'[{"input":"aGVsbG8gd29ybGQ="}]'
MESSAGE = Message("POST", "/sign/data", "signer.example", 443, "application/json", BODY)
KEYS = {ALICE.id: ALICE.key, "bob": "another key"}

words = st.text(string.ascii_letters + string.digits, min_size=1, max_size=30)
messages = st.builds(
    Message,
    st.sampled_from(["GET", "POST", "PUT"]),
    st.sampled_from(["/", "/sign/data", "/sign/data?x=1", "/auths/a/keyids"]),
    st.sampled_from(["localhost", "signer.example"]),
    st.integers(1, 65535),
    st.sampled_from(["", "application/json", "text/plain"]),
    st.binary(max_size=60),
)


def verifier(*, skew: int = 60, most: int = 100) -> Verifier:
    return Verifier(KEYS.get, NonceFile(":memory:", skew, most), skew)


def header(message: Message = MESSAGE, *, who: Credentials = ALICE, ts: int = NOW, nonce: str = "n1") -> str:
    return authorization(who, message, timestamp=ts, nonce=nonce)


def url(message: Message) -> str:
    return f"http://{message.host}:{message.port}{message.target}"


@given(messages, words)
def test_what_the_client_makes_the_server_believes(message: Message, nonce: str) -> None:
    said = header(message, nonce=nonce)
    assert verifier().verify(said, message, NOW) == "alice"


@given(messages, messages)
def test_a_header_is_good_for_its_own_message_alone(message: Message, other: Message) -> None:
    if message == other:
        return
    with pytest.raises(Unauthorized):
        verifier().verify(header(message), other, NOW)


@given(messages, st.data())
def test_no_attribute_can_be_changed(message: Message, data: st.DataObject) -> None:
    said = header(message)
    at = data.draw(st.integers(0, len(said) - 1))
    put = data.draw(st.sampled_from(string.ascii_letters + string.digits + '",= '))
    changed = said[:at] + put + said[at + 1 :]
    if parse_or_none(changed) == parse(said):
        return
    with pytest.raises(Unauthorized):
        verifier().verify(changed, message, NOW)


def parse_or_none(text: str) -> object:
    try:
        return parse(text)
    except Unauthorized:
        return None


@given(st.text(max_size=200))
def test_any_header_is_parsed_or_refused(text: str) -> None:
    for whole in (text, f"Hawk {text}"):
        parse_or_none(whole)


@given(messages, words)
def test_another_implementation_believes_our_client(message: Message, nonce: str) -> None:
    received = mohawk.Receiver(
        lambda _: {"id": ALICE.id, "key": ALICE.key, "algorithm": "sha256"},
        header(message, nonce=nonce),
        url(message),
        message.method,
        content=message.body,
        content_type=message.content_type,
        timestamp_skew_in_seconds=AGES,
        seen_nonce=lambda *_: False,
    )
    assert received.parsed_header["id"] == "alice"


@given(messages, words, st.sampled_from([None, "some words"]), st.sampled_from([None, "app"]))
def test_our_server_believes_another_implementation(
    message: Message, nonce: str, ext: str | None, app: str | None
) -> None:
    sender = mohawk.Sender(
        {"id": ALICE.id, "key": ALICE.key, "algorithm": "sha256"},
        url(message),
        message.method,
        content=message.body,
        content_type=message.content_type,
        nonce=nonce,
        ext=ext,
        app=app,
        _timestamp=NOW,
    )
    assert verifier().verify(sender.request_header, message, NOW) == "alice"


def test_another_implementation_refuses_our_header_for_other_bytes() -> None:
    with pytest.raises(HawkFail):
        mohawk.Receiver(
            lambda _: {"id": ALICE.id, "key": ALICE.key, "algorithm": "sha256"},
            header(),
            url(MESSAGE),
            "POST",
            content=BODY + b" ",
            content_type="application/json",
            timestamp_skew_in_seconds=AGES,
            seen_nonce=lambda *_: False,
        )


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (None, "missing Authorization"),
        ("", "missing Authorization"),
        ("Basic YTpi", "invalid scheme"),
        ("Hawk", "missing id"),
        ("Hawk id=alice", "invalid header"),
        ('Hawk id="alice" id="bob"', "invalid header"),
        ('Hawk id="alice"nonce="x"', "invalid header"),
        ('Hawk id="al\\ice"', "invalid header"),
        ('Hawk id="alice", ts="1", nonce="n", mac="m", realm="x"', "invalid header"),
        ('Hawk id="alice", ts="1", nonce="n"', "missing mac"),
        ('Hawk id="alice", ts="now", nonce="n", mac="m"', "ts is no number"),
        (f'Hawk id="alice", ts="1", nonce="{"n" * MOST_HEADER}", mac="m"', "invalid header"),
        (header(who=Credentials("eve", "key")), "unknown id"),
        (header(who=Credentials("alice", "key")), "invalid MAC"),
        (header(ts=NOW - 61), "skew too high"),
        (header(ts=NOW + 61), "skew too high"),
    ],
)
def test_refusals_say_why(said: str | None, reason: str) -> None:
    with pytest.raises(Unauthorized, match=reason):
        verifier().verify(said, MESSAGE, NOW)


def test_the_payload_is_covered_where_it_has_to_be() -> None:
    empty = Message("GET", "/auths/alice/keyids", "signer.example", 443)
    sender = mohawk.Sender(
        {"id": ALICE.id, "key": ALICE.key, "algorithm": "sha256"},
        url(empty),
        "GET",
        always_hash_content=False,
        _timestamp=NOW,
    )
    with pytest.raises(Unauthorized, match="payload validation failed"):
        verifier().verify(sender.request_header, empty, NOW)
    assert verifier().verify(sender.request_header, empty, NOW, payload=False) == "alice"


def test_the_payload_hash_has_the_media_type_without_its_parameters() -> None:
    message = Message("POST", "/", "h", 1, "Application/JSON; charset=utf-8", BODY)
    assert message.payload_hash() == Message("POST", "/", "h", 1, "application/json", BODY).payload_hash()


def test_a_request_is_believed_once() -> None:
    server = verifier()
    server.verify(header(), MESSAGE, NOW)
    for later in (0, 30, 60):
        with pytest.raises(Unauthorized, match="replayed"):
            server.verify(header(), MESSAGE, NOW + later)
    with pytest.raises(Unauthorized, match="skew"):
        server.verify(header(), MESSAGE, NOW + 61)


def test_a_nonce_is_used_up_only_by_who_has_the_key() -> None:
    server = verifier()
    forged = header(who=Credentials("alice", "guessed"))
    with pytest.raises(Unauthorized, match="MAC"):
        server.verify(forged, MESSAGE, NOW)
    server.verify(header(who=Credentials("bob", "another key")), MESSAGE, NOW)
    assert server.verify(header(), MESSAGE, NOW) == "alice"


@pytest.mark.parametrize(
    ("host", "parts"),
    [
        ("signer.example", ("signer.example", 443)),
        ("signer.example:8000", ("signer.example", 8000)),
        ("[::1]:8000", ("[::1]", 8000)),
        ("[::1]", ("[::1]", 443)),
    ],
)
def test_hosts(host: str, parts: tuple[str, int]) -> None:
    assert host_and_port(host) == parts


@pytest.mark.parametrize("host", ["", ":80", "a:b", "a:1:2", "::1"])
def test_a_host_that_is_none_is_refused(host: str) -> None:
    with pytest.raises(Unauthorized, match="Host"):
        host_and_port(host)


def test_a_key_is_not_shown() -> None:
    assert ALICE.key not in repr(ALICE)


def test_the_example_of_the_scheme() -> None:
    """The values that the scheme's own description works out for a request with a body."""
    message = Message(
        "POST", "/resource/1?b=1&a=2", "example.com", 8000, "text/plain", b"Thank you for flying Hawk"
    )
    assert message.payload_hash() == "Yi9LfIIFRtBEPt74PVmbTF/xVAwPn7ub15ePICfgnuY="
