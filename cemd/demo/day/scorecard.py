"""The scorecard as a document: documented in docs/day.md, stable, and the same file for the same seed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from cemd.demo.day.alarm import Alarm
from cemd.demo.day.judge import WEEK_SECONDS, Verdict, verdicts
from cemd.demo.day.witness import Witness
from cemd.demo.world.events import Event
from cemd.demo.world.world import World

VERSION = 1


def document(
    witness: Witness, judged: Sequence[Verdict], false: Sequence[Alarm], baseline: Mapping[str, Any]
) -> dict[str, Any]:
    """Everything about one day."""
    world = witness.world
    return {
        "version": VERSION,
        "scenario": world.scenario.name,
        "seed": world.seed,
        "zone": world.scenario.operator.zone,
        "days": world.days,
        "customers": world.people.count,
        "probes": len(world.configuration.probes),
        "rules_left_out": list(world.left_out),
        "begins_at": world.start,
        "ends_at": witness.until,
        "faults": [_fault(one) for one in judged],
        "traps": [_trap(event) for event in world.events if not event.is_fault],
        "false_incidents": [_alarm(one) for one in false],
        "incidents": [
            {**_alarm(one), "fault": next((v.event.name for v in judged if v.alarm is one), None)}
            for one in sorted([*false, *(v.alarm for v in judged if v.alarm)], key=lambda a: (a.opened_at, a.id))
        ],
        "broken": witness.broken,
        "total": {
            **total(judged, false, weeks(world, witness.until), told_wrongly=sum(witness.wrong.values())),
            "never_ended": witness.never_ended,
            "notices_per_hurt_customer": _ratio(witness.notices, sum(one.hurt for one in judged)),
            "promises_broken": witness.broken_count,
            "baseline": dict(baseline),
        },
    }


def baseline_total(witness: Witness) -> dict[str, Any]:
    """The same figures for the static thresholds. They tell by hand, once, and of every end: no promise is broken."""
    judged, false = verdicts(witness, witness.baseline.alarms, witness.by_baseline, witness.baseline.alarms_of)
    found = total(judged, false, weeks(witness.world, witness.until), told_wrongly=witness.baseline_wrong)
    hurt = sum(one.hurt for one in judged)
    return {**found, "notices_per_hurt_customer": _ratio(witness.baseline_notices, hurt)}


def weeks(world: World, until: float) -> float:
    return round((until - world.start) / WEEK_SECONDS, 4)


def total(
    judged: Sequence[Verdict], false: Sequence[Alarm], incident_weeks: float, *, told_wrongly: int
) -> dict[str, Any]:
    """The figures that can be compared; of faults that hurt somebody."""
    hurting = [one for one in judged if one.hurt]
    named = [one.cause_right for one in hurting if one.cause_right is not None]
    hurt = sum(one.hurt for one in hurting)
    reachable = sum(one.reachable for one in hurting)
    return {
        "faults": len(hurting),
        "found": sum(one.alarm is not None for one in hurting),
        "delay_seconds": _delays(hurting),
        "false_incidents": len(false),
        "incident_weeks": incident_weeks,
        "false_notices": told_wrongly,
        "cause_right": _ratio(sum(named), len(named)),
        "told_before_contact": _ratio(sum(one.told_before for one in hurting), hurt),
        "told_before_contact_reachable": _ratio(sum(one.reachable_before for one in hurting), reachable),
        "told_before_contact_oracle": _ratio(sum(one.oracle_before for one in hurting), reachable),
        "lead_time_seconds": _median([lead for one in hurting for lead in one.leads]),
        "told_twice": sum(one.told_twice for one in judged),
        "never_ended": 0,
        "notices_per_hurt_customer": None,
        "promises_broken": 0,
    }


def _delays(hurting: Sequence[Verdict]) -> dict[str, Any]:
    delays = [one.delay for one in hurting if one.delay is not None]
    classes = sorted({str(one.event.kind) for one in hurting})
    by_class = {
        name: _median([one.delay for one in hurting if one.event.kind == name and one.delay is not None])
        for name in classes
    }
    return {"median": _median(delays), "p95": _quantile(delays, 0.95), "by_class": by_class}


def _fault(one: Verdict) -> dict[str, Any]:
    event = one.event
    return {
        "name": event.name,
        "class": str(event.kind),
        "service": event.service,
        "site": event.site,
        "begins_at": event.begin,
        "ends_at": event.end,
        "found": one.alarm is not None,
        "first_hurt_at": one.first_hurt_at,
        "first_hurt_to_incident_seconds": one.delay,
        "incident_id": one.alarm.id if one.alarm else None,
        "cause_named": (one.alarm.cause or None) if one.alarm else None,
        "cause_right": one.cause_right,
        "customers_hurt": one.hurt,
        "told": one.told,
        "told_before_first_contact": one.told_before,
        "reachable": one.reachable,
        "reachable_told_before_first_contact": one.reachable_before,
        "told_wrongly": one.told_wrongly,
        "lead_time_seconds": _median(one.leads),
    }


def _trap(event: Event) -> dict[str, Any]:
    return {
        "name": event.name,
        "kind": str(event.kind),
        "service": event.service,
        "site": event.site,
        "begins_at": event.begin,
        "ends_at": event.end,
    }


def _alarm(one: Alarm) -> dict[str, Any]:
    return {
        "id": one.id,
        "opened_at": one.opened_at,
        "over_at": one.over_at,
        "services": list(one.services),
        "sites": list(one.sites),
        "cause": one.cause or None,
        "evidence": list(one.evidence),
    }


def _ratio(part: int, whole: int) -> float | None:
    return round(part / whole, 4) if whole else None


def _median(values: Sequence[float]) -> float | None:
    return _quantile(values, 0.5)


def _quantile(values: Sequence[float], share: float) -> float | None:
    return round(float(np.quantile(values, share)), 1) if len(values) else None
