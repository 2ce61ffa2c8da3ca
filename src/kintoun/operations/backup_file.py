"""The file of a backup: one gzip stream of lines of JSON, the same for every engine.

The first line says what the file is and at which versions the tables are. Each table is a line with its name
and columns, a line for each row (an array), and a line with the number and the digest of its rows. The last
line has the digest of all lines before it, so a file that was cut off or changed is told from a sound one.
"""

from __future__ import annotations

import gzip
import os
import zlib
from base64 import b64decode
from collections.abc import Iterator, Sequence
from hashlib import blake2b
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

import msgspec

from kintoun.operations import Refused
from kintoun.operations.tables import SavedTable

FORMAT = 1
LEVEL = 3
"""Of the compression: more costs several times the work for a few per cent."""

MODULUS = 2**128
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode


class RowsDigest:
    """A digest of rows in any order: the sum of the digests of each."""

    def __init__(self) -> None:
        self.rows = 0
        self._sum = 0

    def add(self, lines: Sequence[bytes]) -> None:
        """Add rows, as the file has them."""
        self.rows += len(lines)
        self._sum += sum(int.from_bytes(blake2b(line, digest_size=16).digest(), "big") for line in lines)
        self._sum %= MODULUS

    def hexdigest(self) -> str:
        """The digest of the rows so far."""
        return f"{self._sum:032x}"


def line_of(row: Sequence[Any]) -> bytes:
    """A row as a line of the file, without its end."""
    return _encode(list(row))


class Header(msgspec.Struct, frozen=True):
    """The first line."""

    kintoun: str
    format: int
    version: str
    made: str
    schema: int
    features: dict[str, int]


class BackupWriter:
    """Writes a backup; one that is not finished is not sound."""

    def __init__(self, path: Path, header: Header) -> None:
        # Hashes of passwords are in it, and whatever else only some may read.
        self._raw = os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb")
        self._file = gzip.GzipFile("", "wb", LEVEL, self._raw)
        self._digest = blake2b(digest_size=32)
        self._lines([_encode(header)])

    def _lines(self, lines: Sequence[bytes]) -> None:
        block = b"\n".join(lines) + b"\n"
        self._digest.update(block)
        self._file.write(block)

    def begin(self, table: SavedTable) -> RowsDigest:
        """Begin a table; the digest is that of its rows."""
        self._lines([_encode({"table": table.name, "columns": table.columns})])
        return RowsDigest()

    def add(self, rows: Sequence[Sequence[Any]], digest: RowsDigest) -> None:
        """Add rows of the table."""
        lines = [line_of(row) for row in rows]
        digest.add(lines)
        self._lines(lines)

    def end(self, digest: RowsDigest) -> None:
        """End the table."""
        self._lines([_encode({"rows": digest.rows, "digest": digest.hexdigest()})])

    def finish(self) -> None:
        """Write the last line, and wait for the disk."""
        self._file.write(_encode({"end": self._digest.hexdigest()}) + b"\n")
        self._file.close()
        self._raw.flush()
        os.fsync(self._raw.fileno())

    def __enter__(self) -> BackupWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._raw.close()


class Begun(NamedTuple):
    """A table begins."""

    table: SavedTable


class Rows(NamedTuple):
    """Rows of the table that has begun, in the types of its columns."""

    rows: list[list[Any]]


class Ended(NamedTuple):
    """The table has ended; its rows were those that were written."""

    rows: int
    digest: str


class BackupReader:
    """Reads a backup once; raises Refused as soon as something is not as it was written."""

    BATCH = 2000

    def __init__(self, path: Path) -> None:
        self._path = path
        self._digest = blake2b(digest_size=32)
        self._file = gzip.open(path, "rb")  # noqa: SIM115 - closed by `close`
        try:
            self.header = msgspec.json.decode(self._line(), type=Header)
        except msgspec.MsgspecError as error:
            self.close()
            raise Refused(f"{path}: is no backup of Kintoun") from error
        except BaseException:
            self.close()
            raise
        if self.header.kintoun != "backup" or self.header.format != FORMAT:
            self.close()
            raise Refused(f"{path}: is a backup in format {self.header.format}, this server reads {FORMAT}")

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _read(self) -> bytes:
        """The next line; nothing at the end of the file."""
        try:
            return self._file.readline()
        except EOFError as error:
            raise Refused(f"{self._path}: is cut off") from error
        except (OSError, zlib.error) as error:
            raise Refused(f"{self._path}: is damaged, or no backup: {error}") from error

    def _line(self) -> bytes:
        line = self._read()
        if not line.endswith(b"\n"):
            raise Refused(f"{self._path}: is cut off")
        if not line.startswith(b'{"end"'):
            self._digest.update(line)
        return line[:-1]

    def parts(self) -> Iterator[Begun | Rows | Ended]:
        """The tables, one after the other, to the last line, whose digest is checked."""
        while True:
            line = self._line()
            head = self._object(line)
            if "end" in head:
                if head["end"] != self._digest.hexdigest():
                    raise Refused(f"{self._path}: was changed after it was written: its digest is another")
                if self._read():
                    raise Refused(f"{self._path}: goes on after its end")
                return
            if "table" not in head:
                raise Refused(f"{self._path}: is damaged: a table should begin")
            columns = tuple((str(name), str(kind)) for name, kind in head["columns"])
            yield from self._table(SavedTable(str(head["table"]), columns))

    def _table(self, table: SavedTable) -> Iterator[Begun | Rows | Ended]:
        yield Begun(table)
        digest = RowsDigest()
        binary = [n for n, (_, kind) in enumerate(table.columns) if kind == "bytes"]
        lines: list[bytes] = []
        while True:
            line = self._line()
            if line.startswith(b"["):
                lines.append(line)
                if len(lines) < self.BATCH:
                    continue
            if lines:
                digest.add(lines)
                yield Rows([self._row(line, binary) for line in lines])
                lines = []
            if line.startswith(b"["):
                continue
            tail = self._object(line)
            if (tail.get("rows"), tail.get("digest")) != (digest.rows, digest.hexdigest()):
                raise Refused(f"{self._path}: the rows of {table.name!r} are not those that were written")
            yield Ended(digest.rows, digest.hexdigest())
            return

    def _object(self, line: bytes) -> dict[str, Any]:
        try:
            value = _decode(line)
        except msgspec.MsgspecError as error:
            raise Refused(f"{self._path}: is damaged: {error}") from error
        if not isinstance(value, dict):
            raise Refused(f"{self._path}: is damaged: a table should begin or end")
        return value

    def _row(self, line: bytes, binary: list[int]) -> list[Any]:
        try:
            row: list[Any] = _decode(line)
            for n in binary:
                row[n] = b64decode(row[n]) if row[n] is not None else None
        except (msgspec.MsgspecError, ValueError, IndexError, TypeError) as error:
            raise Refused(f"{self._path}: is damaged: {error}") from error
        return row
