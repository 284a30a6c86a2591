"""transaction: typed HTTP steps through a business process, values carried along, and a clean-up that always runs.

The steps of a run stop at the first that fails; the clean-up is handed to the janitor in any case (success, failure,
timeout, cancellation, and by the intent on the disk also kill -9), and a run begins only when that of the run before
is done. A budget bounds how often things are changed over there.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Annotated, Any, ClassVar
from urllib.parse import urlsplit

import msgspec
from pydantic import Field, model_validator

from cemd.model.quality import Outcome
from cemd.monitor.probes.attempts import blinded
from cemd.monitor.probes.base import (
    Attempt,
    Blind,
    Missed,
    ProbeParams,
    Reading,
    Reason,
    Result,
    Secrets,
    Text,
    Way,
    read_secret,
)
from cemd.monitor.probes.engines.janitor import Intent
from cemd.monitor.probes.engines.requests import Answer
from cemd.monitor.probes.engines.seen import seen_words
from cemd.monitor.probes.engines.sockets import SocketParams
from cemd.monitor.probes.engines.steps import Step, ValueName, Wait, judge, perform, taken
from cemd.monitor.probes.tools import Tools
from cemd.monitor.protocols.conditions import decode_json, parse_condition

_MARGIN_SECONDS = 0.05
"""A run ends this long before its deadline, so that the steps that were done are told."""


class SideEffects(ProbeParams):
    """How often things may be changed over there."""

    per_hour: Annotated[int, Field(ge=1, le=3600)] = 120
    """Most runs in any hour; beyond it the probe is blind. Kept through restarts."""


class TransactionParams(SocketParams):
    """Steps, and how to undo them."""

    run_time_values: ClassVar[bool] = True

    side_effects: SideEffects = SideEffects()
    """Budget of runs that change something over there."""
    steps: Annotated[tuple[Step, ...], Field(min_length=1, max_length=50)]
    """What a customer or an agent would do, in order; the first step that fails ends the run."""
    cleanup: Annotated[tuple[Step, ...], Field(max_length=50)] = ()
    """Steps that undo, in order; one that needs a value which was never taken is left out. Undo by `{run}` too where a
    step can send it, so that an order whose answer was lost is found."""
    secret_files: dict[ValueName, Text] = Field(
        default={}, description="Values read from files for each run; never logged, never kept elsewhere."
    )
    target: str = ""
    """What is measured, as the series should say; default: the host of the first step."""
    ca_file: Text | None = None
    """Certificate authorities that are trusted; default: those of the system."""
    cleanup_timeout_seconds: Annotated[float, Field(gt=0, le=600)] = 10.0
    """For each clean-up step; it is tried again with growing pauses until it succeeds."""
    settle_seconds: Annotated[float, Field(ge=0, le=3600)] = 30.0
    """How long a step whose answer was never read may still be at work over there: the clean-up is repeated so long."""

    def hosts(self) -> tuple[tuple[Way, str], ...]:
        """Of the steps, those of the clean-up too, whose URL names its host without a value that is taken while it
        runs."""
        found: list[tuple[Way, str]] = []
        for key, steps in (("steps", self.steps), ("cleanup", self.cleanup)):
            for place, step in enumerate(steps):
                parts = urlsplit(step.call.url)
                if parts.netloc and "{" not in parts.netloc:
                    found.append(((key, place), parts.hostname or ""))
        return tuple(found)

    @model_validator(mode="after")
    def _whole(self) -> TransactionParams:
        names = [step.name for step in (*self.steps, *self.cleanup)]
        twice = {name for name in names if names.count(name) > 1}
        if twice:
            raise ValueError(f"step names occur twice: {', '.join(sorted(twice))}; give each its own")
        known = _check_values(self.steps, {"run", *self.secret_files})
        _check_values(self.cleanup, known)
        return self


def _check_values(steps: Iterable[Step], known: set[str]) -> set[str]:
    """Every placeholder must be known at its step.

    Raises:
        ValueError: one is not.
    """
    for step in steps:
        unknown = step.placeholders() - known
        if unknown:
            words = ", ".join(f"{{{name}}}" for name in sorted(unknown))
            raise ValueError(f"step {step.name}: {words} is taken by no step before it; take it, or add it to values")
        known = known | set(step.take)
    return known


class Transaction:
    """`step_seconds` for each step that was begun, with the label `step`."""

    word: ClassVar[str] = "transaction"
    Params: ClassVar[type[ProbeParams]] = TransactionParams
    metrics: ClassVar[frozenset[str] | None] = frozenset({"step_seconds"})

    def __init__(self, params: TransactionParams, tools: Tools) -> None:
        self._params = params
        self._engine = tools.web
        self._janitor = tools.janitor
        self._clock = tools.clock

    @property
    def target(self) -> str:
        return self._params.target or self.group

    @property
    def group(self) -> str:
        return urlsplit(self._params.steps[0].call.url).netloc

    async def run(self, attempt: Attempt) -> Result:
        await self._janitor.ready(attempt.probe, attempt.remaining() - _MARGIN_SECONDS)
        changing = any(step.changes() for step in self._params.steps)
        if changing and not await self._janitor.may_spend(attempt.probe, self._params.side_effects.per_hour):
            raise Blind(Reason.BUDGET_SPENT, "side_effects.per_hour is spent; probe less often or allow more.")
        return await _Run(self, attempt).go()

    def intent(self, attempt: Attempt) -> Intent:
        """What this run may leave behind, before it began."""
        params = self._params
        return Intent(
            probe=attempt.probe,
            run=attempt.run,
            steps=[msgspec.Raw(step.model_dump_json(by_alias=True).encode()) for step in params.cleanup],
            values={"run": attempt.run},
            secret_files=dict(params.secret_files),
            ca_file=params.ca_file,
            ip_version=params.ip_version,
            source_address=params.source_address,
            vrf=params.vrf,
            dscp=params.dscp,
            within_seconds=params.cleanup_timeout_seconds,
            settle_seconds=params.settle_seconds,
            began_at=self._clock.now(),
        )


class _Run:
    """One run: the values so far, the intent, and the seconds of each step."""

    def __init__(self, kind: Transaction, attempt: Attempt) -> None:
        self._params: TransactionParams = kind._params  # noqa: SLF001 -- a run is part of its kind
        self._engine = kind._engine  # noqa: SLF001
        self._janitor = kind._janitor  # noqa: SLF001
        self._attempt = attempt
        self._intent = kind.intent(attempt)
        self._begun = False
        self._secrets = Secrets()
        self._values: dict[str, Any] = {"run": attempt.run}
        self._readings: list[Reading] = []

    async def go(self) -> Result:
        loop = asyncio.get_running_loop()
        began = loop.time()
        for name, path in self._params.secret_files.items():
            self._values[name] = read_secret(path)
            self._secrets.texts.append(str(self._values[name]))
        name = ""
        try:
            async with asyncio.timeout(max(0.0, self._attempt.remaining() - _MARGIN_SECONDS)):
                for step in self._params.steps:
                    name = step.name
                    await self._step(step)
        except TimeoutError as exc:
            if (blind := blinded(exc)) is not None:
                raise blind from exc
            words = f"step {name}: not done before the deadline."
            raise Missed(Reason.NO_ANSWER, words, outcome=Outcome.TIMED_OUT, readings=tuple(self._readings)) from exc
        except Missed as missed:
            words = self._secrets.hide(f"step {name}: {missed.detail}")
            raise Missed(missed.reason, words, outcome=missed.outcome, readings=tuple(self._readings)) from missed
        finally:
            if self._begun:
                self._janitor.clean(self._intent)
        return Result(
            outcome=Outcome.OK, reason=Reason.ANSWERED, readings=tuple(self._readings), seconds=loop.time() - began
        )

    async def _step(self, step: Step) -> None:
        loop = asyncio.get_running_loop()
        if step.changes() and self._params.cleanup:
            await self._promise(in_doubt=True)
        began = loop.time()
        try:
            await self._act(step)
        finally:
            reading = Reading(metric="step_seconds", value=loop.time() - began, labels=(("step", step.name),))
            self._readings.append(reading)

    async def _act(self, step: Step) -> None:
        if step.wait is not None:
            await self._wait(step, step.wait)
            return
        answer = await self._perform(step)
        if 400 <= answer.status < 500 and step.changes():
            self._intent.in_doubt = False  # it was refused: nothing is under way over there
        judge(step, answer, self._secrets)
        await self._keep(taken(step, answer))

    async def _wait(self, step: Step, wait: Wait) -> None:
        until = parse_condition(wait.until)
        seen = ""
        try:
            async with asyncio.timeout(wait.within_seconds):
                while True:
                    answer = await self._perform(step)
                    judge(step, answer, self._secrets)
                    document = decode_json(answer.body)
                    if until.holds(document):
                        break
                    seen = f"; at last {seen_words(until, document, self._secrets)}"
                    await asyncio.sleep(wait.every_seconds)
        except TimeoutError as exc:
            if (blind := blinded(exc)) is not None:
                raise blind from exc
            words = f"{wait.until} did not come true within {wait.within_seconds:g} s{seen}."
            raise Missed(Reason.STATE_NOT_REACHED, words) from exc
        await self._keep(taken(step, answer))

    async def _perform(self, step: Step) -> Answer:
        within = self._attempt.remaining() - _MARGIN_SECONDS
        return await perform(
            self._engine,
            step,
            self._values,
            max(0.001, within),
            ca_file=self._params.ca_file,
            way=self._params,
        )

    async def _keep(self, values: dict[str, Any]) -> None:
        """Remembers what was taken, on the disk too where something may have to be undone with it."""
        self._values |= values
        self._secrets.texts.extend(str(value) for value in values.values())
        self._intent.values |= values
        if self._begun:
            self._intent.in_doubt = False
            await self._promise(in_doubt=False)

    async def _promise(self, *, in_doubt: bool) -> None:
        self._intent.in_doubt = in_doubt
        try:
            await self._janitor.write(self._intent)
        except OSError as exc:
            words = f"the clean-up cannot be promised on the disk ({exc.strerror}); nothing was sent."
            raise Blind(Reason.NO_RESOURCES, words) from exc
        self._begun = True
