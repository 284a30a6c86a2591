"""kill -9 of daemon or prober at random moments of the demo's story, and what must still be true afterwards.

While the story runs, a program pushes a number a second and remembers what was acknowledged, and chance (seeded) kills
one of the two processes: some seconds after the kill before, and twice in the middle of a mailing. A killed daemon is
started anew at once; a killed prober is the daemon's own care.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import aiohttp
from cemd.demo.conditions import Fault, Mode
from cemd.demo.population import expected_addresses

from tests.scenario.world import World

FAULT = Fault(name="subscriber register down", service="hlr", mode=Mode.OUTAGE)
PUSH_SECONDS = 1.0
WARM_UP_SECONDS = 10.0
FEWEST_ACKNOWLEDGED = 20
TOLD = ("told", "stabilising", "ending", "ended")


@dataclass(slots=True)
class Outcome:
    """Everything that is judged."""

    kills: list[str] = field(default_factory=list)
    acknowledged: set[int] = field(default_factory=set)
    found: set[int] = field(default_factory=set)
    expected: set[str] = field(default_factory=set)
    mails: dict[str, Counter[str]] = field(default_factory=dict)
    notices: dict[str, dict[str, int]] = field(default_factory=dict)
    incidents: list[dict[str, Any]] = field(default_factory=list)
    seen_incidents: dict[str, float] = field(default_factory=dict)
    """Id and time of opening of each incident at the moment when it was first seen."""
    series_before: dict[str, int] = field(default_factory=dict)
    series_after: dict[str, int] = field(default_factory=dict)
    standing_orders: int = -1


class Killing:
    """One story with kills."""

    def __init__(self, world: World, *, seed: int, kills: int) -> None:
        self.world = world
        self.outcome = Outcome()
        self._chance = random.Random(f"kill {seed}")
        self._left = kills
        self._over = asyncio.Event()

    async def run(self) -> Outcome:
        """The story from start to all-clear, with the kills in it; then what is left is counted."""
        world, outcome = self.world, self.outcome
        outcome.expected = expected_addresses(FAULT, world.everybody)
        await world.start_daemon()
        await world.wait_ready()
        async with asyncio.TaskGroup() as group:
            group.create_task(self._push(), name="push")
            group.create_task(self._kill_in_a_while(), name="kills by time")
            group.create_task(self._kill_while_mailing(), name="kills while mails leave")
            group.create_task(self._remember_incidents(), name="memory")
            try:
                await self._story()
            finally:
                self._over.set()
        await world.wait_ready()
        await self._count()
        return outcome

    async def _story(self) -> None:
        world = self.world
        await asyncio.sleep(WARM_UP_SECONDS)
        while not self.outcome.series_before:  # it may just have been killed
            self.outcome.series_before = await self._series()
            await asyncio.sleep(0.2)
        await world.telco.begin(FAULT)
        await world.until(self._reached(TOLD), "the hurt are told", 180)
        await self._everyone_was_told()
        await world.telco.end_fault(FAULT)
        await world.until(self._reached(("ended",)), "the all-clear has left", 180)

    async def _everyone_was_told(self) -> None:
        """The fault lasts until all whom it hurts have their notice, not only the first of them: a daemon that was away
        while it spread has measured some services only and speaks to their customers; the others hear of it as soon
        as theirs is seen to be hurt. Who hears of it never is counted as missing."""

        async def all_have_a_row() -> bool:
            firsts = (await self.world.notices()).get("first", {})
            return sum(firsts.values()) >= len(self.outcome.expected)

        with contextlib.suppress(AssertionError):
            await self.world.until(all_have_a_row, "all the hurt are told", 120)

    def _reached(self, states: tuple[str, ...]) -> Callable[[], Awaitable[bool]]:
        async def reached() -> bool:
            return await self.world.communication_state() in states

        return reached

    # what goes on meanwhile

    async def _push(self) -> None:
        """Numbers 1, 2, 3 ...: each is sent until it is acknowledged, as a careful program does."""
        number = 0
        while not self._over.is_set():
            number += 1
            body = {"metric": "counted_total", "value": number, "at": time.time(), "labels": {"service": "crm"}}
            await self._send(number, body)
            await self._pause(PUSH_SECONDS)

    async def _send(self, number: int, body: dict[str, object]) -> None:
        while not self._over.is_set():
            try:
                url, headers = f"{self.world.page}api/v1/measurements/journeys", {"X-Cemd-Request": "1"}
                async with self.world.client.post(url, json=body, headers=headers) as answer:
                    assert answer.status < 300 or answer.status in (429, 503), await answer.text()
                    if answer.status < 300:
                        self.outcome.acknowledged.add(number)
                        return
            except (aiohttp.ClientError, TimeoutError):
                pass  # killed just now; it is sent again
            await self._pause(0.2)

    async def _kill_in_a_while(self) -> None:
        while not self._over.is_set():
            await self._pause(self._chance.uniform(3, 18))
            await self._kill(self._chance.choice(("daemon", "daemon", "prober")))

    async def _kill_while_mailing(self) -> None:
        """Once among the first notices, once among the last: where a message may be lost between two worlds."""
        for share in (self._chance.uniform(0.05, 0.9), 1 + self._chance.uniform(0.05, 0.9)):
            wanted = int(share * len(self.outcome.expected))
            while len(self.world.mails()) < wanted:
                if self._over.is_set():
                    return
                await asyncio.sleep(0.02)
            await self._kill("daemon")

    async def _kill(self, victim: str) -> None:
        if self._left <= 0 or self._over.is_set():
            return
        self._left -= 1
        mails = len(self.world.mails())
        state = await self.world.communication_state()
        self.outcome.kills.append(f"{victim} after {mails} mails, communication {state or 'not begun'}")
        if victim == "prober":
            self.world.kill_prober()
            return
        self.world.kill_daemon()
        await self.world.daemon.wait()
        await self.world.start_daemon()

    async def _remember_incidents(self) -> None:
        while not self._over.is_set():
            for incident in await self.world.incidents():
                self.outcome.seen_incidents.setdefault(incident["id"], incident["opened_at"]["epoch"])
            await self._pause(0.5)

    async def _pause(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._over.wait()
        except TimeoutError:
            pass

    # what is left

    async def _count(self) -> None:
        world, outcome = self.world, self.outcome

        async def settled() -> bool:  # a communication has ended when its last notices are on their way
            outcome.notices = {phase: dict(states) for phase, states in (await world.notices()).items()}
            return not any({"due", "in_flight"} & set(states) for states in outcome.notices.values())

        await world.until(settled, "no notice is under way", 60)
        phase_of = world.subjects().phase_of
        for mail in world.mails():
            outcome.mails.setdefault(phase_of(mail.subject), Counter())[mail.to] += 1
        outcome.incidents = [dict(one) for one in await world.api.items("incidents")]
        outcome.series_after = await self._series()
        outcome.found = await self._counted()

        async def no_orders() -> bool:
            outcome.standing_orders = await self._standing_orders()
            return outcome.standing_orders == 0

        await world.until(no_orders, "no test order is left", 60)

    async def _series(self) -> dict[str, int]:
        """Number of each series by its words."""
        found = await self.world.api.items("series?limit=5000")
        return {
            f"{one['source']} {one['probe']} {one['target']} {one['metric']} {sorted(one['labels'].items())}": one["id"]
            for one in found
        }

    async def _counted(self) -> set[int]:
        """Every value of the pushed series that history has."""
        found = await self.world.api.items("series?limit=5000")
        number = next(one["id"] for one in found if one["metric"] == "counted_total")
        until = time.time() + 60  # beyond the view: the last ones may be younger than it
        document = await self.world.api.document(f"series/{number}?points=10000&until={until}")
        return {int(point["value"]) for point in document["points"]}

    async def _standing_orders(self) -> int:
        url = f"http://127.0.0.1:{self.world.telco.ports['order-management']}/orders"
        async with self.world.client.get(url) as answer:
            return len((await answer.json())["orders"])


def problems_of(outcome: Outcome) -> list[str]:
    """What broke, as sentences; empty when every promise was kept."""
    problems = []
    if len(outcome.acknowledged) < FEWEST_ACKNOWLEDGED or not outcome.series_before:
        problems.append(f"only {len(outcome.acknowledged)} pushes were acknowledged; this proves nothing.")
    if lost := outcome.acknowledged - outcome.found:
        problems.append(f"{len(lost)} acknowledged measurements are lost: {sorted(lost)[:10]}.")
    for phase, people in outcome.mails.items():
        twice = [to for to, count in people.items() if count > 1]
        if twice:
            problems.append(f"{len(twice)} people got the {phase} notice more than once, such as {twice[0]}.")
        if wrong := set(people) - outcome.expected:
            problems.append(f"{len(wrong)} people who were not hurt got a {phase} notice.")
        if phase not in ("first", "over"):
            problems.append(f"{sum(people.values())} mails were of kind {phase}, which nobody expected.")
    for phase in ("first", "over"):
        problems.extend(_unseen(phase, outcome))
    problems.extend(_about_incidents(outcome))
    changed = [words for words, number in outcome.series_before.items() if outcome.series_after.get(words) != number]
    if changed:
        problems.append(f"{len(changed)} series have another number now, such as {changed[0]}.")
    return problems


def _unseen(phase: str, outcome: Outcome) -> list[str]:
    """Ambiguous notices are visible as `unknown`: accepted ones arrived, and no more are missing than are unknown."""
    states = outcome.notices.get(phase, {})
    arrived = len(outcome.mails.get(phase, {}))
    accepted, unknown = states.get("accepted", 0), states.get("unknown", 0)
    problems = []
    if not accepted <= arrived <= accepted + unknown:
        problems.append(f"{phase}: {arrived} mails arrived, but {accepted} are accepted and {unknown} unknown.")
    if phase == "first" and sum(states.values()) != len(outcome.expected):
        problems.append(f"first: {len(outcome.expected)} had to be told, the outbox says {states}.")
    return problems


def _about_incidents(outcome: Outcome) -> list[str]:
    now = {one["id"]: one["opened_at"]["epoch"] for one in outcome.incidents}
    problems = [
        f"incident {name} was opened at {opened} and is now {now.get(name, 'gone')}."
        for name, opened in outcome.seen_incidents.items()
        if now.get(name) != opened
    ]
    causes = {one["cause"]["service"] for one in outcome.incidents if one["state"] != "cancelled"}
    if causes != {FAULT.service}:
        problems.append(f"the cause is {FAULT.service}; the incidents say {sorted(causes)}.")
    return problems
