"""A word of a person by the command line, against the real page; and of a label the audit row that the core writes."""

from __future__ import annotations

import asyncio
import json
import socket
from pathlib import Path

import msgspec
import pytest
from cemd.cli import main
from cemd.config.configuration import Configuration
from cemd.config.topology import Topology
from cemd.improve import stage as improve
from cemd.improve.records import FindingLabel
from cemd.model.customers import Customers
from cemd.model.effect import Effects
from cemd.model.entry import Command, CommandKind, Entry
from cemd.model.finding import Condition, Evidence, Finding, FindingPhase
from cemd.model.quality import Quality
from cemd.model.subject import Subject, SubjectKind
from cemd.web.server import WebServer
from click.testing import CliRunner, Result

from tests.web.scene import SceneHouse, rich_views

ID = "fnd-0f3d4410cc87"


def cemd(*words: str | Path) -> Result:
    return CliRunner().invoke(main, [str(word) for word in words])


async def test_it_says_the_label_to_a_running_daemon(tmp_path: Path) -> None:
    house = SceneHouse(rich_views())
    server = WebServer(house, port=0)
    await server.start()
    try:
        words = ("label", ID, "false", "--actor", "ann", "--note", "a test", "--root", tmp_path, "--url", server.url)
        result = await asyncio.to_thread(cemd, *words, "--json")
        refused = await asyncio.to_thread(cemd, "label", "inc-1", "true", "--actor", "ann", "--url", server.url)
    finally:
        await server.stop()
    assert json.loads(result.output)["kind"] == "label_false"
    (command,) = house.commands
    assert (command.kind, command.subject, command.actor) == (CommandKind.LABEL_FALSE, ID, "ann")
    assert refused.exit_code == 1
    assert "see /api/v1/findings" in refused.output


async def test_acknowledging_and_the_kill_switch_need_no_page(tmp_path: Path) -> None:
    house = SceneHouse(rich_views())
    server = WebServer(house, port=0)
    await server.start()
    more = ("--actor", "ann", "--root", tmp_path, "--url", server.url)
    try:
        taken = await asyncio.to_thread(cemd, "acknowledge", "inc-3f2a91c04d7e", *more)
        unknown = await asyncio.to_thread(cemd, "acknowledge", "inc-0/../kill", *more)
        stopped = await asyncio.to_thread(cemd, "stop-sending", *more)
        resumed = await asyncio.to_thread(cemd, "resume-sending", *more, "--json")
    finally:
        await server.stop()
    assert [(one.kind, one.subject) for one in house.commands] == [
        (CommandKind.ACKNOWLEDGE, "inc-3f2a91c04d7e"), (CommandKind.KILL, ""), (CommandKind.UNKILL, "")
    ]  # fmt: skip
    assert "acknowledged by ann" in taken.output
    assert unknown.exit_code == 1
    assert "`cemd resume-sending`" in stopped.output
    assert json.loads(resumed.output)["kind"] == "unkill"


@pytest.mark.parametrize(
    ("probers", "active", "words", "code"),
    [(1, True, "runs now, at 1 prober", 0), (0, True, "`cemd agent`", 1), (1, False, "outside of its times", 1)],
    ids=["asked", "nobody there", "not active"],
)
async def test_it_asks_for_a_run_and_says_what_becomes_of_it(
    tmp_path: Path, probers: int, active: bool, words: str, code: int
) -> None:
    house = SceneHouse(rich_views())
    house.probers, house.active = probers, active
    server = WebServer(house, port=0)
    await server.start()
    more = ("--actor", "ann", "--root", tmp_path, "--url", server.url)
    try:
        result = await asyncio.to_thread(cemd, "run-now", "payment-charge", *more)
        as_json = await asyncio.to_thread(cemd, "run-now", "payment-charge", *more, "--json")
        unknown = await asyncio.to_thread(cemd, "run-now", "no/../such", *more)
    finally:
        await server.stop()
    assert words in result.output
    assert (result.exit_code, as_json.exit_code, unknown.exit_code) == (code, code, 1)
    document = json.loads(as_json.output)
    assert (document["kind"], document["probers"], document["active"]) == ("run", probers, active)
    assert "no probe of the files has the name or uid" in unknown.output
    assert [(one.kind, one.subject) for one in house.commands] == [(CommandKind.RUN, "payment-charge")] * 2


@pytest.mark.parametrize("url", ["", "ftp://x"], ids=["nobody there", "no page"])
def test_where_no_page_answers_it_says_what_to_do(tmp_path: Path, url: str) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = url or f"http://127.0.0.1:{free.getsockname()[1]}"
    result = cemd("label", ID, "true", "--actor", "ann", "--root", tmp_path, "--url", url)
    assert result.exit_code == 1
    assert url in result.output


def said(label: str) -> Finding:
    return Finding(
        id=ID,
        trace="trc-1",
        condition=Condition.ANOMALY,
        phase=FindingPhase.ENDED,
        quality=Quality.AT_RISK,
        subject=Subject(kind=SubjectKind.SERVICE, name="web"),
        began_at=1.0,
        at=2.0,
        seq=7,
        epoch="x",
        evidence=Evidence(),
        label=label,
    )


def test_each_label_leaves_a_row_also_one_that_could_not_be_taken() -> None:
    state, topology = improve.ImproveState(), Topology(Configuration())
    for seq, found in ((7, [said("false")]), (8, [])):
        entry = Entry(
            seq=seq, at=2.0, payload=Command(kind=CommandKind.LABEL_FALSE, actor="ann", subject=ID, note="no")
        )
        improve.handle(state, entry, found, topology, Customers(), Effects())
    taken, refused = state.labels
    assert (taken.actor, taken.label, taken.note, taken.reason) == ("ann", "false", "no", "")
    assert taken.subject == "service web"
    assert "no detector made such a finding" in refused.reason
    (change, _) = state.labels.take_changes()
    assert msgspec.json.decode(change.body or b"", type=FindingLabel) == taken
