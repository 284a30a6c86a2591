# ruff: noqa: E501 -- tables of facts read best a line each
"""A telling scene for the page: 8 journeys, 7 touchpoints, 20 services, two incidents, and a house that shows them.

The house is a fake with the doors of `cemd.web.house.House`; what it is told, it remembers. `python -m tests.web.scene`
serves the scene for a look with one's own eyes.
"""

from __future__ import annotations

import asyncio
import math
from dataclasses import replace
from typing import Any

import msgspec
import numpy as np
from cemd.model.entry import Command, CommandKind
from cemd.model.finding import Condition, Evidence, Finding, FindingPhase
from cemd.model.identity import Instant, SeriesId, series_id
from cemd.model.incident import Cause, Confidence, Impact, Incident, IncidentState, TimelineItem
from cemd.model.measurement import Attempt, Samples, Series, SeriesKey
from cemd.model.notice import Alert, AlertState, Communication, CommunicationState, MessageClass, Mode, Phase
from cemd.model.quality import Dimension, Quality
from cemd.model.subject import Subject, SubjectKind
from cemd.model.view import (
    AnalyzeView,
    CeiView,
    CommunicationView,
    DimensionView,
    IndicatorView,
    JourneyView,
    RaterView,
    ReportView,
    SeriesColumns,
    ServiceView,
    StepView,
    TouchpointView,
    VantageView,
    Views,
)
from cemd.web.house import PushAnswer, RunAsked, ToMend, WhoRuns
from prometheus_client import CollectorRegistry, Counter

NOW = 1_795_300_000.0
Q = Quality

