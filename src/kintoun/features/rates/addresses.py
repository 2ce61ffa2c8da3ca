"""Where a request comes from, behind proxies that are trusted to say so and for nobody else."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from kintoun.http.requests import Request

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

CUSTOMER = 64
"""Bits of an IPv6 address that one customer has: whoever has it has all of its addresses."""


def networks(texts: Sequence[str]) -> tuple[Network, ...]:
    """The networks that texts such as `10.0.0.0/8` name. Raises ValueError."""
    return tuple(ip_network(text, strict=False) for text in texts)


class Addresses:
    """Tells the callers' addresses apart."""

    def __init__(self, trusted: Sequence[Network]) -> None:
        self._trusted = tuple(trusted)
        self._caller = lru_cache(maxsize=4096)(self._look)

    def caller(self, request: Request) -> str:
        """The address that a request comes from, of IPv6 the customer's network; or `unknown`."""
        forwarded = request.headers.get("x-forwarded-for", "") if self._trusted else ""
        return self._caller(request.peer or "", forwarded)

    def _look(self, peer: str, forwarded: str) -> str:
        """The last address that a trusted proxy was asked by: what is before it anybody can make up."""
        found = _parsed(peer)
        for text in reversed(forwarded.split(",") if forwarded else []):
            if found is None or not any(found in network for network in self._trusted):
                break
            following = _parsed(text.strip())
            if following is None:
                break
            found = following
        if found is None:
            return "unknown"
        if isinstance(found, IPv6Address):
            return str(ip_network((found, CUSTOMER), strict=False))
        return str(found)


def _parsed(text: str) -> Address | None:
    """The address in `192.0.2.1`, `192.0.2.1:80`, `2001:db8::1` or `[2001:db8::1]:80`."""
    bare = text.removeprefix("[").partition("]")[0] if text.startswith("[") else text
    if bare.count(":") == 1:
        bare = bare.partition(":")[0]
    try:
        address = ip_address(bare.partition("%")[0])
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address
