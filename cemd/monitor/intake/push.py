"""HTTP JSON push: judged, numbered, submitted; answered only when it is in the log, or refused with a reason."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from cemd.config.configuration import Configuration
from cemd.config.names import Names
from cemd.errors import Refused, StoreError
from cemd.kit.clock import Clock
from cemd.kit.logs import SaidOnce
from cemd.kit.tasks import beside
from cemd.model.entry import Batch
from cemd.model.identity import SeriesId
from cemd.monitor.intake.book import SeriesBook, Submit
from cemd.monitor.intake.complaints import Complaints
from cemd.monitor.intake.samples import MAX_BODY, Fault, Pushed, parse_push, shown
from cemd.monitor.metrics import MonitorMetrics

LONG_BYTES = 32 * 1024
"""A message above this is judged in a thread: the loop would be held for some 50 ns a byte."""
LONG_SAMPLES = 2_000
MOST_STRANGERS_TOLD = 20
"""Strange names of one message that are told apart; the others are counted."""
_KEPT = "it is kept, but nobody judges it until the sender is mended, or config/catalogue/ has the name and is reloaded"
_UNAUTHORIZED = "give the sender what stands in listen.push_token_file, or find out who it is"
_REFUSED = "mend the sender; `cemd explain push` says what may be sent"


@dataclass(frozen=True, slots=True, kw_only=True)
class PushAnswer:
    """What became of a push. `status` is that of HTTP: 202 logged, 400 nothing was usable, 404 no such source,
    413 too large, 429 come back later, 503 the log does not write. `unjudged` of those that were accepted nobody
    judges, since a label names what the catalogue does not know; `message` says the first of all that is wrong."""

    status: int
    accepted: int
    refused: int
    reasons: dict[str, int]
    message: str = ""
    unjudged: int = 0


class Taker:
    """What HTTP push and MQTT share: from judged columns to a logged batch. `complaints` keeps what was wrong."""

    def __init__(self, book: SeriesBook, submit: Submit, *, clock: Clock, metrics: MonitorMetrics, log: Any) -> None:
        self._book = book
        self._submit = submit
        self._metrics = metrics
        self._said = SaidOnce(log)
        self.clock = clock
        self.complaints = Complaints()
        self._names = Names(Configuration())

    def know(self, names: Names) -> None:
        """Takes the names of a new catalogue."""
        self._names = names
        self.complaints.forget_kept()

    async def judge(self, source: str, *bodies: bytes) -> Pushed:
        """Columns of messages, in their order. What is wrong is counted, and said once for each source and fault."""
        now, names = self.clock.now(), self._names
        long = sum(map(len, bodies)) > LONG_BYTES
        pushed = self._told(source, await beside(long, lambda: _judged(bodies, source, now, names)))
        if pushed.strangers:
            await self._tell_strangers(source, pushed, names)
        return pushed

    async def _tell_strangers(self, source: str, pushed: Pushed, names: Names) -> None:
        """Counts measurements that nobody judges, and says of the first few names what they may have meant."""
        door = source.partition(":")[0]
        for place, ((label, name), times) in enumerate(pushed.strangers.items()):
            self._metrics.unjudged.labels(door=door, reason=f"unknown_{label}").inc(times)
            if place >= MOST_STRANGERS_TOLD:
                continue
            known = self.complaints.known(source, f"{label} {name}")
            fact = known.fact if known else await asyncio.to_thread(_strange, label, name, names)
            self._complain(source, f"{label} {name}", fact=fact, remedy=_KEPT, kept=True, times=times)
            self._said.gone(f"{source} {label} {name}", "intake.not_judged", source=source, why=f"{fact}; {_KEPT}")
            if not pushed.warning:
                pushed.warning = f"{fact}; {_KEPT}."

    def _complain(self, source: str, key: str, *, fact: str, remedy: str, kept: bool, times: int) -> None:
        now = self.clock.now()
        self.complaints.note(source, key, fact=fact, remedy=remedy, kept=kept, times=times, now=now)

    async def log(self, source: str, pushed: Pushed) -> int:
        """Logs columns as one batch; answers how many samples it holds. Series over the limit are refused.

        Raises:
            Refused: the log takes nothing now.
            StoreError: the catalogue cannot be written.
        """
        if not len(pushed):
            return 0
        numbers = await self._book.numbers(source, pushed.keys)
        kept = [place for place, number in enumerate(numbers) if number is not None]
        if len(kept) < len(numbers):
            words = "the source has its max_series already; raise intake.max_series or push fewer series."
            pushed.refuse(Fault.MAX_SERIES, words, len(numbers) - len(kept))
            self._told(source, pushed, only=Fault.MAX_SERIES)
        if kept:
            await self._submit(await beside(len(kept) > LONG_SAMPLES, lambda: _batch(source, pushed, numbers, kept)))
            self._metrics.accepted.labels(door=source.partition(":")[0]).inc(len(kept))
        return len(kept)

    def refused_all(self, source: str, times: int) -> None:
        """Counts samples that the log did not take now."""
        self._metrics.refused.labels(door=source.partition(":")[0], reason=Fault.OVERLOADED).inc(times)

    def refuse_token(self, source: str, fact: str) -> None:
        """Says once what is so, and keeps it for whoever looks."""
        self._metrics.unauthorized.labels(door=source.partition(":")[0]).inc()
        self._complain(source, "token", fact=fact, remedy=_UNAUTHORIZED, kept=False, times=1)
        self._said.gone(f"{source} token", "intake.token_refused", source=source, why=fact)

    def _told(self, source: str, pushed: Pushed, *, only: Fault | None = None) -> Pushed:
        for fault, times in pushed.refused.items():
            if only is None or fault is only:
                self._metrics.refused.labels(door=source.partition(":")[0], reason=fault).inc(times)
                fact = pushed.examples[fault].rstrip(".")
                self._complain(source, fault, fact=fact, remedy=_REFUSED, kept=False, times=times)
                self._said.gone(
                    f"{source} {fault}", "intake.refused", source=source, reason=fault, why=pushed.examples[fault]
                )
        return pushed


class Push:
    """The door of HTTP push. `sources` are the names of `intake.http`; a reload replaces them."""

    def __init__(self, taker: Taker, sources: Collection[str]) -> None:
        self._taker = taker
        self._sources = frozenset(sources)

    def allow(self, sources: Collection[str]) -> None:
        """Takes the sources of a new configuration."""
        self._sources = frozenset(sources)

    def refuse_token(self, name: str, *, given: bool) -> None:
        """Somebody pushed to source `name` without a valid token. It is told to the operator, for a sender that nobody
        watches tells nobody; a name that `intake.http` does not have is not repeated, whoever asks may make up many."""
        known = name in self._sources
        to = f"http:{name}" if known else "http"
        where = "" if known else "to a source that intake.http does not have "
        sent = "with a token that is not valid" if given else "without a token"
        self._taker.refuse_token(to, f"somebody pushes {where}{sent}")

    async def accept(self, name: str, body: bytes) -> PushAnswer:
        """Takes a body pushed to source `name`; resolves when it is logged or refused."""
        if name not in self._sources:
            return _refusal(404, Fault.UNKNOWN_SOURCE, "no source of this name in intake.http.")
        if len(body) > MAX_BODY:
            return _refusal(413, Fault.TOO_LARGE, f"more than {MAX_BODY} bytes; push smaller parts.")
        source = f"http:{name}"
        pushed = await self._taker.judge(source, body)
        waiting = len(pushed)
        try:
            accepted = await self._taker.log(source, pushed)
        except Refused as exc:
            self._taker.refused_all(source, waiting)
            return _refusal(429, Fault.OVERLOADED, str(exc), waiting)
        except StoreError as exc:
            self._taker.refused_all(source, waiting)
            return _refusal(503, Fault.OVERLOADED, str(exc), waiting)
        reasons = {str(fault): times for fault, times in pushed.refused.items()}
        refused = sum(reasons.values())
        status = 202 if accepted else 413 if Fault.TOO_LARGE in pushed.refused else 400
        if not accepted and not refused:
            return PushAnswer(status=400, accepted=0, refused=0, reasons={}, message="the list is empty.")
        return PushAnswer(
            status=status,
            accepted=accepted,
            refused=refused,
            reasons=reasons,
            message=" ".join(filter(None, (pushed.example, pushed.warning))),
            unjudged=min(accepted, pushed.strangers.total()),
        )


def _judged(bodies: Sequence[bytes], source: str, now: float, names: Names) -> Pushed:
    pushed = Pushed()
    for body in bodies:
        pushed.extend(parse_push(body, source=source, now=now, names=names))
    return pushed


def _strange(label: str, name: str, names: Names) -> str:
    return f"label {label}: the catalogue does not know {shown(name)}{names.nearest(label, name)}"


def _batch(source: str, pushed: Pushed, numbers: Sequence[SeriesId | None], kept: Sequence[int]) -> Batch:
    return Batch(
        source=source,
        number=0,
        series=np.array([numbers[place] for place in kept], dtype=np.int64),
        at=np.array([pushed.at[place] for place in kept], dtype=np.float64),
        value=np.array([pushed.value[place] for place in kept], dtype=np.float64),
        outcome=np.array([pushed.outcome[place] for place in kept], dtype=np.uint8),
    )


def _refusal(status: int, fault: Fault, message: str, refused: int = 0) -> PushAnswer:
    return PushAnswer(status=status, accepted=0, refused=refused, reasons={str(fault): refused}, message=message)