SERVICES = (
    # name, title, domain, quality, score, depends on, sold
    ("mobile-data", "Mobile data", "network", Q.HEALTHY, 96.2, ("core-east", "radius"), True),
    ("voice", "Voice", "network", Q.HEALTHY, 98.8, ("ims", "hlr"), True),
    ("sms", "SMS", "network", Q.HEALTHY, 99.1, ("smsc", "hlr"), True),
    ("broadband", "Broadband", "network", Q.AT_RISK, 81.4, ("core-east", "dns", "radius"), True),
    ("top-up", "Top-up", "bss", Q.DEGRADED, 52.0, ("payment-gateway", "charging"), True),
    ("tv", "Television", "network", Q.HEALTHY, 93.0, ("cdn", "core-east"), True),
    ("roaming", "Roaming", "partner", Q.UNKNOWN, None, ("hlr",), True),
    ("core-east", "Core router east", "network", Q.HEALTHY, 97.0, (), False),
    ("dns", "Resolvers", "network", Q.AT_RISK, 78.5, (), False),
    ("radius", "Access control", "network", Q.HEALTHY, 99.0, ("subscriber-db",), False),
    ("ims", "Voice core", "network", Q.HEALTHY, 98.2, ("hlr",), False),
    ("hlr", "Subscriber register", "network", Q.HEALTHY, 95.9, ("subscriber-db",), False),
    ("smsc", "Message centre", "network", Q.HEALTHY, 99.4, (), False),
    ("cdn", "Content cache", "partner", Q.HEALTHY, 92.1, (), False),
    ("payment-gateway", "Payment gateway", "partner", Q.DOWN, 4.0, (), False),
    ("charging", "Charging", "bss", Q.HEALTHY, 94.0, ("subscriber-db",), False),
    ("order-management", "Order management", "bss", Q.HEALTHY, 91.5, ("crm",), False),
    ("provisioning", "Provisioning", "bss", Q.HEALTHY, 90.2, ("hlr", "order-management"), False),
    ("crm", "Customer records", "it", Q.HEALTHY, 88.0, ("subscriber-db",), False),
    ("subscriber-db", "Subscriber database", "it", Q.HEALTHY, 97.7, (), False),
)
TOUCHPOINTS = (
    ("shop-pos", "Shop till", "shop", "brand", Q.HEALTHY, (93, 91, 96, 88, 94), 1.0),
    ("self-care-app", "Self-care app", "app", "brand", Q.DEGRADED, (71, 58, 90, None, 49), 0.84),
    ("portal", "Web portal", "web", "brand", Q.AT_RISK, (79, 74, 92, 81, 76), 1.0),
    ("call-centre", "Call centre", "call_centre", "brand", Q.HEALTHY, (84, 90, None, 92, 89), 0.8),
    ("ussd", "USSD menu", "ussd", "brand", Q.DEGRADED, (88, 61, 85, None, 55), 0.8),
    ("partner-kiosk", "Partner kiosk", "shop", "partner", Q.UNKNOWN, (None, None, None, None, None), 0.0),
    ("handset", "Handset", "device", "customer", Q.HEALTHY, (95, 97, 90, 91, 98), 0.92),
)
JOURNEYS: tuple[tuple[Any, ...], ...] = (
    ("top-up-balance", "Top up the balance", "use", "pay", "sales-operations", Q.DOWN, 34.0, True,
     (("find", "Find the menu", "self-care-app", False, Q.HEALTHY, 95.0, ""), ("choose", "Choose amount", "self-care-app", False, Q.HEALTHY, 92.0, ""),
      ("pay", "Pay", "self-care-app", True, Q.DOWN, 4.0, "payment-gateway"), ("credit", "See the credit", "self-care-app", True, Q.DEGRADED, 55.0, "top-up"))),
    ("pay-bill", "Pay a bill", "use", "pay", "finance", Q.DEGRADED, 48.0, False,
     (("open", "Open the bill", "portal", False, Q.HEALTHY, 90.0, ""), ("check", "Check the items", "portal", False, Q.HEALTHY, 88.0, ""), ("pay", "Pay", "portal", False, Q.DEGRADED, 41.0, "payment-gateway"))),
    ("order-to-activate", "Order to activate", "become-a-customer", "onboard", "sales-operations", Q.HEALTHY, 91.0, False,
     (("identify", "Identify", "shop-pos", False, Q.HEALTHY, 97.0, ""), ("order", "Order", "shop-pos", False, Q.HEALTHY, 92.0, ""), ("activate", "Activate", "shop-pos", True, Q.HEALTHY, 90.0, ""))),
    ("browse-at-home", "Browse at home", "use", "use", "network-operations", Q.AT_RISK, 79.0, False,
     (("connect", "Connect", "handset", False, Q.HEALTHY, 96.0, ""), ("resolve", "Find the site", "handset", False, Q.AT_RISK, 78.0, "dns"), ("load", "Load the page", "handset", True, Q.AT_RISK, 81.0, "broadband"))),
    ("call-someone", "Call someone", "use", "use", "network-operations", Q.HEALTHY, 98.0, False,
     (("dial", "Dial", "handset", False, Q.HEALTHY, 99.0, ""), ("talk", "Talk", "handset", True, Q.HEALTHY, 98.0, ""))),
    ("get-help", "Get help", "get-support", "support", "care", Q.HEALTHY, 86.0, False,
     (("reach", "Reach an agent", "call-centre", True, Q.HEALTHY, 84.0, ""), ("explain", "Explain", "call-centre", False, Q.HEALTHY, 91.0, ""), ("solve", "Get it solved", "call-centre", True, Q.HEALTHY, 88.0, ""))),
    ("change-plan", "Change the plan", "manage", "manage", "marketing", Q.HEALTHY, 89.0, False,
     (("compare", "Compare", "self-care-app", False, Q.HEALTHY, 93.0, ""), ("confirm", "Confirm", "self-care-app", False, Q.HEALTHY, 90.0, ""), ("take-effect", "Takes effect", "self-care-app", True, Q.HEALTHY, 88.0, ""))),
    ("travel-abroad", "Travel abroad", "use", "use", "roaming-desk", Q.UNKNOWN, None, False,
     (("switch-on", "Switch on", "handset", False, Q.UNKNOWN, None, ""), ("register", "Register", "handset", True, Q.UNKNOWN, None, ""), ("use", "Use data", "handset", False, Q.UNKNOWN, None, ""))),
)  # fmt: skip

