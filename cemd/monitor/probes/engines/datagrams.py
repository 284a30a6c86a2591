"""Datagrams by the batch: what probes ask at one moment leaves together, what came meanwhile is read together.

A wake-up of the loop costs more than a datagram. So the engine sleeps until the first answer comes, takes all that is
there, and then looks again after a rest as long as something comes; when an answer came says the kernel's stamp, not
the moment at which it was read. Answers that are as good as they should be are handed on as columns; whatever else
befalls a question is told one by one. A loss is mended by asking again.

What a probe keeps here is made once and only read afterwards: fifty thousand of them are cold when their turn comes,
and each piece of them that is touched costs as much as ten that were just made. What a run needs is a fresh tuple.
"""

from __future__ import annotations

import asyncio
import select
import time
from collections.abc import Callable, Hashable, Sequence
from enum import Enum
from math import inf
from typing import Any, TypeAlias

from cemd.model.quality import Outcome
from cemd.monitor.probes.base import Blind, Done, Kind, Missed, Reason, Result, Values, result_of
from cemd.monitor.probes.engines.errands import AnyErrand, Landed, Landing
from cemd.monitor.probes.engines.lines import Door, Keys, Line, Run
from cemd.monitor.probes.engines.names import Names, trouble
from cemd.monitor.probes.engines.sockets import Place
from cemd.monitor.probes.engines.stamps import ANCILLARY_BYTES, SO_TIMESTAMPNS, STEP_SECONDS, TIMESPEC

REST_SECONDS = 0.005
"""So long the engine looks away after it took answers; whoever sends more meanwhile has it look before."""
TICK_SECONDS = 0.02
"""Lost questions and deadlines are looked at so often, and kept early rather than late."""
SWEEP_SECONDS = 1.0
_AT_ONCE = 512
"""Answers of one socket that are taken before others have their turn."""
_MOST_BYTES = 65_535
_ONCE = select.EPOLLIN | select.EPOLLONESHOT


class GoesOn(Enum):
    """What an errand says that sees to the rest by itself; it calls `Datagrams.conclude` in the end."""

    ELSEWHERE = "elsewhere"


Found: TypeAlias = tuple[float, ...] | Result | GoesOn | None


class Errand(AnyErrand):
    """What one probe asks, again and again, never twice at once."""

    __slots__ = ("after", "before", "done", "line", "place", "resend")

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
        self.line, self.resend = line, resend
        self.before, self.after = message
        """What is sent before and after the number of the question."""
        self.place = place
        """Where it goes by a line that others share; only from there an answer comes."""
        self.done: Done | None = None
        """Whom a single attempt tells; None: whoever serves the batches."""

    def take(self, data: bytes, seconds: float, began: float) -> Found:
        """What a datagram with its number says, that came so long after the first sending: values of a good answer,
        the result of another, None where it is no answer to this question. `began` is the loop's time at its start."""
        raise NotImplementedError

    def give_up(self) -> None:
        """Ends what goes on elsewhere."""


