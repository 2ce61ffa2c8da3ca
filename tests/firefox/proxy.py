"""A server between Firefox and ours that changes what it hands on."""

from __future__ import annotations

import json
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Change = Callable[[str, Any], Any]
"""Makes what is handed on of a path (with its query string) and of the JSON that was answered."""


class Proxy:
    """Hands on GETs; what `change` makes of JSON, while there is one. `asked` are the paths, in order."""

    def __init__(self, root: str, port: int) -> None:
        self.root = root
        self.url = f"http://127.0.0.1:{port}/v1"
        self.change: Change | None = None
        self.asked: list[str] = []
        self.files: dict[str, bytes] = {}
        """What the proxy serves by itself, by path."""

    @contextmanager
    def changing(self, change: Change) -> Iterator[None]:
        """Change what is answered within the block."""
        self.change = change
        try:
            yield
        finally:
            self.change = None


@contextmanager
def proxy(root: str) -> Iterator[Proxy]:
    """A proxy of the server whose URL without a path is `root`."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            found.asked.append(self.path)
            if self.path in found.files:
                self.answer(200, {}, found.files[self.path])
                return
            request = urllib.request.Request(f"{found.root}{self.path}")
            try:
                with urllib.request.urlopen(request, timeout=60) as answer:
                    status, headers, body = answer.status, answer.headers, answer.read()
            except urllib.error.HTTPError as error:
                status, headers, body = error.code, error.headers, error.read()
            if found.change is not None and status == 200 and "json" in headers["content-type"]:
                body = json.dumps(found.change(self.path, json.loads(body))).encode()
            self.answer(status, headers, body)

        def answer(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
            self.send_response_only(status)
            for name in ("content-type", "cache-control", "date"):
                if name in headers:
                    self.send_header(name, headers[name])
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *arguments: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    found = Proxy(root, server.server_port)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield found
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
