"""An errand by datagrams: what one probe asks, how its answer is told from others, and what the answer says."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import ClassVar, TypeAlias

from cemd.model.quality import Outcome
from cemd.monitor.probes.attempts import silence_of
from cemd.monitor.probes.base import Done, IpVersion, Kind, Reason, Result, Values
from cemd.monitor.probes.engines.errands import AnyErrand
from cemd.monitor.probes.engines.lines import Destination
from cemd.monitor.probes.engines.names import is_address


class GoesOn(Enum):
    """What an errand says that sees to the rest by itself; it calls `Datagrams.conclude` in the end."""

    ELSEWHERE = "elsewhere"


Found: TypeAlias = tuple[float, ...] | Result | GoesOn | None
Aim: TypeAlias = Callable[[str], Destination]
"""Where questions to a numeric address go."""


class Named:
    """A host by its name: while the name's time to live lasts, its questions go to the address that it had."""

    __slots__ = ("address", "aim", "host", "version")

    def __init__(self, host: str, version: IpVersion, aim: Aim) -> None:
        self.host, self.version, self.aim = host, version, aim
        self.address = ""
        """The one that the errand goes to now; "" before its first."""


class Errand(AnyErrand):
    """What one probe asks, again and again, never twice at once."""

    __slots__ = ("after", "before", "done", "ending", "named", "resend", "to")

    metrics: tuple[str, ...] = ("response_seconds",)
    """Of a good answer: the time that it took, then what `take` answers."""
    to: Destination
    """Where it goes, and from where alone an answer comes; there once a name's address is known."""
    afresh: ClassVar[bool] = False
    """Whether what is asked again is a question of its own: it has its own number, and its time counts from there."""

    def __init__(
        self, kind: Kind, host: str, version: IpVersion, aim: Aim, resend: float, message: tuple[bytes, bytes]
    ) -> None:
        super().__init__(kind, host)
        self.resend = resend
        self.before, self.after = message
        """What is sent before and after the number of the question."""
        self.named = None if is_address(host) else Named(host, version, aim)
        if self.named is None:
            self.to = aim(host)
        self.done: Done | None = None
        """Whom a single attempt tells; None: whoever serves the batches."""
        self.ending: Callable[[], object] | None = None
        """What ends that which goes on elsewhere."""

    @property
    def address(self) -> str:
        """Where it went."""
        return self.host if self.named is None else self.named.address

    def take(self, data: bytes, seconds: float, began: float, sent_ns: int) -> Found:
        """What a datagram with its number says, that came so long after the first sending: values of a good answer,
        the result of another, None where it is no answer to this question. `began` is the loop's time at its start,
        `sent_ns` the wall clock's at that sending; 0 where the clock was set meanwhile."""
        raise NotImplementedError

    def give_up(self) -> None:
        """Ends what goes on elsewhere."""
        if self.ending is not None:
            self.ending()

    def result(self, seconds: float, values: tuple[float, ...]) -> Result:
        """A good answer, told by itself."""
        readings = Values(self.metrics, (seconds, *values))
        return Result(outcome=Outcome.OK, reason=Reason.ANSWERED, readings=readings, seconds=seconds)


def late(kind: Kind, seconds: float) -> Result:
    """Nothing came in that time."""
    words = silence_of(kind)
    return Result(outcome=Outcome.TIMED_OUT, reason=Reason.NO_ANSWER, detail=words, seconds=seconds)
