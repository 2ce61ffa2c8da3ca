"""From URLs to endpoints: literals before variables, wherever they lead to something."""

from __future__ import annotations

from typing import Any

import pytest

from kintoun.http.routing import Endpoint, Router


def router(*patterns: str) -> Router:
    made = Router()
    for pattern in patterns:
        made.add(Endpoint(pattern, pattern, {}))
    return made


ROUTES = router(
    "/",
    "/lists/{list}",
    "/lists/{list}/items/{item}",
    "/lists/top/items/first",
    "/lists/{list}/items/{item}/{part}",
    "/files/{name:tail}",
)


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("/", ("/", ())),
        ("/lists/a", ("/lists/{list}", ("a",))),
        ("/lists/top", ("/lists/{list}", ("top",))),
        ("/lists/top/items/first", ("/lists/top/items/first", ())),
        ("/lists/top/items/second", ("/lists/{list}/items/{item}", ("top", "second"))),
        ("/lists/top/items/first/p", ("/lists/{list}/items/{item}/{part}", ("top", "first", "p"))),
        ("/lists/a/items/first", ("/lists/{list}/items/{item}", ("a", "first"))),
        ("/files/a/b", ("/files/{name:tail}", ("a/b",))),
        ("/files/", ("/files/{name:tail}", ("",))),
        ("/lists", None),
        ("/lists/", None),
        ("/lists/top/items", None),
        ("/lists//items/a", None),
        ("/elsewhere", None),
    ],
)
def test_a_path_is_found(path: str, found: Any) -> None:
    endpoint = ROUTES.find(path)
    assert (endpoint and (endpoint[0].name, endpoint[1])) == found


def test_two_endpoints_at_one_place_are_refused() -> None:
    with pytest.raises(ValueError, match=r"two endpoints at /lists/\{other\}"):
        router("/lists/{list}", "/lists/{other}")
