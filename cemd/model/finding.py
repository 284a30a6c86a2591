"""A finding: a condition on one subject that began, changed or ended. Findings arise at ticks only."""

from __future__ import annotations

from enum import StrEnum

import msgspec

from cemd.model.identity import Instant, SeriesId
from cemd.model.quality import Quality
from cemd.model.subject import Subject


class Condition(StrEnum):
    OBJECTIVE_BROKEN = "objective_broken"
    OBJECTIVE_WARNING = "objective_warning"
    BUDGET_BURNING = "budget_burning"
    ANOMALY = "anomaly"
    DRIFT = "drift"
    FORECAST = "forecast"
    SILENCE = "silence"


LEARNT = frozenset({Condition.ANOMALY, Condition.DRIFT, Condition.FORECAST})
"""What detectors learn, so that a label teaches them; an objective is a rule, and silence a fact."""


class FindingPhase(StrEnum):
    BEGAN = "began"
    CHANGED = "changed"
    OPEN = "open"  # stated again after a start, or with what was heard since: nothing changed
    ENDED = "ended"


class Reason(msgspec.Struct, frozen=True, kw_only=True):
    """One kind of evidence that a sample is unusual."""

    kind: str
    says: str
    tail_probability: float
    higher: bool  # than expected; else lower


class Heard(msgspec.Struct, frozen=True, kw_only=True):
    """What customers got done since a finding began: a pushed share of success of the same service, there, within it or
    around it. What is usual is as it was when the finding began."""

    indicator: str
    service: str
    site: str = ""  # the place whose customers are counted; "": everywhere
    touchpoint: str = ""
    usual: float  # share that succeeds as a rule
    worth: float = 1.0  # independent attempts behind one sample, by how much the share wanders as a rule
    value: float | None = None  # share since the finding began, as far back as the window goes; None: nobody tried
    attempts: float = 0.0  # that `value` is worth
    in_all: float | None = None  # share since the finding began, however long ago; None: nobody tried
    attempts_in_all: float = 0.0  # that `in_all` is worth
    settled_at: Instant = 0.0  # of which what came before this is counted for good:
    settled: tuple[float, float] = (0.0, 0.0)  # (samples, their sum)
    per_second: float = 0.0  # attempts, as often as they came just before


class Evidence(msgspec.Struct, frozen=True, kw_only=True):
    """What the finding stands on; enough to draw and to check it later."""

    series: tuple[SeriesId, ...] = ()
    value: float | None = None  # in the unit of the indicator or metric; once changed or ended: the worst while it held
    expected: float | None = None
    low: float | None = None
    high: float | None = None
    threshold: float | None = None
    tail_probability: float | None = None
    failing: tuple[str, ...] = ()  # vantage points that see it themselves, as their newest samples say
    well: tuple[str, ...] = ()  # those that see nothing of it
    blind: tuple[str, ...] = ()  # those that cannot look: they speak neither for nor against it
    heard: tuple[Heard, ...] = ()  # what customers got done since it began; restated while it is open
    samples: int = 0
    window_seconds: float = 0.0
    mixed: bool = False  # good samples came among the bad ones since it began: not everything fails
    since: Instant = 0.0  # first sample that shows it
    until: Instant = 0.0  # last sample looked at
    note: str = ""
    breach_at: Instant = 0.0  # forecast: when the objective would be breached; 0: no forecast
    slope_per_hour: float | None = None  # forecast: change of the value
    confidence: float | None = None  # forecast: chance that it is breached within the span looked ahead
    severity: float | None = None  # anomaly of a series that indicators stand on: 1 is where one would look
    reasons: tuple[Reason, ...] = ()  # why it is an anomaly, the strongest first
    alike: tuple[Instant, ...] = ()  # when similar episodes of the series began, the newest first


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """`id` is the same through began, changed and ended; `subject` is the service (or touchpoint) that is hurt."""

    id: str
    trace: str
    condition: Condition
    phase: FindingPhase
    quality: Quality
    subject: Subject
    indicator: str = ""  # name of the indicator, or metric of the series
    probe: str = ""
    touchpoint: str = ""  # where it was measured, if the probe says so
    began_at: Instant
    at: Instant
    seq: int
    epoch: str
    evidence: Evidence
    label: str = ""  # what a person said of it: true, false, benign; "" nobody did
