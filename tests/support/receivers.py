"""Small HTTP servers that take what a server under test sends out, and keep it."""

from __future__ import annotations

import gzip
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple

import brotli

SECONDS = 60.0


class Received(NamedTuple):
    """One request; its body is unpacked, its headers have lower-case names."""

    path: str
    headers: dict[str, str]
    body: bytes


DECODERS = {"identity": bytes, "gzip": gzip.decompress, "br": brotli.decompress}


class Receiver:
    """Takes every POST with 200. `received` are the requests in the order of their arrival."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.received: list[Received] = []
        self.arrived = threading.Condition()

    def wait(self, count: int) -> list[Received]:
        """The requests, once there are so many."""
        deadline = time.monotonic() + SECONDS
        with self.arrived:
            while len(self.received) < count:
                assert self.arrived.wait(deadline - time.monotonic()), (
                    f"{len(self.received)} of {count} arrived"
                )
            return list(self.received)


@contextmanager
def receiver() -> Iterator[Receiver]:
    """A receiver on a free port of 127.0.0.1."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            body = DECODERS[self.headers.get("content-encoding", "identity")](body)
            headers = {name.lower(): value for name, value in self.headers.items()}
            with found.arrived:
                found.received.append(Received(self.path, headers, body))
                found.arrived.notify_all()
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *arguments: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    found = Receiver(server.server_address[1])
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield found
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
