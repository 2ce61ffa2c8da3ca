"""Where requests come from."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kintoun.http.addresses import UNKNOWN, Addresses
from kintoun.http.requests import Request


def request(peer: str | None, forwarded: str | None = None) -> Request:
    headers = {} if forwarded is None else {"x-forwarded-for": forwarded}
    return Request("GET", "/v1/", headers=headers, peer=peer)


@pytest.mark.parametrize(
    ("peer", "address"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("192.0.2.1:4711", "192.0.2.1"),
        ("2001:db8::1", "2001:db8::1"),
        ("[2001:db8::1]:4711", "2001:db8::1"),
        ("2001:DB8:0:0:0:0:0:1", "2001:db8::1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("fe80::1%eth0", "fe80::1"),
        (None, UNKNOWN),
        ("", UNKNOWN),
        ("unix:", UNKNOWN),
    ],
)
def test_the_address_of_the_peer(peer: str | None, address: str) -> None:
    assert Addresses([]).client(request(peer, "198.51.100.9")) == address


@pytest.mark.parametrize(
    ("peer", "forwarded", "address"),
    [
        ("10.0.0.1", "198.51.100.9", "198.51.100.9"),
        ("10.0.0.1", "made up, 198.51.100.9", "198.51.100.9"),
        ("10.0.0.1", "203.0.113.1, 198.51.100.9, 10.0.0.2", "198.51.100.9"),
        ("10.0.0.1", "198.51.100.9:1234", "198.51.100.9"),
        ("10.0.0.1", "10.0.0.7", "10.0.0.7"),
        ("10.0.0.1", "198.51.100.9, rubbish", "10.0.0.1"),
        ("10.0.0.1", "", "10.0.0.1"),
        ("192.0.2.1", "198.51.100.9", "192.0.2.1"),
        (None, "198.51.100.9", "198.51.100.9"),
    ],
)
def test_the_address_behind_proxies(peer: str | None, forwarded: str, address: str) -> None:
    assert Addresses(["10.0.0.0/8"]).client(request(peer, forwarded)) == address


def test_a_client_that_can_choose_its_address_is_one() -> None:
    addresses = Addresses([])
    assert addresses.network(request("2001:db8:1:2:3::4")) == addresses.network(
        request("2001:db8:1:2:ffff::")
    )
    assert addresses.network(request("2001:db8:1:2::4")) != addresses.network(request("2001:db8:1:3::4"))
    assert addresses.network(request("192.0.2.1")) == "192.0.2.1"
    assert addresses.network(request(None)) == UNKNOWN


@given(st.one_of(st.none(), st.text(max_size=40)), st.text(max_size=80))
def test_no_header_is_an_error(peer: str | None, forwarded: str) -> None:
    assert Addresses(["10.0.0.0/8", "::/0"]).network(request(peer, forwarded))
