"""What the schedule is told of a probe, and what it says of its runs. Times are monotonic seconds."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

from cemd.model.identity import stable_hash


class Skip(StrEnum):
    """Why a run did not happen."""

    LATE = "late"
    BULKHEAD = "bulkhead_full"
    STILL_RUNNING = "still_running"
    MISSED = "missed"
    """Its whole interval passed before anybody looked: the host slept, or the prober stood still. Counted only."""
    LEFT = "probe_left"
    """It waited, behind a wall or for its time, when its probe left the set."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What the schedule is told of a probe. `uid` decides the phase; `group` the bulkhead beside its kind's."""

    uid: str
    every_seconds: float
    kind: str
    group: str
    light: bool = False
    """Whether a run is a datagram on its way and no more."""

    def phase(self) -> float:
        """Seconds into the interval at which it runs."""
        return stable_hash(self.uid) / 2.0**64 * self.every_seconds


class Due(NamedTuple):
    """A run of a slot; `planned` is when it should have begun."""

    slot: int
    planned: float


@dataclass(slots=True, kw_only=True)
class Turn:
    """What one look at the schedule says: the slots to run now, when each should have begun, and what is given up."""

    slots: list[int] = field(default_factory=list)
    planned: list[float] = field(default_factory=list)
    skipped: list[tuple[int, Skip]] = field(default_factory=list)
    ahead: list[int] = field(default_factory=list)
    """Slots that count as running from now on and are to run each when it is due,"""
    due: list[float] = field(default_factory=list)
    """which is then, earliest first."""
