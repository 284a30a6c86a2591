"""Rules: indicators (`rules/analyze`), grouping, playbooks (`rules/improve`), policies and texts (`rules/report`)."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field

from cemd.config.base import FileModel, Name, Ratio, Seconds
from cemd.config.detection import Budget, Drift, Forecast, Multivariate
from cemd.model.notice import MessageClass, Mode
from cemd.model.quality import Dimension


class Selector(FileModel):
    """Which series an indicator looks at: all that match every word given."""

    probe: Name | None = None
    """What this one probe measures, by name or uid."""
    kind: str | None = None
    """What all probes of this kind measure."""
    service: Name | None = None
    """What is measured of this service."""
    touchpoint: Name | None = None
    """What is measured of this touchpoint."""
    site: Name | None = None
    """What is measured at this site."""
    source: str | None = None
    """Pushed data: the source's name (`mqtt:NAME`, `http:NAME`)."""
    metric: str
    """Which of the figures; `cemd explain KIND` lists those of a kind."""

    def fits(  # noqa: PLR0913, RUF100 -- a word each
        self, *, probes: tuple[str, ...], kind: str, service: str, touchpoint: str, sites: tuple[str, ...], source: str
    ) -> bool:
        """True when every word fits what is measured there, whatever its metric.

        Args:
            probes: Name and uid of the probe.
            kind: Of the probe.
            service: Of which it is measured.
            touchpoint: Of which it is measured; "": none.
            sites: Where, and what that lies in: a site also fits the sites within it.
            source: Of pushed data, or the prober.
        """
        words = ((self.kind, kind), (self.service, service), (self.touchpoint, touchpoint), (self.source, source))
        return (
            all(asked is None or asked == found for asked, found in words)
            and (self.probe is None or self.probe in probes)
            and (self.site is None or self.site in sites)
        )


class Summary(StrEnum):
    RATIO = "ratio"  # mean of a 0/1 metric
    MEAN = "mean"
    MIN = "min"
    MAX = "max"
    SUM = "sum"
    LAST = "last"
    P50 = "p50"
    P95 = "p95"
    P99 = "p99"


class Score(FileModel):
    """0 at `worst`, 100 at `best`, a straight line between; either may be the larger one."""

    worst: float
    """This value, or any beyond it, scores 0."""
    best: float
    """This value, or any beyond it, scores 100."""


class Objective(FileModel):
    """Exactly one of `at_least` and `at_most`."""

    at_least: float | None = None
    """Broken when the value is below this."""
    at_most: float | None = None
    """Broken when the value is above this."""
    warn_at: float | None = None
    """Early warning on the good side of the target: `at_risk`."""
    down_at: float | None = None
    """Beyond this the subject is `down`, not only `degraded`; default: ratio 0."""
    for_seconds: Annotated[float, Field(ge=0, le=86_400)] = 60.0
    """Broken this long before it is a finding."""
    clear_for_seconds: Annotated[float, Field(ge=0, le=86_400)] = 60.0
    """Good this long before the finding ends."""
    hysteresis: Ratio = 0.0
    """Share of the target by which the value must be better to count as good again."""
    budget: Budget | None = None
    """Error budget of a `ratio` with `at_least`: how quickly it may be spent."""


class Indicator(FileModel):
    """A KPI or KQI: a window over series, with unit, objective and dimension; scored 0 to 100.

    One indicator is worked out per service and site (and touchpoint) that its series belong to.
    """

    name: Name
    of: Selector
    """Which series it looks at."""
    summary: Summary
    """How the samples of the window become one value."""
    unit: str = ""
    """For screens: s, ratio, bit/s."""
    window_seconds: Seconds
    """How far it looks back."""
    min_samples: Annotated[int, Field(ge=1, le=1_000_000)] = 3
    """Fewer than this in the window: `unknown`."""
    dimension: Dimension
    """The RATER dimension that it speaks for."""
    weight: Annotated[float, Field(gt=0, le=1000)] = 1.0
    """Share in its dimension, against 1 of an ordinary indicator."""
    score: Score
    """How the value becomes a score."""
    objective: Objective | None = None
    """What is promised; left out: it is scored, but can never be broken."""
    source: str
    """Where the target comes from: a standard, a contract, a decision."""