KEYS = (
    SeriesKey(probe="payment-charge", metric="success", target="pay.example.net"),
    SeriesKey(probe="payment-charge", metric="total_seconds", target="pay.example.net"),
    SeriesKey(probe="resolver-east", metric="lookup_seconds", target="192.0.2.53"),
    SeriesKey(probe="resolver-east", metric="success", target="192.0.2.53"),
    SeriesKey(probe="core-east", metric="round_trip_seconds", target="192.0.2.1", labels=(("family", "ipv4"),)),
    SeriesKey(probe="core-east", metric="loss_ratio", target="192.0.2.1", labels=(("family", "ipv4"),)),
    SeriesKey(probe="shop-order-to-activate", metric="success", target="pos.example.net"),
    SeriesKey(probe="shop-order-to-activate", metric="total_seconds", target="pos.example.net"),
)
SERIES = tuple(
    Series(id=series_id(key.identity(), serial), key=key, source="prober:home") for serial, key in enumerate(KEYS)
)
CHARGE_OK, CHARGE_SECONDS, LOOKUP = (SERIES[place].id for place in range(3))


def rater(scores: tuple[float | None, ...], coverage: float) -> RaterView:
    known = [score for score in scores if score is not None]
    dimensions = tuple(
        DimensionView(
            dimension=dimension,
            score=score,
            coverage=coverage if score is not None else 0.0,
            samples=120 if score is not None else 0,
            indicators=(f"{dimension.value}-of-touchpoint",) if score is not None else (),
        )
        for dimension, score in zip(Dimension, scores, strict=True)
    )
    return RaterView(score=sum(known) / len(known) if known else None, coverage=coverage, dimensions=dimensions)


def findings() -> tuple[Finding, ...]:
    common: dict[str, Any] = {"phase": FindingPhase.OPEN, "seq": 41_200, "epoch": "e3b0c442"}
    return (
        Finding(id="fnd-71c2aa30b1e4", trace="trc-1", condition=Condition.OBJECTIVE_BROKEN, quality=Q.DOWN,
                subject=Subject(kind=SubjectKind.SERVICE, name="payment-gateway"), indicator="charge-success", probe="payment-charge",
                touchpoint="self-care-app", began_at=NOW - 840, at=NOW - 60,
                evidence=Evidence(series=(CHARGE_OK,), value=0.04, threshold=0.98, samples=58, window_seconds=900, since=NOW - 840, until=NOW - 4), **common),
        Finding(id="fnd-0f3d4410cc87", trace="trc-1", condition=Condition.ANOMALY, quality=Q.AT_RISK,
                subject=Subject(kind=SubjectKind.SERVICE, name="payment-gateway"), indicator="total_seconds", probe="payment-charge",
                began_at=NOW - 900, at=NOW - 60,
                evidence=Evidence(series=(CHARGE_SECONDS,), value=4.8, expected=0.62, low=0.41, high=0.93, tail_probability=2e-6, samples=60, since=NOW - 900, until=NOW - 4), **common),
        Finding(id="fnd-9a5b10ee2f06", trace="trc-2", condition=Condition.OBJECTIVE_WARNING, quality=Q.AT_RISK,
                subject=Subject(kind=SubjectKind.SERVICE, name="dns", site="east"), indicator="lookup-p95", probe="resolver-east",
                began_at=NOW - 2400, at=NOW - 60,
                evidence=Evidence(series=(LOOKUP,), value=0.071, expected=0.018, low=0.012, high=0.031, threshold=0.060, samples=240, window_seconds=300, since=NOW - 2400, until=NOW - 2), **common),
    )  # fmt: skip


