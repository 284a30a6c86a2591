"""Who was told what of one communication: bitmaps worked out from outbox rows, in life and after a restart alike.

The rows are the truth. A row moves only while it is in flight or unknown, exactly as the store moves it, so that lived
and loaded sets are equal. Told = in flight, accepted, delivered or unknown.

Of rows that are in flight it is also known which handing over they belong to, of rows that are due when they came back
(`Handed`): they are few, no more than the channels have in hand.
"""

from __future__ import annotations

import array
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray
from pyroaring import BitMap

from cemd.model.entry import NoticeOutcomes
from cemd.model.identity import Instant
from cemd.model.notice import MOVED_FROM, SETTLES, TOLD_STATES, NoticeRows, NoticeState, Phase
from cemd.store.base import OutboxColumns

_TAIL = 4096


def bitmap(numbers: NDArray[np.uint32]) -> BitMap:
    """A bitmap of customer numbers, by way of a buffer: six times faster than from an array."""
    buffer = array.array("I")
    buffer.frombytes(np.ascontiguousarray(numbers, dtype=np.uint32).tobytes())
    return BitMap(buffer)


def numbers_of(members: BitMap) -> NDArray[np.uint32]:
    """The members, ascending."""
    return np.frombuffer(members.to_array(), dtype=np.uint32)


def is_member(members: BitMap, numbers: NDArray[np.uint32]) -> NDArray[np.bool_]:
    """Which of `numbers` (ascending, unique) are in the bitmap."""
    answer = np.zeros(len(numbers), dtype=np.bool_)
    if len(numbers) and members:
        both = numbers_of(members & bitmap(numbers))
        answer[np.searchsorted(numbers, both)] = True
    return answer


