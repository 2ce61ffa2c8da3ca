"""What the configurations of servers under test have in common."""

from __future__ import annotations

import json
from collections.abc import Sequence

_USERS = {
    "accounts": """\
[access]
bucket_write = ["account:admin"]
account_create = ["system.Everyone"]
[[policies]]
name = "account"
use = "account"
""",
    "basicauth": """\
[protocol]
userid_secret = "of the tests"
[access]
bucket_create = ["system.Authenticated"]
[[policies]]
name = "basicauth"
use = "basicauth"
""",
}
"""By the feature that knows them."""


def configuration(
    features: Sequence[str], sections: str, *, url: str = "sqlite:data.sqlite", lease_seconds: float = 15
) -> str:
    """The text of a `kintoun.toml` with these features, of which the first knows the users.

    With `accounts` everybody may make one, and `admin` may write every bucket; with `basicauth` every user
    may make buckets. `sections` are those of the other features.
    """
    return f"""\
features = {json.dumps(list(features))}
[storage]
url = {json.dumps(url)}
lease_seconds = {lease_seconds}
{_USERS[features[0]]}{sections}"""
