"""Chains that others serve: what is asked for where, and what is made of the answers."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from kintoun.signatures import chain, elsewhere, pki
from kintoun.signatures.content_signature import InvalidSignature
from kintoun.signatures.elsewhere import Elsewhere, Missing, Place
from kintoun.signatures.trust import Unchecked
from tests.signing.worlds import DAY, NAME, new_issuer, now

ISSUER = new_issuer()
LEAF = pki.new_leaf(ISSUER, [NAME], now(), 90 * DAY, DAY)
PEM = chain.to_pem(LEAF.chain)
ROOT = chain.fingerprint(LEAF.chain[-1])


class Service:
    """Answers as it is told, and remembers what it was asked."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.asked: list[str] = []
        self.released = threading.Event()
        self.answers: dict[str, tuple[int, dict[str, str], bytes]] = {"/chains/good.pem": (200, {}, PEM)}


@pytest.fixture
def service() -> Iterator[Service]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            served.asked.append(self.path)
            if self.path.endswith("hanging.pem"):
                served.released.wait(60)
                return
            status, headers, body = served.answers.get(self.path, (404, {}, b"nothing"))
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(body))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    served = Service(server.server_address[1])
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield served
    served.released.set()
    server.shutdown()
    server.server_close()


def of(service: Service, root: bytes | None = None) -> Elsewhere:
    return Elsewhere([Place(f"{service.url}/chains", root), Place(f"{service.url}/one.pem")])


async def test_a_chain_is_asked_for_once(service: Service) -> None:
    chains = of(service, ROOT)
    for _ in range(2):
        assert await chains.read(f"{service.url}/chains/good.pem") == PEM
    assert service.asked == ["/chains/good.pem"]
    service.answers["/one.pem"] = (200, {}, PEM)
    assert await chains.read(f"{service.url}/one.pem") == PEM


@pytest.mark.parametrize(
    "url",
    [
        "{url}/",
        "{url}/chainsaw/good.pem",
        "{url}/one.pem.other",
        "{url}/chains/../secret",
        "{url}/chains/%2e%2e/secret",
        "https://127.0.0.1/chains/good.pem",
        "http://user@{host}/chains/good.pem",
        "http://127.0.0.1:1/chains/good.pem",
        "http://127.0.0.1.example.org/chains/good.pem",
        "file:///etc/passwd",
        "chains/good.pem",
    ],
)
async def test_nothing_is_asked_for_in_other_places(service: Service, url: str) -> None:
    with pytest.raises(Unchecked, match="nor where the configuration says"):
        await of(service).read(url.format(url=service.url, host=service.url.partition("//")[2]))
    assert service.asked == []


async def test_what_is_no_url_is_no_chain(service: Service) -> None:
    with pytest.raises(Missing):
        await of(service).read("http://[::1/chains")


@pytest.mark.parametrize(
    ("status", "headers", "body", "expected"),
    [
        (404, {}, b"", Missing),
        (302, {"Location": "/chains/good.pem"}, b"", Missing),
        (200, {}, b"<html>", InvalidSignature),
        (200, {}, b"", InvalidSignature),
        (200, {}, PEM + b" " * chain.MOST_BYTES, InvalidSignature),
        (200, {"Content-Encoding": "gzip"}, b"\x1f\x8b" + bytes(50), InvalidSignature),
    ],
)
async def test_what_is_no_chain_is_told(
    service: Service, status: int, headers: dict[str, str], body: bytes, expected: type[Exception]
) -> None:
    service.answers["/chains/x.pem"] = (status, headers, body)
    with pytest.raises(expected):
        await of(service).read(f"{service.url}/chains/x.pem")
    assert service.asked == ["/chains/x.pem"]


async def test_another_root_is_refused(service: Service) -> None:
    with pytest.raises(InvalidSignature, match="another root"):
        await of(service, bytes(32)).read(f"{service.url}/chains/good.pem")


@pytest.mark.parametrize("name", ["broken.pem", "hanging.pem"])
async def test_a_place_that_fails_is_left_alone_for_a_while(
    service: Service, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(elsewhere, "SECONDS", 0.3)
    service.answers["/chains/broken.pem"] = (500, {}, b"")
    chains = of(service)
    for each in (name, "good.pem"):
        with pytest.raises(Unchecked, match="cannot be fetched"):
            await chains.read(f"{service.url}/chains/{each}")
    assert service.asked == [f"/chains/{name}"]
    chains._unreachable.clear()  # as a minute does
    monkeypatch.setattr(elsewhere, "SECONDS", 30.0)
    assert await chains.read(f"{service.url}/chains/good.pem") == PEM
