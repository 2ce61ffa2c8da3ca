"""Whatever stands in `Authorization`, nobody becomes an account but by its password or its token."""

from __future__ import annotations

from base64 import b64encode
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kintoun.features.accounts.settings import AccountsSection
from kintoun.features.accounts.tokens import token_text
from tests.fuzz.profile import examples
from tests.fuzz.served import Served, served
from tests.fuzz.test_anything import check, form
from tests.support.inprocess import Databases

SHORT, LONG = examples(short=150, long=20_000)
PASSWORD = "pw"
"""Of zoe, who is in the world."""


def _basic(pair: bytes) -> bytes:
    return b"Basic " + b64encode(pair)


_names = st.sampled_from([b"zoe", b"nobody", b"", b"zoe\x00", "zo\u00eb".encode(), b"zoe ", b"ZOE"])
_words = st.one_of(
    st.binary(max_size=40),
    st.text(max_size=40).map(lambda text: text.encode("utf-8", "replace")),
    st.sampled_from([b"pw ", b"x" * 5000, b"kt_", b"kt_em9l.", b"kt_em9l.AAAA", b":", b"**********"]),
)
_tokens = st.builds(
    lambda name, secret: token_text(name, secret).encode(),
    st.sampled_from(["zoe", "nobody", "a" * 300]),
    st.text("abcXYZ019_-", max_size=60),
)
_schemes = st.sampled_from([b"Basic ", b"basic\t", b"Bearer ", b"Bearer kt_", b"Digest "])
_headers = st.one_of(
    st.binary(max_size=80),
    st.builds(lambda scheme, rest: scheme + rest, _schemes, st.binary(max_size=60)),
    st.builds(lambda name, word: _basic(name + b":" + word), _names, _words),
    _tokens.map(lambda token: b"Bearer " + token),
    _tokens.map(lambda token: _basic(b"zoe:" + token)),
)  # fmt: skip


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def server(request: pytest.FixtureRequest, databases: Databases) -> Any:
    section = AccountsSection(failures=0, address_failures=0, equal_time=False)
    url = databases.url(request.param, "authorization")
    with served(url, sections={"accounts": section}) as made:
        yield made


def any_header(server: Served, most: int) -> None:
    right = b"Basic " + b64encode(b"zoe:" + PASSWORD.encode())

    @form(most)
    @given(_headers)
    def answers(header: bytes) -> None:
        sent = (("Authorization", header.decode("latin-1")),)
        hello = server.send("GET", b"/v1/", sent)
        check(hello, "GET")
        if hello.status_code == 200 and header.split() != right.split():
            assert hello.json().get("user", {}).get("id") != "account:zoe", header
        for method, target in (("GET", b"/v1/accounts/zoe/tokens"), ("DELETE", b"/v1/accounts/zoe")):
            answer = server.send(method, target, sent)
            check(answer, method)
            assert answer.status_code in (400, 401, 403), header

    answers()


def test_any_header(server: Served) -> None:
    any_header(server, SHORT)


@pytest.mark.fuzz
def test_any_header_at_length(server: Served) -> None:
    any_header(server, LONG)
