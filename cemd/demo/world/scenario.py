"""The scenario file: an operator, how it is watched, how its customers live, what goes wrong there and what only seems
to.

One YAML document, strict like every other file; `docs/day.md` explains it with examples. Catalogue and channels have
the models of `config/`, so that a scenario can begin as a copy of an operator's own files.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import Field

from cemd.config.base import FileModel, Name, Ratio, Seconds
from cemd.config.catalogue import Journey, Process, Service, Site, Touchpoint
from cemd.config.channels import Channel
from cemd.config.settings import Operator

Share = Ratio
Minutes = Annotated[float, Field(gt=0, le=525_600)]
Factor = Annotated[float, Field(ge=0, le=1000)]
Count = Annotated[int, Field(ge=1, le=100_000)]


class Calendar(FileModel):
    """When the days are, and how finely time passes."""

    begins: Annotated[str, Field(pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$")] = "2026-03-02"
    """The first day, which begins at midnight in the operator's zone."""
    days: Annotated[float, Field(gt=0, le=3660)] = 1.0
    """How long it lasts; `--days` overrides it."""
    tick_seconds: Annotated[float, Field(ge=1, le=60)] = 10.0
    """The daemon's `tick_seconds`: findings, incidents and decisions are worked out so often."""
    journeys_every_seconds: Annotated[float, Field(ge=60, le=900)] = 60.0
    """What became of customers' steps is pushed so often, as `http:journeys`."""
    warm_up_hours: Annotated[float, Field(ge=0, le=672)] = 4.0
    """Ordinary hours before the first day, in which the daemon learns; nothing goes wrong in them."""
    drain_hours: Annotated[float, Field(ge=0, le=48)] = 14.0
    """Ordinary hours after the last day, at most, until everything that began has ended."""


class SiteRow(FileModel):
    """Many sites of one kind: `count` in each site of the kind `in_each`, named `PARENT-NAME-1` and so on."""

    name: Name
    kind: str
    in_each: str
    """Kind of the sites that they lie in."""
    count: Count


class Figure(FileModel):
    """How one figure of a probe or feed behaves while nothing is wrong."""

    usual: float
    """Its median at ordinary load, in the unit of its name."""
    spread: Factor = 0.1
    """Standard deviation of its logarithm."""
    load: Annotated[float, Field(ge=-10, le=10)] = 0.0
    """Share by which it grows while traffic doubles."""
    wild_ratio: Share = 0.001
    """Share of samples that lie far out (Pareto): a busy host, a full queue."""
    most: float | None = None
    """It never exceeds this."""
    when_hurt: Literal["delay", "loss", "failures", "nothing"] = "nothing"
    """What a fault adds to it: its seconds of delay, its ratio of loss, or its ratio of failures."""


class Vantage(FileModel):
    """A prober of the operator: at home, or an agent elsewhere."""

    name: Name
    site: Name | None = None
    """Where it stands."""
    sends_every_seconds: Seconds = 10.0
    """How often its measurements arrive."""


class ProbeRow(FileModel):
    """One probe, or one for each site of a kind; named `NAME` or `NAME-SITE`."""

    name: Name
    kind: str
    """A kind of the daemon's table: tcp, http, dns, icmp, transaction, command, ..."""
    service: Name
    site: Name | None = None
    """Where the service is measured; left out (and no `site_kind`): everywhere."""
    site_kind: str | None = None
    """One probe at every site of this kind."""
    touchpoint: Name | None = None
    vantages: list[Name] = Field(default=["home"], min_length=1)
    """Who runs it. Several look at the same thing independently."""
    every_seconds: Seconds
    timeout_seconds: Seconds
    moment_of_truth: bool = False
    params: dict[str, Any] | None = None
    """Of the kind; left out: some that are valid, since nothing is really asked."""
    fails_ratio: Share = 0.0005
    """Share of its runs that fail although all is well."""
    figures: dict[Name, Figure] = {}
    """What it gives besides `success`, under the names that the kind gives it."""


class FeedRow(FileModel):
    """Telemetry that is pushed: one series a service and site."""

    source: Annotated[str, Field(pattern=r"^(mqtt|http):[a-z0-9][a-z0-9._-]*$")]
    """As the daemon names it: `mqtt:NAME` or `http:NAME`."""
    service: Name
    site: Name | None = None
    site_kind: str | None = None
    touchpoint: Name | None = None
    every_seconds: Seconds = 60.0
    figures: dict[Name, Figure] = Field(min_length=1)


class Segment(FileModel):
    name: Name
    share: Factor
    """Against the other segments."""
    calls: Factor = 1.0
    """How readily they call care, against 1."""


