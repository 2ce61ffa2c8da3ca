"""The unmodified kinto-admin's review buttons: from an editor's change to what anybody can verify."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import Browser, expect

from tests.browser.conftest import ARTICLES, BUILD, SHOTS, put
from tests.browser.console import Console
from tests.support.configurations import configuration
from tests.support.fixtures import ENGINES
from tests.support.postgres import Postgres
from tests.support.published import verified
from tests.support.servers import Server, password_of, start_configured

FEATURES = ("accounts", "admin", "permissions", "history", "signing", "publication")
SECTIONS = f"""\
[admin]
path = "{BUILD}"
[signing]
resources = "/buckets/staging -> /buckets/preview -> /buckets/blog"
to_review_enabled = true
[[signing.local]]
name = "remote-settings"
private_key = "pki/remote-settings.pem"
[publication]
resources = ["/buckets/blog"]
"""

SOURCE = "/buckets/staging/collections/{}"


@pytest.fixture(scope="module", params=ENGINES)
def reviewed(request: pytest.FixtureRequest, postgres: Postgres) -> Iterator[Server]:
    url = postgres.create_database() if request.param == "postgresql" else "sqlite:data.sqlite"
    users = ("admin", "ed", "rev")
    with start_configured(
        configuration(FEATURES, SECTIONS, url=url), ("pki", "init"), accounts=users
    ) as server:
        yield server


@pytest.fixture(scope="module")
def people(browser: Browser, reviewed: Server) -> Iterator[dict[str, Console]]:
    """An editor and a reviewer, each with a browser of their own."""
    found = {}
    contexts = []
    for name in ("ed", "rev"):
        contexts.append(browser.new_context(viewport={"width": 1280, "height": 1000}))
        found[name] = Console(contexts[-1], reviewed.url)
        found[name].open()
        found[name].sign_in(name, password_of(name))
    yield found
    for name, console in found.items():
        if SHOTS:
            console.page.screenshot(path=Path(SHOTS) / f"review-{name}.png", full_page=True)
        assert not console.troubles
    for context in contexts:
        context.close()


@pytest.fixture
def collection(reviewed: Server, request: pytest.FixtureRequest) -> str:
    """A source with one record that is published, and its groups."""
    name = request.function.__name__.removeprefix("test_").replace("_", "-")
    path = SOURCE.format(name)
    with httpx.Client(base_url=reviewed.url, auth=("admin", password_of("admin")), timeout=60) as admin:
        for bucket in ("staging", "preview", "blog"):
            readable = {"permissions": {"read": ["system.Authenticated"]}}
            admin.put(f"/buckets/{bucket}", json=readable).raise_for_status()
        put(admin, path, ARTICLES)
        for group, who in (("editors", "ed"), ("reviewers", "rev")):
            put(admin, f"/buckets/staging/groups/{name}-{group}", {"members": [f"account:{who}"]})
        put(admin, f"{path}/records/r1", {"title": "Before"})
        admin.patch(path, json={"data": {"status": "work-in-progress"}}).raise_for_status()
    step(reviewed, path, "ed", status="to-review")
    step(reviewed, path, "rev", status="to-sign")
    return name


@pytest.fixture
def ed(people: dict[str, Console], collection: str) -> Console:
    """An editor, whose console has yet to ask what there is."""
    people["ed"].reload()
    return people["ed"]


@pytest.fixture
def rev(people: dict[str, Console], collection: str) -> Console:
    """A reviewer."""
    people["rev"].reload()
    return people["rev"]


def step(server: Server, path: str, who: str, **data: Any) -> dict[str, Any]:
    answer = httpx.patch(f"{server.url}{path}", json={"data": data}, auth=(who, password_of(who)), timeout=60)
    found: dict[str, Any] = answer.raise_for_status().json()["data"]
    return found


def metadata(server: Server, path: str) -> dict[str, Any]:
    answer = httpx.get(f"{server.url}{path}", auth=("admin", password_of("admin")), timeout=60)
    found: dict[str, Any] = answer.raise_for_status().json()["data"]
    return found


def titles(changeset: dict[str, Any]) -> dict[str, str]:
    return {record["id"]: record["title"] for record in changeset["changes"]}


def change(ed: Console, path: str) -> None:
    """Change the record's title, in its form."""
    ed.open(f"{path}/records")
    ed.row("Before").get_by_title("Edit record").click()
    ed.settle()
    ed.fill("title", "After")
    ed.press("Update record")
    ed.row("After")


