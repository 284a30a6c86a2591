"""Evidence: how the last attempts of each probe failed, for the page, and one line in the log for each change.

A probe that fails is said once, with the reason; its first success after that is said too. It is memory only: what must
survive (samples, findings, incidents) is in the stores.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Any

from cemd.kit.logs import SaidOnce
from cemd.model.measurement import Attempt

ATTEMPTS_KEPT = 20
"""Failed attempts kept per probe: enough to see a pattern."""
PROBES_KEPT = 10_000
"""Beyond so many probes with failures, the one that failed first gives way."""
OK = "ok"


class Evidence:
    """Takes what the prober tells of failures and of the first success after one."""

    def __init__(self, log: Any) -> None:
        self._failed: dict[str, deque[Attempt]] = {}
        self._said = SaidOnce(log, most=PROBES_KEPT)

    def take(self, attempts: Sequence[Attempt]) -> None:
        """Never waits."""
        for one in attempts:
            if one.outcome == OK:
                self._said.back(one.probe, "probe.works_again", probe=one.probe)
                continue
            self._said.gone(
                one.probe, "probe.failed", probe=one.probe, outcome=one.outcome, reason=one.reason, detail=one.detail
            )
            if one.probe not in self._failed and len(self._failed) >= PROBES_KEPT:
                del self._failed[next(iter(self._failed))]
            self._failed.setdefault(one.probe, deque(maxlen=ATTEMPTS_KEPT)).append(one)

    def of(self, probe: str) -> tuple[Attempt, ...]:
        """Failed attempts of a probe, the newest first."""
        return tuple(reversed(self._failed.get(probe, ())))
