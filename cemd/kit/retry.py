"""Waiting longer after each failure, with jitter, so that a thousand clients do not return at the same moment."""

from __future__ import annotations

import random
from dataclasses import dataclass, field


@dataclass(slots=True, kw_only=True)
class Backoff:
    """Delays between `first_seconds` and `longest_seconds`: doubled at each failure, then drawn from its upper half.

    Bound the number of tries or the total time where the wait has an end of its own; a door that must come back (a
    daemon, a broker) is tried for ever.
    """

    first_seconds: float = 0.5
    longest_seconds: float = 30.0
    chance: random.Random = field(default_factory=random.Random)
    failures: int = 0

    def next_delay(self) -> float:
        """Seconds to wait now; counts one more failure.

        >>> waits = Backoff(first_seconds=1, longest_seconds=8, chance=random.Random(1))
        >>> all(low <= waits.next_delay() <= 2 * low for low in (0.5, 1, 2, 4, 4))
        True
        """
        ceiling = min(self.longest_seconds, self.first_seconds * 2.0 ** min(self.failures, 60))
        self.failures += 1
        return ceiling * (0.5 + 0.5 * self.chance.random())

    def reset(self) -> None:
        """It worked: the next failure starts from the first delay again."""
        self.failures = 0
