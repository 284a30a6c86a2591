"""An errand by datagrams: what one probe asks, how its answer is told from others, and what the answer says."""

from __future__ import annotations

from enum import Enum
from typing import TypeAlias

from cemd.model.quality import Outcome
from cemd.monitor.probes.base import Done, Kind, Reason, Result, Values
from cemd.monitor.probes.engines.errands import AnyErrand
from cemd.monitor.probes.engines.lines import Line, destination
from cemd.monitor.probes.engines.sockets import Place


class GoesOn(Enum):
    """What an errand says that sees to the rest by itself; it calls `Datagrams.conclude` in the end."""

    ELSEWHERE = "elsewhere"


Found: TypeAlias = tuple[float, ...] | Result | GoesOn | None


class Errand(AnyErrand):
    """What one probe asks, again and again, never twice at once."""

    __slots__ = ("after", "before", "done", "resend", "to")

    metrics: tuple[str, ...] = ("response_seconds",)
    """Of a good answer: the time that it took, then what `take` answers."""

    def __init__(
        self,
        kind: Kind,
        line: Line,
        host: str,
        resend: float,
        message: tuple[bytes, bytes],
        place: Place | None = None,
    ) -> None:
        super().__init__(kind, host)
        self.resend = resend
        self.before, self.after = message
        """What is sent before and after the number of the question."""
        self.to = destination(line, place)
        """Where it goes: `place` by a line that others share; only from there an answer comes."""
        self.done: Done | None = None
        """Whom a single attempt tells; None: whoever serves the batches."""

    def take(self, data: bytes, seconds: float, began: float) -> Found:
        """What a datagram with its number says, that came so long after the first sending: values of a good answer,
        the result of another, None where it is no answer to this question. `began` is the loop's time at its start."""
        raise NotImplementedError

    def give_up(self) -> None:
        """Ends what goes on elsewhere."""

    def result(self, seconds: float, values: tuple[float, ...]) -> Result:
        """A good answer, told by itself."""
        readings = Values(self.metrics, (seconds, *values))
        return Result(outcome=Outcome.OK, reason=Reason.ANSWERED, readings=readings, seconds=seconds)


def late(seconds: float) -> Result:
    """Nothing came in that time."""
    words = "no answer before the deadline."
    return Result(outcome=Outcome.TIMED_OUT, reason=Reason.NO_ANSWER, detail=words, seconds=seconds)
