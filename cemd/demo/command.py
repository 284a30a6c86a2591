"""`cemd demo`: DemoTelco is opened, the ordinary daemon watches it, something breaks, and the story is told live.

The daemon is only asked through its HTTP API, and judged by what really arrived in the mail sink. All of it ends with
the command: processes by their ids, files with the scratch folder (unless they are kept).
"""

from __future__ import annotations

import asyncio
import json
import shutil
import signal
import sys
import tempfile
import time
from asyncio.subprocess import Process
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import aiohttp

from cemd.config.yaml import parse
from cemd.demo import files
from cemd.demo.faults import NEEDS_SECONDS, time_line
from cemd.demo.house import TelcoProcess, ask_command_line, end, free_port, start_daemon
from cemd.demo.population import expected_addresses, people, write_csv
from cemd.demo.sinks import Mail, read_alerts, read_mails
from cemd.demo.story import Api, Story
from cemd.demo.verdict import FaultRecord, Judgement, Subjects, judge, problems_of
from cemd.errors import CemdError

SEED = 1
READY_SECONDS = 60.0
LOOK_SECONDS = 0.5
SETTLE_SECONDS = 4.0
"""After the last expected mail: a mail too many would come now."""
INTERRUPTED = 130


def run_demo(*, seconds: float | None, port: int, keep: bool, as_json: bool) -> int:
    """Runs the demo; returns the exit code, 0 only if everything was found, named, told and ended rightly."""
    missing = [name for name in ("aiosmtpd", "amqtt") if find_spec(name) is None]
    if missing:
        print(f"cemd demo: {' and '.join(missing)} are not installed; install cemd[demo].", file=sys.stderr)
        return 1
    return asyncio.run(_demo(seconds, port=port, keep=keep, as_json=as_json))


async def _demo(seconds: float | None, *, port: int, keep: bool, as_json: bool) -> int:
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopping.set)
    scratch = Path(tempfile.mkdtemp(prefix="cemd-demo-"))
    demo = Demo(scratch, seconds=seconds, keep=keep, stopping=stopping, out=sys.stderr if as_json else sys.stdout)
    try:
        async with AsyncExitStack() as owned:
            await demo.open(owned, port)
            await demo.watch()
            await demo.count_notices()
        return demo.report(as_json=as_json)
    except CemdError as exc:
        print(f"cemd demo: {exc}", file=sys.stderr)
        demo.show_log()
        return 1
    finally:
        if keep:
            demo.say("kept", f"files, state and mails are in {scratch}")
        else:
            shutil.rmtree(scratch, ignore_errors=True)


