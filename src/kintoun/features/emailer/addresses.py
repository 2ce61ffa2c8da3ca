"""Addresses of e-mail: what a hook may name as recipients, and what they are when a message is sent."""

from __future__ import annotations

import re
from email.errors import MessageError
from email.headerregistry import Address
from email.utils import parseaddr

from kintoun.model.kinds import GROUP
from kintoun.model.paths import Path, group_path
from kintoun.outbox.hooks import Hook

MAX_RECIPIENTS = 100
"""Recipients that a hook may name."""

_ADDRESS = re.compile(r"[^@<>,;:\s\"()\[\]\\]+@[^@<>,;:\s\"()\[\]\\]+")
_NAMED = re.compile(rf"[^<>\r\n]*<{_ADDRESS.pattern}>")
_GROUP = re.compile(r"/buckets/([^/]+)/groups/([^/]+)")
_LONGEST = 1000


def is_address(text: str) -> bool:
    """Whether a text is an address, with the name of its owner perhaps."""
    return (
        len(text) <= _LONGEST
        and (_ADDRESS.fullmatch(text) is not None or _NAMED.fullmatch(text) is not None)
        and address_of(text) is not None
    )


def address_of(text: str) -> Address | None:
    """The address that a text spells, None when it is none."""
    name, spec = parseaddr(text)
    if not spec.isascii() or _ADDRESS.fullmatch(spec) is None:
        return None
    try:
        return Address(name, addr_spec=spec)
    except (MessageError, ValueError, IndexError):
        return None


def group_of(text: str, bucket: str) -> Path | None:
    """The group of a bucket that a URI names; None for what is no group of this bucket."""
    match = _GROUP.fullmatch(text)
    if match is None or match[1] != bucket or not GROUP.accepts(match[2]):
        return None
    return group_path(bucket, match[2])


def member_address(member: str) -> str | None:
    """The address in a principal, as `a@b.org` in `ldap:a@b.org`; None when there is none."""
    address = member.partition(":")[2] or member
    return address if is_address(address) else None


def problem_of(hook: Hook, path: Path) -> str | None:
    """What is wrong with the recipients and the sender of a hook in the metadata of an object."""
    recipients = hook.get("recipients")
    if not isinstance(recipients, list) or not recipients:
        return "Empty list of recipients."
    if len(recipients) > MAX_RECIPIENTS:
        return f"More than {MAX_RECIPIENTS} recipients."
    invalid = [each for each in recipients if not isinstance(each, str) or not _may_be(each)]
    if invalid:
        return f"Invalid recipients {', '.join(str(each)[:_LONGEST] for each in invalid)}"
    elsewhere = [each for each in recipients if (group := _GROUP.fullmatch(each)) and group[1] != path.ids[0]]
    if elsewhere:
        return f"Invalid bucket for groups {', '.join(elsewhere)}"
    if "sender" in hook and not is_address(hook["sender"]):
        return f"Invalid sender {hook['sender'][:_LONGEST]}"
    return None


def _may_be(text: str) -> bool:
    """Whether it is an address, or a group's URI whose id may have placeholders."""
    return is_address(text) or _GROUP.fullmatch(text) is not None
