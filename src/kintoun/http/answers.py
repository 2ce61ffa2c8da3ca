"""An answer as handlers give it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any, NamedTuple, Protocol

from kintoun.model import json
from kintoun.model.errors import ProtocolError

Headers = tuple[tuple[str, str], ...]

JSON = "application/json"

PATIENCE = 30.0
"""How many seconds the client of a streamed answer may take nothing of what waits for it."""


class Stream(Protocol):
    """What a streamed body is read from, as an asynchronous generator is one.

    It is closed once: when it has ended, the client has gone or the worker ends, and when nothing was read.
    """

    def __aiter__(self) -> AsyncIterator[bytes]: ...

    async def __anext__(self) -> bytes: ...

    async def aclose(self) -> None: ...


Push = Callable[[bytes], bool]
"""Sends bytes at once. Returns False, and sends nothing, when the client has to be waited for."""


class Pushing:
    """What a stream derives from that can do more than be read from.

    While its reader waits for the next part the stream may `push` parts itself, where the server can do that:
    nobody has to be woken for them.
    """

    __slots__ = ("push",)

    def __init__(self) -> None:
        self.push: Push | None = None


class Answer:
    """One answer. `headers` are those that say something of this answer; the wire adds what every answer has.

    `exposed` names the group of headers that scripts of other origins may read: see `cors.EXPOSED`. `policy`
    is a content security policy for pages that need another than nothing at all.
    """

    __slots__ = ("body", "exposed", "headers", "media_type", "policy", "status")

    stream: Stream | None = None

    def __init__(
        self,
        status: int,
        body: bytes = b"",
        headers: Headers = (),
        *,
        media_type: str = JSON,
        exposed: str = "plain",
        policy: str | None = None,
    ) -> None:
        self.status = status
        self.body = body
        self.headers = headers
        self.media_type = media_type
        self.exposed = exposed
        self.policy = policy

    def with_header(self, name: str, value: str) -> Answer:
        """The same answer with one more header."""
        headers = (*self.headers, (name, value))
        return Answer(
            self.status,
            self.body,
            headers,
            media_type=self.media_type,
            exposed=self.exposed,
            policy=self.policy,
        )


class FilePart(NamedTuple):
    """The bytes of a file on disk from `start` up to `stop`, at least one."""

    path: str
    start: int
    stop: int


class Streamed(Answer):
    """An answer whose body is sent as it comes.

    `length` is the number of its bytes where that is known. An `endless` one is broken off when the worker
    ends, and its connection is not used again. Observers are told of it when it begins, as of one without a
    body. The answers of a batch cannot be streamed. When the stream gives what stands in a `file`, a server
    that sends files by itself does so, and leaves the stream alone. A client that takes nothing for as many
    seconds as its `patience` is cut off; of an endless answer it has no longer to catch up.
    """

    __slots__ = ("endless", "file", "length", "patience", "stream")

    def __init__(
        self,
        status: int,
        stream: Stream,
        headers: Headers = (),
        *,
        media_type: str,
        length: int | None = None,
        endless: bool = False,
        file: FilePart | None = None,
        patience: float = PATIENCE,
        exposed: str = "plain",
        policy: str | None = None,
    ) -> None:
        super().__init__(status, b"", headers, media_type=media_type, exposed=exposed, policy=policy)
        self.stream: Stream = stream
        self.length = length
        self.endless = endless
        self.file = file
        self.patience = patience

    def with_header(self, name: str, value: str) -> Streamed:
        """The same answer with one more header."""
        return Streamed(
            self.status,
            self.stream,
            (*self.headers, (name, value)),
            media_type=self.media_type,
            length=self.length,
            endless=self.endless,
            file=self.file,
            patience=self.patience,
            exposed=self.exposed,
            policy=self.policy,
        )


def json_answer(value: Any, status: int = 200, headers: Headers = (), *, exposed: str = "plain") -> Answer:
    """The answer whose body is `value` as JSON."""
    return Answer(status, json.encode(value), headers, exposed=exposed)


def error_answer(error: ProtocolError, *, exposed: str = "plain") -> Answer:
    """The answer that tells of an error."""
    return json_answer(error.body(), error.status, error.headers, exposed=exposed)