class Datagrams:
    """Made and used inside one running loop."""

    def __init__(self, names: Names, log: Any) -> None:
        self.landing: Landing | None = None
        """Set by whoever sends batches."""
        self.loop = asyncio.get_running_loop()
        self.short_keys, self.long_keys = Keys(2), Keys(4, 0x7F)
        """Numbers of two bytes, and of four as a positive integer in the fewest bytes is written."""
        self._names = names
        self._log = log
        self._lines: dict[Hashable, Line] = {}
        self._doors: dict[int, Door] = {}
        self._elsewhere: dict[Errand, Run] = {}
        self._epoll = select.epoll()
        """All sockets. `_bell` rings once when one of them is ready, and is silent until it is set again."""
        self._bell = select.epoll()
        self._bell.register(self._epoll.fileno(), _ONCE)
        self.loop.add_reader(self._bell.fileno(), self._ring)
        self._came = False
        """Whether anything has since the last look."""
        self._rest: asyncio.TimerHandle | None = None
        self._ticking: asyncio.TimerHandle | None = None
        self._sweeping: asyncio.TimerHandle | None = None
        self._offset = time.time_ns() - time.monotonic_ns()
        self._stepped_at = -inf

    def line(self, key: Hashable, make: Callable[[], Line]) -> Line:
        """The one line of this key."""
        line = self._lines.get(key)
        if line is None:
            line = self._lines[key] = make()
        return line

    # Sending.

    def begin(self, errands: Sequence[Errand], slots: Sequence[int], now: float, at: float) -> None:
        """Sends all of them, in their order, each with its `timeout`; `landing` is told of a slot what became of it.
        `now` is the loop's time, `at` the wall clock's."""
        targets, clock = self._names.targets, time.time_ns
        for errand, slot in zip(errands, slots, strict=True):
            line = errand.line
            try:
                if errand.allowed_by is not targets:
                    self._admit(errand, targets)
                door = line.door
                if door is None or door.left <= 0 or now > door.until:
                    door = self._open(line, now)
            except (Blind, Missed) as exc:
                self._tell((errand, slot, b"", 0, now, at, now), self._result_of(exc, errand))
                continue
            door.left -= 1
            waiting, keys = door.waiting, line.keys.store
            key = keys.pop() if keys else line.keys.one()
            while key in waiting:
                key = line.keys.one()
            message = errand.before + key + errand.after
            waiting[key] = (errand, slot, key, clock(), now, at, now)
            try:
                if errand.place is None:
                    door.send(message)
                else:
                    door.send_to(message, errand.place)
            except OSError as exc:
                self._not_sent(door, errand, key, message, exc)
        if self._ticking is None:
            self._ticking = self.loop.call_later(TICK_SECONDS, self._tick)

    def _admit(self, errand: Errand, targets: object) -> None:
        """Its first time, or the first since what is allowed has changed.

        Raises:
            Blind: it may not go there.
        """
        self._names.check(errand.host, errand.host)
        errand.allowed_by = targets
        errand.line.shortest = min(errand.line.shortest, errand.resend, errand.timeout)

    def single(self, errand: Errand, deadline: float, done: Done) -> Callable[[], None]:
        """Sends one whose result, not complete yet, goes to `done`; answers what gives it up."""
        now = self.loop.time()
        errand.done, errand.timeout = done, deadline - now
        self.begin((errand,), (-1,), now, 0.0)
        return lambda: self._forget(errand)

    def conclude(self, errand: Errand, result: Result) -> None:
        """Tells what became of one that went on elsewhere."""
        run = self._elsewhere.pop(errand, None)
        if run is not None:
            self._tell(run, result)

    def give_up(self) -> list[int]:
        """Gives up all that were sent as batches and answers their slots; nobody is told."""
        out = [run for door in self._doors.values() for run in door.waiting.values()]
        given_up = [run for run in (*out, *self._elsewhere.values()) if run[0].done is None]
        for run in given_up:
            self._forget(run[0])
        return [run[1] for run in given_up]

    def close(self) -> None:
        """Closes all; nobody is told."""
        for timer in (self._rest, self._ticking, self._sweeping):
            if timer is not None:
                timer.cancel()
        self.loop.remove_reader(self._bell.fileno())
        for door in self._doors.values():
            door.close()
        self._doors.clear()
        self._bell.close()
        self._epoll.close()

    def _forget(self, errand: Errand) -> None:
        for door in self._doors.values():
            if door.line is errand.line:
                for key in [key for key, run in door.waiting.items() if run[0] is errand]:
                    del door.waiting[key]
        if self._elsewhere.pop(errand, None) is not None:
            errand.give_up()

    def _open(self, line: Line, now: float) -> Door:
        door = line.open(now)
        try:
            self._epoll.register(door.fileno, select.EPOLLIN)
        except OSError as exc:
            line.door = None
            door.close()
            raise Blind(Reason.NO_RESOURCES, f"{door.what}: no more sockets can be watched ({exc.strerror}).") from exc
        self._doors[door.fileno] = door
        if self._sweeping is None:
            self._sweeping = self.loop.call_later(SWEEP_SECONDS, self._sweep)
        return door

    def _sweep(self) -> None:
        """Closes sockets whose time is over and that nobody waits for."""
        now = self.loop.time()
        for door in [door for door in self._doors.values() if not door.waiting]:
            if now > door.until or door.left <= 0:
                if door.line.door is door:
                    door.line.door = None
                del self._doors[door.fileno]
                door.close()
        self._sweeping = self.loop.call_later(SWEEP_SECONDS, self._sweep) if self._doors else None

    # Reading.

    def _ring(self) -> None:
        self._bell.poll(0, 1)  # takes the ring: it is silent from now on
        self.collect()
        self._rest = self.loop.call_later(REST_SECONDS, self._look_again)

    def _look_again(self) -> None:
        self.collect()
        if self._came:
            self._came = False
            self._rest = self.loop.call_later(REST_SECONDS, self._look_again)
        else:
            self._rest = None
            self._bell.modify(self._epoll.fileno(), _ONCE)

    def collect(self) -> bool:
        """Takes what has come; whether anything had. Worth calling before more is sent: places become free."""
        ready = self._epoll.poll(0)
        if not ready:
            return False
        self._came = True
        offset = time.time_ns() - time.monotonic_ns()
        if abs(offset - self._offset) > STEP_SECONDS * 1e9:
            self._stepped_at = self.loop.time()
        self._offset = offset
        landed = Landed()
        for number, events in ready:
            door = self._doors.get(number)
            if door is not None:
                if events & select.EPOLLERR and not door.what:
                    self._heed(door)
                self._read(door, landed)
        if landed.slots and self.landing is not None:
            self.landing.landed(landed)
        return True

    def _read(self, door: Door, landed: Landed) -> None:
        receive, waiting, key_of, unpack = door.receive, door.waiting, door.key_of, TIMESPEC.unpack_from
        slots, errands, ats, values = landed.slots, landed.errands, landed.at, landed.values
        for _ in range(_AT_ONCE):
            try:
                data, ancillary, _, sender = receive(_MOST_BYTES, ANCILLARY_BYTES)
            except (BlockingIOError, InterruptedError):
                return
            except OSError as exc:
                self._fail(door, exc)
                return
            run = waiting.get(key_of(data))
            if run is None:
                continue
            errand, slot, key, sent_ns, began, at, _ = run
            if errand.place is not None and errand.place != sender:
                continue
            seconds = -1.0
            if ancillary and ancillary[0][1] == SO_TIMESTAMPNS:
                whole, part = unpack(ancillary[0][2])
                seconds = (whole * 1_000_000_000 + part - sent_ns) / 1e9
            if began <= self._stepped_at or seconds < 0.0:
                seconds = self.loop.time() - began
            try:
                found = errand.take(data, seconds, began)
            except Exception as exc:  # noqa: BLE001 -- the guard of every kind: our own fault must not read as theirs
                found = self._result_of(exc, errand)
            if found is None:
                continue
            del waiting[key]
            if type(found) is tuple and errand.done is None:
                slots.append(slot)
                errands.append(errand)
                ats.append(at)
                values.append((1.0, seconds, seconds, *found))
            elif found is GoesOn.ELSEWHERE:
                self._elsewhere[errand] = run
            else:
                self._tell(run, found if isinstance(found, Result) else _good(errand, seconds, found))

    def _fail(self, door: Door, exc: OSError) -> None:
        """The port over there is closed, or the way to it: so for all who wait."""
        if not door.what:
            self._heed(door)
            return
        waiting = list(door.waiting.values())
        door.waiting.clear()
        for run in waiting:
            self._tell(run, self._result_of(trouble(exc.errno or 0, door.what), run[0]))

    def _heed(self, door: Door) -> None:
        """What the system says of questions that came to nothing."""
        for key, error in door.errors():
            run = door.waiting.pop(key, None)
            if run is not None:
                self._tell(run, self._result_of(trouble(error, run[0].kind.target), run[0]))

    def _tell(self, run: Run, result: Result) -> None:
        errand, slot, _, _, began, at, _ = run
        if errand.done is not None:
            errand.done(result)
        elif self.landing is not None:
            self.landing.ended(slot, errand, at, self.loop.time() - began, result)

    def _result_of(self, exc: Exception, errand: Errand) -> Result:
        return result_of(exc, errand.kind, errand.kind.target, self._log)

    # Deadlines.

    def _tick(self) -> None:
        """Asks again, or gives up, whoever waits too long without an answer; what has come in time is taken before."""
        self.collect()
        now = self.loop.time() + TICK_SECONDS
        waits = False
        for door in [door for door in self._doors.values() if door.waiting]:
            self._look_at(door, now)
            waits = waits or bool(door.waiting)
        self._ticking = self.loop.call_later(TICK_SECONDS, self._tick) if waits else None

    def _look_at(self, door: Door, now: float) -> None:
        """Runs wait in the order in which they were sent last, so the first that is too young ends the look."""
        due = []
        for run in door.waiting.values():
            errand, _, _, _, began, _, asked = run
            if asked + door.line.shortest > now:
                break
            if asked + errand.resend <= now or began + errand.timeout <= now:
                due.append(run)
        for run in due:
            errand, slot, key, sent_ns, began, at, _ = run
            if door.waiting.pop(key, None) is None:
                continue  # the socket failed meanwhile
            if began + errand.timeout <= now:
                self._tell(run, _late(self.loop.time() - began))
            else:
                door.waiting[key] = (errand, slot, key, sent_ns, began, at, self.loop.time())
                self._send(door, errand, key)

    def _send(self, door: Door, errand: Errand, key: bytes) -> None:
        message = errand.before + key + errand.after
        try:
            if errand.place is None:
                door.send(message)
            else:
                door.send_to(message, errand.place)
        except OSError as exc:
            self._not_sent(door, errand, key, message, exc)

    def _not_sent(self, door: Door, errand: Errand, key: bytes, message: bytes, exc: OSError) -> None:
        """Where the system's buffer is full a datagram is as good as lost, and asked again; a closed port fails all who
        wait behind it. On a shared line an error may be that of another's question; one that stays is of this one."""
        if isinstance(exc, BlockingIOError):
            return
        self._fail(door, exc)
        if errand.place is None:
            return
        try:
            door.send_to(message, errand.place)
        except BlockingIOError:
            return
        except OSError as again:
            run = door.waiting.pop(key, None)
            if run is not None:
                self._tell(run, self._result_of(trouble(again.errno or 0, errand.kind.target), errand))


def _good(errand: Errand, seconds: float, values: tuple[float, ...]) -> Result:
    """A good answer, told by itself."""
    readings = Values(errand.metrics, (seconds, *values))
    return Result(outcome=Outcome.OK, reason=Reason.ANSWERED, readings=readings, seconds=seconds)


def _late(seconds: float) -> Result:
    words = "no answer before the deadline."
    return Result(outcome=Outcome.TIMED_OUT, reason=Reason.NO_ANSWER, detail=words, seconds=seconds)