def ended_findings() -> tuple[Finding, ...]:
    common: dict[str, Any] = {"phase": FindingPhase.ENDED, "seq": 38_900, "epoch": "e3b0c442"}
    return (
        Finding(id="fnd-4be0a9137c55", trace="trc-0", condition=Condition.OBJECTIVE_BROKEN, quality=Q.DEGRADED,
                subject=Subject(kind=SubjectKind.SERVICE, name="hlr"), indicator="activation-p95", probe="shop-order-to-activate",
                touchpoint="shop-pos", began_at=NOW - 10_880, at=NOW - 9_600,
                evidence=Evidence(series=(SERIES[7].id,), value=18.4, threshold=6.0, samples=41, window_seconds=900, since=NOW - 11_000, until=NOW - 9_600,
                                  note="at worst 18.4; latest: p95 3.1 seconds of 60 samples in 900 s; asked: at most 6"), **common),
        Finding(id="fnd-c07d21f5e8aa", trace="trc-1", condition=Condition.OBJECTIVE_BROKEN, quality=Q.DEGRADED,
                subject=Subject(kind=SubjectKind.SERVICE, name="top-up"), indicator="charge-p95", probe="payment-charge",
                touchpoint="ussd", began_at=NOW - 780, at=NOW - 300,
                evidence=Evidence(series=(CHARGE_SECONDS,), value=6.2, threshold=2.0, samples=60, window_seconds=900, since=NOW - 800, until=NOW - 300), **common),
    )  # fmt: skip


def incidents() -> tuple[Incident, ...]:
    return (
        Incident(
            id="inc-3f2a91c04d7e", trace="trc-1", state=IncidentState.PENDING, quality=Q.DOWN,
            subject=Subject(kind=SubjectKind.SERVICE, name="payment-gateway"),
            cause=Cause(confidence=Confidence.PROBABLE, service="payment-gateway", score=0.91,
                        reasons=("It failed first, 60 s before top-up.", "Everything it stands on is healthy.", "It explains 3 of 3 hurt services."),
                        rivals=("top-up (0.31): fails only where it needs payment-gateway", "charging (0.08): healthy by its own probes")),
            impact=Impact(services=("top-up", "payment-gateway"), touchpoints=("self-care-app", "portal", "ussd"),
                          journeys=("top-up-balance", "pay-bill"), steps=("top-up-balance/pay", "pay-bill/pay"), moments_of_truth=("top-up-balance/pay",),
                          customers=12_480, peak_customers=12_480, user_minutes=174_720.0, uncertainty="site unknown for 3 % of customers"),
            findings=("fnd-71c2aa30b1e4", "fnd-0f3d4410cc87"), past_findings=("fnd-c07d21f5e8aa",), first_hurt_at=NOW - 900, opened_at=NOW - 840, changed_at=NOW - 60,
            confirmed_at=NOW - 600, confirmed_by="quorum of 3 probes", priority=1, importance_factor=88.0, epoch="e3b0c442", seq=41_200,
            timeline=(
                TimelineItem(at=NOW - 840, seq=40_780, what="Opened: charge-success of payment-gateway broken (0.31, objective at least 0.98)."),
                TimelineItem(at=NOW - 830, seq=40_785, what="Cause: payment-gateway (probable, 0.84)."),
                TimelineItem(at=NOW - 600, seq=40_900, what="Confirmed by quorum: 3 independent probes agree."),
                TimelineItem(at=NOW - 420, seq=40_990, what="Impact grew: pay-bill, 4,210 customers more."),
            )),
        Incident(
            id="inc-b81e7705aa19", trace="trc-2", state=IncidentState.IN_PROGRESS, quality=Q.AT_RISK,
            subject=Subject(kind=SubjectKind.SERVICE, name="dns", site="east"),
            cause=Cause(),
            impact=Impact(services=("broadband", "dns"), sites=("east",), touchpoints=("handset",), journeys=("browse-at-home",), steps=("browse-at-home/resolve",), customers=0, peak_customers=3_020, user_minutes=9_060.0),
            findings=("fnd-9a5b10ee2f06",), first_hurt_at=NOW - 2460, opened_at=NOW - 2400, changed_at=NOW - 300,
            acknowledged_by="ines", priority=4, importance_factor=31.0, epoch="e3b0c442", seq=40_110,
            timeline=(TimelineItem(at=NOW - 2400, seq=40_110, what="Opened: lookup-p95 of dns at east above its warning."),
                      TimelineItem(at=NOW - 2100, seq=40_260, what="Acknowledged: looking at the forwarders.", by="ines"))),
        Incident(
            id="inc-5c40d2f1e6b3", trace="trc-0", state=IncidentState.CLOSED, quality=Q.HEALTHY,
            subject=Subject(kind=SubjectKind.SERVICE, name="hlr"),
            cause=Cause(confidence=Confidence.CONFIRMED, service="subscriber-db", score=0.97, reasons=("subscriber-db began first.", "hlr stands on it.")),
            impact=Impact(services=("voice", "sms"), customers=820, peak_customers=820, user_minutes=4_100.0),
            findings=(), past_findings=("fnd-4be0a9137c55",), first_hurt_at=NOW - 11_000, opened_at=NOW - 10_800, changed_at=NOW - 9_000,
            clear_since=NOW - 9_600, resolved_at=NOW - 9_300, closed_at=NOW - 9_000, priority=3, importance_factor=52.0, epoch="e3b0c442", seq=38_000,
            timeline=(TimelineItem(at=NOW - 10_800, seq=38_000, what="service hlr is degraded."),
                      TimelineItem(at=NOW - 10_700, seq=38_050, what="acknowledged by ines: hlr again.", by="ines"),
                      TimelineItem(at=NOW - 9_600, seq=38_800, what="all that hurt has ended."))),
    )  # fmt: skip


