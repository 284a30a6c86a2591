"""A run that a person asks for, in the real daemon: its prober measures a peer that counts, and the view shows it."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from asyncio import StreamReader, StreamWriter
from asyncio.subprocess import DEVNULL, PIPE
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession
from cemd.improve.asked import MOST_OF_ONE
from cemd.kit.parent import end_with_starter
from cemd.store.sqlite import open_state_readers

from tests.daemon.test_reload import SERVICES
from tests.monitor.daemon_side import until

HERE = {"X-Cemd-Request": "1"}
PROBE = """
  - {{name: {name}, kind: http, service: web, every_seconds: 86400, timeout_seconds: 50, moment_of_truth: true, {more}
     params: {{url: "http://127.0.0.1:{port}/{name}"}}}}
"""


class Peer:
    """Counts requests by path, and answers none while it holds."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.lets_go = asyncio.Event()
        self.lets_go.set()

    async def serve(self, reader: StreamReader, writer: StreamWriter) -> None:
        path = (await reader.readuntil(b"\r\n\r\n")).split()[1].decode().strip("/")
        self.asked.append(path)
        if path == "held":
            await self.lets_go.wait()
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        await writer.drain()
        writer.close()

    def times(self, path: str) -> int:
        return self.asked.count(path)


def write(root: Path, port: int) -> None:
    weekday = (datetime.now() + timedelta(days=3)).strftime("%A").lower()  # noqa: DTZ005 -- days away from any zone
    probes = {
        "held": "",
        "other": "uid: other-uid,",
        "behind": "",
        "last": "",
        "far": "vantages: [elsewhere],",
        "asleep": f"active: {{days: [{weekday}], begin: '10:00', end: '11:00', zone: UTC}},",
    }
    for folder in ("config/catalogue", "probes"):
        (root / folder).mkdir(parents=True)
    (root / "config/cemd.yaml").write_text(
        "tick_seconds: 0.5\ntargets: {loopback: true}\nvantages: [{name: elsewhere}]\n"
    )
    (root / "config/catalogue/services.yaml").write_text(SERVICES.format(title="Portal"))
    lines = (PROBE.format(name=name, port=port, more=more) for name, more in probes.items())
    (root / "probes/web.yaml").write_text("probes:" + "".join(lines))


class Asker:
    """Whoever asks the daemon's API."""

    def __init__(self, client: ClientSession, page: str) -> None:
        self._client, self._page = client, page

    async def run(self, probe: str) -> tuple[int, Any]:
        path, said = f"{self._page}api/v1/probes/{probe}/run", {"actor": "ana", "note": "a look"}
        async with self._client.post(path, json=said, headers=HERE) as answer:
            return answer.status, await answer.json()

    async def outcome(self, probe: str) -> str:
        """Of the newest attempt, once there is one."""
        async with asyncio.timeout(60):
            while True:
                async with self._client.get(f"{self._page}api/v1/probes/{probe}") as answer:
                    if answer.status == 200:
                        return str((await answer.json())["probe"]["outcome"])
                await asyncio.sleep(0.1)

    async def until_a_prober_is_there(self, probe: str) -> None:
        async with asyncio.timeout(60):
            while (await self.run(probe))[1].get("probers") != 1:
                await asyncio.sleep(2.0)  # ten times a minute is all that is obeyed


@asynccontextmanager
async def daemon(root: Path) -> AsyncIterator[Asker]:
    words = ("run", "--root", str(root), "--state", str(root / "state"), "--port", "0", "--log-json")
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "cemd", *words, stdout=DEVNULL, stderr=PIPE, env=dict(os.environ),
        preexec_fn=end_with_starter,
    )  # fmt: skip
    assert process.stderr is not None
    page = ""
    async with asyncio.timeout(60):
        while not page:
            line = await process.stderr.readline()
            assert line, "the daemon ended before it started"
            page = json.loads(line).get("page", "") if line.startswith(b"{") else ""
    rest = asyncio.create_task(process.stderr.read())
    try:
        async with ClientSession() as client:
            yield Asker(client, page)
    finally:
        process.terminate()
        await process.wait()
        await rest


@pytest.fixture
async def peer() -> AsyncIterator[tuple[Peer, int]]:
    made = Peer()
    server = await asyncio.start_server(made.serve, "127.0.0.1", 0)
    try:
        yield made, server.sockets[0].getsockname()[1]
    finally:
        made.lets_go.set()
        server.close()


async def test_a_run_is_made_at_once_and_a_hundred_askings_make_one_more(
    tmp_path: Path, peer: tuple[Peer, int]
) -> None:
    made, port = peer
    write(tmp_path, port)
    async with daemon(tmp_path) as asker:
        assert (await asker.run("nobody"))[0] == 404
        await asker.until_a_prober_is_there("other")
        await until(lambda: made.times("other"), what="the first run")
        assert await asker.outcome("other-uid") == "ok"

        made.lets_go.clear()
        first = await asker.run("held")
        assert first[1] == {"seq": first[1]["seq"], "kind": "run", "subject": "held", "probers": 1, "active": True}
        await until(lambda: made.times("held"), what="the run that is held")
        answers = await asyncio.gather(*(asker.run("held") for _ in range(100)))
        assert Counter(status for status, _ in answers) == {200: MOST_OF_ONE - 1, 429: 101 - MOST_OF_ONE}
        taken = [said["seq"] for status, said in answers if status == 200]
        (words,) = {said["error"]["remedy"][:12] for status, said in answers if status == 429}
        assert words == "ask again in"
        await asker.run("behind")  # it is asked for behind the hundred, and so run when the prober has heard them all
        await until(lambda: made.times("behind"), what="the run behind the hundred")
        assert made.times("held") == 1, "one at a time"
        made.lets_go.set()
        await until(lambda: made.times("held") == 2, what="the one more run")
        assert await asker.outcome("held") == "ok"
        await asker.run("last")
        await until(lambda: made.times("last"), what="a run behind all others")
        assert made.times("held") == 2, "and no more than that"
    rows = [json.loads(row) for _, row in open_state_readers(tmp_path / "state").rows("asked_run")]
    of_held = [row for row in rows if row["probe"] == "held"]
    assert len(of_held) == 101, "each is in the audit trail"
    assert {row["seq"] for row in of_held if not row["reason"]} == {first[1]["seq"], *taken}
    assert {(row["actor"], row["note"]) for row in of_held} == {("ana", "a look")}


async def test_of_a_run_that_cannot_be_the_answer_says_why(tmp_path: Path, peer: tuple[Peer, int]) -> None:
    made, port = peer
    write(tmp_path, port)
    async with daemon(tmp_path) as asker:
        await asker.until_a_prober_is_there("asleep")
        _, far = await asker.run("far")
        assert (far["probers"], far["active"]) == (0, True)
        _, asleep = await asker.run("asleep")
        assert (asleep["probers"], asleep["active"]) == (1, False)
        assert await asker.outcome("asleep") == "blind"
    assert made.asked == []
