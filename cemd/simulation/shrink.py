"""Shrinks a failing life to the shortest plan that still breaks the same promise, by delta debugging.

Fewer days first, then whole kinds of mishap at once, then single ones (ddmin), then fewer customers, then fewer days
again. Every step is a life of its own, so the number of lives is bounded; the best plan so far stands when it is
used up. Source: A. Zeller, R. Hildebrandt, "Simplifying and isolating failure-inducing input", IEEE TSE 28 (2), 2002.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec

from cemd.simulation.outcome import SimulationReport
from cemd.simulation.plan import HABITS, Plan

Live = Callable[[Plan], SimulationReport]
SHORTER = (0.5, 0.25, 0.1)
"""Shares of the days that are tried."""


class _Spent(Exception):  # noqa: N818 -- no error: the lives are used up
    pass


class Shrinking:
    """One search. `best` is the report of the smallest failing plan so far."""

    def __init__(self, broken: SimulationReport, live: Live, *, most_lives: int) -> None:
        if broken.broken is None:
            raise ValueError(f"seed {broken.seed} broke no promise; there is nothing to shrink.")
        self.best, self.live, self.left = broken, live, most_lives
        self.promise = broken.broken.promise
        self.lives = 0

    def run(self, names: Sequence[str], customers: int) -> SimulationReport:
        """The smallest failing life found.

        Args:
            names: Everything in the plan that can be left out.
            customers: How many there are.
        """
        try:
            self._shorten()
            self._leave_out_kinds(list(names))
            self._leave_out_each()
            self._fewer_customers(customers)
            self._shorten()
        except _Spent:
            pass
        return self.best

    def _fails(self, plan: Plan) -> bool:
        """Lives the plan; when it breaks the same promise, it is the best so far."""
        if self.left <= 0:
            raise _Spent
        self.left -= 1
        self.lives += 1
        report = self.live(plan)
        if report.broken is None or report.broken.promise != self.promise:
            return False
        self.best = report
        return True

    def _shorten(self) -> None:
        """Nothing that begins after the break was needed for it; perhaps less is enough."""
        broken = self.best.broken
        plan = self.best.plan
        reached = broken.after_seconds / 86_400.0 if broken is not None else plan.days
        now = plan.days if plan.until is None else plan.until
        if reached < now and not self._fails(_until(plan, reached)):
            return
        for share in SHORTER:
            plan = self.best.plan
            while self._fails(_until(plan, share * (plan.days if plan.until is None else plan.until))):
                plan = self.best.plan

    def _leave_out_kinds(self, names: list[str]) -> None:
        """Whole kinds, those with the most members first."""
        kinds: dict[str, list[str]] = {}
        for name in names:
            kinds.setdefault("habits" if name in HABITS else name.partition(".")[0], []).append(name)
        kept = names
        for _, members in sorted(kinds.items(), key=lambda one: (-len(one[1]), one[0])):
            without = [name for name in kept if name not in members]
            if self._fails(msgspec.structs.replace(self.best.plan, only=tuple(without))):
                kept = without
        if self.best.plan.only is None:
            self._fails(msgspec.structs.replace(self.best.plan, only=tuple(kept)))

    def _leave_out_each(self) -> None:
        """ddmin over what is left."""
        kept = list(self.best.plan.only or ())
        parts = 2
        while kept:
            size = -(-len(kept) // parts)
            for place in range(0, len(kept), size):
                rest = kept[:place] + kept[place + size :]
                if self._fails(msgspec.structs.replace(self.best.plan, only=tuple(rest))):
                    kept, parts = rest, max(parts - 1, 2)
                    break
            else:
                if size == 1:
                    return
                parts = min(len(kept), parts * 2)

    def _fewer_customers(self, customers: int) -> None:
        while customers > 1:
            for fewer in (customers // 8, customers // 2, customers - 1):
                if fewer and self._fails(msgspec.structs.replace(self.best.plan, customers=fewer)):
                    customers = fewer
                    break
            else:
                return


def _until(plan: Plan, days: float) -> Plan:
    return msgspec.structs.replace(plan, until=round(days, 6))