def communications() -> tuple[CommunicationView, ...]:
    return (
        CommunicationView(
            communication=Communication(
                id="com-2d91f0c3b7aa", trace="trc-1", incidents=("inc-3f2a91c04d7e",), policy="payments-live", mode=Mode.LIVE,
                message_class=MessageClass.SERVICE, services=("top-up",), sites=(), places={"top-up": ()}, cause_key="payment-gateway", state=CommunicationState.TELLING,
                opened_at=NOW - 840, hold_until=NOW - 540, decide_by=NOW + 360, decided_at=NOW - 538, audience_count=9_812, phase=Phase.FIRST),
            told=7_204, reasons={"first_notice": 7_204, "quiet_hours": 1_102, "no_lawful_basis": 611, "open_ticket": 240, "already_told": 0, "in_call_queue": 55},
            states={"delivered": 6_871, "accepted": 290, "in_flight": 40, "unknown": 3}),
        CommunicationView(
            communication=Communication(
                id="com-77ab3e5d1c02", trace="trc-2", incidents=("inc-b81e7705aa19",), policy="broadband-shadow", mode=Mode.SHADOW,
                message_class=MessageClass.SERVICE, services=("broadband",), sites=("east",), places={"broadband": ("east",)}, cause_key="dns@east", state=CommunicationState.HELD,
                opened_at=NOW - 2400, hold_until=NOW - 2100, decide_by=NOW - 1200, audience_count=3_020, reason="ceiling"),
            told=0, reasons={"ceiling": 3_020}, states={"shadow": 0}),
        CommunicationView(
            communication=Communication(
                id="com-08ee61f4d9b5", trace="trc-0", incidents=("inc-5c40d2f1e6b3",), policy="voice-live", mode=Mode.LIVE,
                message_class=MessageClass.SERVICE, services=("voice",), sites=(), places={"voice": ()}, cause_key="subscriber-db", state=CommunicationState.ENDED,
                opened_at=NOW - 10_800, hold_until=NOW - 10_500, decide_by=NOW - 9_600, decided_at=NOW - 10_480, clear_since=NOW - 9_600,
                ended_at=NOW - 8_900, audience_count=640, phase=Phase.OVER),
            told=640, reasons={"first_notice": 640, "over_notice": 640}, states={"delivered": 1_275, "failed": 5}),
    )  # fmt: skip


