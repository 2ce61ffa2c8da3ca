"""A person at the admin console, who waits for what they expect to see."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager

from playwright.sync_api import BrowserContext, ConsoleMessage, Locator, Response, expect

SECONDS = 30.0

QUIET = 5
"""Looks in a row, each a twentieth of a second after the other, at which nothing was being loaded."""

FAVICON = "/images/favicon.png"
"""What the page of kinto-admin asks for outside of its folder; no server has it."""

NOT_SIGNED_IN = "Client not configured."
"""What kinto-admin throws, on every server, when it loads and nobody has signed in yet."""


class Console:
    """One tab of a browser. Whatever goes wrong in it is kept in `troubles`."""

    def __init__(self, context: BrowserContext, url: str) -> None:
        self.url = url
        self.troubles: list[str] = []
        self.requests: list[str] = []
        context.set_default_timeout(SECONDS * 1000)
        expect.set_options(timeout=SECONDS * 1000)
        self.page = context.new_page()
        self.page.on("console", self._said)
        self.page.on("pageerror", lambda error: self._thrown(str(error)))
        self.page.on("response", self._answered)
        self._under_way = 0
        self._loaded = False
        self.page.on("request", lambda _: self._count(1))
        self.page.on("requestfinished", lambda _: self._count(-1))
        self.page.on("requestfailed", lambda _: self._count(-1))
        self.page.on("dialog", lambda dialog: dialog.accept())

    def _count(self, change: int) -> None:
        self._under_way += change

    def settle(self) -> None:
        """Wait until nothing is being loaded: forms are filled a second time with what comes late."""
        deadline = time.monotonic() + SECONDS
        quiet = 0
        while quiet < QUIET:
            assert time.monotonic() < deadline, "the console never stops loading"
            self.page.wait_for_timeout(50)
            quiet = 0 if self._under_way else quiet + 1

    def _said(self, message: ConsoleMessage) -> None:
        if message.type == "error" and not message.location["url"].endswith(FAVICON):
            self.troubles.append(f"console: {message.text} ({message.location['url']})")

    def _thrown(self, error: str) -> None:
        if NOT_SIGNED_IN not in error:
            self.troubles.append(f"thrown: {error}")

    def _answered(self, response: Response) -> None:
        path = response.url.partition("/v1")[2]
        self.requests.append(f"{response.request.method} {path}")
        if response.status >= 500:
            self.troubles.append(f"{response.status}: {response.request.method} {path}")

    @contextmanager
    def trouble_expected(self, pattern: str) -> Iterator[None]:
        """A block in which something goes wrong, and nothing else."""
        before = len(self.troubles)
        yield
        found = self.troubles[before:]
        assert found, f"nothing went wrong like {pattern}"
        assert all(re.search(pattern, trouble) for trouble in found), found
        del self.troubles[before:]

    def reload(self) -> None:
        """Let the next place be opened anew: what one may do, kinto-admin asks only when it is loaded."""
        self._loaded = False

    def open(self, route: str = "/") -> None:
        """Go to a place.

        Not at once when kinto-admin is loaded: it asks for a place's data before it knows the server again,
        fails to, and leaves the place empty.
        """
        if not self._loaded:
            self.page.goto("about:blank")
            self._under_way = 0
            self.page.goto(f"{self.url}/admin/#/")
            self.settle()
            self._loaded = True
        self.page.evaluate("route => { location.hash = route }", route)

    def edit(self, route: str) -> None:
        """Go to the form of something, and wait until it has all that it shows."""
        self.open(route)
        self.sees("Connected as")
        self.settle()

    def sign_in(self, name: str, password: str, how: str = "Kinto Account Auth") -> None:
        """Sign in, and wait until the server has said who one is."""
        self.try_to_sign_in(name, password, how)
        self.sees("Connected as")

    def try_to_sign_in(self, name: str, password: str, how: str) -> None:
        self.page.get_by_label(how).check()
        self.page.get_by_label("Username").fill(name)
        self.page.get_by_label("Password").fill(password)
        self.press(f"Sign in using {how}")

    def sees(self, text: str | re.Pattern[str]) -> Locator:
        """Wait until a text is there."""
        found = self.page.get_by_text(text).first
        expect(found).to_be_visible()
        return found

    def row(self, text: str) -> Locator:
        """The row of a table that has a text, once it is there."""
        found = self.page.locator("table tbody tr").filter(has_text=text).first
        expect(found).to_be_visible()
        return found

    def rows(self, number: int) -> Locator:
        """The rows of the table, once there are so many."""
        found = self.page.locator("table tbody tr")
        expect(found).to_have_count(number)
        return found

    def press(self, name: str) -> None:
        self.page.get_by_role("button", name=name).first.click()

    def submit(self) -> None:
        """Send the (first) form."""
        self.page.locator(".content form [type=submit]").first.click()

    @contextmanager
    def writes(self, request: str) -> Iterator[None]:
        """A block that makes the console send a request as `PUT /buckets/b`, which must succeed."""
        method, _, path = request.partition(" ")
        whole = self.url + path

        def is_it(response: Response) -> bool:
            return response.request.method == method and response.url == whole

        with self.page.expect_response(is_it) as answer:
            yield
        assert answer.value.ok, f"{request}: {answer.value.status}"

    def follow(self, name: str) -> None:
        self.page.locator(".content").get_by_role("link", name=name).first.click()

    def fill(self, name: str, text: str) -> None:
        """Fill the field of a form that has this name."""
        self.page.locator(f"#root_{name}").fill(text)

    def write_json(self, label: str, text: str) -> None:
        """Replace what is in the editor below a label."""
        field = self.page.locator(".rjsf-field").filter(has_text=label)
        field.locator(".cm-content").last.fill(text)

    def allow(self, who: str, what: str) -> None:
        """Give a permission in the form of an object's permissions."""
        field = self.page.locator(f".rjsf-field:has(> div > label[for='root_{who}'])")
        field.get_by_label(what, exact=True).check()

    def notified(self, text: str) -> None:
        """Wait for a notification."""
        expect(self.page.locator(".notifications").get_by_text(text).first).to_be_visible()

    def confirm_deletion(self, name: str, kind: str) -> None:
        """Type the id of what is to be deleted, and delete it."""
        self.page.locator("#root").fill(name)
        self.press(f"Delete {kind}")
