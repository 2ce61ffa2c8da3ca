"""Bodies that are taken as they arrive."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence

import pytest

from kintoun.http.answers import Answer
from kintoun.http.incoming import DRAINED_BYTES, PIECE_BYTES, Incoming
from kintoun.http.limits import Limits
from kintoun.http.patience import Patience
from kintoun.http.routing import Endpoint, Router
from kintoun.model.errors import ProtocolError

LIMITS = Limits(1000, 1000, 1000, 0.2)


class Sender:
    """A client that sends these chunks; None is where it waits for ever."""

    def __init__(self, *chunks: bytes | None) -> None:
        self.chunks = chunks
        self.sent = 0

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for chunk in self.chunks:
            if chunk is None:
                await asyncio.Event().wait()
                raise AssertionError
            self.sent += len(chunk)
            yield chunk


def incoming(sender: Sender, headers: Mapping[str, str] | None = None) -> Incoming:
    return Incoming(aiter(sender), headers or {}, LIMITS, Patience(LIMITS.seconds))


async def pieces(body: Incoming) -> Sequence[bytes]:
    return [piece async for piece in body]


async def test_pieces_are_large_and_nothing_is_lost() -> None:
    sizes = [len(piece) for piece in await pieces(incoming(Sender(*[b"x" * 1000] * 200)))]
    assert sum(sizes) == 200_000
    assert all(PIECE_BYTES <= size < PIECE_BYTES + 1000 for size in sizes[:-1])


async def test_a_body_without_anything_has_no_pieces() -> None:
    assert await pieces(incoming(Sender(), {"content-length": "0"})) == []


async def test_no_more_is_read_than_is_asked_for() -> None:
    sender = Sender(*[b"x" * PIECE_BYTES] * 10)
    body = incoming(sender)
    await anext(body)
    assert sender.sent == PIECE_BYTES


@pytest.mark.parametrize("chunks", [(b"hello",), ()])
async def test_a_body_that_ends_before_its_length_is_refused(chunks: Sequence[bytes]) -> None:
    with pytest.raises(ProtocolError) as caught:
        await pieces(incoming(Sender(*chunks), {"content-length": "6"}))
    assert caught.value.status == 400


async def test_a_client_that_stops_sending_is_refused() -> None:
    body = incoming(Sender(b"x" * PIECE_BYTES, b"x", None))
    assert len(await anext(body)) == PIECE_BYTES
    with pytest.raises(ProtocolError) as caught:
        await anext(body)
    assert caught.value.status == 408
    assert await pieces(body) == []


async def test_what_nobody_wanted_is_read_up_to_a_limit() -> None:
    sender = Sender(*[b"x" * PIECE_BYTES] * 1000)
    await incoming(sender).drain()
    assert DRAINED_BYTES < sender.sent <= DRAINED_BYTES + PIECE_BYTES


async def test_a_slow_client_is_not_waited_for_when_nobody_wants_the_rest() -> None:
    await incoming(Sender(b"x", None)).drain()


async def test_a_client_that_waits_for_leave_is_not_given_it_by_draining() -> None:
    sender = Sender(b"x")
    await incoming(sender, {"expect": "100-continue"}).drain()
    assert not sender.sent


def test_the_router_knows_which_paths_stream() -> None:
    async def handler(_: object, __: object) -> Answer:
        return Answer(204)

    router = Router()
    assert not router.streams("/v1/things/1/file")
    router.add(Endpoint("file", "/things/{id}/file", {"PUT": handler}, streams=True))
    router.add(Endpoint("other", "/others/{id}/{name}", {"PUT": handler}))
    assert router.streams("/v1/things/1/file")
    assert not router.streams("/v1/things/1")
    assert not router.streams("/v1/others/1/file")
