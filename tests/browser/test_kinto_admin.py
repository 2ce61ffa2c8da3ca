"""The unmodified kinto-admin on our server: everything that its users do, without an error in its console."""

from __future__ import annotations

import json

import httpx
from playwright.sync_api import Browser, expect

from tests.browser.conftest import ALICE, put
from tests.browser.console import Console
from tests.support.servers import Server


def shown(api: httpx.Client, path: str) -> dict:
    return api.get(path).raise_for_status().json()


def records(api: httpx.Client, path: str) -> list[dict]:
    found: list[dict] = shown(api, f"{path}/records?_sort=title")["data"]
    return found


def test_signing_in(browser: Browser, server: Server) -> None:
    context = browser.new_context()
    console = Console(context, server.url)
    console.open()
    with console.trouble_expected("401|Could not authenticate"):
        console.try_to_sign_in(ALICE[0], "wrong", "Kinto Account Auth")
        console.notified("Authentication failed")
    console.sign_in(*ALICE)
    console.sees("account:alice")
    console.reload()  # who is signed in stays so
    console.open("/buckets")
    console.sees("account:alice")
    console.page.get_by_role("link", name="Logout").click()
    console.sign_in("somebody", "else", "Basic Auth")
    console.sees("basicauth:")
    assert not console.troubles
    context.close()


def test_what_the_page_may_not_do(console: Console) -> None:
    console.open()
    console.sees("Connected as")
    page = console.page
    with console.trouble_expected("Content Security Policy"):
        page.evaluate(
            "document.body.append(Object.assign(document.createElement('script'), {text: 'stolen = 1'}))"
        )
        refused = page.evaluate("fetch('http://localhost:1/').then(() => 'sent', () => 'refused')")
    assert refused == "refused"
    assert page.evaluate("typeof stolen") == "undefined"


def test_buckets(console: Console, api: httpx.Client) -> None:
    console.open("/buckets/create")
    console.fill("id", "made")
    console.write_json("Bucket metadata", '{"color": "red"}')
    console.press("Create bucket")
    console.notified("Bucket created")
    console.reload()
    assert shown(api, "/buckets/made")["data"]["color"] == "red"

    console.open()
    console.follow("Buckets")
    console.row("made")
    console.edit("/buckets/made/attributes")
    console.write_json("Bucket metadata", '{"color": "blue"}')
    console.press("Update bucket")
    console.notified("Bucket attributes updated")
    assert shown(api, "/buckets/made")["data"]["color"] == "blue"

    console.edit("/buckets/made/permissions")
    console.allow("anonymous", "read")
    console.submit()
    console.notified("Bucket permissions updated")
    bucket = shown(api, "/buckets/made")
    assert bucket["permissions"]["read"] == ["system.Everyone"]
    assert bucket["data"]["color"] == "blue"

    console.edit("/buckets/made/attributes")
    with console.writes("DELETE /buckets/made"):
        console.confirm_deletion("made", "bucket")
    assert api.get("/buckets/made").status_code == 403


def test_collections(console: Console, api: httpx.Client, bucket: str) -> None:
    console.open(f"/buckets/{bucket}/collections")
    console.row("articles")
    console.follow("Create collection")
    console.fill("id", "notes")
    console.fill("cache_expires", "60")
    console.press("Create collection")
    console.notified("Collection created")
    console.reload()
    path = f"/buckets/{bucket}/collections/notes"
    made = shown(api, path)["data"]
    assert made["schema"]["properties"]["title"]["type"] == "string"
    assert made["cache_expires"] == 60

    console.edit(f"{path}/attributes")
    console.fill("cache_expires", "90")
    console.press("Update collection")
    console.notified("Collection attributes updated")
    assert shown(api, path)["data"]["cache_expires"] == 90

    console.edit(f"{path}/permissions")
    console.allow("authenticated", "record:create")
    console.allow("groups_writers", "write")
    console.submit()
    console.notified("Collection permissions updated")
    collection = shown(api, path)
    assert collection["permissions"]["record:create"] == ["system.Authenticated"]
    assert f"/buckets/{bucket}/groups/writers" in collection["permissions"]["write"]
    assert collection["data"]["cache_expires"] == 90

    console.edit(f"{path}/attributes")
    with console.writes(f"DELETE {path}"):
        console.confirm_deletion("notes", "collection")
    assert api.get(path).status_code == 404


