"""The reference is complete: what the code can say, take and offer is on the page where people look it up."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Iterator
from pathlib import Path

import click
import msgspec
import pytest

import kintoun
from kintoun.cli import main
from kintoun.config import feature, feature_names
from kintoun.config.decoding import core_sections, open_tables, top_keys
from kintoun.model import errors
from kintoun.model.kinds import ACCOUNT, BUCKET, COLLECTION, GROUP, RECORD
from kintoun.model.query import Op
from kintoun.plugin import Plugin, Registry
from kintoun.settings import Limits
from tests.docs.test_reference import commands
from tests.docs.walks import DOCS, pages

SOURCE = Path(kintoun.__file__).parent


def page(name: str) -> str:
    return (DOCS / name).read_text(encoding="utf-8")


def rows(name: str) -> list[list[str]]:
    """The cells of every row of every table of a page."""
    lines = [line for line in page(name).splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]


def errnos() -> dict[str, int]:
    return {name: value for name, value in vars(errors).items() if name.isupper() and isinstance(value, int)}


@pytest.mark.parametrize(("constant", "errno"), errnos().items())
def test_every_errno_is_explained(constant: str, errno: int) -> None:
    found = [row for row in rows("reference/errors.md") if row[0] == str(errno) and f"`{constant}`" in row]
    assert found, f"{constant} ({errno}) is not in the table"
    assert all(len(row) == 5 and all(row) for row in found)


def calls() -> Iterator[tuple[Path, ast.Call]]:
    """Every place where an error of the protocol is made."""
    for file in SOURCE.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            named = isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
            if named and node.func.id in ("ProtocolError", "InvalidParameters"):
                yield file, node


def statuses() -> dict[tuple[int, str], str]:
    """The statuses that errors are raised with, and the constants of their errno, by where they stand."""
    found = {}
    for file, call in calls():
        where = f"{file.relative_to(SOURCE)}:{call.lineno}"
        named = {keyword.arg: keyword.value for keyword in call.keywords}
        if isinstance(call.func, ast.Name) and call.func.id == "InvalidParameters":
            status, errno = named.get("status", ast.Constant(400)), ast.Name("INVALID_PARAMETERS")
        else:
            status, errno = call.args[:2]
        assert isinstance(status, ast.Constant), f"{where}: the status is not written out"
        assert isinstance(errno, ast.Name), f"{where}: the errno is not a constant"
        found[int(status.value), errno.id] = where
    return found


@pytest.mark.parametrize(("status", "constant"), statuses())
def test_every_status_is_explained(status: int, constant: str) -> None:
    table = rows("reference/errors.md")
    assert any(str(status) in re.findall(r"\d{3}", row[0]) and len(row) == 2 for row in table), status
    errno = str(getattr(errors, constant))
    known = {each for row in table if row[0] == errno and len(row) == 5 for each in row[1].split(", ")}
    assert str(status) in known, f"{statuses()[status, constant]}: {errno} with {status} is not in the table"


def test_the_statuses_were_found() -> None:
    assert {status for status, _ in statuses()} >= {
        400,
        401,
        403,
        404,
        405,
        409,
        410,
        412,
        413,
        415,
        500,
        503,
    }


@pytest.mark.parametrize("item", msgspec.structs.fields(Limits), ids=lambda item: item.name)
def test_every_limit_says_what_is_beyond_it(item: msgspec.structs.FieldInfo) -> None:
    (row,) = [row for row in rows("reference/limits.md") if row[0] == f"`{item.name}`"]
    assert all(row)
    assert row[1] in (str(item.default), f"{item.default / 2**20:g} MiB", f"{item.default:g}")


@pytest.mark.parametrize(
    "member", [name for name in (*vars(Registry), *Registry.__annotations__) if name[0] != "_"]
)
def test_every_member_of_the_registry_is_described(member: str) -> None:
    assert re.search(rf"^\| `{member}[`(]", page("reference/plugins.md"), re.MULTILINE)


@pytest.mark.parametrize("member", [*Plugin.__annotations__, "setup"])
def test_every_attribute_of_a_plugin_is_described(member: str) -> None:
    assert re.search(rf"^\| `{member}[`(]", page("reference/plugins.md"), re.MULTILINE)


def test_the_signatures_of_the_registry_are_those_of_the_code() -> None:
    for name, method in inspect.getmembers(Registry, inspect.isfunction):
        if name.startswith("_"):
            continue
        arguments = ", ".join(
            str(each).split(":")[0] for each in inspect.signature(method).parameters.values()
        )
        arguments = arguments.removeprefix("self, ")
        assert f"`{name}({arguments})`" in page("reference/plugins.md"), name


@pytest.mark.parametrize("path", [path for path, _ in commands(main, "kintoun")])
def test_every_command_is_described(path: str) -> None:
    assert f"## {path}\n" in page("reference/commands.md")


def test_every_option_is_described() -> None:
    text = page("reference/commands.md")
    for path, command in commands(main, "kintoun"):
        for option in command.params:
            if isinstance(option, click.Option):
                assert f"`{option.opts[0]}`" in text, f"{path} {option.opts[0]}"


def settings() -> Iterator[tuple[str, str]]:
    for name, section in core_sections().items():
        yield from ((name, item.encode_name) for item in msgspec.structs.fields(section))
    for name in feature_names():
        kind = feature(name).settings
        if kind is not None:
            yield from ((name, item.encode_name) for item in msgspec.structs.fields(kind))


@pytest.mark.parametrize(("section", "key"), settings())
def test_every_setting_is_listed(section: str, key: str) -> None:
    _, _, below = page("reference/settings.md").partition(f"\n## [{section}]\n")
    assert f"| `{key}` |" in below.partition("\n## ")[0]


@pytest.mark.parametrize("name", sorted(open_tables()))
def test_every_open_table_is_listed(name: str) -> None:
    assert f"\n## [{name}]\n" in page("reference/settings.md")


@pytest.mark.parametrize("name", sorted(top_keys()))
def test_every_key_outside_sections_is_listed(name: str) -> None:
    assert f"| `{name}` |" in page("reference/settings.md")


@pytest.mark.parametrize("op", Op)
def test_every_filter_operator_has_a_row(op: Op) -> None:
    assert re.search(rf"^\|.*`{op.value}_field=", page("reference/lists.md"), re.MULTILINE)


@pytest.mark.parametrize("kind", [BUCKET, COLLECTION, GROUP, RECORD, ACCOUNT], ids=lambda kind: kind.name)
def test_every_permission_is_named(kind) -> None:
    found = [row for row in rows("reference/permissions.md") if kind.name in re.findall(r"\w+", row[0])]
    assert any(all(f"`{name}`" in row[1] for name in kind.permissions) for row in found)


@pytest.mark.parametrize("name", feature_names())
def test_every_feature_is_named(name: str) -> None:
    assert any(
        f"`{name}`" in page(str(each.relative_to(DOCS))) for each in pages() if "reference" in each.parts
    )


def test_the_pages_that_the_server_links_to_exist() -> None:
    linked = set()
    for file in SOURCE.rglob("*.py"):
        text = file.read_text(encoding="utf-8")
        linked |= set(re.findall(r"project\.docs\}([\w/-]+)/", text))
        linked |= set(re.findall(r"readthedocs\.io/en/latest/([\w/-]+)/", text))
    assert len(linked) > 3
    for name in linked:
        assert (DOCS / f"{name}.md").exists(), name


def test_the_links_of_the_readme_lead_somewhere() -> None:
    readme = DOCS.parent / "README.md"
    links = re.findall(r"\]\(([^)#]+)[^)]*\)", readme.read_text(encoding="utf-8"))
    local = [link for link in links if "://" not in link]
    assert local
    for link in local:
        assert (readme.parent / link).exists(), link


def events() -> Iterator[str]:
    """What the server logs."""
    for file in SOURCE.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func).startswith("log."):
                event = node.args[0]
                assert isinstance(event, ast.Constant), f"{file}:{node.lineno}: an event has one name"
                yield str(event.value)


@pytest.mark.parametrize("event", sorted(set(events())))
def test_every_event_in_the_log_is_listed(event: str) -> None:
    assert any(f"`{event}`" in row[0] for row in rows("operating/security.md"))
