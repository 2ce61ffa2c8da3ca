"""What a login costs: the first request of a user, those after it, a wrong password, a token."""

from __future__ import annotations

import http.client
import json
import statistics
import time
from base64 import b64encode
from collections.abc import Callable
from typing import NamedTuple

from bench.contenders import KINTO
from bench.processes import ProcessTree
from tests.support.servers import Server

HEADINGS = ("server", "login", "requests", "median ms", "p90 ms", "CPU ms")


class Measured(NamedTuple):
    """Latencies in seconds, and the CPU seconds of the server for all of them."""

    label: str
    login: str
    latencies: list[float]
    cpu: float

    def line(self) -> tuple[str, ...]:
        """A row of the table."""
        ordered = sorted(self.latencies)
        p90 = ordered[int(0.9 * (len(ordered) - 1))]
        each = self.cpu / len(ordered)
        shown = (statistics.median(ordered), p90, each)
        return (self.label, self.login, str(len(ordered)), *(f"{1000 * value:.2f}" for value in shown))


class Client:
    """One connection to a server."""

    def __init__(self, server: Server) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)

    def send(
        self, method: str, path: str, authorization: str | None = None, body: object = None
    ) -> tuple[int, bytes]:
        headers = {"Authorization": authorization} if authorization else {}
        if body is not None:
            headers["Content-Type"] = "application/json"
        content = json.dumps(body) if body is not None else None
        self._connection.request(method, f"/v1{path}", content, headers)
        response = self._connection.getresponse()
        return response.status, response.read()

    def close(self) -> None:
        self._connection.close()


def basic(name: str, password: str) -> str:
    return "Basic " + b64encode(f"{name}:{password}".encode()).decode()


def measure(
    server: Server, label: str, engine: str, users: int, say: Callable[[str], None]
) -> list[Measured]:
    """Log in as so many users, cold and warm; Kinto has no tokens."""
    client = Client(server)
    tree = ProcessTree(server.pid)
    names = [f"user{n}" for n in range(users)]
    say(f"{label}: making {users} accounts")
    for name in names:
        status, answer = client.send("PUT", f"/accounts/{name}", None, {"data": {"password": "secret"}})
        assert status in (200, 201), answer
    made: list[Measured] = []

    def run(login: str, requests: list[tuple[str, str]], expected: int) -> None:
        say(f"{label}: {login}")
        latencies = []
        before = tree.cpu_seconds()
        for path, authorization in requests:
            start = time.perf_counter()
            status, answer = client.send("GET", path, authorization)
            latencies.append(time.perf_counter() - start)
            assert status == expected, answer
        made.append(Measured(label, login, latencies, tree.cpu_seconds() - before))

    own = [(f"/accounts/{name}", basic(name, "secret")) for name in names]
    run("cold", own, 200)
    run("warm", own * 10, 200)
    run("wrong password", [(f"/accounts/{name}", basic(name, "wrong")) for name in names], 401)
    if engine != KINTO:
        body = {"data": {"name": "bench", "scopes": ["account"]}}
        bearers = []
        for name in names:
            status, answer = client.send("POST", f"/accounts/{name}/tokens", basic(name, "secret"), body)
            assert status == 201, answer
            bearers.append(f"Bearer {json.loads(answer)['data']['token']}")
        tokens = [(f"/accounts/{name}", bearer) for name, bearer in zip(names, bearers, strict=True)]
        run("token, cold", tokens, 200)
        run("token, warm", tokens * 10, 200)
    client.close()
    return made
