"""GET /admin/: a console for administrators, served from the folder of its build (protocol section 10.2).

Nothing of it is ours but how it is served: what has the digest of its content in its name is kept by browsers
for ever, everything else is asked for again each time, and its pages may do no more than the console needs.
"""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any

import structlog
from msgspec import Meta, field

from kintoun.features.admin.build import Build, Representation
from kintoun.http.answers import Answer
from kintoun.http.negotiation import matches, preferred
from kintoun.http.requests import Request
from kintoun.http.routing import PREFIX, Endpoint
from kintoun.plugin import Plugin, Registry
from kintoun.resources.context import Context
from kintoun.resources.dispatch import redirect, unknown_url
from kintoun.settings import BESIDE_FILE, Count, Section

log = structlog.get_logger()

Origin = Annotated[str, Meta(pattern=r"^https?://[A-Za-z0-9.*\[\]:-]+$")]

INDEX = "index.html"
FOR_EVER = "public, max-age=31536000, immutable"
ASK_AGAIN = "no-cache"

_NO_BUILD = files("kintoun.features.admin") / "missing.html"


class AdminSettings(Section, frozen=True):
    """The console, and what its pages may do."""

    path: Annotated[
        str | None,
        Meta(
            description="Folder of a built console, with its `index.html`; a relative one is looked for "
            "beside the configuration file that names it.",
            extra=BESIDE_FILE,
        ),
    ] = None
    origins: Annotated[
        list[Origin],
        Meta(
            description="Other origins that the console may ask and show images of, as `https://cdn.example`."
        ),
    ] = field(default_factory=list)
    content_security_policy: Annotated[
        Annotated[str, Meta(pattern=r"^[\x21-\x7e][\x20-\x7e]*$")] | None,
        Meta(description="Policy of the console's pages, in place of the one that kinto-admin needs."),
    ] = None
    memory_bytes: Annotated[
        Count, Meta(description="Memory of one worker for the files of the console, in bytes.")
    ] = 32 * 1024 * 1024


class Admin(Plugin):
    """The admin console."""

    name = "admin"
    settings = AdminSettings
    kinto_keys = {"admin_assets_path": "path"}  # noqa: RUF012 - a class variable of the contract

    def setup(self, registry: Registry, settings: AdminSettings) -> None:
        console: Any = _NoConsole()
        if settings.path is not None:
            build = Build(Path(settings.path), settings.memory_bytes)
            console = _Console(build, settings.content_security_policy or policy(settings.origins))
            version = build.version()
            registry.capability(
                "admin",
                "Serves the admin console.",
                f"{registry.settings.project.docs}reference/admin/",
                **({"version": version} if version else {}),
            )
        else:
            log.warning("no admin console is configured")
        for name, pattern, handler in (
            ("admin", "/admin", to_index),
            ("admin-page", "/admin/", console.index),
            ("admin-file", "/admin/{path:tail}", console.file),
        ):
            registry.endpoint(
                Endpoint(name, pattern, {"HEAD": handler, "GET": handler}, operations=OPERATIONS[name])
            )


_FOUND = {
    "200": {"description": "It."},
    "304": {"description": "It is still the one of `If-None-Match`."},
    "404": {"description": "There is none.", "content": {"application/json": {}, "text/html": {}}},
}
_PAGE = {"summary": "The admin console", "responses": _FOUND}
_FILE = {"summary": "A file of the admin console", "responses": _FOUND}
_REDIRECT = {"summary": "To the admin console", "responses": {"307": {"description": "There."}}}

OPERATIONS = {
    "admin": {"GET": _REDIRECT, "HEAD": _REDIRECT},
    "admin-page": {"GET": _PAGE, "HEAD": _PAGE},
    "admin-file": {"GET": _FILE, "HEAD": _FILE},
}


def policy(origins: list[str]) -> str:
    """The strictest policy that kinto-admin works under.

    It compiles its forms' validators (`unsafe-eval`), its editor makes style sheets (`unsafe-inline`), and
    its style sheet has images in it (`data:`).
    """
    others = "".join(f" {origin}" for origin in origins)
    return (
        "default-src 'none'; script-src 'self' 'unsafe-eval'; style-src 'self' 'unsafe-inline';"
        f" img-src 'self' data:{others}; connect-src 'self'{others};"
        " base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )


async def to_index(_context: Context, request: Request) -> Answer:
    """The folder of a URL that names it as a file."""
    return redirect(request, f"{PREFIX}/admin/", -1)


class _Console:
    """What serves the files of a build."""

    def __init__(self, build: Build, content_policy: str) -> None:
        self._build = build
        self._policy = content_policy

    async def index(self, context: Context, request: Request) -> Answer:
        return await self._serve(request, INDEX)

    async def file(self, context: Context, request: Request) -> Answer:
        return await self._serve(request, request.parameters[0])

    async def _serve(self, request: Request, name: str) -> Answer:
        file = self._build.find(name)
        if file is None:
            raise unknown_url()
        encoding = preferred(request.headers.get("accept-encoding", ""), file.encodings)
        content = await self._build.read(file, encoding)
        if content is None:
            raise unknown_url()
        headers = (
            ("ETag", content.tag),
            ("Cache-Control", FOR_EVER if file.hashed else ASK_AGAIN),
            *_of_representation(content, file.encodings),
            ("Referrer-Policy", "same-origin"),
        )
        page = file.media_type.startswith("text/html")
        unchanged = matches(request.headers.get("if-none-match"), content.tag)
        return Answer(
            304 if unchanged else 200,
            b"" if unchanged else content.body,
            headers,
            media_type=file.media_type,
            policy=self._policy if page else None,
        )


def _of_representation(content: Representation, encodings: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    if not encodings:
        return ()
    vary = (("Vary", "Accept-Encoding"),)
    return vary if content.encoding is None else (*vary, ("Content-Encoding", content.encoding))


class _NoConsole:
    """What says that there is no console, and how to have one."""

    def __init__(self) -> None:
        self._page = _NO_BUILD.read_bytes()

    async def index(self, context: Context, request: Request) -> Answer:
        return Answer(404, self._page, (("Cache-Control", ASK_AGAIN),), media_type="text/html; charset=UTF-8")

    async def file(self, context: Context, request: Request) -> Answer:
        raise unknown_url()
