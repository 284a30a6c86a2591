"""An attempt: a kind measures once, and whatever ends that becomes a result.

A kind that raises, is silent until its deadline or has a fault of its own ends as it should be told: a fault in its
code is ours and therefore blind, and what it had measured when its time was over is not lost.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

from cemd.errors import ProbeUnavailable
from cemd.kit.logs import redact_text
from cemd.kit.tasks import settle
from cemd.model.measurement import SUCCESS
from cemd.model.quality import Outcome
from cemd.monitor.probes.base import (
    DURATION,
    Attempt,
    Blind,
    Kind,
    Launching,
    Missed,
    Reading,
    Reason,
    Result,
    Values,
)

DETAIL_CHARACTERS = 500
_OK, _BLIND = Outcome.OK, Outcome.BLIND
"""Looked up once: to find a member of an enumeration costs as much as a call."""
MAX_READINGS = 200
"""Most readings of one attempt: a plugin that invents labels must not fill the catalogue of series."""


@dataclass(frozen=True, slots=True)
class SoFar:
    """What a kind had measured when its time was over: it leaves as the argument of the cancellation, so that a
    silence tells how far the attempt came."""

    readings: tuple[Reading, ...] = ()
    phases: tuple[str, ...] = ()
    """Those that were done, in their order."""

    def __str__(self) -> str:
        return f"done until then: {', '.join(self.phases)}" if self.phases else ""


async def measure(kind: Kind, attempt: Attempt) -> Result:
    """Runs a kind once and makes a result of whatever happens, with `success` and `duration_seconds`.

    Cancellation passes through. A fault in the kind's own code is blind, not down: it is ours.
    """
    loop = asyncio.get_running_loop()
    began = loop.time()
    if began >= attempt.deadline:
        words = "the prober was too busy: it came to this attempt after its deadline."
        return Result(outcome=Outcome.BLIND, reason=Reason.PROBER_BUSY, detail=words)
    try:
        async with asyncio.timeout_at(attempt.deadline):
            result = await _run(kind, attempt)
    except Exception as exc:  # noqa: BLE001 -- the guard of every kind: our own fault must not read as the target's
        result = result_of(exc, kind, attempt.probe, attempt.log)
    return completed(result, result.seconds or loop.time() - began)


async def _run(kind: Kind, attempt: Attempt) -> Result:
    if isinstance(kind, Launching):
        answered: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        cancel = kind.launch(attempt.deadline, partial(settle, answered))
        if cancel is not None:
            try:
                return await answered
            finally:
                if not answered.done() or answered.cancelled():
                    cancel()
    return await kind.run(attempt)


def silence_of(kind: Kind) -> str:
    """What is said when nothing came: a kind whose peers keep silent for reasons of their own names them, as
    `silence`."""
    words: str = getattr(kind, "silence", "no answer before the deadline.")
    return words


def blinded(exc: TimeoutError) -> Blind | None:
    """What of this host had not answered when the time was over, where it was that which was waited for."""
    left = _left_with(exc)
    return left if isinstance(left, Blind) else None


def _left_with(exc: TimeoutError) -> object:
    """What the kind said when its time was over: a `Blind` of this host, or how far it came."""
    ended = exc.__cause__
    return ended.args[0] if isinstance(ended, asyncio.CancelledError) and ended.args else None


def result_of(exc: Exception, kind: Kind, probe: str, log: Any) -> Result:
    """The result that an exception of a kind stands for."""
    match exc:
        case TimeoutError() if (blind := blinded(exc)) is not None:
            return Result(outcome=Outcome.BLIND, reason=blind.reason, detail=str(blind))
        case TimeoutError():
            left = _left_with(exc)
            so_far = left if isinstance(left, SoFar) else SoFar()
            detail = f"{silence_of(kind).removesuffix('.')}; {so_far}." if str(so_far) else silence_of(kind)
            return Result(outcome=Outcome.TIMED_OUT, reason=Reason.NO_ANSWER, detail=detail, readings=so_far.readings)
        case Missed():
            return Result(outcome=exc.outcome, reason=exc.reason, detail=exc.detail, readings=exc.readings)
        case ProbeUnavailable():
            reason = exc.reason if isinstance(exc, Blind) else Reason.NOT_PERMITTED
            return Result(outcome=Outcome.BLIND, reason=reason, detail=str(exc))
    log.error("probe.fault", probe=probe, kind=kind.word, error=f"{type(exc).__name__}: {exc}")
    return Result(outcome=Outcome.BLIND, reason=Reason.INTERNAL, detail=f"{type(exc).__name__} in the kind.")


def completed(result: Result, seconds: float) -> Result:
    """The result with `success` and `duration_seconds` before its own readings, and its detail redacted and cut."""
    outcome, readings = result.outcome, result.readings
    succeeded = 1.0 if outcome is _OK else 0.0
    if outcome is _BLIND:
        readings = ()
    elif type(readings) is Values:
        readings = Values(with_common(readings.metrics), (succeeded, seconds, *readings.values))
    else:
        common = (Reading(metric=SUCCESS, value=succeeded), Reading(metric=DURATION, value=seconds))
        readings = (*common, *readings[: MAX_READINGS - 2])
    detail = redact_text(result.detail)[:DETAIL_CHARACTERS] if result.detail else ""
    return Result(outcome=outcome, reason=result.reason, readings=readings, detail=detail, seconds=seconds)


@cache
def with_common(metrics: tuple[str, ...]) -> tuple[str, ...]:
    """The metrics of a whole row: `success` and `duration_seconds` before a kind's own."""
    return (SUCCESS, DURATION, *metrics)
