"""kill -9 while a server publishes: what is published verifies, and is there as a whole or not at all.

``KINTOUN_FAULT_ROUNDS`` says how often (default 2).
"""

from __future__ import annotations

import os
import random
import threading
import time

import requests

from tests.signing.test_kinto_http import PASSWORD, server, user, verified
from tests.support.servers import Server

__all__ = ["server"]

ROUNDS = int(os.environ.get("KINTOUN_FAULT_ROUNDS", "2"))
RECORDS = 20
DICE = random.SystemRandom()


class Publishing(threading.Thread):
    """Writes one number to all records of a source, and publishes them, again and again."""

    def __init__(self, url: str) -> None:
        super().__init__(daemon=True)
        self._url = f"{url}/buckets/lone/collections/c"
        self._number = 0
        self.published = 0
        """The last number of which the server said that it was published."""
        self.failed = False

    def run(self) -> None:
        session = requests.Session()
        session.auth = ("admin", PASSWORD)
        batch = self._url.partition("/buckets")[0] + "/batch"
        path = self._url.partition("/v1")[2]
        try:
            while True:
                self._number += 1
                body = {"data": {"n": self._number}}
                writes = [
                    {"method": "PUT", "path": f"{path}/records/r{n}", "body": body} for n in range(RECORDS)
                ]
                session.post(batch, json={"requests": writes}, timeout=60).raise_for_status()
                to_sign = {"data": {"status": "to-sign"}}
                session.patch(self._url, json=to_sign, timeout=60).raise_for_status()
                self.published = self._number
        except requests.RequestException:
            self.failed = True  # the server is gone


def test_nothing_is_half_published(server: Server) -> None:
    lone = user(server, "admin").clone(bucket="lone", collection="c")
    lone.create_bucket()
    lone.create_collection()
    for _ in range(ROUNDS):
        publishing = Publishing(server.url)
        publishing.start()
        time.sleep(DICE.uniform(0.2, 1.5))  # when, in a publication, is for chance to say
        server.kill9()
        publishing.join(timeout=120)
        assert publishing.failed
        server.start()
        found = verified(server, "public", "c")
        numbers = {record["n"] for record in found.values()}
        assert len(found) in (0, RECORDS)
        assert len(numbers) <= 1, "a publication is there as a whole"
        if publishing.published:
            assert numbers <= {publishing.published, publishing.published + 1}
            assert numbers, "what was answered is on disk"
        assert lone.get_collection()["data"]["status"] in ("signed", "work-in-progress")
        lone.delete_records()
        if lone.get_collection()["data"]["status"] == "work-in-progress":
            lone.patch_collection(data={"status": "to-sign"})
        assert verified(server, "public", "c") == {}
