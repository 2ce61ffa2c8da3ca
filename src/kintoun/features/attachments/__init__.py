"""Attachments: every record can have a file.

`uploads` receives files (`multipart` reads forms, `names` says what they are called), `attaching` lets
records name them, `endpoint` is the URL of it all, `guarding` keeps the record API from changing what they
say of them.
"""

from __future__ import annotations

from typing import Any, ClassVar
from urllib.parse import quote

import kintoun
from kintoun.features.attachments.attaching import Attaching
from kintoun.features.attachments.description import OPERATIONS
from kintoun.features.attachments.endpoint import AttachmentEndpoint
from kintoun.features.attachments.guarding import Guard
from kintoun.features.attachments.names import allowed_extensions, check_pattern, parse_mimetypes
from kintoun.features.attachments.serving import serve_files
from kintoun.features.attachments.settings import AttachmentsSettings, OptionsOf
from kintoun.features.attachments.uploads import Rules
from kintoun.files import MIGRATIONS, Files, start_files
from kintoun.http.requests import Request
from kintoun.http.routing import PREFIX, Endpoint
from kintoun.model.kinds import RECORD
from kintoun.plugin import Plugin, Registry

PATTERN = "/buckets/{bucket_id}/collections/{collection_id}/records/{id}/attachment"
SERVED = f"{PREFIX}/attachments/"
PROBE = "heartbeat"


class Attachments(Plugin):
    """The feature."""

    name = "attachments"
    settings = AttachmentsSettings
    migrations = MIGRATIONS
    kinto_includes = ("kinto_attachment",)
    kinto_keys: ClassVar[dict[str, str]] = {
        "attachment.base_path": "store",
        "attachment.aws.bucket_name": "store = s3://{}",
        "attachment.aws.access_key": "store_options.access_key_id",
        "attachment.aws.secret_key": "store_options.secret_access_key",
        "attachment.aws.region": "store_options.region",
        "attachment.gcloud.bucket_name": "store = gs://{}",
        "attachment.gcloud.credentials": "store_options.application_credentials",
        "attachment.base_url": "location_prefix",
        "attachment.extra.base_url": "base_url",
        "attachment.folder": "folder",
        "attachment.randomize": "randomize",
        "attachment.filename_pattern": "filename_pattern",
        "attachment.keep_old_files": "keep_old_files",
        "attachment.gzipped": "gzipped",
        "attachment.extensions": "extensions",
        "attachment.mimetypes": "mimetypes",
        "attachment.max_size_bytes": "max_size_bytes",
        "attachment.resources.*": "named",
    }

    def setup(self, registry: Registry, settings: Any) -> None:
        settings = settings or AttachmentsSettings()
        check_pattern("folder", settings.folder, "bucket_id", "collection_id", "id")
        options = OptionsOf(settings)
        rules = Rules(allowed_extensions(settings.extensions), parse_mimetypes(settings.mimetypes), None)
        files = start_files(registry, settings)
        addresses = Addresses(settings)
        private = serve_files(registry, settings, files, addresses.base)
        attaching = Attaching(files, settings, options)
        endpoint = AttachmentEndpoint(files, attaching, options, rules, addresses.url_of)
        methods = {
            "POST": endpoint.post,
            "PUT": endpoint.put,
            "GET": endpoint.get,
            "HEAD": endpoint.get,
            "DELETE": endpoint.delete,
        }
        registry.endpoint(Endpoint("attachment", PATTERN, methods, operations=OPERATIONS, streams=True))
        registry.before_commit(Guard(files, private, allow_foreign=settings.allow_foreign).check, RECORD)
        if not registry.settings.protocol.readonly:
            registry.heartbeat("attachments", lambda: probe(files))
        registry.capability(
            "attachments",
            "Files attached to records.",
            f"{registry.settings.project.docs}concepts/attachments/",
            version=kintoun.__version__,
            base_url=addresses.base,
        )


class Addresses:
    """Where files are read."""

    def __init__(self, settings: AttachmentsSettings) -> None:
        self._elsewhere = settings.base_url or settings.location_prefix or None
        if self._elsewhere is not None:
            self._elsewhere = self._elsewhere.rstrip("/") + "/"

    def base(self, request: Request) -> str:
        """What a relative location is below, with a slash at its end."""
        return self._elsewhere or request.base + SERVED

    def url_of(self, request: Request, location: str) -> str:
        """The URL of what a record names."""
        if location.startswith(("https://", "http://")):
            return quote(location, safe="/:@!$&'()*+,;=~?#%[]")
        return self.base(request) + quote(location)


async def probe(files: Files) -> bool:
    """Whether a file can be kept, and removed again."""
    await files.open()
    await files.backend.keep(PROBE, b"heartbeat")
    await files.backend.delete(PROBE)
    return True
