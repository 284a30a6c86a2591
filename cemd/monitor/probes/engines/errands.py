"""Errands: runs that begin together with others of the same moment, and whose good results are handed on as columns.

A run by itself costs an object, a callback and a result; a good one of a batch costs a tuple. The runner knows an
errand by what stands here; an engine runs it.

What a probe keeps here is made once and only read afterwards: fifty thousand of them are cold when their turn comes,
and each piece of them that is touched costs as much as ten that were just made.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Protocol, runtime_checkable

from cemd.model.quality import Outcome
from cemd.monitor.probes.attempts import with_common
from cemd.monitor.probes.base import Kind, Reason, Result, Values


class AnyErrand:
    """What one probe does, again and again, never twice at once."""

    __slots__ = ("allowed_by", "host", "kind", "owner", "row", "timeout")

    by: ClassVar[str] = "datagrams"
    """The engine that runs it, by its name among the tools."""
    metrics: tuple[str, ...] = ()
    """Of a good answer, beside what every run gives."""

    def __init__(self, kind: Kind, host: str) -> None:
        self.kind: Any = kind
        self.host = host
        self.allowed_by: object = None
        """The targets' policy that it was last held against."""
        self.timeout = 0.0
        """Seconds; given by whoever sends it."""
        self.owner: Any = None
        self.row: bytes | None = None
        """These two are kept here for whoever serves the batches; without a `row` its next good end is looked at."""


@runtime_checkable
class Batching(Protocol):
    """A kind whose runs can begin together with others of the same moment. Optional beside `run` and `launch`."""

    def errand(self) -> AnyErrand | None:
        """The errand of this probe; None where each attempt needs `run` (a name must be looked up first, say)."""


class Landed:
    """Good answers as columns: whose run, of which errand, begun when by the wall clock, and `success`,
    `duration_seconds` and the values of the errand's metrics."""

    __slots__ = ("at", "errands", "slots", "values")

    def __init__(self) -> None:
        self.slots: list[int] = []
        self.errands: list[AnyErrand] = []
        self.at: list[float] = []
        self.values: list[tuple[float, ...]] = []

    def results(self) -> list[tuple[Any, float, Result]]:
        """The same as complete results: (owner, at, result)."""
        return list(map(self.result, range(len(self.errands))))

    def result(self, place: int) -> tuple[Any, float, Result]:
        """One of them."""
        errand, its = self.errands[place], self.values[place]
        readings = Values(with_common(errand.metrics), its)
        result = Result(outcome=Outcome.OK, reason=Reason.ANSWERED, readings=readings, seconds=its[1])
        return errand.owner, self.at[place], result


class Landing(Protocol):
    """Takes what became of errands that were sent as batches."""

    def landed(self, landed: Landed) -> None:
        """Runs that ended well."""

    def ended(self, slot: int, errand: AnyErrand, at: float, seconds: float, result: Result) -> None:
        """One that ended otherwise, or by itself, after so many seconds; the result is not complete yet."""


class Engine(Protocol):
    """Runs errands."""

    landing: Landing | None
    """Set by whoever sends batches."""

    def begin(self, errands: Sequence[Any], slots: Sequence[int], now: float, at: float) -> None:
        """Begins all of them, in their order, each with its `timeout`; `landing` is told of a slot what became of it.
        `now` is the loop's time, `at` the wall clock's."""

    def collect(self) -> bool:
        """Takes what has come; whether anything had."""

    def glance(self) -> None:
        """Takes what has come if that is worth a look by now; for whoever comes by, to send more."""

    def give_up(self) -> list[int]:
        """Gives up all that were sent as batches and answers their slots; nobody is told."""