def indicators() -> tuple[IndicatorView, ...]:
    return (
        IndicatorView(name="charge-success", service="payment-gateway", site="", touchpoint="self-care-app", dimension=Dimension.RELIABILITY, value=0.04,
                      unit="ratio", score=0.0, samples=58, quality=Q.DOWN, objective="at least 0.98, warning at 0.99", source="promise to customers", series=(CHARGE_OK,)),
        IndicatorView(name="lookup-p95", service="dns", site="east", touchpoint="handset", dimension=Dimension.RESPONSIVENESS, value=0.071,
                      unit="seconds", score=62.0, samples=240, quality=Q.AT_RISK, objective="at most 0.080, warning at 0.060", source="house rule", series=(LOOKUP,)),
        IndicatorView(name="activation-success", service="order-management", site="", touchpoint="shop-pos", dimension=Dimension.RELIABILITY, value=0.997,
                      unit="ratio", score=100.0, samples=60, quality=Q.HEALTHY, objective="at least 0.98", source="promise to customers", series=(SERIES[6].id,)),
    )  # fmt: skip


def columns(at: Instant = NOW) -> SeriesColumns:
    return SeriesColumns(
        version=1,
        series=SERIES,
        last_at=np.array([at - 4, at - 4, at - 2, at - 2, at - 1, at - 1, at - 30, at - 30]),
        value=np.array([0.0, 4.8, 0.071, 1.0, 0.0123, 0.0, 1.0, 3.4]),
        expected=np.array([1.0, 0.62, 0.018, 1.0, 0.0118, 0.0, 1.0, 3.1]),
        low=np.array([0.97, 0.41, 0.012, 0.99, 0.0101, 0.0, 0.98, 2.2]),
        high=np.array([1.0, 0.93, 0.031, 1.0, 0.0139, 0.01, 1.0, 4.6]),
        score=np.array([1e-7, 2e-6, 3e-4, 1.0, 0.61, 1.0, 1.0, 0.4]),
        outcome=np.array([2, 0, 0, 0, 0, 0, 0, 0], np.uint8),
    )


def alerts() -> tuple[Alert, ...]:
    """Of the payment gateway: the desk was told, the pager cannot be."""

    def alert(route: str, channel: str, **more: Any) -> Alert:
        name = "inc-3f2a91c04d7e"
        return Alert(
            id=f"{route}/{channel}/{name}", trace="trc-1", route=route, channel=channel, incident=name, firing=True,
            due_at=NOW, **more,
        )  # fmt: skip

    why = "channel 'pager': 127.0.0.1:9 cannot be reached (ConnectionRefusedError)."
    return (
        alert("noc", "desk", state=AlertState.SENT, told_firing=True, told_revision=0, told_at=NOW - 600),
        alert("night", "pager", state=AlertState.FAILED, failure=why),
    )


def vantages(at: Instant) -> tuple[VantageView, ...]:
    """Home that is heard, one that is silent, and one that never came."""

    def one(name: str, heard_at: Instant | None, silent_since: Instant | None) -> VantageView:
        return VantageView(
            name=name, title=name.capitalize(), probes=3, services=("dns", "payment"), expected_since=at - 7200.0,
            heard_at=heard_at, silent_since=silent_since,
        )  # fmt: skip

    return (
        one("home", at - 1.0, None),
        one("south", at - 600.0, at - 600.0),
        one("west", None, at - 7200.0),
        one("young", None, None),
    )


