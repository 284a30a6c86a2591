"""Words for how well things are, and the five dimensions of service quality."""

from __future__ import annotations

from enum import IntEnum, StrEnum


class Quality(StrEnum):
    """State of a subject. No data is `unknown`: never healthy and never down."""

    HEALTHY = "healthy"
    AT_RISK = "at_risk"
    DEGRADED = "degraded"
    DOWN = "down"
    UNKNOWN = "unknown"


WORST_FIRST = (Quality.DOWN, Quality.DEGRADED, Quality.AT_RISK, Quality.HEALTHY, Quality.UNKNOWN)


def worst(qualities: list[Quality]) -> Quality:
    """The worst of what is known; `unknown` only where nothing is known."""
    return min(qualities, key=WORST_FIRST.index, default=Quality.UNKNOWN)


class Dimension(StrEnum):
    """RATER. Two dimensions start with R: always the whole word, never the letter."""

    RESPONSIVENESS = "responsiveness"
    ASSURANCE = "assurance"
    TANGIBLES = "tangibles"
    EMPATHY = "empathy"
    RELIABILITY = "reliability"


class Outcome(IntEnum):
    """What became of one attempt to measure; stored as uint8 in columns."""

    OK = 0
    FAILED = 1
    TIMED_OUT = 2
    BLIND = 3