def test_groups(console: Console, api: httpx.Client, bucket: str) -> None:
    console.open(f"/buckets/{bucket}/groups")
    console.row("writers")
    console.follow("Create group")
    console.fill("id", "readers")
    console.page.locator("#root_members__add").click()
    console.fill("members_0", "account:carol")
    path = f"/buckets/{bucket}/groups/readers"
    with console.writes(f"PUT {path}"):
        console.press("Create group")
    assert shown(api, path)["data"]["members"] == ["account:carol"]

    console.edit(f"{path}/attributes")
    console.page.locator("#root_members__add").click()
    console.fill("members_1", "account:dave")
    console.write_json("Group metadata", '{"about": "who reads"}')
    with console.writes(f"PUT {path}"):
        console.press("Update group")
    group = shown(api, path)["data"]
    assert (group["members"], group["about"]) == (["account:carol", "account:dave"], "who reads")

    console.edit(f"{path}/permissions")
    console.allow("anonymous", "read")
    with console.writes(f"PUT {path}"):
        console.submit()
    assert shown(api, path)["permissions"]["read"] == ["system.Everyone"]

    console.edit(f"{path}/attributes")
    with console.writes(f"DELETE {path}"):
        console.confirm_deletion("readers", "group")
    assert api.get(path).status_code == 404


def test_records(console: Console, api: httpx.Client, bucket: str) -> None:
    path = f"/buckets/{bucket}/collections/articles"
    console.open(f"{path}/records")
    console.follow("Create record")
    console.fill("title", "First")
    console.fill("stars", "3")
    console.press("Create record")
    console.notified("Record created")
    console.row("First")
    (record,) = records(api, path)
    assert (record["title"], record["stars"]) == ("First", 3)

    console.row("First").get_by_title("Edit record").click()
    console.settle()
    console.fill("title", "Changed")
    console.press("Update record")
    console.notified("Record updated")
    console.row("Changed")

    console.row("Changed").get_by_title("Edit record").click()
    console.settle()
    console.follow("Edit raw JSON")
    (record,) = records(api, path)
    console.page.locator(".cm-content").first.fill(json.dumps({**record, "title": "In JSON", "stars": 5}))
    console.press("Update record")
    console.notified("Record updated")
    console.row("In JSON")
    (record,) = records(api, path)
    assert (record["title"], record["stars"]) == ("In JSON", 5)

    console.edit(f"{path}/records/{record['id']}/permissions")
    console.allow("authenticated", "read")
    console.submit()
    console.notified("Record permissions updated")
    changed = shown(api, f"{path}/records/{record['id']}")
    assert changed["permissions"]["read"] == ["system.Authenticated"]
    assert changed["data"]["title"] == "In JSON"

    console.open(f"{path}/records")
    console.row("In JSON").get_by_title("Delete record").click()
    console.notified("Record deleted")
    assert records(api, path) == []


def test_records_without_a_schema(console: Console, api: httpx.Client, bucket: str) -> None:
    path = f"/buckets/{bucket}/collections/loose"
    put(api, path, {})
    console.open(f"{path}/records/create")
    console.page.locator(".cm-content").first.fill('{"any": {"thing": [1, null, "é"]}}')
    console.press("Create record")
    console.notified("Record created")
    console.row('"thing"')
    (record,) = shown(api, f"{path}/records")["data"]
    assert record["any"] == {"thing": [1, None, "é"]}