def rich_views(seq: int = 41_260, at: Instant = NOW) -> Views:
    journeys = tuple(
        JourneyView(
            name=name, title=title, macro_journey=macro, stage=stage, process="", domain="customer", owner=owner, quality=quality, score=score,
            coverage=0.0 if score is None else 0.94, capped=capped,
            steps=tuple(
                StepView(name=step, title=words, touchpoint=point, moment_of_truth=truth, quality=how, score=mark, coverage=0.0 if mark is None else 1.0, weakest=weakest)
                for step, words, point, truth, how, mark, weakest in steps
            ))
        for name, title, macro, stage, owner, quality, score, capped, steps in JOURNEYS
    )  # fmt: skip
    services = tuple(
        ServiceView(
            name=name,
            title=title,
            domain=domain,
            quality=quality,
            score=score,
            own_score=score,
            depends_on=needs,
            sold=sold,
        )
        for name, title, domain, quality, score, needs, sold in SERVICES
    )
    touchpoints = tuple(
        TouchpointView(
            name=name, title=title, channel=channel, category=category, quality=quality, rater=rater(scores, coverage)
        )
        for name, title, channel, category, quality, scores, coverage in TOUCHPOINTS
    )
    cei = CeiView(
        score=74.6 + 0.4 * math.sin(seq), coverage=0.93, calibrated=False, network=78.2, design=None, operations=56.1,
        macro_journeys={"use": 71.8, "become-a-customer": 91.0, "get-support": 86.0, "manage": 89.0},
        domains={"network": 95.1, "bss": 72.0, "it": 92.8, "partner": 48.0},
        weights={"network": 0.8, "design": 0.0667, "operations": 0.1333},
    )  # fmt: skip
    return Views(
        at=at,
        seq=seq,
        epoch="e3b0c442",
        analyze=AnalyzeView(
            cei=cei,
            journeys=journeys,
            touchpoints=touchpoints,
            services=services,
            indicators=indicators(),
            findings=findings(),
            vantages=vantages(at),
        ),
        waits={},
        incidents=incidents(),
        report=ReportView(
            communications=communications(),
            alerts=alerts(),
            killed=False,
            sending_held=False,
            customers=20_000,
            due=("mail",),
        ),
        series=columns(at),
        unheard={"inc-5c40d2f1e6b3": "it is announced work"},
    )


