"""Connections by the batch: what is due at one moment is begun together, and good results are handed on as columns.

A connection cannot be shared as a datagram's socket can, so each run still has one. What is saved is all that a run
costs beside it: a result, its way to the record one by one, a turn of the schedule for each that ends.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, ClassVar

from cemd.model.quality import Outcome
from cemd.monitor.probes.attempts import result_of
from cemd.monitor.probes.base import Cancel, Done, Reason, Result, Values
from cemd.monitor.probes.engines.errands import AnyErrand, Landed, Landing
from cemd.monitor.probes.engines.names import Names
from cemd.monitor.probes.engines.waits import Waits


class StreamErrand(AnyErrand):
    """A connection to a numeric address, and what happens over it."""

    __slots__ = ()

    by: ClassVar[str] = "streams"

    def start(self, run: Run, deadline: float) -> Cancel:
        """Begins one run, which is told in the end what came of it, maybe before this returns; answers what gives up.

        Raises:
            Missed: the target cannot be reached.
            Blind: this host cannot look.
        """
        raise NotImplementedError


class Run:
    """One run of an errand: of a batch, or by itself."""

    __slots__ = ("_done", "_engine", "at", "began", "errand", "over", "slot")

    def __init__(
        self, engine: Streams, errand: StreamErrand, slot: int, began: float, at: float, done: Done | None
    ) -> None:
        self._engine, self.errand, self.slot, self.began, self.at = engine, errand, slot, began, at
        self._done = done
        self.over = False

    def good(self, seconds: float, values: tuple[float, ...]) -> None:
        """It ended well, and its metrics have these values."""
        if self.over:
            return
        self.over = True
        if self._done is None:
            self._engine.land(self, (1.0, seconds, *values))
        else:
            readings = Values(self.errand.metrics, values)
            self._done(Result(outcome=Outcome.OK, reason=Reason.ANSWERED, readings=readings, seconds=seconds))

    def ended(self, result: Result) -> None:
        """It ended with this result, which is not complete yet."""
        if self.over:
            return
        self.over = True
        if self._done is None:
            self._engine.end(self, result)
        else:
            self._done(result)

    def failed(self, fault: Exception) -> None:
        """It could not go on."""
        self.ended(self._engine.result_of(fault, self.errand))


class Streams:
    """Made and used inside one running loop. What waits in any of `waits` is handed over after each of their looks."""

    def __init__(self, names: Names, waits: Sequence[Waits], log: Any) -> None:
        self.landing: Landing | None = None
        self._names = names
        self._waits = waits
        self._log = log
        self._loop = asyncio.get_running_loop()
        self._live: dict[int, Cancel] = {}
        """What gives up the runs of batches, by slot."""
        self._landed = Landed()
        for one in waits:
            one.served = self.hand_over

    def begin(self, errands: Sequence[StreamErrand], slots: Sequence[int], now: float, at: float) -> None:
        """Begins all of them, in their order, each with its `timeout`; `landing` is told of a slot what became of it.
        `now` is the loop's time, `at` the wall clock's."""
        targets, live = self._names.targets, self._live
        for errand, slot in zip(errands, slots, strict=True):
            run = Run(self, errand, slot, now, at, None)
            try:
                if errand.allowed_by is not targets:
                    self._names.check(errand.host, errand.host)
                    errand.allowed_by = targets
                cancel = errand.start(run, now + errand.timeout)
            except Exception as exc:  # noqa: BLE001 -- as in `measure`: a kind's fault must not read as the target's
                run.failed(exc)
            else:
                if not run.over:
                    live[slot] = cancel
        self.hand_over()

    def single(self, errand: StreamErrand, deadline: float, done: Done) -> Cancel:
        """Begins one whose result, not complete yet, goes to `done`.

        Raises:
            Missed, Blind: as `StreamErrand.start`.
        """
        self._names.check(errand.host, errand.host)
        return errand.start(Run(self, errand, -1, self._loop.time(), 0.0, done), deadline)

    def collect(self) -> bool:
        """Takes what has come; whether anything had."""
        found = [one.look() for one in self._waits if one.busy]  # all of them, also after one that had something
        return any(found)

    def glance(self) -> None:
        """Takes what has come: here no look is too early, since times are told by when something was read."""
        self.collect()

    def give_up(self) -> list[int]:
        """Gives up all that were sent as batches and answers their slots; nobody is told."""
        live, self._live = self._live, {}
        for cancel in live.values():
            cancel()
        return list(live)

    # For `Run`.

    def land(self, run: Run, values: tuple[float, ...]) -> None:
        self._live.pop(run.slot, None)
        landed = self._landed
        landed.slots.append(run.slot)
        landed.errands.append(run.errand)
        landed.at.append(run.at)
        landed.values.append(values)

    def end(self, run: Run, result: Result) -> None:
        self._live.pop(run.slot, None)
        if self.landing is not None:
            self.landing.ended(run.slot, run.errand, run.at, self._loop.time() - run.began, result)

    def result_of(self, fault: Exception, errand: StreamErrand) -> Result:
        return result_of(fault, errand.kind, errand.kind.target, self._log)

    def hand_over(self) -> None:
        """Hands on what has landed; whoever ends runs outside a look of `waits` calls it."""
        if self._landed.slots and self.landing is not None:
            landed, self._landed = self._landed, Landed()
            self.landing.landed(landed)
