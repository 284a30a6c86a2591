"""voice: a stream paced and sized as a telephone's, to a reflector and back; what a listener would have made of it.

Packets of STAMP go out as RTP would (a codec's octets each 20 or 30 ms) and come back the same way. Each direction is
played through a de-jitter buffer: what comes too late for it is as good as lost. Delay, loss and its bursts become R
and an *estimated* MOS by the E-model. The far end is `cemd reflect`, stateful, so that loss is told by direction.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from typing import Annotated, ClassVar

from pydantic import Field

from cemd.model.emodel import LEAST_PACKETS, Codec, delay_class, mos_of, r_factor, y1541_class
from cemd.model.quality import Outcome
from cemd.monitor.probes.base import (
    Attempt,
    Cancel,
    Done,
    Host,
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
from cemd.monitor.probes.stamp import DIRECTION_METRICS, Reflector, by_direction, ended
from cemd.monitor.probes.tools import Tools
from cemd.monitor.protocols.packets import burst_ratio, figure_names, figures, loss_runs, quantile
from cemd.monitor.protocols.stamp_packets import PLAIN_BYTES

_RTP_BYTES = 12


class CodecName(StrEnum):
    """What the telephone speaks; each with its impairment after ITU-T G.113, Appendix I."""

    G711 = "g711"
    G711_PLC = "g711-plc"
    G729A = "g729a"
    G723_1 = "g723.1"
    GSM_EFR = "gsm-efr"


@dataclass(frozen=True, slots=True)
class _Speech:
    codec: Codec
    frame_seconds: float
    frame_bytes: int
    look_ahead_seconds: float


_SPEECH = {
    CodecName.G711: _Speech(Codec(0.0, 4.3), 0.020, 160, 0.0),
    CodecName.G711_PLC: _Speech(Codec(0.0, 25.1), 0.020, 160, 0.0),
    CodecName.G729A: _Speech(Codec(11.0, 19.0), 0.020, 20, 0.005),
    CodecName.G723_1: _Speech(Codec(15.0, 16.1), 0.030, 24, 0.0075),
    CodecName.GSM_EFR: _Speech(Codec(5.0, 10.0), 0.020, 31, 0.005),
}


class VoiceParams(SocketParams):
    """A short call to a reflector."""

    host: Host
    """Name or address of the reflector."""
    port: Port = 862
    """Where it listens; 862 is the port of STAMP and TWAMP."""
    codec: CodecName = CodecName.G711_PLC
    """What the telephone speaks: it sets size, pace, and what loss costs. Default: G.711 with loss concealment."""
    call_seconds: Annotated[float, Field(ge=0.1, le=300)] = 10.0
    """How long it speaks; must fit into the probe's timeout. Ten seconds see a loss of a percent."""
    buffer_seconds: Annotated[float, Field(ge=0, le=1)] = 0.060
    """Depth of the de-jitter buffer: what comes this much later than the quickest is not played; 60 ms is usual."""
    wait_seconds: Annotated[float, Field(gt=0, le=60)] = 1.0
    """Answers that come later than this after their packet are lost; never beyond the probe's timeout."""
    reflector: Reflector = Reflector.STATEFUL
    """`stateless` for a reflector that does not number its answers: then each direction is charged with all loss."""
    key_file: Text | None = None
    """File with the key that both ends sign with (authenticated mode); default: no authentication."""

    def hosts(self) -> tuple[tuple[Way, str], ...]:
        return ((("host",), self.host),)

    def least_seconds(self) -> float:
        return self.call_seconds


@dataclass(frozen=True, slots=True)
class Played:
    """One direction as its listener had it. `delay_seconds` is from mouth to ear."""

    delay_seconds: float
    lost_ratio: float
    discarded_ratio: float
    burst_ratio: float