class SceneHouse:
    """A house that shows a scene, remembers commands, and acts on acknowledge, kill and unkill as the core would."""

    def __init__(self, views: Views | None = None) -> None:
        self.shown = views
        self.operator, self.zone = "DemoTelco", "Europe/Vienna"
        self.registry = CollectorRegistry()
        self.ticks = Counter("cemd_loop_ticks", "Ticks.", registry=self.registry)
        self.ticks.inc()
        self.commands: list[Command] = []
        self.pushed: list[tuple[str, bytes]] = []
        self.pushes_refused: list[tuple[str, bool]] = []
        self.push_answer = PushAnswer(status=200, accepted=2, refused=0)
        self.reasons: list[str] = []
        self.mends: tuple[ToMend, ...] = ()
        self.secret: bytes | None = None
        self.living = True
        self.failed: dict[str, tuple[Attempt, ...]] = {}
        self.runs: dict[str, tuple[RunAsked, ...]] = {}
        self.refuses_runs = ""
        self.probers, self.active = 1, True

    def views(self) -> Views | None:
        return self.shown

    def alive(self) -> bool:
        return self.living

    def ready(self) -> list[str]:
        return self.reasons

    def to_mend(self) -> tuple[ToMend, ...]:
        return self.mends

    def token(self) -> bytes | None:
        return self.secret

    async def failures(self, probe: str) -> tuple[Attempt, ...]:
        return self.failed.get(probe, ())

    async def runs_asked(self, probe: str) -> tuple[RunAsked, ...]:
        return self.runs.get(probe, ())

    async def run_refused(self, seq: int) -> str:
        assert seq
        return self.refuses_runs

    def tick(self, seconds: float = 2.0) -> None:
        """A new view with nothing new but the time."""
        assert self.shown is not None
        self.shown = replace(self.shown, seq=self.shown.seq + 1, at=self.shown.at + seconds)

    async def who_runs(self, name: str) -> WhoRuns | None:
        if all(one.key.probe != name for one in SERIES):
            return None
        return WhoRuns(probe=name, probers=self.probers, active=self.active)

    def measure(self) -> None:
        """A new view with new samples of all series."""
        self.tick()
        assert self.shown is not None
        self.shown = replace(self.shown, series=columns(self.shown.at))

    async def command(self, command: Command) -> int:
        assert self.shown is not None
        self.commands.append(command)
        views = self.shown
        incidents, report = views.incidents, views.report
        if command.kind == CommandKind.ACKNOWLEDGE:
            incidents = tuple(
                msgspec.structs.replace(one, acknowledged_by=command.actor) if one.id == command.subject else one
                for one in incidents
            )
        if command.kind in (CommandKind.KILL, CommandKind.UNKILL):
            killed = command.kind == CommandKind.KILL
            by, since = (command.actor, views.at + 1) if killed else ("", None)
            report = msgspec.structs.replace(report, killed=killed, killed_by=by, killed_at=since)
        self.shown = replace(views, seq=views.seq + 1, at=views.at + 1, incidents=incidents, report=report)
        return self.shown.seq

    async def history(self, series: SeriesId, since: Instant, until: Instant) -> Samples:
        at = np.arange(math.ceil(since / 15) * 15, until, 15.0)
        noise = np.random.default_rng(series % 1000).normal(0, 1, len(at))
        value, outcome = 1.0 + 0.0 * noise, np.zeros(len(at), np.uint8)
        if series == LOOKUP:
            value = 0.018 + 0.002 * noise + np.clip((at - (NOW - 2500)) / 1500, 0, 1) * (0.05 + 0.006 * noise)
        elif series == CHARGE_SECONDS:
            value = 0.62 + 0.06 * noise + np.where(at > NOW - 900, 4.0 + 0.5 * noise, 0.0)
        elif series == CHARGE_OK:
            value = np.where(at > NOW - 840, 0.0, 1.0)
            outcome = np.where(at > NOW - 840, 2, 0).astype(np.uint8)
        return Samples(series=np.full(len(at), series), at=at, value=np.abs(value), outcome=outcome)

    async def explain(self, record: str) -> dict[str, Any] | None:
        incident = next((one for one in incidents() if record in (one.id, *one.findings, *one.past_findings)), None)
        if incident is None:
            return None
        known = {one.id: one for one in (*findings(), *ended_findings())}
        kept = [known[name] for name in (*incident.findings, *incident.past_findings)]
        told = [one.communication for one in communications() if incident.id in one.communication.incidents]
        return {
            "id": record,
            "incidents": [msgspec.to_builtins(incident)],
            "findings": [
                {**msgspec.to_builtins(one), "open": one.id in incident.findings, "incident": incident.id}
                for one in kept
            ],
            "alerts": [
                {"id": "alr-1", "route": "duty", "state": "firing", "told_firing": True, "since": NOW - 838}
            ] if incident.findings else [],
            "communications": [
                {
                    **msgspec.to_builtins(one),
                    "decisions": [
                        {"id": "dec-1", "at": one.hold_until, "seq": 40_999, "stage": "selection", "phase": "first", "revision": 0,
                         "epoch": one.epoch, "counts": {"first_notice": 7204, "quiet_hours": 1102}}
                    ],
                    "notices": {"first": {"delivered": 6871, "in_flight": 40}},
                }
                for one in told
            ],
        }  # fmt: skip

    def push_refused(self, source: str, *, given: bool) -> None:
        self.pushes_refused.append((source, given))

    async def push(self, source: str, body: bytes) -> PushAnswer:
        self.pushed.append((source, body))
        return self.push_answer


async def _serve() -> None:
    from cemd.web.server import WebServer

    house = SceneHouse(rich_views())
    server = WebServer(house, port=0)
    await server.start()
    print(server.url, flush=True)
    try:
        while True:
            await asyncio.sleep(2)
            house.tick()
    finally:
        await server.stop()


if __name__ == "__main__":
    asyncio.run(_serve())
