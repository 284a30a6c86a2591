"""The burden: how busy the prober is, observed about once a second; whether runs are given up, and the words for it."""

from __future__ import annotations

import time
from collections.abc import Callable
from math import inf
from typing import Any

from cemd.monitor.pressure import Pressure

OBSERVE_SECONDS = 1.0
BEHIND_SECONDS = 1.0
"""A loop that is so late does not keep up, be it that others have the processor: it must give up some runs in order,
before they are too late without one."""


class Burden:
    """`busy_seconds` is the processor time that the loop's thread has had."""

    def __init__(self, log: Any, now: float, busy_seconds: Callable[[], float] = time.thread_time) -> None:
        self.pressure = Pressure()
        self.shedding = False
        self._log = log
        self._busy_seconds = busy_seconds
        self._observed_at, self._observed_cpu = now, busy_seconds()
        self._lag = 0.0
        """How late the latest turn since the last observation came."""

    def besides(self, seconds: float) -> None:
        """So much processor time went into something else than runs: they are not given up for it."""
        self._observed_cpu += seconds

    def observe(self, now: float, lag: float) -> bool:
        """A turn came so late; looks, when it is time to, and answers whether it was."""
        if lag > self._lag:
            self._lag = lag
        if now - self._observed_at < OBSERVE_SECONDS:
            return False
        cpu, wall = self._busy_seconds(), now - self._observed_at
        behind = self._lag > BEHIND_SECONDS
        shedding = self.pressure.observe(cpu - self._observed_cpu, wall, behind=behind)
        self._observed_at, self._observed_cpu, self._lag = now, cpu, 0.0
        if shedding is not self.shedding:
            self.shedding = shedding
            self._say(behind=behind)
        return True

    def counters(self) -> dict[str, float]:
        """Totals of what was given up, and the cap where it is known."""
        counters = {
            "shed_runs": float(self.pressure.shed_total),
            "shed_moments_of_truth": float(self.pressure.shed_important_total),
        }
        if self.pressure.cap_per_second < inf:
            counters["cap_runs_per_second"] = self.pressure.cap_per_second
        return counters

    def _say(self, *, behind: bool) -> None:
        cap = self.pressure.cap_per_second
        known = {"cap_runs_per_second": round(cap)} if cap < inf else {}
        remedy = "find out who else has this host's processor" if behind else "fewer probes, or more agents"
        if self.shedding:
            self._log.warning("prober.sheds_runs", remedy=remedy, **known)
        else:
            self._log.info("prober.sheds_no_more", shed_runs=self.pressure.shed_total)
