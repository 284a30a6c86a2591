"""The baseline: static thresholds with `for:`, as a competent NOC would write them for the same probes.

A probe fires when its success ratio over some minutes is below a share, when its time is beyond a multiple of what
the NOC knows to be usual, or when it loses too many packets, and has been so for a while. Alerts are grouped by
service after a short wait, and a service is silent while something that it stands on fires there. Customers are told
by hand: all that the policy permits, its caps included, once an alert has lasted as long as the policy's hold-down.
`bench/day_baseline.py` searched the numbers on training seeds; they are frozen here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from cemd.config.rules import Policy
from cemd.demo.day.alarm import Alarm
from cemd.demo.world.world import World
from cemd.model.entry import Batch
from cemd.model.identity import Instant, serials
from cemd.model.quality import Outcome
from cemd.report.caps import Ledger

Flags = NDArray[np.bool_]
KEPT = 16
"""Samples that are remembered of each probe."""
GROUP_WAIT_SECONDS = 30.0
OVER_AFTER_SECONDS = 300.0
"""A group of alerts is over when nothing of it fired so long."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Thresholds:
    """What the grid search chose; see docs/benchmarks.md."""

    window_seconds: float = 300.0
    success_below: float = 0.4
    times_usual: float = 5.0
    loss_above: float = 0.1
    for_seconds: float = 300.0


FROZEN = Thresholds()


@dataclass(slots=True)
class _Group:
    """Alerts of one service that fire together."""

    service: str
    first_at: Instant
    last_at: Instant
    sites: dict[str, None] = field(default_factory=dict)
    opened_at: Instant | None = None
    told: bool = False