def comment(console: Console, button: str, text: str, confirm: str) -> None:
    """Press a button that asks for a comment, and give one."""
    console.press(button)
    dialog = console.page.locator(".modal")
    dialog.locator("textarea").fill(text)
    dialog.get_by_role("button", name=confirm).click()


def sees_the_changes(console: Console) -> None:
    """Wait for what is to be reviewed."""
    difference = console.page.get_by_test_id("record-diff")
    expect(difference).to_contain_text('"title": "Before"')
    expect(difference).to_contain_text('"title": "After"')


def review(console: Console, path: str) -> None:
    """Go from the list of records to what is to be reviewed."""
    console.open(f"{path}/records")
    console.follow("Review Changes")
    sees_the_changes(console)


def test_approved(reviewed: Server, ed: Console, rev: Console, collection: str) -> None:
    path = SOURCE.format(collection)
    change(ed, path)
    comment(ed, "Request review...", "please, look", "Request review")
    ed.notified("Review requested.")
    ed.sees("+1")
    assert metadata(reviewed, path)["status"] == "to-review"
    assert titles(verified(reviewed, "preview", collection)) == {"r1": "After"}
    assert titles(verified(reviewed, "blog", collection)) == {"r1": "Before"}

    ed.open(f"{path}/simple-review")
    sees_the_changes(ed)
    expect(ed.page.get_by_role("button", name="Rollback changes...")).to_be_visible()
    expect(ed.page.get_by_role("button", name="Approve...")).to_have_count(0)
    review(rev, path)
    rev.sees("please, look")
    expect(rev.page.get_by_role("button", name="Rollback changes...")).to_have_count(0)
    rev.press("Approve...")
    rev.row("After")
    rev.sees("Approved: ")
    told = metadata(reviewed, path)
    assert (told["status"], told["last_review_by"], told["last_editor_comment"]) == (
        "signed",
        "account:rev",
        "please, look",
    )
    assert titles(verified(reviewed, "blog", collection)) == {"r1": "After"}


def test_declined_and_rolled_back(reviewed: Server, ed: Console, rev: Console, collection: str) -> None:
    path = SOURCE.format(collection)
    before = verified(reviewed, "blog", collection)
    change(ed, path)
    comment(ed, "Request review...", "please, look", "Request review")
    ed.notified("Review requested.")
    review(rev, path)
    comment(rev, "Decline...", "not like this", "Reject changes")
    rev.row("After")
    rev.sees("not like this")
    told = metadata(reviewed, path)
    assert (told["status"], told["last_reviewer_comment"]) == ("work-in-progress", "not like this")

    ed.reload()  # it would not ask again for a page that it shows
    ed.open(f"{path}/records")
    ed.sees("not like this")
    ed.open(f"{path}/simple-review")
    comment(ed, "Rollback changes...", "never mind", "Rollback")
    ed.row("Before")
    told = metadata(reviewed, path)
    assert (told["status"], told["last_editor_comment"]) == ("signed", "")
    after = verified(reviewed, "blog", collection)
    assert (after["timestamp"], after["changes"]) == (before["timestamp"], before["changes"])
    assert titles(verified(reviewed, "preview", collection)) == {"r1": "Before"}


def test_compared_with_what_was_approved(ed: Console, collection: str) -> None:
    path = SOURCE.format(collection)
    change(ed, path)
    ed.open(f"{path}/compare?target=blog/{collection}")
    sees_the_changes(ed)
    ed.open(f"{path}/history")
    ed.row("approve")
    by_the_signer = ed.page.locator("table tbody tr").filter(has_text="plugin:remote-settings")
    expect(by_the_signer.first).to_be_visible()
    ed.page.get_by_label("Show plugin entries").uncheck()
    expect(by_the_signer).to_have_count(0)
    ed.row("approve")


def test_its_form_leaves_alone_who_did_what(reviewed: Server, ed: Console, collection: str) -> None:
    path = SOURCE.format(collection)
    before = metadata(reviewed, path)
    ed.edit(f"{path}/attributes")
    ed.fill("cache_expires", "90")
    ed.press("Update collection")
    ed.notified("Collection attributes updated")
    after = metadata(reviewed, path)
    assert after["cache_expires"] == 90
    assert {name: after[name] for name in before if name != "last_modified"} == {
        name: before[name] for name in before if name != "last_modified"
    }
