"""The settings of whatever keeps files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from msgspec import Meta, field

from kintoun.settings import BESIDE_FILE, Count, Section, Settings

DAY_SECONDS = 86_400
FOLDER = "attachments"

MOST_SMALL = 256 * 1024
"""More than that is not in memory when it has arrived."""


class FileSettings(Section, frozen=True):
    """Where files are kept, for how long, and where they are read."""

    store: Annotated[
        Annotated[str, Meta(pattern=r"^[^:]+$|^(s3|gs|az|azure|abfss?)://.")] | None,
        Meta(
            description="A folder, or `s3://BUCKET/PREFIX`, `gs://…` or `az://…`; default: the folder "
            "`attachments` beside the SQLite database, or in the working directory.",
            extra=BESIDE_FILE,
        ),
    ] = None
    store_options: Annotated[
        dict[str, str],
        Meta(
            description="Options of the object store, as `region`, `endpoint` or `allow_http`. Credentials "
            "are better left to the environment (`AWS_ACCESS_KEY_ID`, …)."
        ),
    ] = field(default_factory=dict)
    upload_folder: Annotated[
        str | None,
        Meta(
            description="Folder in which uploads to an object store wait until they are whole; default: "
            "that of the system for temporary files.",
            extra=BESIDE_FILE,
        ),
    ] = None
    small_bytes: Annotated[
        Annotated[int, Meta(ge=0, le=MOST_SMALL)],
        Meta(
            description="Size of the largest file that is kept in the database, beside the record that names "
            "it, in bytes; 0: none is."
        ),
    ] = 16 * 1024
    base_url: Annotated[
        Annotated[str, Meta(pattern=r"^https?://[^\s?#]+$")] | None,
        Meta(
            description="Where files are read, as `https://cdn.example/files/`; default: the server itself."
        ),
    ] = None
    location_prefix: Annotated[
        Annotated[str, Meta(pattern=r"^(https?://[^\s?#]+)?$")],
        Meta(
            description="What every `location` in a record begins with; none: it is relative to `base_url`."
        ),
    ] = ""
    grace_seconds: Annotated[
        Count, Meta(description="How long a file is kept that no record names any longer.")
    ] = 7 * DAY_SECONDS
    sweep_seconds: Annotated[
        float, Meta(ge=1, le=DAY_SECONDS, description="Pause between two looks for such files.")
    ] = 3600.0


def place_of(files: FileSettings, settings: Settings) -> str:
    """The folder or the URL at which files are kept."""
    if files.store is not None:
        return files.store
    scheme, _, rest = settings.storage.url.partition(":")
    beside = Path(rest.removeprefix("//")).parent if scheme == "sqlite" else Path()
    return str(beside / FOLDER)
