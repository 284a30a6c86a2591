"""The line-up: the probes that are at work, by the slots of the schedule, and how a new set takes their places.

Columns beside each other, for the quickest way touches one of them and no post: 64,000 posts do not fit in the
processor's caches.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping

from cemd.config.probes import Active
from cemd.kit.clock import Clock
from cemd.monitor.probes.engines.errands import AnyErrand, Engine
from cemd.monitor.roster import InOrder, Post, plan_of
from cemd.monitor.schedule import Schedule


class Lineup:
    """`engines` run errands, by name; a kind whose engine is not among them is launched or run."""

    def __init__(self, schedule: Schedule, clock: Clock, engines: Mapping[str, Engine]) -> None:
        self._schedule = schedule
        self._clock = clock
        self.posts: list[Post | None] = []
        self.errands: list[AnyErrand | None] = []
        """Those that may always be sent."""
        self.moments = bytearray()
        """1 for a moment of truth."""
        self.by = bytearray()
        """Which engine has the errand, counted from 1; 0: none."""
        self.active: dict[int, Active] = {}
        """When they run, of those that do not always."""
        self._engines = tuple(engines.values())
        self._numbers = {word: number for number, word in enumerate(engines, start=1)}

    def engine_of(self, slots: Iterable[int]) -> Engine | None:
        """That of all these errands, where it is one."""
        numbers = set(map(self.by.__getitem__, slots))
        one = numbers.pop() if len(numbers) == 1 else 0
        return self._engines[one - 1] if one else None

    async def take(self, posts: Mapping[str, Post], *, kind_at_once: int, rest: Callable[[], Awaitable[None]]) -> None:
        """Puts a whole set to work, by uid; what did not change, which is the same post, is not touched. `rest` is
        called after each, and gives others of the loop their turn."""
        self._schedule.make_room(len(posts), kind_at_once=kind_at_once)
        here: set[str] = set()
        for slot, uid in enumerate(self._schedule.uids()):
            if (post := posts.get(uid)) is None:
                self._retire(slot, uid)
            else:
                here.add(uid)
                if post is not self.posts[slot]:
                    self._put(post, slot)
            await rest()
        new = InOrder()
        for uid, post in posts.items():
            if uid in here:
                here.remove(uid)  # bit by bit: all at once would take its time
            else:
                new.add(uid, post)
            await rest()
        for post in new:
            self._put(post, None)
            await rest()

    def _put(self, post: Post, slot: int | None) -> None:
        """A probe that is new (no slot), or that changed."""
        if slot is not None:
            self._let_go(slot)
        post.take_up()
        slot = self._schedule.put(plan_of(post), slot, self._clock.monotonic())
        if (more := slot + 1 - len(self.posts)) > 0:
            self.posts += [None] * more
            self.errands += [None] * more
            self.by += bytes(more)
            self.moments += bytes(more)
        errand = post.errand if post.always and post.errand is not None and post.errand.by in self._numbers else None
        self.posts[slot], self.errands[slot] = post, errand
        self.by[slot] = 0 if errand is None else self._numbers[errand.by]
        self.moments[slot] = post.probe.moment_of_truth
        self.active.pop(slot, None)
        if post.probe.active is not None:
            self.active[slot] = post.probe.active

    def _retire(self, slot: int, uid: str) -> None:
        if uid:
            self._let_go(slot)
            self._schedule.retire(slot)
            self.posts[slot], self.errands[slot], self.by[slot] = None, None, 0
            self.active.pop(slot, None)

    def _let_go(self, slot: int) -> None:
        """The post of a slot is replaced or gone; one that runs is still needed at its end."""
        if (post := self.posts[slot]) is not None and not self._schedule.is_running(slot):
            post.let_go()