class Holding(FileModel):
    """A sold service and who has it."""

    service: Name
    share: Share
    """Of the customers that it is for."""
    site: Name | None = None
    """Only customers who live there."""


class Bundle(FileModel):
    """A kind of contract: each customer has one."""

    name: Name
    share: Factor
    """Against the other bundles."""
    moves: bool = False
    """True: served where the person is (home, work, under way); false: where it is installed."""
    services: list[Holding] = Field(min_length=1)


class People(FileModel):
    """The customers."""

    count: Annotated[int, Field(ge=1, le=1_000_000)]
    lives_in: str
    """Kind of the sites that serve them."""
    bundles: list[Bundle] = Field(min_length=1)
    segments: list[Segment] = Field(min_length=1)
    languages: dict[Annotated[str, Field(pattern=r"^[a-z]{2}(-[A-Z]{2})?$")], Factor] = Field(min_length=1)
    zones: dict[str, Factor] = {}
    """IANA zones of customers whose zone is known; "" for the others."""
    commuters: Share = 0.5
    """Share of those who move who spend the working day at another site."""
    contract: Share = 0.97
    """Share with the lawful basis of the contract on record."""
    email: Share = 0.9
    sms: Share = 0.95
    """Shares with such an address."""
    shared_address: Share = 0.01
    machines: Share = 0.03
    abroad: Share = 0.01
    unsubscribed: Share = 0.02
    critical: Share = 0.005


