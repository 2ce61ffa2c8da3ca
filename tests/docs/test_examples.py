"""What the documentation tells people to type works, and prints what the page says."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.docs.walks import DOCS, Example, Walk, examples, is_printed, pages


def with_examples(language: str) -> list[str]:
    return [str(page.relative_to(DOCS)) for page in pages() if examples(page, language)]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Walk]:
    with Walk(tmp_path_factory.mktemp("docs")) as walk:
        yield walk


@pytest.fixture
def walk(server: Walk) -> Iterator[Walk]:
    """The server as a reader finds it who begins with this page."""
    yield server
    server.forget()


@pytest.mark.parametrize("page", with_examples("bash"))
def test_the_commands_of_a_page_work(page: str, walk: Walk) -> None:
    walk.shell(examples(DOCS / page, "bash"))


@pytest.mark.parametrize("page", with_examples("python"))
def test_the_python_of_a_page_works(page: str, walk: Walk) -> None:
    walk.python("\n".join(example.code for example in examples(DOCS / page, "python")))


@pytest.mark.parametrize(
    ("form", "printed", "output", "expected"),
    [
        ("json", '{"data": {"a": …}}', '{"data":{"a":17}}', True),
        ("json", '{"data": {"a": 1}}', '{"data":{"a":17}}', False),
        ("http", "HTTP/1.1 200 OK\nETag: …", "HTTP/1.1 200 OK\r\netag: 17\r\n\r\n{}", True),
        ("http", "HTTP/1.1 200 OK", "HTTP/1.1 201 Created", False),
        ("text", "1\n2", "1\n2\n", True),
        ("text", "1\n2", "1\n2\n3\n", False),
    ],
)
def test_a_page_is_held_to_what_it_says_is_printed(
    form: str, printed: str, output: str, expected: bool
) -> None:
    assert is_printed(Example("", form, printed), output) is expected
