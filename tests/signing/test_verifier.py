"""The verifier for browsers, in Node: what it believes, and why it does not."""

from __future__ import annotations

import json
import random
import subprocess
from base64 import b64decode, b64encode
from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from kintoun.signatures import chain
from tests.support.configurations import configuration
from tests.support.fixtures import ENGINES
from tests.support.postgres import Postgres
from tests.support.published import SUFFIX, changeset
from tests.support.servers import Server, password_of, start_configured

SCRIPT = Path(__file__).with_name("verifier.mjs")
VECTORS = json.loads((Path(__file__).parent / "vectors" / "signing.json").read_text())
GOOD, *_ = VECTORS["chain_vectors"]
SIGNER = f"remote-settings.{SUFFIX}"
DAY = 86_400_000

Case = Mapping[str, Any]


def outcomes(cases: Sequence[Case]) -> list[dict[str, Any]]:
    """What the verifier says of each case."""
    lines = "".join(f"{json.dumps(case)}\n" for case in cases)
    done = subprocess.run(["node", SCRIPT], input=lines, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def milliseconds(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp() * 1000)


def of_vector(vector: Mapping[str, Any], at: Mapping[str, Any], **more: Any) -> Case:
    trust = {
        "roots": [at["expected_root_sha256"]],
        "signer": at["expected_hostname"],
        "now": milliseconds(at["now"]),
    }
    published = {name: vector[name] for name in ("records", "timestamp", "signature")}
    return {"published": published, "trust": trust, "chain": at["x5u_body"], "alone": True, **more}


def test_every_vector_of_a_chain_is_judged_as_the_server_does() -> None:
    vectors = VECTORS["chain_vectors"]
    found = outcomes([of_vector(vector, vector) for vector in vectors])
    expected = [(each["id"], each["expect"] == "valid", each["reason"]) for each in vectors]
    told = zip(vectors, found, strict=True)
    assert [(each["id"], said["ok"], said.get("reason")) for each, said in told] == expected


def test_every_vector_of_a_signature_is_judged_as_the_server_does() -> None:
    vectors = [each for each in VECTORS["vectors"] if isinstance(each["timestamp"], int)]
    found = outcomes([of_vector(vector, GOOD) for vector in vectors])
    told = {each["id"]: said["ok"] for each, said in zip(vectors, found, strict=True)}
    assert told == {each["id"]: each["expect"] == "valid" for each in vectors}


def test_the_canonical_text_is_that_of_the_vectors() -> None:
    vectors = [each for each in VECTORS["vectors"] if each["expect"] == "valid"]
    found = outcomes([of_vector(vector, GOOD, alone="canonical") for vector in vectors])
    assert [said["text"] for said in found] == [vector["canonical"] for vector in vectors]


def test_no_bytes_of_a_certificate_do_more_than_be_refused() -> None:
    chance = random.Random(7)
    blocks = [der(block) for block in GOOD["x5u_body"].split("-----END CERTIFICATE-----")[:-1]]
    cases = []
    for _ in range(600):
        changed = [bytearray(block) for block in blocks]
        hit = chance.choice(changed)
        for _ in range(chance.randint(1, 3)):
            hit[chance.randrange(len(hit))] ^= chance.randrange(1, 256)
        if chance.random() < 0.2:
            del hit[chance.randrange(len(hit)) :]
        if changed == blocks:
            continue
        cases.append(of_vector(GOOD, {**GOOD, "x5u_body": "".join(map(pem, changed))}))
    found = outcomes(cases)
    assert [said for said in found if "thrown" in said] == []
    assert sum(said["ok"] for said in found) == 0


def der(block: str) -> bytes:
    return b64decode(block.partition("-----BEGIN CERTIFICATE-----")[2])


def pem(block: bytes | bytearray) -> str:
    return f"-----BEGIN CERTIFICATE-----\n{b64encode(block).decode()}\n-----END CERTIFICATE-----\n"


FEATURES = ("accounts", "signing", "publication")
SECTIONS = """\
[signing]
resources = "/buckets/staging -> /buckets/main"
[[signing.local]]
name = "remote-settings"
private_key = "pki/remote-settings.pem"
"""


@pytest.fixture(scope="module", params=ENGINES)
def server(request: pytest.FixtureRequest, postgres: Postgres) -> Iterator[Server]:
    url = postgres.create_database() if request.param == "postgresql" else "sqlite:data.sqlite"
    with start_configured(
        configuration(FEATURES, SECTIONS, url=url), ("pki", "init"), accounts=["admin"]
    ) as started:
        yield started


def publish(server: Server, collection: str, number: int) -> dict[str, Any]:
    """What clients then get."""
    path = f"/buckets/staging/collections/{collection}"
    login = ("admin", password_of("admin"))
    with httpx.Client(base_url=server.url, auth=login, timeout=60) as editor:
        editor.put("/buckets/staging").raise_for_status()
        editor.put(path, headers={"If-None-Match": "*"})
        editor.put(f"{path}/records/r1", json={"data": {"n": number, "\x7f": "é\u2028😀"}}).raise_for_status()
        editor.patch(path, json={"data": {"status": "to-sign"}}).raise_for_status()
    return changeset(server, "main", collection)


def case(server: Server, found: Mapping[str, Any], **trust: Any) -> dict[str, Any]:
    """A client that asked for `main/c1` and has got this; its chain it fetches by itself."""
    (root,) = chain.parse((server.directory / "pki" / "root.pem").read_bytes())
    published = {
        "bucket": "main",
        "collection": "c1",
        "records": found["changes"],
        "timestamp": found["timestamp"],
        "metadata": found["metadata"],
    }
    pinned = [chain.fingerprint(root).hex(":").upper()]
    return {"published": published, "trust": {"roots": pinned, "signer": SIGNER, **trust}}


def test_what_a_server_publishes(server: Server) -> None:
    first = publish(server, "c1", 1)
    second = publish(server, "c1", 2)
    other = publish(server, "c2", 2)
    here, before = (manifest_of(each) for each in (second, first))
    later = here["expires"] + 1
    altered = deepcopy(second)
    altered["changes"][0]["n"] = 3
    renamed = deepcopy(second)
    renamed["metadata"]["manifest"]["bucket"] = "mine"
    older = {**first, "metadata": {**first["metadata"], "manifest": second["metadata"]["manifest"]}}
    bare = {**second, "metadata": {**second["metadata"], "manifest": None}}
    unsigned = {**second, "metadata": {**second["metadata"], "signatures": []}}
    cases = {
        "good": case(server, second),
        "good, and newer": case(server, second, known=before),
        "good, and the same": case(server, second, known=here),
        "replayed": case(server, first, known=here),
        "expired": case(server, second, now=later, known=here),
        "collection": case(server, other),
        "content": case(server, older),
        "forked": case(server, second, known={**here, "log": "0" * 64}),
        "missing": case(server, bare),
        "malformed": case(
            server, {**second, "metadata": {**second["metadata"], "manifest": {"format": "x"}}}
        ),
        "signature: of other records": case(server, altered),
        "signature: of another manifest": case(server, renamed),
        "signature: none": case(server, unsigned),
        "signature: of another root": case(server, second, roots=["ab" * 32]),
        "signature: of another signer": case(server, second, signer=f"onecrl.{SUFFIX}"),
        "signature: long ago": case(server, second, now=later + 1000 * DAY),
        "signature: another chain": {**case(server, second), "chain": GOOD["x5u_body"]},
        "signature: no chain": {**case(server, second), "chain": "<html>404</html>"},
    }
    found = dict(zip(cases, outcomes(list(cases.values())), strict=True))
    for name, said in found.items():
        if name.startswith("good"):
            assert said == {"ok": True, "manifest": here}, name
        else:
            assert (said["ok"], said.get("reason")) == (False, name.partition(":")[0]), (name, said)


def manifest_of(found: Mapping[str, Any]) -> dict[str, Any]:
    manifest = dict(found["metadata"]["manifest"])
    del manifest["signatures"]
    return manifest


def test_a_chain_that_cannot_be_fetched_is_no_bad_signature(server: Server) -> None:
    found = publish(server, "c1", 5)
    gone = deepcopy(found)
    for each in (*gone["metadata"]["signatures"], gone["metadata"]["signature"]):
        each["x5u"] = f"{server.url}/__x5u__/{'0' * 64}.pem"
    elsewhere = deepcopy(found)
    for each in elsewhere["metadata"]["signatures"]:
        each["x5u"] = "http://chains.example.org/x.pem"
    missing, insecure = outcomes([case(server, gone), case(server, elsewhere)])
    assert "answers 404" in missing["thrown"]
    assert (insecure["reason"], "HTTPS" in insecure["message"]) == ("signature", True)
