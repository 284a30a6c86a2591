"""The oracle: the same policy with the truth known at the onset. Whom it tells is whom anybody could have told in time.

It asks the report wing's own question, with the services and the place of the fault; it waits the policy's hold-down
from the onset, holds back whoever has quiet hours until they are over, tells nobody of a fault that is over by then,
and keeps to the policy's caps: of each fault a customer hears twice, that it is and that it is over.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from cemd.config.rules import Policy
from cemd.demo.world.events import Event
from cemd.demo.world.world import World
from cemd.loop.core import Core
from cemd.model.customers import ChannelKind, LawfulBasis
from cemd.model.identity import Instant
from cemd.model.notice import MessageClass, Phase, Reason
from cemd.report.address import address_kind
from cemd.report.audience import concern, concerned, select
from cemd.report.decide import Mask, Question, Way
from cemd.report.quiet import quiet_table
from cemd.report.told import numbers_of

Capped = Callable[[Policy, Instant, NDArray[np.uint32]], NDArray[np.bool_]]
"""Who of these customers would hear more than the policy allows at this instant."""
LOOK_SECONDS = 300.0
"""Whoever is held by quiet hours is looked at again so often."""


@dataclass(slots=True)
class Told:
    """Whom the oracle tells of one fault: when it could release at the earliest, and when each is told."""

    release_at: Instant
    at: NDArray[np.float64]


class Oracle:
    """One for all faults of a day."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.told: dict[int, Told] = {}
        self._looked: dict[int, Instant] = {}
        self._ends = {event.number: event.end for event in world.events}

    def policy(self, event: Event) -> Policy | None:
        """The first policy that speaks of what the event hurts."""
        sold = [name for name in self.world.ground.services_of(event) if name in self.world.people.services]
        return next(
            (
                policy
                for policy in self.world.configuration.policies
                if sold and (not policy.services or not set(sold).isdisjoint(policy.services))
            ),
            None,
        )

    def look(self, core: Core, at: Instant, hurting: Sequence[Event]) -> None:
        """Tells whom the policy permits, once it may."""
        for event in hurting:
            policy = self.policy(event)
            if policy is None or at < event.begin + policy.hold_seconds:
                continue
            if event.number in self._looked and at - self._looked[event.number] < LOOK_SECONDS:
                continue
            first = event.number not in self._looked
            self._looked[event.number] = at
            told = self.told.setdefault(event.number, Told(at, np.full(self.world.people.count, np.inf)))
            sites = [event.site] if event.site else []
            capped = partial(self.capped, event, policy, at)
            granted, held = self._ask(core, at, self.world.ground.services_of(event), sites, policy, capped)
            if first:
                told.at[held] = -1.0
                told.at[granted] = at
            else:  # those who were held by quiet hours alone
                waiting = granted[told.at[granted] == -1.0]
                told.at[waiting] = at

    def reachable(self, event: Event, contact_at: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Permitted, reachable, and not in contact before the earliest release."""
        told = self.told.get(event.number)
        if told is None:
            return np.zeros(self.world.people.count, np.bool_)
        reached: NDArray[np.bool_] = np.isfinite(told.at) & (told.at > 0) & (contact_at >= told.release_at)
        return reached

    def permitted(
        self, core: Core, service: str, sites: Sequence[str], at: Instant, capped: Capped
    ) -> NDArray[np.int64]:
        """Whom a person could tell by hand that this service does not work there, by the first policy of all; `capped`
        says who heard too much of that person."""
        policy = next(iter(self.world.configuration.policies), None)
        if policy is None:
            return np.zeros(0, np.int64)
        return self._ask(core, at, self.world.topology.dependents(service), sites, policy, partial(capped, policy, at))[
            0
        ]

    def capped(self, event: Event, policy: Policy, at: Instant, numbers: NDArray[np.uint32]) -> NDArray[np.bool_]:
        """Who would hear too much: every other fault they were told of counts with its beginning and its end."""
        full = np.zeros(len(numbers), np.bool_)
        for cap in policy.caps:
            heard = np.zeros(len(numbers), np.int64)
            for number, told in self.told.items():
                if number == event.number:
                    continue
                since, over = told.at[numbers], self._ends[number] + policy.stable_seconds
                is_told = np.isfinite(since) & (since > 0)
                heard += is_told & (since > at - cap.window_seconds)
                heard += is_told & (over > at - cap.window_seconds)
            full |= heard + 2 > cap.most
        return full

    def _ask(  # noqa: PLR0913, RUF100 -- what the report wing is asked
        self,
        core: Core,
        at: Instant,
        touched: Sequence[str],
        sites: Sequence[str],
        policy: Policy,
        capped: Mask | None = None,
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """(who is granted, who is held by quiet hours)."""
        services = [name for name in touched if name in self.world.people.services]
        services = [name for name in services if not policy.services or name in policy.services]
        customers, topology = core.state.customers, self.world.topology
        place = concern(customers, dict.fromkeys(services, sites), topology)
        book = core.state.report.book
        quiet = None
        if policy.message_class is not MessageClass.SAFETY:
            quiet = quiet_table(policy.quiet_hours, customers, topology, at)
        question = Question(
            phase=Phase.FIRST,
            bases=sum(LawfulBasis[name.upper()] for name in policy.bases),
            ways=self._ways(touched, policy),
            by_place=bool(sites),
            tickets=book.tickets(services),
            calls=book.calls(services),
            quiet=quiet,
            capped=capped,
        )
        chosen = select(customers, concerned(customers, place), question)
        numbers, reasons = numbers_of(chosen.concerned).astype(np.int64), chosen.reasons
        return numbers[reasons == Reason.FIRST_NOTICE], numbers[reasons == Reason.QUIET_HOURS]

    def _ways(self, touched: Sequence[str], policy: Policy) -> tuple[Way, ...]:
        """Channels that do not stand on what is broken."""
        topology = self.world.topology
        broken = set(touched)
        ways = []
        for name in policy.channels:
            channel = next(one for one in self.world.configuration.channels if one.name == name)
            kind: ChannelKind | None = address_kind(channel)
            stands_on = {need for service in channel.depends_on for need in topology.needs(service)}
            if kind is not None and stands_on.isdisjoint(broken):
                ways.append(Way(channel=name, kind=kind))
        return tuple(ways)