class Detector(FileModel):
    """The bank: one parameter set for every series. Defaults hold in general; change them only with a reason."""

    false_alarms_per_series_week: Annotated[float, Field(gt=0, le=100)] = 0.02
    """Stated rate per series and week of anomaly findings on data that is as it always was."""
    deep_false_alarms_per_series_week: Annotated[float, Field(gt=0, le=100)] = 0.05
    """Stated rate per series and week of anomaly findings of the deep detector, on data that is as it always was, on
    top of the bank's. It is higher, because what customers' journeys stand on deserves a second look sooner."""
    learn_samples: Annotated[int, Field(ge=10, le=100_000)] = 60
    """Before so many samples a series answers "not yet"."""
    deep_series: Annotated[int, Field(ge=0, le=100_000)] = 5000
    """At most so many series that indicators look at are judged by the deep detector as well, in the order in which
    they were first measured; 42 kB of memory each."""
    silence_intervals: Annotated[float, Field(ge=2, le=1000)] = 3.5
    """No sample for so many of its own intervals: silence."""


class RaterProfile(StrEnum):
    SERVQUAL_1990 = "servqual_1990"
    EQUAL = "equal"
    OWN = "own"


class Rater(FileModel):
    """Weights of the five dimensions of service quality."""

    profile: RaterProfile = RaterProfile.SERVQUAL_1990
    """`servqual_1990`: as published; `equal`: one fifth each; `own`: `weights`."""
    weights: dict[Dimension, Annotated[float, Field(ge=0, le=1000)]] = {}
    """Only with profile `own`."""


class Cei(FileModel):
    """Weights of the customer experience index; the default profile prints `uncalibrated` until fitted to surveys."""

    alpha_min: Ratio = 0.3
    """Share of the worst step in a journey's score."""
    beta_last: Ratio = 0.3
    """Share of the last step; the rest goes to the mean of all steps."""
    moment_of_truth_weight: Annotated[float, Field(ge=1, le=100)] = 2.0
    """Weight of a moment of truth in the mean, against 1 of an ordinary step."""
    moment_of_truth_cap: Annotated[float, Field(ge=0, le=100)] = 40.0
    """A journey with a moment of truth that is down scores at most this."""
    network_weight: Annotated[float, Field(ge=0)] = 80.0
    """Weight of the network in the operator's index."""
    design_weight: Annotated[float, Field(ge=0)] = 6.67
    """Weight of how journeys are designed."""
    operations_weight: Annotated[float, Field(ge=0)] = 13.33
    """Weight of how operations serve customers."""
    coverage_floor: Ratio = 0.5
    """Less of the weight with data than this: `unknown`."""
    calibrated: bool = False
    """True: the weights were fitted to the operator's surveys, and the index no longer prints `uncalibrated`."""


class AnalyzeFile(FileModel):
    indicators: list[Indicator] = []
    detector: Detector | None = None
    forecast: Forecast | None = None
    drift: Drift | None = None
    multivariate: Multivariate | None = None
    rater: Rater | None = None
    cei: Cei | None = None


class Grouping(FileModel):
    """How findings become incidents."""

    join_within_seconds: Seconds = 900.0
    """Findings related by dependency that began within this time belong together."""
    confirm_sources: Annotated[int, Field(ge=1, le=100)] = 2
    """Independent voices that confirm a service problem without a person; customers hear of confirmed ones alone. A
    voice is a probe with an indicator of its own, a probe from a second vantage point, or a source of pushed data, as
    are customers whose own attempts (a pushed share of success) fail by the part of those at its place.
    Where one probe alone watches a service, nobody is told until a person confirms; 1: that probe suffices."""
    anomaly_opens: bool = False
    """True: an anomaly alone opens an incident; otherwise it only supports one."""
    stable_seconds: Seconds = 600.0
    """All findings ended this long: resolved."""
    relapse_within_seconds: Seconds = 3600.0
    """The same subject hurt again this soon after it was resolved: reopened, not new."""
    alone_opens_after_seconds: Annotated[float, Field(ge=0, le=604_800)] = 0.0
    """A probe that alone says "failed", while others that would show it see nothing, opens an incident after so long;
    0: at once. A second voice opens it at once in any case."""
    alone_hears_customers_seconds: Annotated[float, Field(ge=0, le=86_400)] = 1800.0
    """Where no other probe would show it but customers' own attempts are pushed (a share of success of the same
    service), it waits at most so long, and no longer than `alone_opens_after_seconds`, for what they get done since: if
    they fail too it opens at once, if they succeed they speak against it. 0: nobody waits for them."""
    cause_margin: Ratio = 0.15
    """The best cause must lead the second by this much, else `undetermined`."""


