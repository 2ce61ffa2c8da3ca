"""The settings of accounts, and what of a Kinto's configuration has no counterpart."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from kintoun.settings import Count, Positive, Section


class AccountsSection(Section, frozen=True):
    """Passwords, wrong ones, and API tokens."""

    hashing_threads: Annotated[
        int, Meta(ge=1, le=64, description="Passwords that one worker hashes at once, each in 19 MiB.")
    ] = 2
    hashing_queue: Annotated[
        Positive, Meta(description="Passwords that wait for being hashed before more are answered 429.")
    ] = 256
    remembered: Annotated[
        Positive, Meta(description="Verified credentials that one worker remembers, without the password.")
    ] = 10_000
    failures: Annotated[
        Count,
        Meta(
            description="Wrong passwords for one account from one address before more are answered 429; "
            "0 is no limit."
        ),
    ] = 10
    address_failures: Annotated[
        Count,
        Meta(
            description="Wrong passwords from one address, whatever the accounts, before more are answered "
            "429; 0 is no limit."
        ),
    ] = 100
    failures_seconds: Annotated[
        Positive, Meta(description="How long wrong passwords are counted, from the first one.")
    ] = 900
    known_days: Annotated[
        Count, Meta(description="How long an address from which an account was used stays known to it.")
    ] = 30
    equal_time: Annotated[
        bool,
        Meta(
            description="Whether a name without account takes as long as a wrong password. It never does "
            "beside `basicauth`, which takes such names."
        ),
    ] = True
    tokens: Annotated[Count, Meta(description="API tokens that an account can have at once.")] = 100
    token_days: Annotated[
        Positive, Meta(description="Lifetime of an API token that is made without `expires`.")
    ] = 90
    token_days_most: Annotated[
        Count, Meta(description="Longest lifetime of an API token; 0 also allows tokens that never expire.")
    ] = 366
