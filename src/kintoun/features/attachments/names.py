"""What files are called: by those who send them, and by those who fetch them."""

from __future__ import annotations

import re
import secrets
import string
import unicodedata
from collections.abc import Iterator
from datetime import UTC, datetime
from uuid import uuid4

from kintoun.model.errors import invalid

GROUPS = {
    "documents": "pdf rtf odf ods gnumeric abw doc docx xls xlsx",
    "text": "txt",
    "images": "jpg jpe jpeg png gif svg bmp tiff",
    "audio": "wav mp3 aac ogg oga flac",
    "video": "mpeg 3gp avi divx dvr flv mp4 wmv",
    "data": "csv ini json plist xml yaml yml",
    "scripts": "js php pl py rb sh",
    "archives": "gz bz2 zip tar tgz txz 7z",
    "executables": "so exe dll",
}
DEFAULT = ("documents", "text", "images", "data")
ANY = "any"

MIMETYPES = {".pem": "application/x-pem-file", ".geojson": "application/geojson"}
UNKNOWN = "application/octet-stream"

MOST_BYTES = 255
"""No file system takes longer names."""

NUMBERED = 20
"""How many files of one name are numbered; those after them are told apart by chance."""

_MEDIA_TYPE = re.compile(r"[a-z0-9!#$&^_.+-]{1,127}/[a-z0-9!#$&^_.+-]{1,127}")
_UNSAFE = re.compile(r"[^A-Za-z0-9_.-]")
_HIDDEN = ("Cc", "Cf", "Cs", "Zl", "Zp")
"""Unicode's categories of characters that are not seen, as those that turn the direction of text."""


def allowed_extensions(setting: str) -> frozenset[str] | None:
    """The extensions, without dots, that `default+video+ttf` allows; None for all."""
    allowed: set[str] = set()
    for word in setting.lower().split("+"):
        group = word.strip()
        if group == ANY:
            return None
        groups = DEFAULT if group == "default" else (group,)
        allowed.update(*(GROUPS.get(each, each).split() for each in groups))
    return frozenset(each.removeprefix(".") for each in allowed)


def parse_mimetypes(setting: str) -> dict[str, str]:
    """The media types by extension. Raises ValueError."""
    types = dict(MIMETYPES)
    for item in filter(None, (item.strip() for item in setting.split(";"))):
        extension, colon, media_type = item.partition(":")
        if (
            not colon
            or not extension.startswith(".")
            or not _MEDIA_TYPE.fullmatch(media_type.strip().lower())
        ):
            raise ValueError(f"attachments.mimetypes: {item!r} is not .EXTENSION:TYPE/SUBTYPE")
        types[extension.lower()] = media_type.strip()
    return types


def check_pattern(setting: str, pattern: str, *fields: str) -> None:
    """Refuse a template that names anything but these fields. Raises ValueError."""
    try:
        found = [field[1:] for field in string.Formatter().parse(pattern) if field[1] is not None]
    except ValueError as error:
        raise ValueError(f"attachments.{setting}: {error}") from None
    for name, spec, conversion in found:
        if name not in fields or spec or conversion:
            known = ", ".join(f"{{{each}}}" for each in fields)
            raise ValueError(f"attachments.{setting}: {{{name}}} is not one of {known}")


def extension_of(filename: str) -> str:
    """The extension in lower case, with its dot; empty when there is none."""
    return _split(filename)[1].lower()


def _split(name: str) -> tuple[str, str]:
    # As `PurePosixPath.suffix` has it, for names without a slash.
    dot = name.rfind(".")
    return (name[:dot], name[dot:]) if 0 < dot < len(name) - 1 else (name, "")


def base_name(filename: str) -> str:
    """The last segment of the name that a client gave a file. Raises InvalidParameters for what is none."""
    name = filename.replace("\\", "/").rpartition("/")[2].strip()
    if name in ("", ".", ".."):
        raise invalid("body", None, "Filename is required.")
    for character in () if name.isascii() and name.isprintable() else name:
        if unicodedata.category(character) in _HIDDEN:
            shown = f"U+{ord(character):04X}"
            raise invalid("body", None, f"Filename has a character that is not allowed ({shown}).")
    if len(name.encode()) > MOST_BYTES:
        raise invalid("body", None, f"Filename is longer than {MOST_BYTES} bytes.")
    return name


def media_type(said: str | None, filename: str, by_extension: dict[str, str]) -> str:
    """What kind of file it is: as its extension has it, or as the client says, without parameters.

    What is no media type says nothing.
    """
    known = by_extension.get(extension_of(filename))
    if known is not None:
        return known
    essence = (said or "").partition(";")[0].strip().lower()
    return essence if _MEDIA_TYPE.fullmatch(essence) else UNKNOWN


def _in_ascii(text: str) -> str:
    return unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()


def safe_name(filename: str) -> str:
    """A name with the same extension, of letters that need no quoting anywhere."""
    stem, extension = _split(filename)
    ascii_stem, ascii_extension = stem, extension
    if not filename.isascii():
        ascii_stem, ascii_extension = map(_in_ascii, (stem, extension))
    extension = _UNSAFE.sub("", ascii_extension)
    name = _UNSAFE.sub("", "_".join(ascii_stem.split())).strip("._")
    return f"{name or 'file'}{extension if len(extension) > 1 else ''}"


def locations(
    folder: str, filename: str, *, randomize: bool, pattern: str | None, ids: tuple[str, str, str]
) -> Iterator[str]:
    """Names under which a file can be read, one after the other until one is free.

    `folder` and `pattern` are templates, `ids` the record's, its bucket and its collection before it.
    """
    bucket, collection, record = ids
    above = folder.format(bucket_id=bucket, collection_id=collection, id=record).strip("/") if folder else ""
    prefix = f"{above}/" if above else ""
    name = safe_name(filename)
    if pattern is None and randomize:
        extensions = "".join(_extensions(name))
        while True:
            yield f"{prefix}{uuid4()}{extensions}"
    if pattern is not None:
        now = datetime.now(UTC).strftime("%Y%m%d%H%M%S")
        name = pattern.format(datetime=now, rid=record, filename=name)
    yield prefix + name
    stem, extension = _split(name)
    for number in range(1, NUMBERED):
        yield f"{prefix}{stem}-{number}{extension}"
    while True:
        yield f"{prefix}{stem}-{secrets.token_hex(8)}{extension}"


def _extensions(name: str) -> tuple[str, str]:
    """The last extension, and of what was compressed the one before it."""
    extension = extension_of(name)
    stem = name[: len(name) - len(extension)]
    return (extension_of(stem) if extension == ".gz" else ""), extension