class RecheckPlaybook(FileModel):
    """Runs the probes behind a finding again, at once."""

    name: Name
    kind: Literal["recheck"] = "recheck"
    """What is done: `recheck` runs probes again."""
    on_quality: list[str] = ["degraded", "down"]
    """Qualities of a finding that make it run."""


class ImproveFile(FileModel):
    grouping: Grouping | None = None
    playbooks: list[RecheckPlaybook] = []


class QuietHours(FileModel):
    """Local times HH:MM in the zone of customer, else site, else operator; may pass midnight."""

    start: Annotated[str, Field(pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]$")]
    """First minute in which nobody is told."""
    end: Annotated[str, Field(pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]$")]
    """First minute in which people are told again; earlier than `start`: on the next day."""


class Cap(FileModel):
    """At most `most` notices to one customer in any `window_seconds`; the first reserves the slot of the end."""

    most: Annotated[int, Field(ge=1, le=1000)]
    """Notices of every phase count, whatever they were about."""
    window_seconds: Seconds
    """The window moves along: it ends at the moment that is asked about."""


class Texts(FileModel):
    """Subject and body per phase; they may use `{{ service }}`, `{{ site }}`, `{{ since }}`, `{{ operator }}`."""

    first_subject: str
    """Subject of the notice that something does not work."""
    first: str
    """The notice itself."""
    over_subject: str
    """Subject of the end."""
    over: str
    """The end, sent to those alone who were told."""
    correction_subject: str
    """Subject of the correction."""
    correction: str
    """When "over" was told too early: it is not over yet."""


class Policy(FileModel):
    """Who is told of which service problems, when, through what, and under which law."""

    name: Name
    services: list[Name] = []
    """Only these sold services (and what they depend on); empty: every sold service."""
    message_class: MessageClass = MessageClass.SERVICE
    """`service`: sent at most once, never in quiet hours; `safety`: at least once, at any hour."""
    mode: Mode = Mode.SHADOW
    """`shadow`: everything is decided and shown, nothing leaves. `live` needs `ceiling`. A communication keeps the
    mode, ceiling and texts that it began with; what is under way stops at once with `cemd stop-sending`."""
    ceiling: Annotated[int, Field(ge=1, le=100_000_000)] | None = None
    """A larger audience waits for a person."""
    qualities: list[Literal["degraded", "down"]] = ["degraded", "down"]
    """Problems of these qualities only."""
    bases: list[Literal["contract", "legal_duty", "vital_interest", "consent"]] = Field(min_length=1)
    """Any one of these, recorded for the customer, permits the message."""
    channels: list[Name] = Field(min_length=1)
    """In order of preference; the first that the customer has and that does not stand on the broken service."""
    hold_seconds: Annotated[float, Field(ge=0, le=900)] = 300.0
    """Wait this long before anybody is told: most faults are over by then."""
    decide_by_seconds: Seconds = 1200.0
    """Until then it is decided to tell, or recorded why not."""
    stable_seconds: Seconds = 600.0
    """Good this long before "over" is told."""
    relapse_within_seconds: Seconds = 3600.0
    """Broken again this soon after "over": one correction, after the hold-down, to whom it hurts again; no second first
    notice."""
    join_within_seconds: Seconds = 14_400.0
    """The same cause in the same place within this time joins the communication."""
    valid_for_seconds: Seconds = 7200.0
    """A notice not taken by the transport within this time has expired."""
    quiet_hours: QuietHours | None = None
    """When nobody is told, unless the class is `safety`."""
    caps: list[Cap] = []
    """How many notices one customer may get; all of them hold."""
    texts: dict[Annotated[str, Field(pattern=r"^[a-z]{2}(-[A-Z]{2})?$")], Texts] = Field(min_length=1)
    """Texts by language (`en`, `de`, `pt-BR`); who has none of them gets the operator's language, else the first."""


class ReportFile(FileModel):
    policies: list[Policy] = []
