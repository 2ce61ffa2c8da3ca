"""A server that signs for every Firefox on this machine, and a Firefox that asks it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.firefox.browser import Firefox
from tests.firefox.proxy import Proxy, proxy
from tests.support.configurations import configuration
from tests.support.servers import password_of, start_configured

INTERMEDIATE = Path(__file__).parent / "local_root" / "intermediate.pem"

FEATURES = ("accounts", "signing", "publication")
SECTIONS = """\
[signing]
resources = '''
/buckets/main-workspace -> /buckets/main
/buckets/security-state-staging -> /buckets/security-state
/buckets/staging -> /buckets/blocklists
'''
to_review_enabled = false
sign_with = ["remote-settings"]

[signing.sign_with_in]
security-state-staging = ["onecrl"]

[[signing.local]]
name = "remote-settings"
private_key = "pki/remote-settings.pem"

[[signing.local]]
name = "onecrl"
private_key = "pki/onecrl.pem"

[publication]
resources = ["/buckets/main", "/buckets/security-state", "/buckets/blocklists"]
"""


@dataclass
class World:
    """Who takes part: an editor's connection to the server, and a browser behind a proxy."""

    directory: Path
    api: httpx.Client
    proxy: Proxy
    firefox: Firefox

    def ok(self, request: str, body: Any = None) -> Any:
        """The body of the answer to `METHOD /path`, which succeeds."""
        method, path = request.split(" ", 1)
        answer = self.api.request(method, path, json=body)
        assert answer.is_success, answer.text
        return answer.json()

    def publish(self, source: str, *records: dict[str, Any], gone: tuple[str, ...] = ()) -> None:
        """Write records to a source such as `main-workspace/demo`, delete others, and have it signed.

        A source is signed by itself when it is made.
        """
        bucket, collection = source.split("/")
        path = f"/buckets/{bucket}/collections/{collection}"
        self.ok(f"PUT /buckets/{bucket}")
        self.ok(f"PATCH {path}" if self.api.get(path).is_success else f"PUT {path}", {"data": {}})
        for record in records:
            self.ok(f"PUT {path}/records/{record['id']}", {"data": record})
        for name in gone:
            self.ok(f"DELETE {path}/records/{name}")
        if records or gone:
            self.ok(f"PATCH {path}", {"data": {"status": "to-sign"}})


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    imported = ("pki", "import", INTERMEDIATE, "--key", INTERMEDIATE)
    with start_configured(configuration(FEATURES, SECTIONS), imported, accounts=["admin"]) as server:
        editor = ("admin", password_of("admin"))
        connection = httpx.Client(base_url=server.url, auth=editor, timeout=60)
        with connection as api, proxy(server.root) as between, Firefox(between.url) as firefox:
            yield World(server.directory, api, between, firefox)
