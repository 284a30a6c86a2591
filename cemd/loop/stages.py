"""The stages of an entry, for whoever watches how long they take.

The core says that a stage is behind it; the watcher looks at a clock (`cemd/daemon/stopwatch.py`), the core has none.
Nothing comes back, so what is decided does not depend on how long it took.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum


class Stage(StrEnum):
    """Stages of an entry, in their order; the log takes a whole group of entries at once."""

    LOG = "log"  # what Monitor measured, and all else that came, is safe
    ANALYZE = "analyze"
    IMPROVE = "improve"
    REPORT = "report"
    COMMIT = "commit"


Laps = Callable[[Stage | None], None]
"""Told at the end of each stage; with None before the first one, when the time begins."""


def no_laps(_stage: Stage | None) -> None:
    """Nobody watches."""