class Voice:
    """`mos` and `r_factor` of the worse direction (estimates by the E-model), `forward_mos` and `backward_mos`;
    `discarded_ratio` by the de-jitter buffer, `one_way_delay_seconds` from mouth to ear, `g114_class` (0 fine, 1
    noticed, 2 unacceptable), `y1541_class` (0 to 5) over the last 3000 packets or more; and of the stream what `stamp`
    says."""

    word: ClassVar[str] = "voice"
    Params: ClassVar[type[ProbeParams]] = VoiceParams
    metrics: ClassVar[frozenset[str] | None] = (
        figure_names("round_trip")
        | DIRECTION_METRICS
        | {
            "mos",
            "r_factor",
            "forward_mos",
            "backward_mos",
            "discarded_ratio",
            "one_way_delay_seconds",
            "g114_class",
            "y1541_class",
        }
    )

    def __init__(self, params: VoiceParams, tools: Tools) -> None:
        self._params = params
        self._tools = tools
        self._speech = _SPEECH[params.codec]
        self._calls: deque[tuple[int, list[float]]] = deque()

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
        params, speech = self._params, self._speech
        pace = Pace(
            packets=max(2, round(params.call_seconds / speech.frame_seconds)),
            gap_seconds=speech.frame_seconds,
            wait_seconds=params.wait_seconds,
            size=max(PLAIN_BYTES, _RTP_BYTES + speech.frame_bytes),
            key=read_secret(params.key_file).encode() if params.key_file else None,
        )
        return Sender(params, pace, self._tools.resting)

    def _told(self, done: Done, said: Session | Exception) -> None:
        done(ended(said, self._result, self, self._tools.log))

    def _result(self, session: Session) -> Result:
        params = self._params
        values = figures(session.stream, "round_trip") | by_direction(session, params.reflector)
        if not session.stream.delays:
            self._calls.append((session.stream.sent, []))
            return nothing_back(session, _readings(values | {"mos": 1.0}), signed=self._params.key_file is not None)
        values |= self._judged(session) | self._classes(session)
        return Result(outcome=Outcome.OK, reason=Reason.ANSWERED, readings=_readings(values))

    def _judged(self, session: Session) -> dict[str, float]:
        ways = dict(zip(("forward", "backward"), self._played(session), strict=True))
        ratings = {
            word: r_factor(
                way.delay_seconds,
                self._speech.codec,
                loss_ratio=way.lost_ratio + (1.0 - way.lost_ratio) * way.discarded_ratio,
                burst_ratio=way.burst_ratio,
            )
            for word, way in ways.items()
        }
        worse = min(ratings.values())
        longest = max(way.delay_seconds for way in ways.values())
        return {
            "mos": mos_of(worse),
            "r_factor": worse,
            "forward_mos": mos_of(ratings["forward"]),
            "backward_mos": mos_of(ratings["backward"]),
            "discarded_ratio": max(way.discarded_ratio for way in ways.values()),
            "one_way_delay_seconds": longest,
            "g114_class": float(delay_class(longest)),
        }

    def _played(self, session: Session) -> tuple[Played, Played]:
        """Forward and backward, each through its own buffer."""
        stream = session.stream
        lost = (stream.lost / stream.sent, stream.lost / stream.sent)
        if self._params.reflector is Reflector.STATEFUL:
            there, back = session.lost_by_direction()
            unseen = (
                stream.sent - session.highest_sent - 1
            )  # the end of the call, lost who knows where: charged to both
            lost = ((there + unseen) / stream.sent, (back + unseen) / max(1, stream.sent - there))
        half = min(stream.delays.values()) / 2
        return (
            self._through_buffer(session.forward, stream.sent, lost[0], None if session.synchronised else half),
            self._through_buffer(session.backward, stream.sent, lost[1], None if session.synchronised else half),
        )

    def _through_buffer(self, delays: dict[int, float], sent: int, lost: float, least: float | None) -> Played:
        """`least`: what the smallest delay is taken for where the clocks do not tell; only differences count then."""
        speech, buffer = self._speech, self._params.buffer_seconds
        quickest = min(delays.values())
        in_time = [number for number, delay in delays.items() if delay - quickest <= buffer]
        way = max(0.0, quickest) if least is None else least
        return Played(
            delay_seconds=way + buffer + speech.frame_seconds + speech.look_ahead_seconds,
            lost_ratio=min(1.0, lost),
            discarded_ratio=1.0 - len(in_time) / len(delays),
            burst_ratio=burst_ratio(loss_runs(in_time, sent), sent),
        )

    def _classes(self, session: Session) -> dict[str, float]:
        """Of the latest calls that together hold enough packets; one way is half a round trip."""
        stream = session.stream
        self._calls.append((stream.sent, [delay / 2 for delay in stream.delays.values()]))
        while sum(sent for sent, _ in self._calls) - self._calls[0][0] >= LEAST_PACKETS:
            self._calls.popleft()
        packets = sum(sent for sent, _ in self._calls)
        delays = [delay for _, some in self._calls for delay in some]
        variation = quantile(delays, 0.999) - min(delays)
        found = y1541_class(sum(delays) / len(delays), variation, 1.0 - len(delays) / packets, packets=packets)
        return {} if found is None else {"y1541_class": float(found)}


def _readings(values: dict[str, float]) -> tuple[Reading, ...]:
    return tuple(Reading(metric=name, value=value) for name, value in values.items())
