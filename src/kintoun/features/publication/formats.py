"""The files of several changesets, and of a collection's attachments (signing section 11.2)."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

import msgspec

from kintoun.model import json

MOZLZ4 = b"mozLz40\0"
"""What files begin with that are one block of LZ4, the size of its content in front."""


class Attachment(NamedTuple):
    """A record and the bytes of its file."""

    record: dict[str, Any]
    content: bytes


class _Metadata(msgspec.Struct):
    flags: Any = None
    attachment: Any = None


class Described(msgspec.Struct):
    """What of a changeset says how it is bundled."""

    metadata: _Metadata

    @property
    def at_startup(self) -> bool:
        """Whether clients want it before they ask for anything else."""
        flags = self.metadata.flags
        return isinstance(flags, list) and "startup" in flags

    @property
    def with_files(self) -> bool:
        """Whether clients want its attachments together."""
        attachment = self.metadata.attachment
        return isinstance(attachment, dict) and attachment.get("bundle") is True


describe = msgspec.json.Decoder(Described).decode


def mozlz4(changesets: Iterable[bytes]) -> bytes:
    """The bodies of changesets as one compressed list."""
    from lz4 import block

    packed: bytes = block.compress(b"[" + b",".join(changesets) + b"]", store_size=True)
    return MOZLZ4 + packed


def attachments_of(changeset: bytes) -> list[dict[str, Any]]:
    """The records of a changeset that name a file."""
    return [
        record
        for record in json.decode(changeset)["changes"]
        if isinstance(attachment := record.get("attachment"), dict)
        and isinstance(attachment.get("location"), str)
    ]


def packed(attachments: Sequence[Attachment]) -> bytes:
    """Records and their files as an archive, the same bytes for the same records."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
        for record, content in attachments:
            date = datetime.fromtimestamp(record["last_modified"] / 1000, UTC).timetuple()[:6]
            for name, data in ((f"{record['id']}.meta.json", json.encode(record)), (record["id"], content)):
                about = zipfile.ZipInfo(name, max((1980, 1, 1, 0, 0, 0), date))
                about.compress_type = zipfile.ZIP_DEFLATED
                about.external_attr = 0o644 << 16
                file.writestr(about, data)
    return archive.getvalue()
