"""What a life is lived in: an operator with its truth, seen by the daemon only through what reaches it.

Two are there. `world` is small and dense, for many entries of every kind in little time; `lives` is a whole scenario of
the operator's day, whose customers take journeys, call care and answer what they are told.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Protocol

from cemd.config.configuration import Configuration
from cemd.model.entry import CustomersLoaded, Payload
from cemd.model.identity import Instant
from cemd.model.notice import Phase
from cemd.simulation.plan import Plan
from cemd.store.base import SeriesCatalogue

FaultBegin = tuple[str, float]
"""Name of a fault in the plan, and the seconds after the beginning at which it begins."""


class Surroundings(Protocol):
    """An operator. Times are monotonic seconds; `wall` is what the machine's own clock says then."""

    configuration: Configuration
    begins_at: Instant
    """What the wall clock says when life begins."""
    round_seconds: float
    """Time from one round of what arrives to the next."""
    ticks: tuple[float, float, float]
    """Seconds between ticks: while all is quiet, while something is hurt, while somebody is told."""
    calls_about: tuple[str, ...]
    """Services that people call about; "" for no named one."""
    customer_count: int

    def faults(self) -> Sequence[FaultBegin]:
        """What goes wrong, before the plan leaves any out; equal for equal seeds and days."""

    def begin(self, catalogue: SeriesCatalogue, chance: random.Random) -> list[Payload]:
        """Series with their durable numbers, then all customers."""

    def pass_round(self, chance: random.Random, monotonic: float, wall: Instant) -> list[Payload]:
        """What arrives in the round that ends now."""

    def recheck(self, chance: random.Random, probe: str, monotonic: float, wall: Instant) -> list[Payload]:
        """What one probe sees now."""

    def customer_file(self, chance: random.Random) -> CustomersLoaded:
        """The customers as they are in the file today."""

    def series_numbers(self) -> tuple[int, ...]:
        """Numbers of series that exist."""

    def edited(self, chance: random.Random) -> Configuration:
        """The configuration after somebody edited the files, validly."""

    def told(self, customer: int, phase: Phase, monotonic: float) -> None:
        """This customer read a message now."""

    def was_hurt(self, customer: int, services: Sequence[str], site: str, monotonic: float) -> bool:
        """Truth: did something of this customer's, among these services, fail lately?"""


Build = Callable[[Plan, float], Surroundings]
"""Makes the surroundings of a plan; the second argument is the monotonic second at which life begins."""
