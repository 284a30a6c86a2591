"""The janitor: whatever a test transaction leaves behind is cleaned up, also when the prober was killed in between.

Before a step that changes something over there is sent, an intent is on the disk: the run's id, the values so far and
the clean-up steps, so that a new prober can do all of it without the probe. After each step that took values the
intent is written again. A step whose answer was never read may still be at work over there: clean-up steps that go by
`{run}` are repeated until `settle_seconds` are over. An intent is removed only when its clean-up succeeded; until then
its probe changes nothing more over there: it fails where the target refuses the clean-up, and is blind where we
cannot do it.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from cemd.kit.clock import Clock
from cemd.kit.files import sync_folder, write_durably
from cemd.kit.logs import SaidOnce
from cemd.kit.retry import Backoff
from cemd.kit.tasks import wait_or_stop
from cemd.monitor.probes.base import Blind, IpVersion, Missed, Reason, read_secret
from cemd.monitor.probes.engines.sockets import SocketParams
from cemd.monitor.probes.engines.steps import Step, perform, right_status, taken
from cemd.monitor.probes.engines.web import WebEngine

GIVE_UP_SECONDS = 86_400.0
"""After a day without success a person must look: the intent is set aside as `.lost` and said as an error."""
HOUR = 3600.0
_GONE = frozenset({404, 410})
_T = TypeVar("_T")


class Intent(msgspec.Struct, kw_only=True):
    """What a run may have left behind, and how to undo it. `steps` are `Step` models as JSON."""

    probe: str
    run: str
    steps: list[msgspec.Raw]
    values: dict[str, Any]
    secret_files: dict[str, str]
    ca_file: str | None
    ip_version: str
    source_address: str | None = None
    vrf: str | None = None
    dscp: int = 0
    within_seconds: float
    settle_seconds: float
    began_at: float
    in_doubt: bool = False
    """True while a changing step was sent and its answer not read."""

    def way(self) -> SocketParams:
        """How its packets leave this host: as those of its run did."""
        return SocketParams(
            ip_version=IpVersion(self.ip_version),
            source_address=self.source_address,
            vrf=self.vrf,
            dscp=self.dscp,
        )


@dataclass(slots=True)
class _Duty:
    """A clean-up at work."""

    probe: str
    nudge: asyncio.Event = field(default_factory=asyncio.Event)
    clean: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when everything known was undone once."""
    turned: asyncio.Event = field(default_factory=asyncio.Event)
    """Set at the end of every go."""
    trouble: Missed | Blind | None = None
    task: asyncio.Task[None] | None = None


