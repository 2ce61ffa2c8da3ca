"""Where a request comes from: the address of the client, also behind proxies that are trusted to tell it."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

from kintoun.http.requests import Request

UNKNOWN = "unknown"
"""The address of clients that connect by a Unix socket, or whose proxy tells none."""

Address = IPv4Address | IPv6Address


class Addresses:
    """Finds the addresses of clients. Proxies in the networks `proxies` are believed their `X-Forwarded-For`.

    Raises ValueError for a network that is none.
    """

    def __init__(self, proxies: Sequence[str]) -> None:
        try:
            self._proxies = tuple(ip_network(proxy, strict=False) for proxy in proxies)
        except ValueError as error:
            raise ValueError(f"[http] trusted_proxies: {error}") from error

    def client(self, request: Request) -> str:
        """The address of the client in its shortest form.

        The right end of `X-Forwarded-For` was written by the nearest proxy, so the first address from there
        that is not a trusted proxy's is the client's. What stands left of it the client may have made up.
        """
        address = _parsed(request.peer)
        if self._proxies and (address is None or self._trusted(address)):
            for text in reversed(request.headers.get("x-forwarded-for", "").split(",")):
                told = _parsed(text.strip())
                if told is None:
                    break
                address = told
                if not self._trusted(told):
                    break
        return UNKNOWN if address is None else str(address)

    def network(self, request: Request) -> str:
        """What a client is counted by: its address, of IPv6 the /64 in which it can choose."""
        client = self.client(request)
        if ":" not in client:
            return client
        return str(ip_network(f"{client}/64", strict=False))

    def _trusted(self, address: Address) -> bool:
        return any(address in proxy for proxy in self._proxies)


def _parsed(text: str | None) -> Address | None:
    """The address in `192.0.2.1`, `192.0.2.1:443`, `2001:db8::1` or `[2001:db8::1]:443`; None for others."""
    if not text:
        return None
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return address.ipv4_mapped or address if isinstance(address, IPv6Address) else address
