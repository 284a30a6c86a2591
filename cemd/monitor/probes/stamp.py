"""stamp: a session of test packets to a reflector (RFC 8762 STAMP, RFC 5357 TWAMP-Light), two ways in one probe.

Better than echoes: routers forward it as they forward what customers send, it carries the reflector's own stamps, and
with a stateful reflector it says in which direction packets were lost. The far end is `cemd reflect`, or any router.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from functools import partial
from typing import Annotated, Any, ClassVar

from pydantic import Field, model_validator

from cemd.model.quality import Outcome
from cemd.monitor.probes.attempts import result_of
from cemd.monitor.probes.base import (
    Attempt,
    Cancel,
    Done,
    Host,
    Kind,
    Port,
    ProbeParams,
    Reading,
    Reason,
    Result,
    Text,
    Way,
    read_secret,
)
from cemd.monitor.probes.engines.names import is_address
from cemd.monitor.probes.engines.sender import Pace, Sender, Session, nothing_back
from cemd.monitor.probes.engines.sockets import SocketParams
from cemd.monitor.probes.tools import Tools
from cemd.monitor.protocols.packets import Stream, figure_names, figures, jitter_seconds, loss_ratio, quantile
from cemd.monitor.protocols.stamp_packets import AUTHENTICATED_BYTES, PLAIN_BYTES


class Reflector(StrEnum):
    """Stateless: answers carry our numbers. Stateful: it numbers them itself, which tells where packets were lost."""

    STATELESS = "stateless"
    STATEFUL = "stateful"


DIRECTION_METRICS = frozenset(
    f"{way}_{word}" for way in ("forward", "backward") for word in ("jitter_seconds", "delay_seconds", "loss_ratio")
)


class StampParams(SocketParams):
    """A session of test packets to one reflector."""

    host: Host
    """Name or address of the reflector."""
    port: Port = 862
    """Where it listens; 862 is the port of STAMP and TWAMP."""
    packets: Annotated[int, Field(ge=1, le=10_000)] = 20
    """Test packets in a session; a loss of a tenth of a percent is seen with some thousands."""
    gap_seconds: Annotated[float, Field(ge=0.001, le=10)] = 0.05
    """Time from one packet to the next."""
    wait_seconds: Annotated[float, Field(gt=0, le=60)] = 1.0
    """Answers that come later than this after their packet are lost; never beyond the probe's timeout."""
    packet_bytes: Annotated[int, Field(ge=PLAIN_BYTES, le=9_000)] = PLAIN_BYTES
    """Octets of UDP payload; more than the 44 of the protocol (112 where authenticated) are padding."""
    reflector: Reflector = Reflector.STATELESS
    """`stateful` tells loss by direction; say it only of a reflector that numbers its answers itself."""
    key_file: Text | None = None
    """File with the key that both ends sign with (authenticated mode); default: no authentication."""

    def hosts(self) -> tuple[tuple[Way, str], ...]:
        return ((("host",), self.host),)

    def least_seconds(self) -> float:
        return (self.packets - 1) * self.gap_seconds

    @model_validator(mode="after")
    def _size_fits(self) -> StampParams:
        if self.key_file is not None and PLAIN_BYTES < self.packet_bytes < AUTHENTICATED_BYTES:
            raise ValueError(
                f"packet_bytes ({self.packet_bytes}) is below the {AUTHENTICATED_BYTES} of a signed packet"
            )
        return self


class Stamp:
    """`loss_ratio` of `sent_count`; `round_trip_seconds` without the time in the reflector (mean) with min, median,
    p95, p99 and max; `jitter_seconds`, `delay_variation_mean_seconds` and `delay_variation_p95_seconds`;
    `reordered_ratio`, `duplicate_count`; `forward_jitter_seconds` and `backward_jitter_seconds`; `forward_loss_ratio`
    and `backward_loss_ratio` of a stateful reflector; `forward_delay_seconds` and `backward_delay_seconds` (median)
    where both ends say that their clocks are synchronised."""

    word: ClassVar[str] = "stamp"
    Params: ClassVar[type[ProbeParams]] = StampParams
    metrics: ClassVar[frozenset[str] | None] = figure_names("round_trip") | DIRECTION_METRICS

    def __init__(self, params: StampParams, tools: Tools) -> None:
        self._params = params
        self._tools = tools

    @property
    def target(self) -> str:
        return f"{self._params.host}:{self._params.port}"

    @property
    def group(self) -> str:
        return self.target

    def launch(self, deadline: float, done: Done) -> Cancel | None:
        """Where no name must be looked up."""
        if not is_address(self._params.host):
            return None
        address = self._tools.names.check(self._params.host, self._params.host)
        return self._sender().begin(address, self._params.port, deadline, partial(self._told, done))

    async def run(self, attempt: Attempt) -> Result:
        params = self._params
        address = await self._tools.names.address(params.host, attempt.remaining(), params.version())
        return self._result(await self._sender().run(address, params.port, attempt.deadline))

    def _sender(self) -> Sender:
        params = self._params
        pace = Pace(
            packets=params.packets,
            gap_seconds=params.gap_seconds,
            wait_seconds=params.wait_seconds,
            size=params.packet_bytes,
            key=read_secret(params.key_file).encode() if params.key_file else None,
        )
        return Sender(params, pace, self._tools.resting)

    def _told(self, done: Done, said: Session | Exception) -> None:
        done(ended(said, self._result, self, self._tools.log))

    def _result(self, session: Session) -> Result:
        values = figures(session.stream, "round_trip") | by_direction(session, self._params.reflector)
        readings = tuple(Reading(metric=name, value=value) for name, value in values.items())
        if session.stream.delays:
            return Result(outcome=Outcome.OK, reason=Reason.ANSWERED, readings=readings)
        return nothing_back(session, readings, signed=self._params.key_file is not None)


def ended(said: Session | Exception, judge: Callable[[Session], Result], kind: Kind, log: Any) -> Result:
    """The result of a session that was launched, by a kind's own judgement where it came to its end."""
    try:
        if isinstance(said, Exception):
            return result_of(said, kind, kind.target, log)
        return judge(said)
    except Exception as exc:  # noqa: BLE001 -- as in `measure`: told as a result, since nobody waits for a raise
        return result_of(exc, kind, kind.target, log)


def by_direction(session: Session, reflector: Reflector) -> dict[str, float]:
    """What can be said of each direction by itself."""
    values: dict[str, float] = {}
    stream: Stream = session.stream
    for word, delays in (("forward", session.forward), ("backward", session.backward)):
        ordered = [delays[number] for number in sorted(delays)]
        if len(ordered) > 1:
            values[f"{word}_jitter_seconds"] = jitter_seconds(ordered)
        if ordered and session.synchronised:
            values[f"{word}_delay_seconds"] = quantile(ordered, 0.5)
    if reflector is Reflector.STATEFUL and stream.delays:
        there, back = session.lost_by_direction()
        known = session.highest_sent + 1
        values["forward_loss_ratio"] = loss_ratio(known, known - min(there, known))
        reached = max(1, known - there)
        values["backward_loss_ratio"] = loss_ratio(reached, reached - min(back, reached))
    return values
