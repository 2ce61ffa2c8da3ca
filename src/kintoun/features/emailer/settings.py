"""The settings of e-mail."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from kintoun.outbox import Delivery


class EmailerSettings(Delivery, frozen=True):
    """The server that mail is given to."""

    host: Annotated[str, Meta(description="Host of the SMTP server.")] = "localhost"
    port: Annotated[int, Meta(ge=1, le=65535, description="Its port.")] = 25
    username: Annotated[str | None, Meta(description="User name, when the server wants one.")] = None
    password: Annotated[str | None, Meta(description="Password of that user.")] = None
    tls: Annotated[
        bool,
        Meta(description="Go over to TLS first (STARTTLS); the certificate is checked."),
    ] = False
    ssl: Annotated[bool, Meta(description="TLS from the first byte; the certificate is checked.")] = False
    default_sender: Annotated[
        str | None, Meta(description="Sender of mails whose hook names none: `me@example.org` or `Me <…>`.")
    ] = None
    queue_path: Annotated[
        str | None,
        Meta(description="Maildir to put mails into, in place of sending them; something else empties it."),
    ] = None
    debug_mailer: Annotated[
        bool,
        Meta(
            description="Write one `.eml` file per mail into `./mail` in place of sending it, before the "
            "request is answered."
        ),
    ] = False
