"""Messages of e-mail: how they are composed, and the ways on which they leave."""

from __future__ import annotations

import mailbox
import smtplib
import ssl
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime
from pathlib import Path
from typing import Any

from kintoun.features.emailer.addresses import address_of
from kintoun.features.emailer.settings import EmailerSettings
from kintoun.outbox import Failed, Message

LONGEST_HEADER = 500
"""Characters of a subject."""

NOBODY_NAMED = "undisclosed-recipients:;"
"""The recipients of a mail that goes to members of groups only."""

LINES = SMTP.clone(max_line_length=998)
"""Lines as long as the standard allows: folded ones gain spaces in some readers."""


def one_line(text: str) -> str:
    """A text that can stand in a header: nothing in it begins another one."""
    printable = "".join(each if each.isprintable() else " " for each in text)
    return " ".join(printable.split())[:LONGEST_HEADER]


def composed(message: Message, default_sender: str) -> EmailMessage:
    """The mail that a message of the outbox is. Raises Failed for what cannot be one."""
    payload = message.payload
    sender = address_of(payload.get("sender") or default_sender)
    if sender is None:
        raise Failed("no sender: default_sender is not set", final=False)
    mail = EmailMessage(policy=LINES)
    mail["From"] = sender
    mail["To"] = _addresses(payload["recipients"]) or NOBODY_NAMED
    if payload["members"]:
        # Who is in a group is not for everybody to read; the server is told, and this header taken off.
        mail["Bcc"] = _addresses(payload["members"])
    mail["Subject"] = one_line(payload["subject"])
    mail["Date"] = format_datetime(datetime.fromtimestamp(message.created / 1000, UTC))
    # The same each time the message is sent, so that a second copy can be recognised.
    mail["Message-ID"] = f"<{message.id}@{sender.domain}>"
    mail["Auto-Submitted"] = "auto-generated"
    mail.set_content(payload["body"].replace("\r\n", "\n").replace("\r", "\n").replace("\0", ""))
    return mail


def send(mail: EmailMessage, settings: EmailerSettings, payload: Mapping[str, Any]) -> None:
    """Give a mail to the server, which may take some seconds. Raises Failed."""
    try:
        refused = _sent(mail, settings)
    except smtplib.SMTPRecipientsRefused as error:
        raise Failed(_reasons(error.recipients), final=_for_good(error.recipients)) from error
    except (smtplib.SMTPSenderRefused, smtplib.SMTPDataError) as error:
        raise Failed(_reason(error.smtp_code, error.smtp_error), final=error.smtp_code >= 500) from error
    except smtplib.SMTPResponseException as error:
        raise Failed(_reason(error.smtp_code, error.smtp_error)) from error
    except (smtplib.SMTPException, OSError, ssl.SSLError) as error:
        raise Failed(f"{type(error).__name__}: {error}") from error
    if refused:
        rest = {
            name: [each for each in payload[name] if _spec(each) in refused]
            for name in ("recipients", "members")
        }
        raise Failed(_reasons(refused), final=_for_good(refused), payload={**payload, **rest})


def _sent(mail: EmailMessage, settings: EmailerSettings) -> dict[str, tuple[int, bytes]]:
    """Send, and return the recipients that the server refused while it took others."""
    context = ssl.create_default_context()
    timeout = settings.timeout_seconds
    server: smtplib.SMTP
    if settings.ssl:
        server = smtplib.SMTP_SSL(settings.host, settings.port, timeout=timeout, context=context)
    else:
        server = smtplib.SMTP(settings.host, settings.port, timeout=timeout)
    with server:
        if settings.tls:
            server.starttls(context=context)
        if settings.username:
            server.login(settings.username, settings.password or "")
        return server.send_message(mail, to_addrs=_receivers(mail))  # without the Bcc header


def queue(mail: EmailMessage, directory: str) -> None:
    """Put a mail into a maildir, out of which something else sends it."""
    queued = EmailMessage(policy=mail.policy)
    queued["X-Actually-From"] = mail["From"].addresses[0].addr_spec
    queued["X-Actually-To"] = ", ".join(_receivers(mail))
    del mail["Bcc"]
    text = queued.as_bytes().rstrip(b"\r\n") + b"\r\n" + mail.as_bytes()
    mailbox.Maildir(directory, create=True).add(text.replace(b"\r\n", b"\n"))


def keep(mail: EmailMessage, message: Message, directory: Path) -> None:
    """Write a mail to a file."""
    directory.mkdir(parents=True, exist_ok=True)
    file = directory / f"{message.created}-{message.id}.eml"
    unfinished = file.with_suffix(".part")
    unfinished.write_bytes(mail.as_bytes().replace(b"\r\n", b"\n"))
    unfinished.replace(file)


def _receivers(mail: EmailMessage) -> list[str]:
    headers = [mail[name] for name in ("To", "Bcc") if name in mail]
    return [address.addr_spec for header in headers for address in header.addresses]


def _addresses(texts: Sequence[str]) -> list[Address]:
    return [address for text in texts if (address := address_of(text)) is not None]


def _spec(recipient: str) -> str:
    address = address_of(recipient)
    return address.addr_spec if address is not None else recipient


def _reason(code: int, said: bytes | str) -> str:
    text = said.decode("utf-8", "replace") if isinstance(said, bytes) else said
    return f"{code} {' '.join(text.split())}"


def _reasons(refused: Mapping[str, tuple[int, bytes]]) -> str:
    return "; ".join(f"{who}: {_reason(*answer)}" for who, answer in refused.items())


def _for_good(refused: Mapping[str, tuple[int, bytes]]) -> bool:
    return all(code >= 500 for code, _ in refused.values())


def unique(addresses: Sequence[str], but: Sequence[str] = ()) -> list[str]:
    """The recipients, each once, without those named in `but`."""
    taken = {_spec(each).lower() for each in but}
    first = {_spec(each).lower(): each for each in reversed(addresses)}
    return [each for key, each in reversed(first.items()) if key not in taken]