class Seen:
    """What the probes of a world showed lately: of each look its success, then every figure of every look. Several sets
    of thresholds can look at it."""

    def __init__(self, world: World) -> None:
        measuring = world.measuring
        self.names = [(look.row.service, look.site) for look in measuring.looks]
        ids = np.concatenate([measuring.success_ids, measuring.series_ids])
        self._ring = _Ring(len(ids))
        self._place_of = _places(ids)

    def take(self, batches: Sequence[Batch]) -> None:
        """Samples of a tick; blind ones show nothing."""
        if not batches:
            return
        series, at, value, outcome = (
            np.concatenate([getattr(one, name) for one in batches]) for name in ("series", "at", "value", "outcome")
        )
        place = self._place_of[np.minimum(serials(series), len(self._place_of) - 1)]
        mine = (place >= 0) & (outcome != Outcome.BLIND) & np.isfinite(value)
        self._ring.add(place[mine], at[mine], value[mine])

    def means(self, since: Instant, least: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Success ratio of each look and mean of each figure since then; NaN where there are fewer samples."""
        mean = self._ring.mean(since, least)
        return mean[: len(self.names)], mean[len(self.names) :]


def _places(ids: NDArray[np.int64]) -> NDArray[np.int64]:
    """Place of each series by its serial; -1, as of every serial beyond the last but one: not one of these."""
    serial = serials(ids)
    places = np.full(int(serial.max(initial=0)) + 2, -1, np.int64)
    places[serial] = np.arange(len(ids))
    return places


class Baseline:
    """One set of thresholds, in the same ticks as the core."""

    def __init__(self, world: World, seen: Seen, thresholds: Thresholds = FROZEN) -> None:
        self.world, self.seen, self.thresholds = world, seen, thresholds
        self.alarms: list[Alarm] = []
        self.due: list[tuple[str, tuple[str, ...]]] = []  # (service, sites) whose customers are to be told now
        figures = world.measuring.figures
        self.knowing: dict[str, Flags] = {}  # by service whose alert lasts: customers who were told
        self._heard = Ledger()
        self._at: Instant = world.start
        self._owner = world.measuring.owner
        self._limit = np.where(figures.delayed, thresholds.times_usual * figures.usual, np.inf)
        self._limit = np.where(figures.lossy, thresholds.loss_above, self._limit)
        self._since = np.full(len(seen.names), np.nan)
        self._groups: dict[str, _Group] = {}

    def look(self, at: Instant) -> None:
        """Evaluates the rules."""
        self._at, plan = at, self.thresholds
        success, value = self.seen.means(at - plan.window_seconds, 2)
        bad = success < plan.success_below
        high = np.flatnonzero(value > self._limit)
        bad[self._owner[high]] = True
        self._since = np.where(bad, np.where(np.isnan(self._since), at, self._since), np.nan)
        firing: dict[str, dict[str, None]] = {}
        for place in np.flatnonzero(at - self._since >= plan.for_seconds).tolist():
            service, site = self.seen.names[place]
            firing.setdefault(service, {})[site] = None
        for service, sites in firing.items():
            loud = {site: None for site in sites if not self._is_inhibited(service, site, firing)}
            if loud:
                group = self._groups.setdefault(service, _Group(service, at, at))
                group.last_at = at
                group.sites.update(loud)
        self._pass(at)

    def _is_inhibited(self, service: str, site: str, firing: dict[str, dict[str, None]]) -> bool:
        topology = self.world.topology
        return any(
            need != service and any(topology.overlap(site, other) for other in firing.get(need, ()))
            for need in topology.needs(service)
        )

    def _pass(self, at: Instant) -> None:
        self.due = []
        for group in list(self._groups.values()):
            if at - group.last_at > OVER_AFTER_SECONDS:
                self._close(group)
            elif group.opened_at is None and at - group.first_at >= GROUP_WAIT_SECONDS:
                if group.last_at == at:
                    group.opened_at = at
            elif group.opened_at is not None and not group.told and at - group.opened_at >= self._hold():
                group.told = True
                self.due.append((group.service, tuple(site for site in group.sites if site)))

    def tell(self, service: str, numbers: NDArray[np.int64]) -> None:
        """These are told by hand, and of the end when the alert is over."""
        flags = self.knowing.setdefault(service, np.zeros(self.world.people.count, np.bool_))
        flags[numbers] = True
        self._heard.add(self._at, numbers.astype(np.uint32))

    def capped(self, policy: Policy, at: Instant, numbers: NDArray[np.uint32]) -> Flags:
        """Who would hear too much: all that was told by hand counts, and the ends that are owed."""
        promised = np.full(len(numbers), 2, np.int64)  # this one and its end
        for flags in self.knowing.values():
            promised += flags[numbers]
        full = np.zeros(len(numbers), np.bool_)
        for cap in policy.caps:
            full |= self._heard.count(numbers, cap.window_seconds, at) + promised > cap.most
        return full

    def alarms_of(self, service: str, at: Instant) -> list[str]:
        """Alerts of the service that lasted then."""
        return [one.id for one in self.alarms if one.services == (service,) and one.opened_at <= at <= one.over_at]

    def _hold(self) -> float:
        return min((policy.hold_seconds for policy in self.world.configuration.policies), default=0.0)

    def _close(self, group: _Group) -> None:
        self._groups.pop(group.service)
        if (told := self.knowing.pop(group.service, None)) is not None:
            self._heard.add(self._at, np.flatnonzero(told).astype(np.uint32))
        if group.opened_at is not None:
            self.alarms.append(
                Alarm(
                    id=f"alert-{len(self.alarms) + 1}",
                    opened_at=group.opened_at,
                    over_at=group.last_at + OVER_AFTER_SECONDS,
                    services=(group.service,),
                    sites=() if "" in group.sites else tuple(group.sites),
                    cause=group.service,
                )
            )

    def finish(self) -> None:
        for group in list(self._groups.values()):
            self._close(group)


class _Ring:
    """The last samples of many series."""

    def __init__(self, size: int) -> None:
        self.at = np.full((size, KEPT), -np.inf)
        self.value = np.zeros((size, KEPT))
        self._head = np.zeros(size, np.int64)

    def add(self, rows: NDArray[np.int64], at: NDArray[np.float64], value: NDArray[np.float64]) -> None:
        while len(rows):  # a series that occurs twice goes in rounds
            _, first = np.unique(rows, return_index=True)
            slot = self._head[rows[first]] % KEPT
            self.at[rows[first], slot] = at[first]
            self.value[rows[first], slot] = value[first]
            self._head[rows[first]] += 1
            left = np.ones(len(rows), np.bool_)
            left[first] = False
            rows, at, value = rows[left], at[left], value[left]

    def mean(self, since: Instant, least: int) -> NDArray[np.float64]:
        """Mean of what is newer; NaN where there are fewer samples than `least`."""
        live = self.at > since
        count = live.sum(axis=1)
        total = np.where(live, self.value, 0.0).sum(axis=1)
        return np.where(count >= least, total / np.maximum(count, 1), np.nan)