def test_many_records(console: Console, api: httpx.Client, bucket: str) -> None:
    path = f"/buckets/{bucket}/collections/articles"
    items = [{"path": f"{path}/records/r{n:03}", "body": {"data": {"title": f"t{n:03}"}}} for n in range(205)]
    for begin in range(0, 205, 25):
        batch = {"defaults": {"method": "PUT"}, "requests": items[begin : begin + 25]}
        api.post("/batch", json=batch).raise_for_status()
    console.open(f"{path}/records")
    console.sees("Records (205)")
    console.rows(200)
    console.follow("Load more")
    console.rows(205)
    console.page.locator("th", has_text="Title").get_by_role("link").click()  # sorted by the server
    expect(console.page.locator("table tbody tr").first).to_contain_text("t000")
    console.page.get_by_placeholder("Quicksearch").fill("t19")
    console.rows(10)


def test_bulk_creation(console: Console, api: httpx.Client, bucket: str) -> None:
    path = f"/buckets/{bucket}/collections/articles"
    console.open(f"{path}/records")
    console.follow("Bulk create")
    console.fill("0_title", "one")
    console.fill("1_title", "two")
    console.page.locator("#root__add").click()
    console.fill("2_title", "three")
    console.press("Bulk create")
    console.notified("All 3 records created")
    console.rows(3)
    assert [record["title"] for record in records(api, path)] == ["one", "three", "two"]


def test_the_personal_bucket(console: Console, api: httpx.Client) -> None:
    put(api, "/buckets/default/collections/mine/records/r", {"title": "of my own"})
    console.open()
    console.page.get_by_test_id("sidebar-panel").get_by_role("link", name="mine", exact=True).click()
    console.row("of my own")


def test_comparing_collections(console: Console, api: httpx.Client, bucket: str) -> None:
    path = f"/buckets/{bucket}/collections/articles"
    other = f"/buckets/{bucket}/collections/others"
    put(api, other, {})
    put(api, f"{path}/records/same", {"title": "the same"})
    put(api, f"{path}/records/r1", {"title": "here"})
    put(api, f"{other}/records/same", {"title": "the same"})
    put(api, f"{other}/records/r1", {"title": "there"})
    console.open(f"{path}/compare?target={bucket}/others")
    console.sees("there")
    console.sees("here")


def test_what_it_loads_is_kept(console: Console) -> None:
    console.open()
    console.sees("Connected as")
    sizes = console.page.evaluate(
        "performance.getEntriesByType('resource').filter(e => e.name.includes('/assets/'))"
        ".map(e => [e.name.split('/').pop(), e.transferSize])"
    )
    assert len(sizes) >= 2
    assert all(size == 0 for _, size in sizes), sizes  # none came over the wire again


def test_history(console: Console, api: httpx.Client, bucket: str) -> None:
    path = f"/buckets/{bucket}/collections/articles"
    put(api, f"{path}/records/r1", {"title": "before"})
    put(api, f"{path}/records/r1", {"title": "after"})
    put(api, f"{path}/records/r2", {"title": "new"})

    console.open(f"/buckets/{bucket}/history")  # without records
    console.rows(3)
    console.row("articles")
    console.open(f"/buckets/{bucket}/groups/writers/history")
    console.rows(1)
    console.open(f"{path}/history")
    console.rows(4)
    console.open(f"{path}/records/r1/history")
    console.rows(2)
    console.row("update").get_by_title("View entry details").click()
    difference = console.page.locator("table pre").first
    expect(difference).to_contain_text('-     "title": "before"')
    expect(difference).to_contain_text('+     "title": "after"')

    # The collection as it is beside what it was: the snapshot at the record's first version.
    console.row("create").get_by_title("Compare with this version").click()
    differences = console.page.get_by_test_id("record-diff")
    expect(differences).to_have_count(2)
    expect(differences.filter(has_text="r1")).to_contain_text('"title": "before"')
    expect(differences.filter(has_text="r2")).to_contain_text('"title": "new"')
    assert any("/snapshot/collections/articles@" in request for request in console.requests)
