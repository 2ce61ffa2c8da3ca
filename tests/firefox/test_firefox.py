"""An unmodified Firefox takes from our server what is good, and refuses what is not (see `local_root`)."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Any

import pytest

from kintoun.model.canonical import canonical, envelope
from kintoun.signatures import chain, content_signature, key_files, pki
from tests.firefox.browser import ScriptFailed
from tests.firefox.conftest import INTERMEDIATE, World

CLIENT = """
    const { RemoteSettings } = ChromeUtils.importESModule("resource://services-settings/remote-settings.sys.mjs");
    const [collection, bucketName] = arguments;
    const client = RemoteSettings(collection, { bucketName });
"""
SYNC = f"{CLIENT} await client.sync();"
GET = f"""{CLIENT}
    const found = await client.get({{ syncIfEmpty: false, verifySignature: true, loadDumpIfNewer: false }});
    return found.sort((one, other) => one.id < other.id ? -1 : 1);
"""


def synced(world: World, collection: str, bucket: str = "main") -> list[dict[str, Any]]:
    world.firefox.run(SYNC, collection, bucket)
    return kept(world, collection, bucket)


def kept(world: World, collection: str, bucket: str = "main") -> list[dict[str, Any]]:
    """What the browser has of a collection, verified once more."""
    found: list[dict[str, Any]] = world.firefox.run(GET, collection, bucket)
    return found


def test_a_collection_and_what_changes_in_it(world: World) -> None:
    world.publish(
        "main-workspace/demo",
        {"id": "a", "title": "café ☕ 𝄞", "n": 1, "nested": {"z": [1, {"b": None, "a": True}], "": "\x7f</"}},
        {"id": "b", "n": 2},
    )
    assert [(record["id"], record["n"]) for record in synced(world, "demo")] == [("a", 1), ("b", 2)]
    world.publish("main-workspace/demo", {"id": "a", "n": 3}, {"id": "c", "n": 4}, gone=("b",))
    world.proxy.asked.clear()
    assert [(record["id"], record["n"]) for record in synced(world, "demo")] == [("a", 3), ("c", 4)]
    assert any("changeset?_expected=" in path and "_since=" in path for path in world.proxy.asked)
    world.publish("main-workspace/demo", gone=("a", "c"))
    assert synced(world, "demo") == []


def test_a_poll_of_everything(world: World) -> None:
    world.publish("main-workspace/polled", {"id": "a", "n": 1})
    synced(world, "polled")
    world.publish("main-workspace/polled", {"id": "a", "n": 2})
    world.firefox.run("""
        const { RemoteSettings } = ChromeUtils.importESModule("resource://services-settings/remote-settings.sys.mjs");
        await RemoteSettings.pollChanges();
    """)
    assert [record["n"] for record in kept(world, "polled")] == [2]


def falsified(change: Callable[[dict[str, Any]], Any]) -> Callable[[str, Any], Any]:
    """Changes the changesets of the collection `guarded`, and nothing else."""

    def on_the_way(path: str, body: Any) -> Any:
        if "/collections/guarded/changeset" in path:
            change(body)
        return body

    return on_the_way


def alter(body: dict[str, Any]) -> None:
    body["changes"][0]["n"] = 666


def add(body: dict[str, Any]) -> None:
    body["changes"].append({"id": "smuggled", "n": 666, "last_modified": body["timestamp"]})


def unsign(body: dict[str, Any]) -> None:
    body["metadata"]["signatures"] = []


def advance(body: dict[str, Any]) -> None:
    body["timestamp"] += 1


@pytest.mark.parametrize("change", [alter, add, unsign, advance])
def test_what_was_falsified_is_refused(world: World, change: Callable[[dict[str, Any]], Any]) -> None:
    world.publish("main-workspace/guarded", {"id": "a", "n": 1, "for": change.__name__})
    before = synced(world, "guarded")
    world.publish("main-workspace/guarded", {"id": "a", "n": 2, "for": change.__name__})
    with world.proxy.changing(falsified(change)), pytest.raises(ScriptFailed, match="SignatureError"):
        synced(world, "guarded")
    assert kept(world, "guarded") == before
    assert [record["n"] for record in synced(world, "guarded")] == [2]


def leaf_of(root: str, begin: dt.datetime) -> pki.Leaf:
    """A leaf that was valid for a day from `begin`: under the root that Firefox trusts, or another."""
    name = "remote-settings.content-signature.mozilla.org"
    if root == "trusted":
        issuer = key_files.read_authority(INTERMEDIATE, INTERMEDIATE)
    else:
        issuer = pki.new_intermediate(
            pki.new_root("another", begin), "below it", name.partition(".")[2], begin
        )
    return pki.new_leaf(issuer, [name], begin, dt.timedelta(days=1), dt.timedelta(0))


@pytest.mark.parametrize(("root", "days"), [("trusted", -2), ("another", 0)])
def test_signatures_whose_chain_is_not_to_be_believed_are_refused(world: World, root: str, days: int) -> None:
    """A leaf that expired, and one of somebody else; the signatures themselves are right."""
    world.publish("main-workspace/guarded", {"id": "a", "n": 1, "for": root})
    before = synced(world, "guarded")
    leaf = leaf_of(root, dt.datetime.now(dt.UTC) + dt.timedelta(days=days))
    world.proxy.files[f"/v1/{root}"] = chain.to_pem(leaf.chain)

    def sign_again(body: dict[str, Any]) -> None:
        whole = world.ok("GET /buckets/main/collections/guarded/changeset?_expected=0")
        records = sorted(whole["changes"], key=lambda record: record["id"])
        data = envelope(map(canonical, records), whole["timestamp"])
        signature = content_signature.sign(leaf.key, data)
        x5u = f"{world.proxy.url}/{root}"
        body["metadata"]["signatures"] = [{"signature": signature, "x5u": x5u, "mode": "p384ecdsa"}]

    world.publish("main-workspace/guarded", {"id": "a", "n": 2, "for": root})
    with world.proxy.changing(falsified(sign_again)), pytest.raises(ScriptFailed, match="SignatureError"):
        synced(world, "guarded")
    assert f"/v1/{root}" in world.proxy.asked
    assert kept(world, "guarded") == before


def test_a_revocation_counts_in_the_browser_until_it_is_lifted(world: World) -> None:
    """OneCRL: what Firefox itself asks of a certificate that is offered to it."""
    revoked = {"issuerName": "MEcxCzAJBgNVBAYTAlhY", "serialNumber": "T8WaANEU0o+TGJUhLg2r"}
    state = """
        const storage = Cc["@mozilla.org/security/certstorage;1"].getService(Ci.nsICertStorage);
        const bytes = text => Array.from(atob(text), character => character.charCodeAt(0));
        return storage.getRevocationState(bytes(arguments[0]), bytes(arguments[1]), [], [])
            == Ci.nsICertStorage.STATE_ENFORCE;
    """
    sync = """
        const { RemoteSecuritySettings } = ChromeUtils.importESModule(
            "resource://gre/modules/psm/RemoteSecuritySettings.sys.mjs");
        const { OneCRLBlocklistClient } = RemoteSecuritySettings.init();
        await OneCRLBlocklistClient.sync();
    """
    certificate = (revoked["issuerName"], revoked["serialNumber"])
    world.publish("security-state-staging/onecrl")
    world.firefox.run(sync)
    assert not world.firefox.run(state, *certificate)
    world.publish("security-state-staging/onecrl", {"id": "one", "enabled": True, **revoked})
    world.firefox.run(sync)
    assert world.firefox.run(state, *certificate)
    world.publish("security-state-staging/onecrl", gone=("one",))
    world.firefox.run(sync)
    assert not world.firefox.run(state, *certificate)


def test_an_addon_is_blocked_until_it_is_not(world: World) -> None:
    """The blocklist of AMO: what Firefox itself asks of an add-on that is to be installed."""
    sync = """
        const { Blocklist } = ChromeUtils.importESModule("resource://gre/modules/Blocklist.sys.mjs");
        Services.prefs.setBoolPref("extensions.blocklist.useMLBF", false);
        Blocklist.allowDeprecatedBlocklistV2 = true;
        Blocklist._chooseExtensionBlocklistImplementationFromPref();
        const { RemoteSettings } = ChromeUtils.importESModule(
            "resource://services-settings/remote-settings.sys.mjs");
        await Blocklist.getAddonBlocklistState({ id: "warm@up", version: "1", type: "extension" });
        await RemoteSettings("addons", { bucketName: "blocklists" }).sync();
        const state = version => Blocklist.getAddonBlocklistState(
            { id: "bad@example.org", version, type: "extension" });
        return [await state("2.0"), await state("2.1")];
    """
    blocked, free = 2, 0
    firefox = {"guid": "{ec8030f7-c20a-464f-9b0e-13a3a9e97384}", "minVersion": "0", "maxVersion": "*"}
    versions = {"minVersion": "0", "maxVersion": "2.0", "severity": 3, "targetApplication": [firefox]}
    about = dict.fromkeys(("bug", "created", "name", "who", "why"), "")
    bad = {"id": "one", "guid": "bad@example.org", "enabled": True, "details": about}
    world.publish("staging/addons", {**bad, "prefs": [], "versionRange": [versions]})
    assert world.firefox.run(sync) == [blocked, free]
    world.publish("staging/addons", gone=("one",))
    assert world.firefox.run(sync) == [free, free]
