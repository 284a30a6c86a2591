"""The witness: stands outside the process, writes into the book what became durable and what left, and asks promises.

It learns of a transaction before the process may die of it. Where a promise is broken it ends the life, with the seed,
the entry and what happened last.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace

from cemd.loop.core import Core
from cemd.model.notice import Alert, NoticeRows, Phase
from cemd.simulation import promises
from cemd.simulation.book import Book
from cemd.simulation.fakes import FakeClock, WatchedStore
from cemd.simulation.outcome import Broken
from cemd.simulation.promises.moments import Promise, Sent, Written
from cemd.simulation.surroundings import Surroundings


class PromiseBroken(BaseException):
    """Ends the life. No guard may catch it, hence no `Exception`."""

    def __init__(self, broken: Broken) -> None:
        self.broken = broken
        super().__init__(broken.detail)


class Witness:
    """Of one life. `core`: the one that lives now."""

    def __init__(self, seed: int, world: Surroundings, clock: FakeClock, core: Callable[[], Core]) -> None:
        self.book = Book()
        self.seed, self.world, self.clock, self._core = seed, world, clock, core
        self.began = clock.monotonic

    def durable(self, operation: str, memory: WatchedStore) -> None:
        """A transaction of this name is kept."""
        if operation == "log.append":
            self.book.log(next(iter(memory.log.read(self.book.logged_seq))))
        elif operation == "state.commit" and (change := memory.state.under_way) is not None:
            self.book.commit(change)
            for rows in change.notices:
                self._written(rows)
            for rows in change.again:  # decided about anew, at this moment
                self._written(replace(rows, at=change.at), again=True)

    def sent(self, rows: NoticeRows, index: int) -> None:
        """A message left for good."""
        key = (int(rows.customer[index]), rows.phase, rows.revision)
        self.book.submitted[rows.communication, key] += 1
        self.book.submitted_to[rows.communication, rows.phase, rows.revision, int(rows.digest[index])] += 1
        self.hold(promises.AT_SEND, Sent(rows=rows, index=index))
        self.world.told(key[0], rows.phase, self.clock.monotonic)

    def alerted(self, alert: Alert) -> None:
        """An alert left."""
        self.book.alerted.setdefault(alert.id, []).append((alert, self.clock.wall))

    def hold(self, kept: Iterable[Promise], now: object) -> None:
        """Asks promises.

        Raises:
            PromiseBroken: one does not hold.
        """
        for promise in kept:
            for sentence in promise(self.book, now):
                raise PromiseBroken(self.broken(promise, sentence))

    def broken(self, promise: Promise, sentence: str, trace: tuple[str, ...] = ()) -> Broken:
        """Where and when; `trace` follows what happened last."""
        return Broken(
            seed=self.seed,
            promise=promise.__name__,
            seq=self.book.logged_seq,
            at=self.clock.wall,
            detail=sentence,
            trace=(*self.book.trace, *trace),
            after_seconds=self.clock.monotonic - self.began,
        )

    def note(self, what: str) -> None:
        """Writes into the trace, with the time."""
        passed = self.clock.monotonic - self.began
        when = f"{passed // 86_400:.0f}d{passed % 86_400 / 3600:05.2f}h #{self.book.logged_seq}"
        self.book.note(f"{when} {what}")

    def _written(self, rows: NoticeRows, *, again: bool = False) -> None:
        which = f"{rows.phase.name.lower()}.{rows.revision}{' again' if again else ''}"
        self.note(f"{rows.communication} {which}: {rows.customer.tolist()}")
        now = Written(rows=rows, core=self._core())
        self.hold(promises.AT_WRITE, now)
        if again:
            self.hold(promises.AT_AGAIN, now)
        if rows.phase is Phase.FIRST:
            self._judge(rows)

    def _judge(self, rows: NoticeRows) -> None:
        """Truth: was the customer hurt at all, lately? Not a promise, but the goal is zero."""
        customers = self._core().state.customers
        services = self.book.communications[rows.communication].services
        for customer in rows.customer.tolist():
            bits, site = int(customers["services"][customer]), customers.sites[int(customers["site"][customer])]
            mine = [name for place, name in enumerate(customers.services) if bits >> place & 1 and name in services]
            self.book.told_wrongly += not self.world.was_hurt(customer, mine, site, self.clock.monotonic)