class Digests:
    """Keyed digests of addresses that already have a notice: a sorted array with a small tail."""

    __slots__ = ("_sorted", "_tail")

    def __init__(self) -> None:
        self._sorted: NDArray[np.int64] = np.zeros(0, np.int64)
        self._tail: NDArray[np.int64] = np.zeros(0, np.int64)

    def add(self, digests: NDArray[np.int64]) -> None:
        self._tail = _ordered(self._tail, digests[digests != 0])
        if len(self._tail) > max(_TAIL, len(self._sorted) // 8):
            self._sorted, self._tail = _ordered(self._sorted, self._tail), self._tail[:0]

    def holds(self, digests: NDArray[np.int64]) -> NDArray[np.bool_]:
        return _in_sorted(self._sorted, digests) | _in_sorted(self._tail, digests)


def _ordered(one: NDArray[np.int64], other: NDArray[np.int64]) -> NDArray[np.int64]:
    """Both, ascending, each value once. Asked for counts, numpy sorts; without them it hashes, sixty times slower."""
    return np.unique(np.concatenate([one, other]), return_counts=True)[0]


def _in_sorted(ordered: NDArray[np.int64], wanted: NDArray[np.int64]) -> NDArray[np.bool_]:
    if not len(ordered):
        return np.zeros(len(wanted), np.bool_)
    place = np.minimum(np.searchsorted(ordered, wanted), len(ordered) - 1)
    return np.asarray(ordered[place] == wanted, dtype=np.bool_)


@dataclass(frozen=True, slots=True, kw_only=True)
class Handed:
    """Rows that were handed over together and are in flight, or due since they came back together.

    `seq`: of the entry that handed them over; `at`: when they were decided first; `moved_at`: when they were handed
    over, or came back. `customer` is ascending.
    """

    seq: int
    channel: str
    at: Instant
    moved_at: Instant
    customer: NDArray[np.uint32]
    digest: NDArray[np.int64]

    def only(self, members: BitMap) -> Handed:
        """Those of them that are in the bitmap."""
        kept = is_member(members, self.customer)
        return replace(self, customer=self.customer[kept], digest=self.digest[kept])


def _only(parts: list[Handed], members: BitMap) -> list[Handed]:
    return [part for each in parts if len((part := each.only(members)).customer)]


@dataclass(slots=True)
class PhaseSets:
    """Outbox rows of one phase and revision, by state; the bitmaps are disjoint."""

    by_state: dict[NoticeState, BitMap] = field(default_factory=dict)
    digests: Digests = field(default_factory=Digests)
    last_at: float = 0.0
    handed: list[Handed] = field(default_factory=list)  # in flight
    due: list[Handed] = field(default_factory=list)

    def of(self, *states: NoticeState) -> BitMap:
        return BitMap.union(BitMap(), *(self.by_state[state] for state in states if state in self.by_state))

    def put(self, state: NoticeState, members: BitMap) -> None:
        if members:
            self.by_state[state] = self.by_state.get(state, BitMap()) | members

    def move(self, members: BitMap, state: NoticeState) -> BitMap:
        """Moves those that may move; returns them."""
        moved = BitMap()
        for source in MOVED_FROM.get(state, SETTLES):
            if source is not state and (fit := self.by_state.get(source, BitMap()) & members):
                moved |= self._leave(source, fit)
        self.put(state, moved)
        return moved

    def hand_over(self, rows: NoticeRows, at: Instant) -> None:
        """Rows go out; those that are in the sets already were due."""
        members = bitmap(rows.customer)
        self._leave(NoticeState.DUE, members & self.of(NoticeState.DUE))
        self.put(rows.state, members)
        if rows.state is NoticeState.IN_FLIGHT:
            self.handed.append(
                Handed(
                    seq=rows.seq,
                    channel=rows.channel,
                    at=rows.at,
                    moved_at=at,
                    customer=rows.customer,
                    digest=rows.digest,
                )
            )

    def give_back(self, members: BitMap, seq: int, at: Instant) -> BitMap:
        """Those of the handing over that are in flight become due; returns them."""
        back = _only([each for each in self.handed if each.seq == seq], members)
        moved = self.move(BitMap.union(BitMap(), *(bitmap(each.customer) for each in back)), NoticeState.DUE)
        self.due += [replace(each, moved_at=at) for each in _only(back, moved)]
        return moved

    def _leave(self, source: NoticeState, members: BitMap) -> BitMap:
        """Takes members of a state out of it."""
        if members:
            self.by_state[source] = self.by_state[source] - members
            if source is NoticeState.IN_FLIGHT:
                self.handed = _only(self.handed, self.by_state[source])
            elif source is NoticeState.DUE:
                self.due = _only(self.due, self.by_state[source])
        return members


class Told:
    """Everything that the outbox says of one communication."""

    __slots__ = ("sets",)

    def __init__(self) -> None:
        self.sets: dict[tuple[Phase, int], PhaseSets] = {}

    def at(self, phase: Phase, revision: int) -> PhaseSets:
        return self.sets.setdefault((phase, revision), PhaseSets())

    def told(self, phase: Phase, revision: int) -> BitMap:
        """Told in this phase and revision."""
        found = self.sets.get((phase, revision))
        return found.of(*TOLD_STATES) if found else BitMap()

    def unsent(self, phase: Phase, revision: int) -> BitMap:
        """Whose notice of this phase and revision is due again."""
        found = self.sets.get((phase, revision))
        return found.of(NoticeState.DUE) if found else BitMap()

    def rows(self, phase: Phase, revision: int) -> BitMap:
        """All that have a row, in whatever state."""
        found = self.sets.get((phase, revision))
        return found.of(*found.by_state) if found else BitMap()

    def everyone(self) -> BitMap:
        """Told in any phase."""
        return BitMap.union(BitMap(), *(each.of(*TOLD_STATES) for each in self.sets.values()))

    def heard(self) -> tuple[int, int, int]:
        """Customers by what is surest of their notices: (a transport accepted one, one is in flight, it is unknown)."""

        def of(*states: NoticeState) -> BitMap:
            return BitMap.union(BitMap(), *(each.of(*states) for each in self.sets.values()))

        accepted = of(NoticeState.ACCEPTED, NoticeState.DELIVERED)
        flying = of(NoticeState.IN_FLIGHT) - accepted
        return len(accepted), len(flying), len(of(NoticeState.UNKNOWN) - accepted - flying)

    def in_flight(self, *phases: Phase, since: float = 0.0) -> BitMap:
        """Whose notice of these phases is in flight, of rows as new as `since`, or handed over again since then."""
        flying = BitMap()
        for (phase, _), each in self.sets.items():
            if phase in phases and each.last_at >= since:
                flying |= each.of(NoticeState.IN_FLIGHT)
            elif phase in phases:
                flying |= BitMap.union(
                    BitMap(), *(bitmap(one.customer) for one in each.handed if one.moved_at >= since)
                )
        return flying

    def due(self) -> Iterator[tuple[Phase, int, PhaseSets]]:
        """Phases and revisions of which rows surely did not leave, in their order."""
        for (phase, revision), each in sorted(self.sets.items(), key=lambda one: one[0]):
            if each.due:
                yield phase, revision, each

    def insert(self, rows: NoticeRows) -> None:
        """Rows that were just decided, in flight."""
        sets = self.at(rows.phase, rows.revision)
        sets.hand_over(rows, rows.at)
        sets.digests.add(rows.digest)
        sets.last_at = rows.at

    def settle(self, outcomes: NoticeOutcomes) -> int:
        """Moves rows as the outcomes say; returns how many moved."""
        sets = self.sets.get((outcomes.phase, outcomes.revision))
        if sets is None:
            return 0
        moved = 0
        for code in np.unique(outcomes.state).tolist():
            chosen = outcomes.customer[outcomes.state == code]
            moved += len(sets.move(bitmap(chosen), NoticeState(code)))
        return moved

    def orphan(self) -> bool:
        """What is in flight becomes unknown; True when anything was."""
        moved = [each.move(each.of(NoticeState.IN_FLIGHT), NoticeState.UNKNOWN) for each in self.sets.values()]
        return any(moved)

    def states(self) -> dict[str, int]:
        """Rows by state, over all phases."""
        counts: dict[str, int] = {}
        for each in self.sets.values():
            for state, members in each.by_state.items():
                if members:
                    counts[state.name.lower()] = counts.get(state.name.lower(), 0) + len(members)
        return counts

    def load(self, columns: OutboxColumns) -> None:
        """Works the sets out from the rows."""
        key = columns.phase.astype(np.int64) << 32 | columns.revision.astype(np.int64)
        for code in np.unique(key).tolist():
            rows = key == code
            sets = self.at(Phase(code >> 32), code & 0xFFFFFFFF)
            sets.digests.add(columns.digest[rows])
            sets.last_at = float(columns.at[rows].max())
            for state in np.unique(columns.state[rows]).tolist():
                chosen = rows & (columns.state == state)
                sets.put(NoticeState(state), bitmap(columns.customer[chosen]))
                if state == NoticeState.IN_FLIGHT:
                    sets.handed += _handed(columns, np.flatnonzero(chosen))
                elif state == NoticeState.DUE:
                    sets.due += _handed(columns, np.flatnonzero(chosen))


def _handed(columns: OutboxColumns, places: NDArray[np.intp]) -> list[Handed]:
    """Rows at these places, together as they were handed over, or came back."""
    together: dict[tuple[int, str, float, float], list[int]] = {}
    for place in places.tolist():
        key = (
            int(columns.seq[place]),
            columns.channel[place],
            float(columns.at[place]),
            float(columns.moved_at[place]),
        )
        together.setdefault(key, []).append(place)
    found = []
    for (seq, channel, at, moved_at), rows in together.items():
        chosen = np.array(rows)[np.argsort(columns.customer[rows], kind="stable")]
        found.append(
            Handed(
                seq=seq,
                channel=channel,
                at=at,
                moved_at=moved_at,
                customer=columns.customer[chosen],
                digest=columns.digest[chosen],
            )
        )
    return found
