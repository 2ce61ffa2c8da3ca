"""What operators see of signing: the self-check, its gauges, the commands, and what `doctor` says."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from click.testing import CliRunner, Result
from structlog.testing import capture_logs

from kintoun.cli import main
from kintoun.features.signing.inspecting import inspector_of
from kintoun.features.signing.watching import Watch
from kintoun.measures import Measures
from kintoun.model.paths import collection_path
from kintoun.signatures.chain import fingerprint, parse
from tests.signing.desk import DESTINATION, Desk, at_desk, path_of
from tests.signing.signing_service import NAME, make_pki
from tests.support.inprocess import Databases

TARGET = path_of(DESTINATION)
OTHER_BODY = """UPDATE object SET body = '{"id":"r1","n":2,"last_modified":' || ts || '}' WHERE id = 'r1'"""


@pytest_asyncio.fixture
async def chained(engine: str, databases: Databases, tmp_path: Path) -> AsyncIterator[tuple[Desk, Path]]:
    """A desk whose signer has a chain, something published, and the directory of its configuration."""
    make_pki(tmp_path / "pki")
    url = databases.url(engine)
    section = {"private_key": str(tmp_path / "pki" / "remote-settings.pem"), "name": "remote-settings"}
    text = (
        f'features = ["accounts", "signing"]\n[storage]\nurl = "{url}"\n'
        f'[[signing.local]]\nname = "{section["name"]}"\nprivate_key = "{section["private_key"]}"\n'
        f'[signing]\npki = "{tmp_path / "pki"}"\n'
    )
    (tmp_path / "kintoun.toml").write_text(text)
    from kintoun.features.signing.settings import Local

    async with at_desk(url, tmp_path, local=[Local(**section)]) as desk:
        await desk.open()
        await desk.put("r1", n=1)
        await desk.publish()
        yield desk, tmp_path


async def tamper(desk: Desk, sql: str) -> None:
    async def change(transaction: Any) -> None:
        await transaction.fetch(sql)

    await desk.store.transact(change)


def inspector(desk: Desk) -> Any:
    return inspector_of(desk.app.application.composition.settings, desk.store)


async def run(directory: Path, *arguments: str) -> Result:
    """A command, with the configuration of the directory."""
    more = ("--config", str(directory / "kintoun.toml"))
    return await asyncio.to_thread(CliRunner().invoke, main, [*arguments, *more])


async def test_what_is_published_verifies(chained: tuple[Desk, Path]) -> None:
    desk, _ = chained
    looks = inspector(desk)
    targets = await looks.targets()
    assert [target.ids for target in targets] == [("main-preview", "c1"), ("main", "c1")]
    for target in targets:
        condition = await looks.inspect(target)
        assert (condition.state, condition.reason) == ("good", "")
        assert condition.expires > condition.signed > 0
    assert await looks.inspect(collection_path("main", "nothing")) is None


async def test_a_key_without_a_chain_verifies_too(desk: Desk) -> None:
    assert (await inspector(desk).inspect(TARGET)).state == "good"


@pytest.mark.parametrize(
    ("sql", "reason"),
    [
        (OTHER_BODY, "signature: "),
        ("DELETE FROM object WHERE id = 'r1'", "signature: "),
        ("UPDATE object SET body = replace(body, 'kintoun-manifest-1', 'x') WHERE id = 'c1'", "manifest: "),
        ('UPDATE object SET body = replace(body, \'"bucket":"main"\', \'"bucket":"b"\')', "manifest: "),
    ],
)
async def test_what_was_tampered_with_does_not(chained: tuple[Desk, Path], sql: str, reason: str) -> None:
    desk, _ = chained
    await tamper(desk, sql)
    condition = await inspector(desk).inspect(TARGET)
    assert condition.state == "bad"
    assert condition.reason.startswith(reason)


async def test_a_chain_that_is_not_here_is_not_judged(chained: tuple[Desk, Path]) -> None:
    desk, _ = chained
    await tamper(desk, "UPDATE object SET body = replace(body, '__x5u__', 'elsewhere') WHERE id = 'c1'")
    assert (await inspector(desk).inspect(TARGET)).state == "unchecked"


async def test_the_gauges_tell_it(chained: tuple[Desk, Path]) -> None:
    desk, directory = chained
    measures = Measures()
    looks = inspector(desk)
    watch = Watch(looks, looks.signers, measures)
    await watch.look_at_signers()
    await watch.look_at_collections()

    async def shown() -> dict[tuple[str, tuple[str, ...]], float]:
        return {
            (measure.name, series.labels): series.numbers[0]
            for measure, found in await measures.collect()
            for series in found
        }

    gauges = await shown()
    assert gauges["signing_signer_up", ("remote-settings",)] == 1
    assert gauges["signing_chain_expires_seconds", ("remote-settings",)] > 1_700_000_000
    assert gauges["signing_collections", ("good",)] == 2
    assert gauges["signing_collections", ("bad",)] == 0
    assert gauges["signing_oldest_signature_seconds", ()] > 1_700_000_000
    await tamper(desk, "UPDATE object SET body = replace(body, '\"n\":1', '\"n\":7') WHERE id = 'r1'")
    (directory / "pki" / "remote-settings.pem").unlink()
    with capture_logs() as logs:
        await watch.look_at_signers()
        await watch.look_at_collections()
        await watch.look_at_collections()
    gauges = await shown()
    assert gauges["signing_signer_up", ("remote-settings",)] == 0
    assert gauges["signing_collections", ("bad",)] == 2
    told = [each["target"] for each in logs if each["event"] == "a published collection does not verify"]
    assert sorted(told) == sorted(["/buckets/main-preview/collections/c1", DESTINATION]), "once each"
    work = asyncio.ensure_future(watch.run())
    await asyncio.sleep(0)
    work.cancel()
    with pytest.raises(asyncio.CancelledError):
        await work
    assert set((await shown()).values()) == {0}, "another worker goes on"


async def test_each_of_several_signers_has_a_heartbeat(
    engine: str, databases: Databases, tmp_path: Path
) -> None:
    from kintoun.features.signing.settings import Local

    make_pki(tmp_path / "pki")
    local = [
        Local(name="one", private_key=str(tmp_path / "pki" / "remote-settings.pem")),
        Local(name="two", private_key=str(tmp_path / "pki" / "bare.key")),
    ]
    async with at_desk(databases.url(engine), tmp_path, local=local, sign_with=["one", "two"]) as desk:
        assert (await desk.ok("GET /__heartbeat__", user=None))["signer.two"] is True
        (tmp_path / "pki" / "bare.key").unlink()
        answer = await desk.call("GET /__heartbeat__", user=None)
        assert answer.status_code == 503
        told = answer.json()
        assert (told["signer"], told["signer.one"], told["signer.two"]) == (False, True, False)


async def test_the_status_is_shown(chained: tuple[Desk, Path]) -> None:
    desk, directory = chained
    shown = await run(directory, "sign", "status")
    assert shown.exit_code == 0, shown.output
    assert "remote-settings" in shown.output
    assert "main/c1" in shown.output
    told = json.loads((await run(directory, "sign", "status", "--json")).output)
    assert [each["works"] for each in told["signers"]] == [True]
    assert [each["state"] for each in told["collections"]] == ["good", "good"]
    await tamper(desk, "UPDATE object SET body = replace(body, '\"n\":1', '\"n\":7') WHERE id = 'r1'")
    shown = await run(directory, "sign", "status")
    assert shown.exit_code == 1
    assert "bad" in shown.output


async def test_the_log_is_verified_in_the_database_and_offline(chained: tuple[Desk, Path]) -> None:
    desk, directory = chained
    copy, later = directory / "copy", directory / "later"
    done = await run(directory, "log", "export", str(copy))
    assert done.exit_code == 0, done.output
    root = fingerprint(parse((directory / "pki" / "root.pem").read_bytes())[0]).hex()
    await desk.put("r1", n=2)
    await desk.publish()
    await run(directory, "log", "export", str(later))
    for arguments in (
        (),
        ("--copy", str(copy)),
        (str(later), "--copy", str(copy), "--root", root, "--name", NAME),
        (str(copy),),
    ):
        done = await run(directory, "log", "verify", *arguments)
        assert done.exit_code == 0, done.output
        assert "0 problems" in done.output
    for arguments, said in (
        ((str(copy), "--copy", str(later)), "missing"),
        ((str(later), "--root", "ab" * 32), "not trusted"),
        ((str(later), "--root", root, "--name", "else.example.org"), "not signed"),
    ):
        done = await run(directory, "log", "verify", *arguments)
        assert done.exit_code == 1, done.output
        assert said in done.output
    assert (await run(directory, "log", "verify", str(later), "--root", "x")).exit_code == 2


async def test_a_touched_log_is_told_by_the_command_and_by_doctor(chained: tuple[Desk, Path]) -> None:
    desk, directory = chained
    assert "publications" not in (await run(directory, "doctor")).output
    await tamper(desk, "UPDATE publication_log SET author = 'account:eve' WHERE number = 2")
    for command in (("log", "verify"), ("doctor",)):
        done = await run(directory, *command)
        assert done.exit_code == 1
        assert "the entry is not what it was when it was written" in done.output
    await tamper(desk, "DELETE FROM publication_log")
    assert "publications" in (await run(directory, "doctor", "--json")).output


async def test_what_is_no_copy_is_refused(tmp_path: Path) -> None:
    for content in ("[]", "{", '{"number": 1}', "\udc00".encode("utf-8", "surrogatepass").decode("latin-1")):
        (tmp_path / "file").write_text(content)
        done = await asyncio.to_thread(CliRunner().invoke, main, ["log", "verify", str(tmp_path / "file")])
        assert done.exit_code == 1
        assert "not an entry of the log" in done.output