class Traffic(FileModel):
    """How much goes on, against 1 in an ordinary hour."""

    hours: Annotated[list[Factor], Field(min_length=24, max_length=168)]
    """By local hour: 24 of a day, or 168 of a week that begins on Monday."""
    weekend: Factor = 0.8
    """Only with 24 hours: Saturday and Sunday against a working day."""
    growth_per_year: Annotated[float, Field(ge=-1, le=10)] = 0.1
    holidays: list[Annotated[str, Field(pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$")]] = []
    """Days that run like a Sunday at `holiday` strength."""
    holiday: Factor = 0.6
    noise: Factor = 0.05
    """Standard deviation of the logarithm, over some minutes, heavy-tailed."""


class Habit(FileModel):
    """How often, and how, customers take a journey."""

    journey: Name
    starts_per_day: Factor
    """By a customer who has the service."""
    service: Name | None = None
    """Only customers who have this; left out, or not sold: all."""
    think_seconds: Seconds = 30.0
    """Median time from one step to the next."""
    tries: Annotated[int, Field(ge=1, le=20)] = 3
    """Attempts at one step before it is abandoned."""
    retry_seconds: Seconds = 45.0
    patience_seconds: Seconds = 8.0
    """A step that takes longer counts as failed."""
    switches: Share = 0.0
    """Share of those who give up at a touchpoint who go on at another one, where the journey names `alternatives`."""


class Care(FileModel):
    """What the hurt do. The rules of the daemon cannot change it."""

    calls: Share = 0.12
    """Share of the hurt who call, if nobody tells them."""
    delay_minutes: Minutes = 25.0
    """Median time from the first failure to the call; log-normal."""
    delay_spread: Factor = 0.9
    """Standard deviation of its logarithm."""
    calmed_by_notice: Share = 0.7
    """Share of would-be callers who do not call once they were told."""
    calls_after: Share = 0.3
    """Share of would-be callers who still call when it is over before they got to it."""
    opens_ticket: Share = 0.3
    """Share of calls that end in a ticket."""
    still_down: Share = 0.5
    """Share of those told that it is over, while it is not for them, who answer "still down" (a ticket)."""
    talk_minutes: Minutes = 6.0
    calls_per_thousand_day: Factor = 1.0
    """Calls about other things."""
    agents: Count = 60
    touchpoint: Name | None = None


class EventKind(StrEnum):
    """Labels of what happens; those of faults are the classes of the scorecard."""

    OUTAGE = "outage"
    LATENCY_STEP = "latency_step"
    SLOW_RAMP = "slow_ramp"
    PACKET_LOSS = "packet_loss"
    PARTIAL_FAILURE = "partial_failure"
    STUCK_ORDERS = "stuck_orders"
    LATE_BILLING = "late_billing"
    FEEDS_DISAGREE = "feeds_disagree"
    PARTNER_DOWN = "partner_down"
    SLOW_SHOP = "slow_shop"
    EXPIRED_CERTIFICATE = "expired_certificate"
    WRONG_NAMES = "wrong_names"
    FLAPPING = "flapping"
    RELAPSE = "relapse"
    OVERLAP = "overlap"
    MASS_EVENT = "mass_event"
    OVERRUN = "overrun"


class TrapKind(StrEnum):
    LEVEL_SHIFT = "level_shift"
    FLASH_CROWD = "flash_crowd"
    HOLIDAY = "holiday"
    MAINTENANCE = "maintenance"
    ODD_CUSTOMER = "odd_customer"
    PROBE_BUG = "probe_bug"
    BLIND_VANTAGE = "blind_vantage"
    DAYLIGHT_SAVING = "daylight_saving"


class Onset(StrEnum):
    SUDDEN = "sudden"
    RAMP = "ramp"
    FLAP = "flap"


class When(FileModel):
    """When something happens: at one hour, or by chance so often a week, or after something else."""

    at_hour: Annotated[float, Field(ge=0, le=87_840)] | None = None
    """Hours after the first midnight; once."""
    per_week: Annotated[float, Field(ge=0, le=1000)] | None = None
    """So often a week, at times that the seed decides."""
    with_event: Name | None = None
    """Begins together with each occurrence of another entry."""
    after_minutes: Annotated[float, Field(ge=0, le=10_080)] = 0.0
    """Only with `with_event`: so much later."""
    between_hours: Annotated[list[Annotated[float, Field(ge=0, le=24)]], Field(min_length=2, max_length=2)] = [0, 24]
    """Only with `per_week`: local hours of the day in which it begins."""


class Hurt(FileModel):
    """What it does at full depth, to the service and to all that stands on it."""

    fails: Share = 0.0
    """Share of attempts that fail."""
    delay_seconds: Annotated[float, Field(ge=0, le=3600)] = 0.0
    """Added to every answer."""
    loss: Share = 0.0
    """Share of packets lost."""


class FaultEntry(FileModel):
    """A labelled fault."""

    name: Name
    kind: EventKind
    """Its class."""
    service: Name
    """What is broken: the cause that should be named."""
    also_right: list[Name] = []
    """Other services that may be named as the cause without being wrong."""
    site: Name | None = None
    """Where; with everything inside. Left out: everywhere."""
    site_kind: str | None = None
    """At one site of this kind, which the seed chooses."""
    touchpoint: Name | None = None
    """Only what is done at this touchpoint."""
    when: When
    lasts_minutes: Annotated[list[Minutes], Field(min_length=2, max_length=2)] = [30, 60]
    """Shortest and longest; the seed chooses."""
    onset: Onset = Onset.SUDDEN
    onset_minutes: Minutes = 10.0
    """`ramp`: until full depth; `flap`: one period, half of it broken."""
    hurts: Hurt
    shown_by: list[str] = []
    """Kinds of probe, or names of probe rows and of sources, that can see it; empty: all."""
    reaches: Literal["everything", "itself"] = "everything"
    """Whether what stands on the service is hurt too."""
    returns_after_minutes: Minutes | None = None
    """Comes back once, so long after it seemed mended."""
    announced_minutes: Minutes | None = None
    """Planned work was announced for so long before it became a fault: the window ends where the fault begins."""
    load: Factor = 1.0
    """Traffic there, against what is usual."""


class TrapEntry(FileModel):
    """Something that is no fault: an incident about it is a false one."""

    name: Name
    kind: TrapKind
    service: Name | None = None
    site: Name | None = None
    site_kind: str | None = None
    touchpoint: Name | None = None
    probe: Name | None = None
    """`probe_bug`: the row of which one probe goes wrong."""
    vantage: Name | None = None
    """`blind_vantage`: who cannot look."""
    when: When
    lasts_minutes: Annotated[list[Minutes], Field(min_length=2, max_length=2)] = [30, 60]
    hurts: Hurt = Hurt()
    """`level_shift`: harmless delay; `maintenance`: what the work does within its window."""
    load: Factor = 1.0


class Scenario(FileModel):
    """The whole file."""

    name: Name
    extends: str | None = None
    """Another scenario file of the same folder, whose sections hold where this one has none."""
    calendar: Calendar = Calendar()
    operator: Operator = Operator()
    services: list[Service] = Field(min_length=1)
    sites: list[Site] = Field(min_length=1)
    site_rows: list[SiteRow] = []
    touchpoints: list[Touchpoint] = []
    processes: list[Process] = []
    journeys: list[Journey] = Field(min_length=1)
    channels: list[Channel] = Field(min_length=1)
    vantages: list[Vantage] = Field(default=[Vantage(name="home")], min_length=1)
    probes: list[ProbeRow] = []
    feeds: list[FeedRow] = []
    people: People
    traffic: Traffic
    habits: list[Habit] = Field(min_length=1)
    care: Care = Care()
    faults: list[FaultEntry] = []
    traps: list[TrapEntry] = []
    apart_minutes: Annotated[float, Field(ge=0, le=10_080)] = 90.0
    """Occurrences by chance keep this distance where there is room, so that each can be judged by itself."""