class Janitor:
    """One a prober. Without a state folder (a single run by hand) it cleans up all the same, but survives no crash."""

    def __init__(self, state: Path | None, engine: WebEngine, *, clock: Clock, log: Any) -> None:
        self._folder = state / "cleanups" if state is not None else None
        self._engine = engine
        self._clock = clock
        self._log = log
        self._said = SaidOnce(log)
        self._duties: dict[str, _Duty] = {}
        self._spent: dict[str, list[float]] | None = None
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="cemd-intents")
        if self._folder is not None:
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)

    async def recover(self) -> int:
        """Takes up every clean-up that an earlier prober owed; answers how many. Called before any probe runs."""
        intents = await self._in_thread(self._read_all)
        for intent in intents:
            self._log.warning("cleanup.recovered", probe=intent.probe, run=intent.run, in_doubt=intent.in_doubt)
            self.clean(intent)
        return len(intents)

    async def write(self, intent: Intent) -> None:
        """Makes an intent durable. What is to be sent is sent only after this returned.

        Raises:
            OSError: the disk does not take it: then nothing may be sent.
        """
        if self._folder is not None:
            await self._in_thread(write_durably, self._folder / f"{intent.run}.json", msgspec.json.encode(intent))

    def clean(self, intent: Intent) -> None:
        """Begins to undo; never waits. It goes on, with growing pauses, until it succeeded."""
        duty = self._duties[intent.run] = _Duty(intent.probe)
        duty.task = asyncio.get_running_loop().create_task(self._clean(intent, duty), name=f"cleanup:{intent.run}")
        duty.task.add_done_callback(lambda _: self._duties.pop(intent.run, None))

    def outstanding(self) -> int:
        """Clean-ups that are not done."""
        return len(self._duties)

    async def ready(self, probe: str, within_seconds: float) -> None:
        """Waits until all that earlier runs of the probe left behind is undone; what waits is tried again once, now.

        Raises:
            Missed: the target refuses the clean-up, or did not do it in time.
            Blind: we cannot clean up.
        """
        for duty in [duty for duty in self._duties.values() if duty.probe == probe and not duty.clean.is_set()]:
            duty.turned.clear()
            duty.nudge.set()
            try:
                async with asyncio.timeout(max(0.0, within_seconds)):
                    await duty.turned.wait()
            except TimeoutError:
                pass  # judged below, as a go that failed
            if not duty.clean.is_set():
                words = f"what an earlier run left behind cannot be undone: {duty.trouble or 'no answer in time.'}"
                if isinstance(duty.trouble, Blind):
                    raise Blind(Reason.CLEANUP_OUTSTANDING, words)
                raise Missed(Reason.CLEANUP_OUTSTANDING, words)

    async def may_spend(self, probe: str, per_hour: int) -> bool:
        """Takes one run out of the probe's budget of side effects, which outlives the process.

        The first half of an hour's budget may go at once; the other half is spread evenly, so that a probe that runs
        too often becomes rarer instead of blind for half an hour.
        """
        now = self._clock.now()
        if self._spent is None:
            self._spent = await self._in_thread(self._read_spent)
        recent = [at for at in self._spent.get(probe, []) if now - HOUR < at <= now]
        spread = len(recent) > per_hour // 2 and now - recent[-1] < HOUR / per_hour - 0.5
        if len(recent) >= per_hour or spread:
            return False
        self._spent[probe] = [*recent, now]
        if self._folder is not None:
            document = msgspec.json.encode(self._spent)
            with contextlib.suppress(OSError):  # a full disk: the intent's own write refuses right after this
                await self._in_thread(write_durably, self._folder / "spent", document)
        return True

    async def aclose(self, within_seconds: float = 1.5) -> None:
        """Gives what is outstanding a little time; what is not done by then is on the disk for the next prober."""
        duties = list(self._duties.values())
        waiting = [asyncio.create_task(duty.clean.wait(), name="cleanup") for duty in duties]
        if waiting:
            await asyncio.wait(waiting, timeout=within_seconds)
        tasks = [*waiting, *(duty.task for duty in duties if duty.task is not None)]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._thread.shutdown(wait=False)

    # Undoing.

    async def _clean(self, intent: Intent, duty: _Duty) -> None:
        loop = asyncio.get_running_loop()
        waits = Backoff(first_seconds=0.5, longest_seconds=300.0)
        settled_at = loop.time() + intent.settle_seconds
        steps = [Step.model_validate_json(bytes(raw)) for raw in intent.steps]
        while True:
            begun = loop.time()
            succeeded = await self._pass(intent, duty, steps)
            if succeeded:
                steps = [step for step in steps if "run" in step.placeholders() or step.take]
                done = not intent.in_doubt or begun >= settled_at or not steps
                if done:
                    await self._forget(intent)  # before `clean` is said: a stop waits for no more than that
                if not duty.clean.is_set():
                    duty.clean.set()
                    waits.reset()
                duty.turned.set()
                if done:
                    self._said.back(intent.run, "cleanup.done", probe=intent.probe, run=intent.run)
                    return
            duty.turned.set()
            if self._clock.now() - intent.began_at > GIVE_UP_SECONDS:
                await self._set_aside(intent)
                return
            pause = waits.next_delay()
            if succeeded:
                pause = max(0.05, min(pause, settled_at - loop.time()))
            await wait_or_stop(duty.nudge, pause)
            duty.nudge.clear()

    async def _pass(self, intent: Intent, duty: _Duty, steps: list[Step]) -> bool:
        """One go through the clean-up steps; True when all that could run succeeded."""
        values = dict(intent.values)
        ran = 0
        try:
            values |= {name: read_secret(path) for name, path in intent.secret_files.items()}
            for step in steps:
                if step.placeholders() <= values.keys():
                    ran += 1
                    values |= await self._undo(intent, step, values)
        except (Missed, Blind) as exc:
            duty.trouble = exc
            self._said.gone(intent.run, "cleanup.failing", probe=intent.probe, run=intent.run, error=str(exc))
            return False
        if steps and not ran:
            words = "no clean-up step can run without values that were never read; send {run} and clean up by it."
            self._log.error("cleanup.impossible", probe=intent.probe, run=intent.run, error=words)
        return True

    async def _undo(self, intent: Intent, step: Step, values: Mapping[str, Any]) -> dict[str, Any]:
        """Sends one clean-up step; answers what it took for the steps after it.

        Raises:
            Missed, Blind: it did not succeed.
        """
        answer = await perform(
            self._engine, step, values, intent.within_seconds, ca_file=intent.ca_file, way=intent.way()
        )
        if not right_status(step, answer.status, _GONE):
            raise Missed(Reason.STATUS_UNEXPECTED, f"clean-up step {step.name} answered {answer.status}.")
        return {} if answer.status in _GONE else taken(step, answer)

    # The disk.

    async def _forget(self, intent: Intent) -> None:
        if self._folder is not None:
            await self._in_thread(_remove, self._folder / f"{intent.run}.json")

    async def _set_aside(self, intent: Intent) -> None:
        self._log.error("cleanup.lost", probe=intent.probe, run=intent.run, remedy="remove the test order by hand")
        if self._folder is not None:
            file = self._folder / f"{intent.run}.json"
            await self._in_thread(file.rename, file.with_suffix(".lost"))

    def _read_all(self) -> list[Intent]:
        intents = []
        for file in sorted(self._folder.glob("*.json")) if self._folder is not None else []:
            try:
                intents.append(msgspec.json.decode(file.read_bytes(), type=Intent))
            except (OSError, msgspec.DecodeError, ValueError) as exc:
                self._log.error("cleanup.unreadable", file=file.name, error=type(exc).__name__)
                file.rename(file.with_suffix(".lost"))
        return intents

    def _read_spent(self) -> dict[str, list[float]]:
        try:
            content = (self._folder / "spent").read_bytes() if self._folder is not None else b"{}"
            return msgspec.json.decode(content, type=dict[str, list[float]])
        except (OSError, msgspec.DecodeError):
            return {}

    async def _in_thread(self, work: Callable[..., _T], *arguments: Any) -> _T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work, *arguments)


def _remove(file: Path) -> None:
    file.unlink(missing_ok=True)
    sync_folder(file.parent)
