"""A service that answers as it is told, once it has checked who asks."""

from __future__ import annotations

import json
import threading
from base64 import b64decode
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import mohawk

from kintoun.signatures import content_signature, pki

ID, SECRET = "kinto", "the key that only both know"
Item = dict[str, Any]


class StandIn:
    """Signs with a key of its own. `alter` changes the answer: status, headers, body."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.key = pki.new_key()
        self.asked: list[Item] = []
        self.alter: Callable[[Item], tuple[int, str, bytes]] = lambda item: (
            201,
            "application/json",
            json.dumps([item]).encode(),
        )
        self.hanging = threading.Event()
        self.released = threading.Event()

    def sign(self, data: bytes, key_id: str) -> Item:
        return {
            "ref": "wkj4lvx1ho9l3hu4khxilx0gm",
            "type": "contentsignaturepki",
            "mode": "p384ecdsa",
            "signer_id": key_id,
            "public_key": "",
            "signature": content_signature.sign(self.key, data),
            "x5u": f"https://example.org/{key_id}.chain",
        }

    def check(self, header: str, path: str, body: bytes, content_type: str) -> None:
        """Raise for a request that is not the client's; the check is another implementation's than ours."""
        mohawk.Receiver(
            lambda _: {"id": ID, "key": SECRET, "algorithm": "sha256"},
            header,
            f"{self.url}{path}",
            "POST",
            content=body,
            content_type=content_type,
        )


@contextmanager
def stand_in() -> Iterator[StandIn]:
    """A service on a free port of 127.0.0.1."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            service.check(self.headers["authorization"], self.path, body, self.headers["content-type"])
            [asked] = json.loads(body)
            service.asked.append({"path": self.path, **asked})
            if service.hanging.is_set():
                service.released.wait(60)
                return
            item = service.sign(b64decode(asked["input"], validate=True), asked["keyid"])
            status, content_type, answer = service.alter(item)
            self.send_response(status)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(answer)))
            if status in (301, 307):
                self.send_header("Location", f"{service.url}/elsewhere")
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *arguments: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    service = StandIn(server.server_address[1])
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield service
    finally:
        service.released.set()
        server.shutdown()
        thread.join()
        server.server_close()
