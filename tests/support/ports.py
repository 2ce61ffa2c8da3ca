"""Free TCP ports on the loopback interface."""

from __future__ import annotations

import random
import socket
from collections.abc import Iterator

RANGE = range(10_000, 32_000)
"""Below what systems give to outgoing connections, which might take a port that is about to be used."""


def _candidates() -> Iterator[int]:
    """Ports of the range in an order of this process's own, so that test processes beside it seldom meet."""
    order = random.SystemRandom().sample(RANGE, len(RANGE))
    while True:
        yield from order


_next = _candidates()


def free_port() -> int:
    """A TCP port on 127.0.0.1 that nobody listens on, and that this process has not had lately."""
    for port in _next:
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise AssertionError("unreachable: the candidates never end")


def accepts(port: int) -> bool:
    """Whether something accepts connections on 127.0.0.1:`port`."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.settimeout(1.0)
        return probe.connect_ex(("127.0.0.1", port)) == 0