class Demo:
    """One run: what was started, what was broken, what was seen."""

    def __init__(self, scratch: Path, *, seconds: float | None, keep: bool, stopping: asyncio.Event, out: Any) -> None:
        self._scratch = scratch
        self._keep = keep
        self._seconds = seconds
        self._stopping = stopping
        self._out = out
        self._began = time.monotonic()
        self._opened = self._began
        """When cemd began to watch; a slow start costs the story no time."""
        self._telco: TelcoProcess
        self._daemon: Process
        self._api: Api
        self._story: Story
        self._subjects: Subjects
        self._page = ""
        self._people = list(people(seed=SEED))
        self._records = [
            FaultRecord(fault=fault, expected=frozenset(expected_addresses(fault, self._people)))
            for fault in time_line(seconds)
        ]
        self._incidents: list[Mapping[str, Any]] = []
        self._communications: list[Mapping[str, Any]] = []
        self._mails: list[Mail] = []
        self._judged: list[Judgement] = []
        """As of the newest look."""
        self._notices: dict[str, Counter[str]] = {}
        self._settled_at: float | None = None
        self._was_stopped = False

    def say(self, mark: str, words: str) -> None:
        """One line of the story."""
        now = time.monotonic() - self._began
        print(f"{now:7.1f} s  {mark:<9} {words}", file=self._out, flush=True)

    async def open(self, owned: AsyncExitStack, port: int) -> None:
        """Starts DemoTelco and the daemon, and waits until it is ready.

        Raises:
            CemdError: one of them did not come up.
        """
        sink = self._scratch / "sink"
        sink.mkdir()
        self._telco = await TelcoProcess.start(sink, seed=SEED)
        owned.push_async_callback(self._telco.stop)
        files.write_copy(self._scratch, self._telco.ports)
        write_csv(self._scratch / "customers.csv", self._people)
        self._say_banner()
        free = free_port(port)
        if port and free != port:
            self.say("demo", f"port {port} is taken by another program: the page is on port {free} instead")
        self._page = f"http://127.0.0.1:{free}/"
        self._daemon = await start_daemon(self._scratch, free)
        owned.push_async_callback(end, self._daemon)
        client = await owned.enter_async_context(aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10)))
        self._api = Api(client, self._page)
        self._subjects = _subjects(self._scratch)
        self._story = Story(self.say, self._subjects, self._scratch)
        await self._ready()
        self.say("cemd", f"watches DemoTelco. The page: {self._page}")
        first = min(record.fault.begins_after_seconds for record in self._records)
        self.say("demo", f"something breaks in {first:g} s: open the page now, and look at it while this goes on")

    def _say_banner(self) -> None:
        self.say(
            "demo", f"DemoTelco is open: {len(self._telco.ports)} ports on loopback, {len(self._people)} customers"
        )
        self.say("demo", f"files, state, mails: {self._scratch}")
        self.say("demo", "the shipped files, made quick for a short look:")
        for words in files.SHORTENED:
            self.say("", f"  {words}")

    async def _ready(self) -> None:
        try:
            async with asyncio.timeout(READY_SECONDS):
                while not await self._is_ready():
                    if self._daemon.returncode is not None:
                        raise CemdError(
                            f"the daemon ended with exit code {self._daemon.returncode}; its last words follow."
                        )
                    if await self._stopped_within(0.25):
                        return
        except TimeoutError as exc:
            raise CemdError(f"the daemon was not ready within {READY_SECONDS:g} s; its last words follow.") from exc

    async def _is_ready(self) -> bool:
        if not await self._api.is_ready():
            return False
        return bool((await self._api.document("overview")).get("customers") == len(self._people))

    def _daemon_must_live(self) -> None:
        if self._daemon.returncode is not None:
            raise CemdError(f"the daemon ended with exit code {self._daemon.returncode}; its last words follow.")

    async def watch(self) -> None:
        """Lets the faults happen and follows what comes of them, until all is settled, time is over, or Ctrl-C."""
        self._opened = opened = time.monotonic()
        while True:
            elapsed = time.monotonic() - opened
            await self._break_and_mend(elapsed)
            await self._look()
            self._daemon_must_live()
            if self._is_finished():
                return
            if await self._stopped_within(LOOK_SECONDS):
                self._was_stopped = True
                return

    def _is_finished(self) -> bool:
        """Settled for a while where an end was asked for, or out of time."""
        settled = self._is_settled(self._judged)
        if settled and self._settled_at is None:
            self._settled_at = time.monotonic()
            if self._seconds is None:
                self.say("demo", f"that was it. The page stays open: {self._page}")
                leave = "stay" if self._keep else "go with it; --keep keeps them"
                self.say("demo", f"End with Ctrl-C; files, state and mails {leave}.")
        if self._seconds is None:
            return False
        if self._settled_at is not None and time.monotonic() - self._settled_at > SETTLE_SECONDS:
            return True
        return time.monotonic() - self._opened > self._seconds

    def _is_settled(self, judgements: Sequence[Judgement]) -> bool:
        return len(judgements) == len(self._records) and all(one.is_settled for one in judgements)

    async def _break_and_mend(self, elapsed: float) -> None:
        told = {one.record.fault.name for one in self._judged if one.all_told}
        for record in self._records:
            fault = record.fault
            if record.began_at is None and elapsed >= fault.begins_after_seconds:
                self._story.fault_began(fault)
                record.began_at = await self._telco.begin(fault)
            elif record.is_due_to_end(time.time(), all_told=fault.name in told):
                record.ended_at = await self._telco.end_fault(fault)
                self._story.fault_ended(fault)

    async def _look(self) -> None:
        self._incidents = await self._api.items("incidents") or self._incidents
        self._communications = await self._api.items("communications") or self._communications
        self._mails = read_mails(self._scratch / "sink" / "mail")
        begun = [record.began_at for record in self._records if record.began_at is not None]
        self._story.look(self._incidents, self._communications, self._mails, max(begun, default=None))
        oldest_first = sorted(self._incidents, key=lambda one: float(one["opened_at"]["epoch"]))
        self._judged = judge(self._records, oldest_first, self._mails, self._subjects)

    async def count_notices(self) -> None:
        """Asks the command line, as an operator would, what became of the notices."""
        for communication in await ask_command_line(self._scratch, "notices"):
            for phase, states in communication["notices"].items():
                self._notices.setdefault(phase, Counter()).update(states)

    async def _stopped_within(self, seconds: float) -> bool:
        try:
            async with asyncio.timeout(seconds):
                await self._stopping.wait()
        except TimeoutError:
            return False
        return True

    def report(self, *, as_json: bool) -> int:
        """Prints what happened; returns the exit code."""
        judgements = self._judged
        if self._was_stopped and not self._is_settled(judgements):
            self.say("demo", "stopped before the story was told to its end")
            return INTERRUPTED
        problems = problems_of(judgements, self._mails)
        if as_json:
            print(json.dumps(self._document(judgements, problems), indent=2))
        for problem in problems:
            self.say("wrong", problem)
        if not problems:
            told = sum(len(one.record.expected) for one in judgements)
            self.say("right", f"found, cause named, {told} people told and told again when it was over, nobody else")
        elif self._seconds is not None and self._seconds < NEEDS_SECONDS:
            self.say("demo", f"the whole story needs about {NEEDS_SECONDS:g} s; use --for 120")
        return 1 if problems else 0

    def _document(self, judgements: Sequence[Judgement], problems: Sequence[str]) -> dict[str, Any]:
        return {
            "ok": not problems,
            "problems": list(problems),
            "seconds": round(time.monotonic() - self._began, 1),
            "customers": len(self._people),
            "faults": [one.document() for one in judgements],
            "incidents": [_incident(one) for one in self._incidents],
            "communications": [_communication(one) for one in self._communications],
            "notices": {phase: dict(states) for phase, states in self._notices.items()},
            "mails": dict(Counter(self._subjects.phase_of(mail.subject) for mail in self._mails)),
            "staff_alerts": dict(Counter(read_alerts(self._scratch / "sink"))),
        }

    def show_log(self) -> None:
        """The last lines of both logs, where something did not come up."""
        for log in (self._scratch / "telco.log", self._scratch / "daemon.log"):
            if log.exists():
                print("\n".join(log.read_text(errors="replace").splitlines()[-15:]), file=sys.stderr)


def _subjects(scratch: Path) -> Subjects:
    tree: Any = parse((scratch / "rules" / "report" / "customers.yaml").read_bytes(), "customers.yaml").tree
    return Subjects(tree["policies"])


def _incident(one: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "id": one["id"],
        "state": one["state"],
        "cause": one["cause"]["service"],
        "confidence": one["cause"]["confidence"],
        "opened_at": one["opened_at"]["epoch"],
        "resolved_at": one["resolved_at"]["epoch"] if one["resolved_at"] else None,
        "services": one["impact"]["services"],
        "journeys": one["impact"]["journeys"],
        "customers": one["impact"]["customers"],
    }


def _communication(one: Mapping[str, Any]) -> dict[str, Any]:
    wanted = ("id", "incidents", "state", "services", "told", "states", "reasons")
    return {name: one[name] for name in wanted}
