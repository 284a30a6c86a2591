"""How much goes on at an instant, against 1 in an ordinary hour: week, holidays, growth, and noise with heavy tails."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

import numpy as np

from cemd.demo.world.chance import chance
from cemd.demo.world.scenario import Scenario
from cemd.model.identity import Instant

BUCKET_SECONDS = 300.0
YEAR_SECONDS = 365.25 * 86_400.0
TAIL = 4.0
"""Degrees of freedom of Student's t for the noise: outliers come some times a day, not once in a lifetime."""


class Almanac:
    """Local time of the operator, and traffic by it. `extra_holidays` come from traps that are holidays."""

    def __init__(self, scenario: Scenario, seed: int) -> None:
        self.zone = ZoneInfo(scenario.operator.zone)
        self.first_day = date.fromisoformat(scenario.calendar.begins)
        self.start: Instant = self.midnight(0)
        self.extra_holidays: set[date] = set()
        self._traffic = scenario.traffic
        self._holidays = {date.fromisoformat(day) for day in scenario.traffic.holidays}
        hours = scenario.traffic.hours
        week = [*hours] if len(hours) == 168 else [*hours * 5, *[hour * scenario.traffic.weekend for hour in hours * 2]]
        self._week = np.array(week, np.float64)
        self._noise = chance(seed, "traffic").standard_t(TAIL, 4096) * scenario.traffic.noise

    def midnight(self, day: int) -> Instant:
        """The instant at which the so-many-th day (from 0) begins; days with a clock change are shorter or longer."""
        return datetime.combine(self.first_day + timedelta(days=day), datetime.min.time(), self.zone).timestamp()

    def local(self, at: Instant) -> datetime:
        return datetime.fromtimestamp(at, self.zone)

    def load(self, at: Instant) -> float:
        """Traffic at an instant; constant for five minutes."""
        return self._load(int(at // BUCKET_SECONDS))

    @lru_cache(maxsize=1024)  # noqa: B019 -- one almanac lives as long as its world
    def _load(self, bucket: int) -> float:
        at = bucket * BUCKET_SECONDS
        now = self.local(at)
        day = now.date()
        free = day in self._holidays or day in self.extra_holidays
        hour = (6 if free else now.weekday()) * 24 + now.hour
        share = now.minute / 60.0
        following = hour - hour % 24 + (hour + 1) % 24
        base = float(self._week[hour] * (1 - share) + self._week[following] * share)
        if free:
            base *= self._traffic.holiday
        growth = (1.0 + self._traffic.growth_per_year) ** ((at - self.start) / YEAR_SECONDS)
        noise = float(self._noise[bucket % len(self._noise)] + self._noise[(bucket - 1) % len(self._noise)]) / 2
        return float(base * growth * np.exp(np.clip(noise, -1.0, 1.0)))
