"""Which anomalies a person is told of: at most `MOST` an eight-hour shift for the whole operator, the strongest first.

A stated rate per series is too much for a large operator: 100,000 series at 0.02 a week are 95 alarms a shift. So, once
the number of series would give more than `FEW`, two things are asked of what is said. A single series must show the
evidence that belongs to the rate at which all series together give `FEW`. And the series of one service, and of one
site, are judged together: how far the sum of their evidence goes, in clusters as in `episodes`, is the group's own
past, and with it how much comes about by what they share (correlated series: a busy hour, a common uplink); what all
series of the operator show at the time is taken off first. A warning of a group speaks for all its members: what else
opens on them while it is open, or soon after, belongs to it.

The fewer places of the shift are left, the stronger a warning must be (`bar`): the last ones are for what nobody would
miss. What finds no room waits, and is said when there is room and it still holds. Everything is decided at
ticks, so nothing here depends on how batches were cut.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from cemd.analyze.bank import episodes
from cemd.analyze.bank.bank import Bank
from cemd.analyze.bank.learning import WEEK_SECONDS
from cemd.analyze.columns import Array, Columns, Field
from cemd.analyze.series import SeriesTable
from cemd.config.rules import Detector

SHIFT_SECONDS = 28_800.0
MOST = 10
"""Anomaly warnings in any eight hours; the rest waits."""
SINGLES = 4
"""Of these, at most so many of single series: what shows in many weighs more."""
FRESH_SECONDS = 7200.0
"""After a warning, what opens in the same service or site belongs to it for so long."""
FEW = 3.0
"""False ones that are accepted in eight hours, of single series and of groups each."""
EVERY_SECONDS = 60.0
"""Groups are judged this often at most."""
SMALLEST = 3
"""Members that make a group."""
MOST_BITS = np.float32(64.0)
"""Evidence of one member counts up to here: one series alone is no group."""

USUAL_RATE = 1.0 / 500.0
MOST_USUAL = np.float32(4.0)
"""Times the usual: more than that teaches no more."""
LEARN = 200
"""Looks at a group before it may warn."""

Rows = NDArray[np.intp]


FIELDS = {
    "usual": Field("<f4", 1.0),  # bits of all members together, beyond the share of the whole operator
    "now": Field("<f4"),  # of that, `episodes.OVER` is the usual
    "alarm": Field("|b1"),
    "told_until": Field("<f8", -np.inf),
    "memory": Field("<f4", shape=(len(episodes.EPISODE),)),
}


class Groups:
    """Groups of one kind (services, sites): `of` names the group of each series, -1 for none."""

    def __init__(self) -> None:
        self.codes: dict[str, int] = {}
        self.of: Array = np.zeros(0, np.intp)
        self.size: Array = np.zeros(0, np.intp)
        self.columns = Columns(FIELDS)
        self.judged_at = -np.inf
        self.n = 0

    def place(self, names: Sequence[str]) -> None:
        """Name of the group of each series, empty for none; a known name keeps its past."""
        codes = self.codes
        of = [codes.setdefault(name, len(codes)) if name else -1 for name in names]
        self.of = np.array(of, np.intp)
        old = len(self.columns)
        self.columns.add(len(codes) - old)
        fresh = episodes.Memory(self.columns["memory"][old:])
        fresh.apart[:], fresh.limit[:] = episodes.PRIOR_APART, episodes.MOST
        fresh.deep[:], fresh.excess[:] = episodes.FIRST_DEEP, episodes.PRIOR_EXCESS
        self.size = np.bincount(self.of[self.of >= 0], minlength=len(codes))

    def judge(self, evidence: Array, at: float) -> None:
        """What the members show together beyond what all series show, against what it reached before."""
        c, memory = self.columns, episodes.Memory(self.columns["memory"])
        interval = np.float32(min(at - self.judged_at, 3600.0))
        self.judged_at, self.n = at, self.n + 1
        before = c["now"].copy()
        self._sum_up(evidence)
        enters = ((c["now"] > episodes.OVER) & (before <= episodes.OVER)).nonzero()[0]
        self._learn(enters, interval)
        inside = c["now"] > episodes.OVER
        np.maximum(memory.peak, np.where(inside, c["now"], np.float32(0.0)), out=memory.peak)
        opens = (c["now"] >= memory.limit) & (self.n > LEARN) & (self.size >= SMALLEST)
        c["alarm"][:] = opens | (c["alarm"] & (c["now"] >= memory.limit * np.float32(0.5)))

    def _sum_up(self, evidence: Array) -> None:
        member, usual = self.of >= 0, self.columns["usual"]
        total = np.bincount(self.of[member], evidence[member], minlength=len(self.size))
        total = np.maximum(total - self.size * evidence[member].mean(), 0.0).astype(np.float32)
        self.columns["now"][:] = episodes.OVER * total / usual
        rate = np.float32(max(1.0 / self.n, USUAL_RATE))
        usual += (np.minimum(total, usual * MOST_USUAL) - usual) * rate
        np.maximum(usual, np.float32(1.0), out=usual)

    def _learn(self, enters: Rows, interval: np.float32) -> None:
        """A cluster of these groups begins: what the one before reached is counted."""
        held = self.columns["memory"]
        entering = episodes.Memory(held[enters])
        np.minimum(entering.peak, entering.limit, out=entering.peak)  # a fault teaches no more than what warns
        # Too few to count what comes true: their limits are not corrected.
        groups = max(int((self.size >= SMALLEST).sum()), 1)
        episodes.close_clusters(entering, np.full(len(enters), self.n, np.float32))
        as_stated = np.ones(len(enters), np.float32)
        so_long = SHIFT_SECONDS * groups / FEW
        episodes.set_limit(entering, np.full(len(enters), interval), so_long, as_stated, as_stated)
        held[enters] = entering.held

    def dump(self) -> dict[str, object]:
        held = {"codes": self.codes, "judged_at": self.judged_at, "n": self.n, "rows": len(self.columns)}
        return held | {"columns": self.columns.dump()}

    def load(self, held: Mapping[str, Any]) -> None:
        self.codes, self.judged_at, self.n = dict(held["codes"]), held["judged_at"], held["n"]
        self.columns.load(held["rows"], held["columns"])


@dataclass(frozen=True, slots=True)
class Warned:
    """What is said: of a group of a kind, or (kind -1) of one series; `rows` are the members that show it."""

    kind: int
    number: int
    rows: Rows
    strength: float


class Warnings:
    """What waits, what is open, and what was said in the last eight hours."""

    def __init__(self) -> None:
        self.groups = [Groups(), Groups()]
        self.version = -1
        self.waiting: dict[int, None] = {}
        self.open: dict[tuple[int, int], Rows] = {}
        self.said_at: list[float] = []
        self.singles_at: list[float] = []

    def place(self, table: SeriesTable) -> None:
        """Services and sites of all series, as they are configured now."""
        if self.version == table.version:
            return
        self.version = table.version
        self.groups[0].place([place.service if place else "" for place in table.places])
        self.groups[1].place([place.site if place else "" for place in table.places])

    def needed(self, series: int, detector: Detector) -> bool:
        """There are so many series that not every alarm can be said."""
        return series * detector.false_alarms_per_series_week * SHIFT_SECONDS / WEEK_SECONDS > FEW

    def tick(self, bank: Bank, at: float, detector: Detector) -> tuple[list[Warned], list[tuple[int, int]]]:
        """Warnings that open and those that end at this tick."""
        ended = self._end(bank)
        wanted = [*self._of_groups(bank, at), *self._of_series(bank, detector)]
        self.said_at = [one for one in self.said_at if one > at - SHIFT_SECONDS]
        self.singles_at = [one for one in self.singles_at if one > at - SHIFT_SECONDS]
        said: list[Warned] = []
        for one in sorted(wanted, key=lambda one: (one.kind < 0, -one.strength, one.kind, one.number)):
            single = one.kind < 0
            if self._spoken_for(one, at) or not self._has_room(one):
                continue
            self.said_at.append(at)
            if single:
                self.singles_at.append(at)
            self.open[one.kind, one.number] = one.rows
            self._speak_for(one, at)
            said.append(one)
        return said, ended

    def _has_room(self, one: Warned) -> bool:
        single = one.kind < 0
        return one.strength >= bar(len(self.said_at)) and not (single and len(self.singles_at) >= SINGLES)

    def _speak_for(self, one: Warned, at: float) -> None:
        """What opens in the services and sites of this warning, as long as it is fresh, is the same disturbance."""
        for groups in self.groups:
            touched = np.bincount(groups.of[one.rows][groups.of[one.rows] >= 0], minlength=len(groups.size))
            shown = touched >= np.maximum(SMALLEST, 0.1 * groups.size) if one.kind >= 0 else touched > 0
            groups.columns["told_until"][shown] = at + FRESH_SECONDS

    def _end(self, bank: Bank) -> list[tuple[int, int]]:
        alarm = bank.columns["alarm"]
        over = [
            (kind, number)
            for kind, number in self.open
            if not (alarm[number] if kind < 0 else self.groups[kind].columns["alarm"][number])
        ]
        for key in over:
            del self.open[key]
        return over

    def _spoken_for(self, one: Warned, at: float) -> bool:
        """A warning that is open or fresh shows this one as well."""
        if any(np.isin(one.rows, rows, assume_unique=True).any() for rows in self.open.values()):
            return True
        if one.kind >= 0:
            return bool(self.groups[one.kind].columns["told_until"][one.number] > at)
        return any(
            groups.columns["told_until"][groups.of[one.number]] > at
            for groups in self.groups
            if groups.of[one.number] >= 0
        )

    def dump(self) -> bytes:
        open_ = [(kind, number, rows.tolist()) for (kind, number), rows in self.open.items()]
        return msgspec.msgpack.encode(
            {
                "groups": [one.dump() for one in self.groups],
                "open": open_,
                "waiting": list(self.waiting),
                "said_at": self.said_at,
                "singles_at": self.singles_at,
            }
        )

    def load(self, body: bytes) -> None:
        held = msgspec.msgpack.decode(body)
        for one, part in zip(self.groups, held["groups"], strict=True):
            one.load(part)
        self.open = {(kind, number): np.array(rows, np.intp) for kind, number, rows in held["open"]}
        self.waiting = dict.fromkeys(held["waiting"])
        self.said_at, self.singles_at = held["said_at"], held["singles_at"]

    def _of_groups(self, bank: Bank, at: float) -> list[Warned]:
        evidence = np.minimum(bank.columns["evidence"], MOST_BITS)
        found = []
        for kind, groups in enumerate(self.groups):
            if at - groups.judged_at >= EVERY_SECONDS and groups.size.any():
                groups.judge(evidence, at)
            for number in groups.columns["alarm"].nonzero()[0].tolist():
                if (kind, number) not in self.open:
                    rows = np.flatnonzero(groups.of == number)
                    rows = rows[evidence[rows] > episodes.OVER]
                    limit = episodes.Memory(groups.columns["memory"]).limit[number]
                    strength = float(groups.columns["now"][number] / limit)
                    if len(rows) >= SMALLEST:
                        found.append(Warned(kind, number, rows, strength))
        return found

    def _of_series(self, bank: Bank, detector: Detector) -> list[Warned]:
        """Alarms with the evidence that so many series ask for."""
        alarm = np.array([row for row in self.waiting if bank.columns["alarm"][row]], np.intp)
        more = len(bank) * detector.false_alarms_per_series_week * SHIFT_SECONDS / WEEK_SECONDS / FEW
        share = bank.share_at(alarm, max(more, 1.0))
        strong = (share >= 1.0) & (bank.age_of_alarm(alarm) >= 1)  # a group has the first word
        return [
            Warned(-1, row, np.array([row]), strength)
            for row, strength in zip(alarm[strong].tolist(), share[strong].tolist(), strict=True)
            if (-1, row) not in self.open
        ]


def bar(said: int) -> float:
    """How many times its limit a warning must reach after so many in eight hours: 1 at first, 1.4 with half of the
    places gone, 3.2 for the last one, and none beyond."""
    left = MOST - said
    return math.sqrt(MOST / left) if left > 0 else math.inf
