"""Datagrams by the batch: what probes ask at one moment leaves together, what came meanwhile is read together.

A wake-up of the loop costs more than a datagram. So answers are read many at a time, some milliseconds apart; when one
came says the kernel's stamp, not the moment at which it was read. Answers that are as good as they should be are handed
on as columns; whatever else befalls a question is told one by one. A loss is mended by asking again.

What a probe keeps here is made once and only read afterwards: fifty thousand of them are cold when their turn comes,
and each piece of them that is touched costs as much as ten that were just made. What a run needs is a fresh tuple.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections import Counter
from collections.abc import Callable, Hashable, Sequence
from itertools import repeat
from math import inf
from typing import Any, TypeAlias, TypeVar, cast

from cemd.monitor.probes.attempts import result_of
from cemd.monitor.probes.base import Attempt, Blind, Done, Missed, Result
from cemd.monitor.probes.engines.arrivals import AT_ONCE, Arrivals
from cemd.monitor.probes.engines.datagram_errand import Errand, GoesOn, late
from cemd.monitor.probes.engines.departures import MOST_BYTES, TOGETHER, cut
from cemd.monitor.probes.engines.errands import Landed, Landing
from cemd.monitor.probes.engines.lines import Destination, Door, Doors, Keys, Line, Run, Sending
from cemd.monitor.probes.engines.names import Names, trouble
from cemd.monitor.probes.engines.stamps import STEP_SECONDS

GLANCE_SECONDS = 0.01
GLANCE_SENT = 64
"""Whoever comes by, to send more, has answers read after so long or so many questions: before the buffer of a socket,
which may hold no more than 250 small datagrams, is half full."""
TICK_SECONDS = 0.02
"""While somebody waits, answers are read at least so often, and lost questions and deadlines are looked at, which are
kept early rather than late."""
SWEEP_SECONDS = 1.0
_LOOKS = 4
"""So often one socket is read before others have their turn."""

AnyLine = TypeVar("AnyLine", bound=Line)
Parcel: TypeAlias = tuple[list[bytes], list[bytes], Door, Sending]
"""What leaves for one place at one moment: numbers, messages, by which socket, and when."""


class Datagrams:
    """Made and used inside one running loop."""

    def __init__(self, names: Names, log: Any) -> None:
        self.landing: Landing | None = None
        """Set by whoever sends batches."""
        self.loop = asyncio.get_running_loop()
        self.short_keys, self.long_keys, self.nonces = Keys(2), Keys(4, 0x7F), Keys(8, 0x7F)
        """Numbers of two bytes, of four as a positive integer in the fewest bytes is written, and of eight, never 0."""
        self._names = names
        self._log = log
        self._lines: dict[Hashable, Line] = {}
        self.aims: Counter[Hashable] = Counter()
        """How many were ever made that lead to a place, for whoever gives a line to those that many ask."""
        self._doors = Doors()
        self._elsewhere: dict[Errand, Run] = {}
        self._arrivals = Arrivals()
        self._sent = 0
        """Questions since the last look,"""
        self._looked_at = -inf
        """and when that was, time of the loop."""
        self._ticking: asyncio.TimerHandle | None = None
        self._sweeping: asyncio.TimerHandle | None = None
        self._offset = time.time_ns() - time.monotonic_ns()
        self._stepped_at = -inf

    def line(self, key: Hashable, make: Callable[[], AnyLine]) -> AnyLine:
        """The one line of this key, which is always of the same kind."""
        line = self._lines.get(key)
        if line is None:
            line = self._lines[key] = make()
        return cast(AnyLine, line)

    # Sending.

    def begin(self, errands: Sequence[Errand], slots: Sequence[int], now: float, at: float) -> None:
        """Sends all of them, in their order, each with its `timeout`; `landing` is told of a slot what became of it.
        `now` is the loop's time, `at` the wall clock's."""
        targets = self._names.targets
        self._sent += len(slots)
        parcels: dict[Destination, Parcel] = {}
        for errand, slot in zip(errands, slots, strict=True):
            if errand.allowed_by is not targets and not self._may_go(errand, slot, now, at):
                continue
            to = errand.to
            parcel = parcels.get(to)
            if parcel is None:
                try:
                    parcel = parcels[to] = ([], [], self._doors.by(to.line, now), [0, now, at, now])
                except (Blind, Missed) as exc:
                    self._tell((errand, slot, b"", [0, now, at, now]), self._result_of(exc, errand))
                    continue
            keys, messages, door, sending = parcel
            waiting, store = door.waiting, to.line.keys.store
            key = store.pop() if store else to.line.keys.one()
            if key in waiting:
                key = to.line.keys.fresh(waiting)
            waiting[key] = (errand, slot, key, sending)
            keys.append(key)
            messages.append(errand.before + key + errand.after)
            if len(keys) == TOGETHER:
                self._leave(to, parcels.pop(to))
        for to, parcel in parcels.items():
            self._leave(to, parcel)
        if self._ticking is None:
            self._ticking = self.loop.call_later(TICK_SECONDS, self._tick)
        if self._sweeping is None:
            self._sweeping = self.loop.call_later(SWEEP_SECONDS, self._sweep)

    def _leave(self, to: Destination, parcel: Parcel) -> None:
        """Sends what goes to one place, by as few calls as can be."""
        keys, messages, door, sending = parcel
        door.left -= len(keys)
        sizes = list(map(len, messages))
        if sizes.count(sizes[0]) == len(sizes):
            self._send_block(door, to, parcel, sizes[0], keys)
            return
        unsent = dict.fromkeys(keys)
        for block in cut(sizes):
            theirs, its = [keys[place] for place in block], [0, *sending[1:]]
            for key in theirs:
                if (run := door.waiting.get(key)) is not None:
                    door.waiting[key] = (*run[:3], its)
            piece = (theirs, [messages[place] for place in block], door, its)
            self._send_block(door, to, piece, sizes[block[0]], list(unsent))
            for key in theirs:
                del unsent[key]

    def _send_block(self, door: Door, to: Destination, parcel: Parcel, size: int, unsent: Sequence[bytes]) -> None:
        """Sends what makes up a block, one by one where the system does not take it as one. `unsent` are the numbers of
        all that still is to leave, these among them."""
        keys, messages, _, sending = parcel
        sending[0] = time.time_ns()
        try:
            if len(keys) == 1:
                if to.place is None:
                    door.send(messages[0])
                else:
                    door.send_to(messages[0], to.place)
                return
            if to.line.blocks and size <= MOST_BYTES and door.send_block(b"".join(messages), size, to):
                return
        except BlockingIOError:
            return  # as good as lost, and asked again
        except OSError as exc:
            kept = {key: run for key in unsent if (run := door.waiting.pop(key, None)) is not None}
            self._fail(door, exc)  # it is about those who went before
            door.waiting.update(kept)
        for key in keys:
            if (run := door.waiting.get(key)) is not None:
                errand, slot, _, (_, began, at, asked) = run
                door.waiting[key] = (errand, slot, key, [time.time_ns(), began, at, asked])
                self._send(door, errand, key)

    def _may_go(self, errand: Errand, slot: int, now: float, at: float) -> bool:
        """Each time of one to a name, else its first time, or the first since what is allowed has changed. Where it is
        not sent now, all about it is seen to here."""
        run: Run = (errand, slot, b"", [0, now, at, now])
        named = errand.named
        try:
            if named is None:
                self._names.check(errand.host, errand.host)
                errand.allowed_by = self._names.targets
            elif (address := self._names.known(named.host, named.version)) is None:
                self._elsewhere[errand] = run
                errand.ending = asyncio.ensure_future(self._thoroughly(errand, now + errand.timeout)).cancel
                return False
            elif address != named.address:
                named.address, errand.to = address, named.aim(address)
        except (Blind, Missed) as exc:
            self._tell(run, self._result_of(exc, errand))
            return False
        line = errand.to.line
        line.shortest = min(line.shortest, errand.resend, errand.timeout)
        return True

    async def _thoroughly(self, errand: Errand, deadline: float) -> None:
        """A run whose name must be looked up first."""
        run = f"cemd-{secrets.token_hex(8)}"
        attempt = Attempt(probe=errand.kind.target, deadline=deadline, run=run, log=self._log)
        try:
            async with asyncio.timeout_at(deadline):
                result = await errand.kind.run(attempt)
        except Exception as exc:  # noqa: BLE001 -- as in `measure`: told as a result, since nobody waits for a raise
            result = self._result_of(exc, errand)
        self.conclude(errand, result)

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
        out = [run for door in self._doors for run in door.waiting.values()]
        given_up = [run for run in (*out, *self._elsewhere.values()) if run[0].done is None]
        for run in given_up:
            self._forget(run[0])
        return [run[1] for run in given_up]

    def close(self) -> None:
        """Closes all; nobody is told."""
        for timer in (self._ticking, self._sweeping):
            if timer is not None:
                timer.cancel()
        self._doors.close()

    def _forget(self, errand: Errand) -> None:
        if self._elsewhere.pop(errand, None) is not None:
            errand.give_up()
            return
        for door in self._doors:
            if door.line is errand.to.line:
                for key in [key for key, run in door.waiting.items() if run[0] is errand]:
                    del door.waiting[key]

    def _sweep(self) -> None:
        """Closes sockets whose time is over; takes what came too late out of the others."""
        self.collect()
        self._doors.sweep(self.loop.time())
        self._sweeping = self.loop.call_later(SWEEP_SECONDS, self._sweep) if self._doors else None

    # Reading.

    def glance(self) -> None:
        """Takes what has come if that is worth a look by now."""
        if self._sent >= GLANCE_SENT or self.loop.time() - self._looked_at >= GLANCE_SECONDS:
            self.collect()

    def collect(self) -> bool:
        """Takes what has come; whether anything had. Worth calling before more is sent: places become free."""
        self._sent, self._looked_at = 0, self.loop.time()
        ready = self._doors.ready()
        if not ready:
            return False
        offset = time.time_ns() - time.monotonic_ns()
        if abs(offset - self._offset) > STEP_SECONDS * 1e9:
            self._stepped_at = self.loop.time()
        self._offset = offset
        landed = Landed()
        for door, failed in ready:
            if failed and not door.what:
                self._heed(door)
            self._read(door, landed)
        if landed.slots and self.landing is not None:
            self.landing.landed(landed)
        return True

    def _read(self, door: Door, landed: Landed) -> None:
        arrivals = self._arrivals
        for _ in range(_LOOKS):
            try:
                count = arrivals.take(door.fileno)
            except OSError as exc:
                self._fail(door, exc)
                return
            if count:
                self._sort(door, landed)
            if count < AT_ONCE:
                return

    def _sort(self, door: Door, landed: Landed) -> None:
        """Hands each datagram that was taken to the errand that it answers."""
        arrivals, waiting, key_of = self._arrivals, door.waiting, door.key_of
        slots, errands, ats, values = landed.slots, landed.errands, landed.at, landed.values
        now, stepped_at = self.loop.time(), self._stepped_at
        senders = repeat(b"") if door.what else arrivals.senders()
        for data, stamp, sender in zip(arrivals.data(), arrivals.stamps(), senders):  # noqa: B905 -- one may be endless
            run = waiting.get(key_of(data))
            if run is None:
                continue
            errand, slot, key, (sent_ns, began, at, _) = run
            if errand.to.sender != sender:
                continue
            seconds = (stamp - sent_ns) / 1e9
            if seconds < 0.0 or began <= stepped_at:
                seconds, sent_ns = now - began, 0
            try:
                found = errand.take(data, seconds, began, sent_ns)
            except Exception as exc:  # noqa: BLE001 -- the guard of every kind: our own fault must not read as theirs
                found = self._result_of(exc, errand)
            if found is None:
                continue
            del waiting[key]
            if type(found) is tuple and errand.done is None:
                slots.append(slot)
                errands.append(errand)
                ats.append(at)
                values.append((1.0, seconds, seconds) + found)  # noqa: RUF005 -- unpacking makes a list of it first
            elif found is GoesOn.ELSEWHERE:
                self._elsewhere[errand] = run
            else:
                self._tell(run, found if isinstance(found, Result) else errand.result(seconds, found))

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
            found = door.waiting.get(key)
            if found is None:
                continue
            to, sending = found[0].to, found[3]
            for run in [run for run in door.waiting.values() if run[3] is sending and run[0].to is to]:
                del door.waiting[run[2]]  # what left as a block may come back as one
                self._tell(run, self._result_of(trouble(error, _whom(run[0])), run[0]))

    def _tell(self, run: Run, result: Result) -> None:
        errand, slot, _, (_, began, at, _) = run
        if errand.done is not None:
            errand.done(result)
        elif self.landing is not None:
            self.landing.ended(slot, errand, at, self.loop.time() - began, result)

    def _result_of(self, exc: Exception, errand: Errand) -> Result:
        return result_of(exc, errand.kind, errand.kind.target, self._log)

    # Deadlines.

    def _tick(self) -> None:
        """Takes what has come, and asks again, or gives up, whoever waits too long without an answer."""
        if self.loop.time() - self._looked_at >= GLANCE_SECONDS:
            self.collect()
        now = self.loop.time() + TICK_SECONDS
        overdue = [(door, run) for door in self._doors if door.waiting for run in door.overdue(now)]
        if overdue:
            self.collect()  # what has come in time is taken before
        for door, run in overdue:
            if door.waiting.get(run[2]) is run:
                self._lose_patience(door, run, now)
        waits = any(door.waiting for door in self._doors)
        self._ticking = self.loop.call_later(TICK_SECONDS, self._tick) if waits else None

    def _lose_patience(self, door: Door, run: Run, now: float) -> None:
        """It has waited too long: asks again, or gives up."""
        errand, slot, key, (sent_ns, began, at, _) = run
        del door.waiting[key]
        if began + errand.timeout <= now:
            self._tell(run, late(errand.kind, self.loop.time() - began))
            return
        if errand.afresh:
            sent_ns, key = time.time_ns(), door.line.keys.fresh(door.waiting)
        door.waiting[key] = (errand, slot, key, [sent_ns, began, at, self.loop.time()])
        self._send(door, errand, key)

    def _send(self, door: Door, errand: Errand, key: bytes) -> None:
        message, place = errand.before + key + errand.after, errand.to.place
        try:
            if place is None:
                door.send(message)
            else:
                door.send_to(message, place)
        except OSError as exc:
            self._not_sent(door, errand, key, message, exc)

    def _not_sent(self, door: Door, errand: Errand, key: bytes, message: bytes, exc: OSError) -> None:
        """Where the system's buffer is full a datagram is as good as lost, and asked again; a closed port fails all who
        wait behind it. On a shared line an error may be that of another's question; one that stays is of this one."""
        if isinstance(exc, BlockingIOError):
            return
        self._fail(door, exc)
        if errand.to.place is None:
            return
        try:
            door.send_to(message, errand.to.place)
        except BlockingIOError:
            return
        except OSError as again:
            run = door.waiting.pop(key, None)
            if run is not None:
                self._tell(run, self._result_of(trouble(again.errno or 0, _whom(errand)), errand))


def _whom(errand: Errand) -> str:
    """Address and port that a question went to. Not the probe's target: that of a name server reads as a mail address,
    which no detail may hold."""
    place = errand.to.place
    return f"question to {errand.address}" + ("" if place is None else f" port {place[1]}")
