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
"""After a warning's end, what opens on the members of its group belongs to it for so long; after one of a single series
is said, what opens on other single ones in its service and site."""
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

    def beside(self, evidence: Array, spoken: Array) -> Array:
        """How strong each group is, in limits, by the members that nobody speaks for; 0 if too few show anything."""
        member = self.of >= 0
        usual_now = evidence[member].mean()
        heard = (member & ~spoken).nonzero()[0]
        of, shown = self.of[heard], evidence[heard]
        beyond = np.bincount(of, shown - usual_now, len(self.size))
        few = np.bincount(of, shown > episodes.OVER, len(self.size)) < SMALLEST
        limit = self.columns["usual"] * episodes.Memory(self.columns["memory"]).limit
        strength: Array = np.where(few, 0.0, np.maximum(beyond, 0.0) * float(episodes.OVER) / limit)
        return strength

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
        self.fresh: dict[tuple[int, int], float] = {}  # groups whose warning is over, and until when it speaks for them
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
        ended = self._end(bank, at)
        self.said_at = [one for one in self.said_at if one > at - SHIFT_SECONDS]
        self.singles_at = [one for one in self.singles_at if one > at - SHIFT_SECONDS]
        spoken = self._spoken_for()
        said = self._say_groups(np.minimum(bank.columns["evidence"], MOST_BITS), spoken, at)
        return said + self._say_series(bank, spoken, at, detector), ended

    def _end(self, bank: Bank, at: float) -> list[tuple[int, int]]:
        alarm = bank.columns["alarm"]
        over = [
            (kind, number)
            for kind, number in self.open
            if not (alarm[number] if kind < 0 else self.groups[kind].columns["alarm"][number])
        ]
        self.fresh = {key: until for key, until in self.fresh.items() if until > at}
        for key in over:
            del self.open[key]
            if key[0] >= 0:
                self.fresh[key] = at + FRESH_SECONDS
        return over

    def _spoken_for(self) -> Array:
        """bool for each series: a warning that is open speaks for it, or one of its group that was a moment ago."""
        spoken = np.zeros(len(self.groups[0].of), np.bool_)
        for kind, number in (*self.open, *self.fresh):
            if kind < 0:
                spoken[number] = True
            else:
                spoken |= self.groups[kind].of == number
        return spoken

    def _say_groups(self, evidence: Array, spoken: Array, at: float) -> list[Warned]:
        """The strongest first; what is said joins `spoken`."""
        for groups in self.groups:
            if at - groups.judged_at >= EVERY_SECONDS and groups.size.any():
                groups.judge(evidence, at)
        said: list[Warned] = []
        while one := self._strongest_group(evidence, spoken):
            self._say(one, at)
            said.append(one)
            spoken |= self.groups[one.kind].of == one.number
        return said

    def _strongest_group(self, evidence: Array, spoken: Array) -> Warned | None:
        """Of the groups that warn by what nobody speaks for, if there is room for it."""
        found: list[tuple[float, int, int]] = []
        for kind, groups in enumerate(self.groups):
            wants = [one for one in groups.columns["alarm"].nonzero()[0].tolist() if (kind, one) not in self.open]
            if wants:
                beside = groups.beside(evidence, spoken)
                found += [(-float(beside[one]), kind, one) for one in wants]
        if not found or -min(found)[0] < bar(len(self.said_at)):
            return None
        strength, kind, number = min(found)
        shows = (self.groups[kind].of == number) & ~spoken & (evidence > episodes.OVER)
        return Warned(kind, number, shows.nonzero()[0], -strength)

    def _say_series(self, bank: Bank, spoken: Array, at: float, detector: Detector) -> list[Warned]:
        """Alarms with the evidence that so many series ask for, the strongest first; those that a warning of a group
        speaks for are said by it for good, and wait no more."""
        of_groups = spoken.copy()
        of_groups[[number for kind, number in self.open if kind < 0]] = False
        for row in [row for row in self.waiting if of_groups[row]]:
            del self.waiting[row]
        alarm = np.array([row for row in self.waiting if bank.columns["alarm"][row] and not spoken[row]], np.intp)
        more = len(bank) * detector.false_alarms_per_series_week * SHIFT_SECONDS / WEEK_SECONDS / FEW
        share = bank.share_at(alarm, max(more, 1.0))
        strong = ((share >= 1.0) & (bank.age_of_alarm(alarm) >= 1)).nonzero()[0]  # a group has the first word
        said: list[Warned] = []
        for place in strong[np.lexsort((alarm[strong], -share[strong]))].tolist():
            one = Warned(-1, int(alarm[place]), alarm[place : place + 1], float(share[place]))
            has_room = one.strength >= bar(len(self.said_at)) and len(self.singles_at) < SINGLES
            if has_room and not self._neighbour_said(one.number, at):
                self._say(one, at)
                said.append(one)
        return said

    def _say(self, one: Warned, at: float) -> None:
        self.said_at.append(at)
        self.open[one.kind, one.number] = one.rows
        if one.kind < 0:
            self.singles_at.append(at)
            for groups in self.groups:
                if (number := groups.of[one.number]) >= 0:
                    groups.columns["told_until"][number] = at + FRESH_SECONDS

    def _neighbour_said(self, row: int, at: float) -> bool:
        """Another single one of its service or site was, a moment ago."""
        return any(groups.of[row] >= 0 and groups.columns["told_until"][groups.of[row]] > at for groups in self.groups)

    def dump(self) -> bytes:
        open_ = [(kind, number, rows.tolist()) for (kind, number), rows in self.open.items()]
        return msgspec.msgpack.encode(
            {
                "groups": [one.dump() for one in self.groups],
                "open": open_,
                "fresh": [(*key, until) for key, until in self.fresh.items()],
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
        self.fresh = {(kind, number): until for kind, number, until in held.get("fresh", ())}
        self.waiting = dict.fromkeys(held["waiting"])
        self.said_at, self.singles_at = held["said_at"], held["singles_at"]


def bar(said: int) -> float:
    """How many times its limit a warning must reach after so many in eight hours: 1 at first, 1.4 with half of the
    places gone, 3.2 for the last one, and none beyond."""
    left = MOST - said
    return math.sqrt(MOST / left) if left > 0 else math.inf
