"""Where tokens may be sent: what is trusted goes where it was meant to, and nothing else is trusted."""

from __future__ import annotations

from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kintoun.features.openid.callbacks import LOCAL, is_pattern, is_trusted, normal

PATTERNS = ("https://app.example.org/*", "https://*.trusted.org:*/in/*", "https://one.org/#tokens=")


@pytest.mark.parametrize(
    "url",
    [
        "https://app.example.org/",
        "https://APP.example.org/a/b?c#tokens=",
        "https://app.example.org",
        "https://app.example.org:443/",
        "https://a.trusted.org:8443/in/x",
        "https://a.b.trusted.org/in/",
        "https://one.org/#tokens=",
    ],
)
def test_trusted(url: str) -> None:
    assert is_trusted(url, PATTERNS)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "app.example.org",
        "//app.example.org/",
        "http://app.example.org/",
        "https://app.example.org:8443/",
        "https://app.example.org.evil.com/",
        "https://evil.com/https://app.example.org/",
        "https://evil.com#https://app.example.org/",
        "https://evil.com?https://app.example.org/",
        "https://app.example.org@evil.com/",
        "https://app.example.org:443@evil.com/",
        "https://evil.com\\@app.example.org/",
        "https://evil.com\\.app.example.org/",
        "https://evil.com/.trusted.org/in/",
        "https://evil.com?.trusted.org/in/",
        "https://evil.com#.trusted.org/in/",
        "https://.trusted.org.evil.com/in/",
        "https://a.trusted.org/in/../out",
        "https://a.trusted.org/in/%2e%2E/out",
        "https://a.trusted.org/in/..%2fout",
        "https://a.trusted.org/in/..%5cout",
        "https://a.trusted.org/in/..\\out",
        "https://a.trusted.org/inn",
        "https://*.trusted.org/in/",
        "https://a.trusted.org:*/in/",
        "https://a.trusted.org:123456/in/",
        "https://one.org/#tokens=x",
        "https://one.org/",
        " https://one.org/#tokens=",
        "https://one.org/#tokens=\n",
        "https://one.org/\t#tokens=",
        "https://öne.org/#tokens=",
        "https://app.example.org/\r\nSet-Cookie: a=b",
        "javascript:alert(1)//app.example.org/",
        "data:text/html,x",
        "https://app.example.org/" + "a" * 2048,
    ],
)
def test_not_trusted(url: str) -> None:
    assert not is_trusted(url, PATTERNS)


def test_without_patterns_it_is_this_machine() -> None:
    assert is_trusted("http://localhost:1234/auth/", LOCAL)
    assert is_trusted("http://127.0.0.1:65535/#", LOCAL)
    assert is_trusted("http://localhost/x", LOCAL)
    for url in ("https://localhost/", "http://localhost.evil.com/", "http://127.0.0.1.evil.com/"):
        assert not is_trusted(url, LOCAL)


def test_what_is_appended_stays_behind_the_host() -> None:
    assert normal("https://app.example.org") == "https://app.example.org/"
    assert normal("https://app.example.org:8443") == "https://app.example.org:8443/"
    assert normal("https://app.example.org?x=") == "https://app.example.org?x="


@pytest.mark.parametrize("pattern", ["*", "https://*", "ftp://a/", "https://a b/", "https://u@a/", "//a/*"])
def test_patterns_that_are_none(pattern: str) -> None:
    assert is_pattern(pattern) is (pattern == "https://*")


PIECES = [
    *(
        "https://",
        "http://",
        "//",
        "app.example.org",
        ".trusted.org",
        "evil.com",
        "@",
        ":",
        "\\",
        "/",
        "?",
        "#",
    ),
    *("..", ".", "%2e", "*", "443", "8443", " ", "\t", "a", "é", "[::1]", "/in/", "%5c", "javascript:"),
]


@given(st.lists(st.sampled_from(PIECES), max_size=9).map("".join), st.text(max_size=5))
def test_a_browser_goes_where_it_was_compared(url: str, appended: str) -> None:
    """However a URL is put together: trusted ones have one of the trusted hosts, whatever is appended."""
    patterns = ("https://app.example.org/*", "https://*.trusted.org/in/*")
    if not is_trusted(url, patterns):
        return
    sent = normal(url)
    assert sent is not None
    for target in (url, sent, sent + "eyJhIjoxfQ%3D%3D", sent + "error=a"):
        parts = urlsplit(target)
        host = parts.hostname or ""
        assert parts.scheme == "https"
        assert host == "app.example.org" or host.endswith(".trusted.org")
        assert parts.port in (None, 443)
        assert parts.username is None


@given(st.text(max_size=40))
def test_any_text_is_judged(url: str) -> None:
    assert not is_trusted(url, PATTERNS) or url.lower().startswith("https://")


@given(st.text("ab*", max_size=8), st.text("ab", max_size=12))
def test_stars_stand_for_anything(pattern: str, text: str) -> None:
    import re

    expected = re.fullmatch(re.escape(pattern).replace(r"\*", ".*"), text) is not None
    assert is_trusted(f"https://h/{text}", [f"https://h/{pattern}"]) is expected
