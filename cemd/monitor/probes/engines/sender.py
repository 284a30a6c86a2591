"""A STAMP session from the sender's side: a paced stream of test packets, and what came back of it, by direction.

`stamp` and `voice` run it with packets of different size and pace. The receive time is the kernel's. A round trip
leaves out the time that the reflector held the packet. What a direction's delays vary by needs no common clock; the
delays themselves do, and are told only where both ends say that they follow one.
"""

from __future__ import annotations

import asyncio
import errno
import secrets
import socket
import time
from dataclasses import dataclass, field

from cemd.model.quality import Outcome
from cemd.monitor.probes.base import Attempt, Blind, Reading, Reason, Result
from cemd.monitor.probes.engines.clock_state import clock_state
from cemd.monitor.probes.engines.names import trouble
from cemd.monitor.probes.engines.sockets import SocketParams, connect
from cemd.monitor.probes.engines.stamps import ANCILLARY_BYTES, SO_TIMESTAMPNS, WallClock, kernel_stamp
from cemd.monitor.protocols.packets import Stream
from cemd.monitor.protocols.stamp_packets import ErrorEstimate, ntp_of, read_answer, sender_packet

MARGIN_SECONDS = 0.02
"""A session ends this long before the deadline, so that a late answer is loss and not a lost result."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """What is sent: packets of `size` octets of UDP payload, one each `gap_seconds`."""

    packets: int
    gap_seconds: float
    wait_seconds: float
    size: int
    key: bytes | None = None


@dataclass(slots=True)
class Session:
    """What came back. Delays are in seconds by sequence number; those by direction hold the clocks' offset."""

    stream: Stream
    forward: dict[int, float] = field(default_factory=dict)
    backward: dict[int, float] = field(default_factory=dict)
    highest_sent: int = -1
    """Highest number of ours that came back."""
    highest_reflected: int = -1
    """Highest number that the reflector gave; with a stateful one, how many reached it."""
    synchronised: bool = True
    sent_at: list[int] = field(default_factory=list)
    error: int = 0
    unproven: int = 0
    """Packets that came back and were not signed with our key."""

    def lost_by_direction(self) -> tuple[int, int]:
        """(lost on the way there, lost on the way back), of a stateful reflector's numbers.

        What was sent after the last packet that came back is in neither: nobody saw where it went.
        """
        there = max(0, self.highest_sent - self.highest_reflected)
        back = max(0, self.highest_reflected + 1 - len(self.stream.delays))
        return there, back


def nothing_back(session: Session, readings: tuple[Reading, ...], *, signed: bool) -> Result:
    """The result of a session to which no answer of ours came: silence says what else it may mean than a lost way."""
    words = f"none of {session.stream.sent} test packets came back"
    if session.unproven:
        fact = "what came was not signed with the key of key_file: the reflector has another, or none."
        detail = f"{words} right; {fact}"
        return Result(outcome=Outcome.FAILED, reason=Reason.NOT_AUTHENTICATED, readings=readings, detail=detail)
    hint = "where its key is not that of key_file" if signed else "where it wants packets to be signed (key_file)"
    detail = f"{words}; a reflector is silent as well {hint}, or where it may not answer us."
    return Result(outcome=Outcome.TIMED_OUT, reason=Reason.NO_ANSWER, readings=readings, detail=detail)


class Sender:
    """Runs one session towards a reflector."""

    def __init__(self, params: SocketParams, pace: Pace) -> None:
        self._params = params
        self._pace = pace
        self._session_id = secrets.randbelow(65_535) + 1
        self._done = asyncio.Event()
        state = clock_state()
        self._error = ErrorEstimate(state.synchronised, state.error_seconds).packed()
        self.session = Session(Stream(pace.wait_seconds), synchronised=state.synchronised)

    async def run(self, address: str, port: int, attempt: Attempt) -> Session:
        """Sends, waits for what comes back, and says what did.

        Raises:
            Missed: the far host says that nobody listens there, or that it cannot be reached, and nothing came back.
            Blind: this host could not send, or its clock was set meanwhile.
        """
        wall = WallClock()
        with await connect(self._params, address, port, socket.SOCK_DGRAM) as door:
            door.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
            loop = asyncio.get_running_loop()
            loop.add_reader(door.fileno(), self._receive, door)
            try:
                await self._send_all(door, attempt)
                if not self.session.stream.sent:
                    words = "the prober was too busy: the deadline came before a packet was sent."
                    raise Blind(Reason.PROBER_BUSY, words)
                wait = min(self._pace.wait_seconds, attempt.remaining() - MARGIN_SECONDS)
                try:
                    async with asyncio.timeout(max(0.0, wait)):
                        await self._done.wait()
                except TimeoutError:
                    pass  # what has not come is lost
            finally:
                loop.remove_reader(door.fileno())
        wall.check()
        if self.session.error and not self.session.stream.delays:
            raise trouble(self.session.error, f"test packets to {address} port {port}")
        return self.session

    async def _send_all(self, door: socket.socket, attempt: Attempt) -> None:
        """Paced by absolute times, so that a late turn of the loop does not slow the whole stream."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        for sequence in range(self._pace.packets):
            due = began + sequence * self._pace.gap_seconds
            if due - loop.time() >= attempt.remaining() - MARGIN_SECONDS:
                return
            await asyncio.sleep(max(0.0, due - loop.time()))
            self._send(door, sequence)

    def _send(self, door: socket.socket, sequence: int) -> None:
        now = time.time_ns()
        pace, session = self._pace, self.session
        session.sent_at.append(now)
        session.stream.sent += 1
        packet = sender_packet(sequence, ntp_of(now), self._error, self._session_id, size=pace.size, key=pace.key)
        try:
            door.send(packet)
        except (BlockingIOError, InterruptedError):
            pass  # our own queue is full: as lost as on the way
        except OSError as exc:
            session.error = exc.errno or errno.EIO

    def _receive(self, door: socket.socket) -> None:
        while True:
            try:
                data, ancillary, _, _ = door.recvmsg(65_535, ANCILLARY_BYTES)
            except BlockingIOError:
                return
            except OSError as exc:
                self.session.error = exc.errno or errno.EIO
                return
            self._take(data, kernel_stamp(ancillary) or time.time_ns())
            if len(self.session.stream.delays) >= self._pace.packets:
                self._done.set()

    def _take(self, data: bytes, at: int) -> None:
        """Counts an answer to a packet of ours; our own stamp must come back with it, which nobody else can know."""
        session, answer = self.session, read_answer(data, self._pace.key)
        if answer is None and self._pace.key is not None:
            session.unproven += 1
        if answer is None or answer.sender_sequence >= session.stream.sent:
            return
        number = answer.sender_sequence
        sent_at = session.sent_at[number]
        if answer.sender_stamp != ntp_of(sent_at):
            return
        held = max(0, answer.sent_ns - answer.received_ns)
        new = number not in session.stream.delays
        session.stream.arrived(number, max(0, at - sent_at - held) / 1e9)
        if not new or number not in session.stream.delays:
            return
        session.forward[number] = (answer.received_ns - sent_at) / 1e9
        session.backward[number] = (at - answer.sent_ns) / 1e9
        session.highest_sent = max(session.highest_sent, number)
        session.highest_reflected = max(session.highest_reflected, answer.sequence)
        # PTP counts TAI, which is off by leap seconds that the wire does not tell
        session.synchronised &= answer.error.synchronised and not answer.error.ptp
