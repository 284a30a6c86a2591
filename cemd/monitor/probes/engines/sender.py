"""A STAMP session from the sender's side: a paced stream of test packets, and what came back of it, by direction.

`stamp` and `voice` run it with packets of different size and pace, without a task: a timer paces what is sent, and the
socket waits with those of the others. The receive time is the kernel's. A round trip leaves out the time that the
reflector held the packet. What a direction's delays vary by needs no common clock; the delays themselves do, and are
told only where both ends say that they follow one.
"""

from __future__ import annotations

import asyncio
import errno
import secrets
import select
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import TypeAlias

from cemd.kit.tasks import settle
from cemd.model.quality import Outcome
from cemd.monitor.probes.base import Blind, Cancel, Reading, Reason, Result
from cemd.monitor.probes.engines.clock_state import clock_state
from cemd.monitor.probes.engines.names import trouble
from cemd.monitor.probes.engines.sockets import SocketParams, family_of, open_socket, place_of
from cemd.monitor.probes.engines.stamps import ANCILLARY_BYTES, SO_TIMESTAMPNS, WallClock, kernel_stamp
from cemd.monitor.probes.engines.waits import Waits
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


Told: TypeAlias = Callable[[Session | Exception], None]
"""Hears what came of a session: `Missed` where the far host says that nobody listens there or that it cannot be reached
and nothing came back, `Blind` where this host could not send or its clock was set meanwhile."""


class Sender:
    """Runs one session towards a reflector."""

    def __init__(self, params: SocketParams, pace: Pace, waits: Waits) -> None:
        self._params = params
        self._pace = pace
        self._waits = waits
        self._session_id = secrets.randbelow(65_535) + 1
        state = clock_state()
        self._error = ErrorEstimate(state.synchronised, state.error_seconds).packed()
        self.session = Session(Stream(pace.wait_seconds), synchronised=state.synchronised)
        self._loop = asyncio.get_running_loop()
        self._wall = WallClock()
        self._door: socket.socket | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._told: Told | None = None
        self._tick = -1
        self._began = self._end = 0.0
        self._place = ""

    async def run(self, address: str, port: int, deadline: float) -> Session:
        """The session, for who waits for it.

        Raises:
            Missed, Blind: as `Told` says.
        """
        over: asyncio.Future[Session | Exception] = self._loop.create_future()
        cancel = self.begin(address, port, deadline, partial(settle, over))
        try:
            said = await over
        finally:
            cancel()
        if isinstance(said, Exception):
            raise said
        return said

    def begin(self, address: str, port: int, deadline: float, told: Told) -> Cancel:
        """Opens the socket and sends the first packet; answers what gives the session up.

        Raises:
            Missed, Blind: the host cannot be reached from here, or this host cannot look.
        """
        self._place = f"test packets to {address} port {port}"
        self._began, self._end = self._loop.time(), deadline - MARGIN_SECONDS
        if self._began >= self._end:
            raise Blind(Reason.PROBER_BUSY, "the prober was too busy: the deadline came before a packet was sent.")
        try:
            door = open_socket(self._params, family_of(address), socket.SOCK_DGRAM)
        except PermissionError as exc:
            raise Blind(Reason.NOT_PERMITTED, f"no socket can be opened: {exc.strerror}.") from exc
        try:
            door.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
            door.connect(place_of(address, port))
            self._tick = self._waits.add(door.fileno(), self, select.EPOLLIN, deadline + 1.0)
        except OSError as exc:
            door.close()
            raise trouble(exc.errno or 0, self._place) from exc
        except BaseException:
            door.close()
            raise
        self._door, self._told = door, told
        self._send_next()
        return self.give_up

    def _send_next(self) -> None:
        """Paced by absolute times, so that a late turn of the loop does not slow the whole stream."""
        if self._door is None:
            return
        pace, sent = self._pace, self.session.stream.sent
        self._send(self._door, sent)
        due = self._began + (sent + 1) * pace.gap_seconds
        if sent + 1 < pace.packets and due < self._end:
            self._timer = self._loop.call_at(due, self._send_next)
        else:
            over_at = min(self._loop.time() + pace.wait_seconds, self._end)
            self._timer = self._loop.call_at(over_at, self._finish)  # what has not come by then is lost

    def ready(self, _events: int) -> None:
        """Of `Waiting`."""
        if self._door is not None:
            self._receive(self._door)
            if len(self.session.stream.delays) >= self._pace.packets:
                self._finish()

    def late(self) -> None:
        """Of `Waiting`: its own timer did not end it."""
        self._finish()

    def _finish(self) -> None:
        if self._door is not None:
            self._receive(self._door)  # what has come in time and nobody has looked at yet
        told = self._told
        self.give_up()
        if told is None:
            return
        said: Session | Exception = self.session
        try:
            self._wall.check()
        except Blind as blind:
            said = blind
        else:
            if self.session.error and not self.session.stream.delays:
                said = trouble(self.session.error, self._place)
        told(said)

    def give_up(self) -> None:
        """Ends it; nobody is told."""
        self._told = None
        if self._timer is not None:
            self._timer.cancel()
        if self._door is not None:
            self._waits.remove(self._door.fileno(), self._tick)
            self._door.close()
            self._door = None

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
