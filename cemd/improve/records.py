"""What improve remembers besides incidents: each a row, so that a restart is nothing but loading rows."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from cemd.model.finding import Condition, Finding
from cemd.model.identity import Instant
from cemd.model.quality import Quality


class AttachedFinding(msgspec.Struct, frozen=True, kw_only=True):
    """A finding as it was last stated. `incident` is "" while it belongs to none; ended ones stay while their incident
    lives, because they tell what was hurt."""

    finding: Finding
    incident: str = ""
    open: bool = True
    waits: str = ""  # why it opens nothing yet, as a sentence
    since: Instant = 0.0  # it parted from an incident whose cause was well from then on

    @property
    def onset(self) -> Instant:
        """When it could first be seen, which is earlier than when it was found."""
        return self.since or self.finding.evidence.since or self.finding.began_at


def beginning(attached: AttachedFinding) -> tuple[float, str]:
    """The order in which findings of an incident stand: as they began."""
    return attached.finding.began_at, attached.finding.id


class Among:
    """Whether a finding, just as it is, is one of many: as `in` of a list of them, whose ids differ, at once."""

    def __init__(self, findings: Iterable[AttachedFinding]) -> None:
        self._known = {one.finding.id: one for one in findings}

    def __contains__(self, one: AttachedFinding) -> bool:
        known = self._known.get(one.finding.id)
        return known is not None and (known is one or known == one)


class Grounds(msgspec.Struct, frozen=True, kw_only=True):
    """What stands behind an incident and is nobody else's business."""

    accrued_at: Instant  # user-minutes are counted up to here
    cause_by: str = ""  # the person who named the cause; then no ranking changes it


class ServiceChange(msgspec.Struct, frozen=True, kw_only=True):
    """When the definition of a service, or of what measures it, last changed; 0: as it was when first seen."""

    fingerprint: str
    changed_at: Instant = 0.0


class RefusedCommand(msgspec.Struct, frozen=True, kw_only=True):
    """A command that could not be obeyed, and why."""

    at: Instant
    seq: int
    kind: str
    subject: str
    actor: str
    reason: str


class FindingLabel(msgspec.Struct, frozen=True, kw_only=True):
    """What a person said of a finding: a row of the audit trail. `reason` says why it could not be taken, else ""."""

    at: Instant
    seq: int
    finding: str
    label: str
    actor: str
    note: str = ""
    condition: str = ""
    subject: str = ""
    reason: str = ""


class AskedRun(msgspec.Struct, frozen=True, kw_only=True):
    """A run of a probe that a person asked for: a row of the audit trail. `reason` says why it is not made, else ""."""

    at: Instant
    seq: int
    probe: str
    actor: str
    note: str = ""
    reason: str = ""


class Upkeep(msgspec.Struct, frozen=True, kw_only=True):
    swept_at: Instant


def hurts(finding: Finding, *, anomaly_opens: bool) -> bool:
    """True when the finding alone makes an incident: a broken objective, a budget that burns fast; what only
    warns (anomaly, drift, forecast) where the grouping says so. Silence never does: no data is not a fault."""
    match finding.condition:
        case Condition.OBJECTIVE_BROKEN:
            return True
        case Condition.BUDGET_BURNING:
            return finding.quality in (Quality.DEGRADED, Quality.DOWN)
        case Condition.ANOMALY | Condition.OBJECTIVE_WARNING | Condition.DRIFT | Condition.FORECAST:
            return anomaly_opens
        case Condition.SILENCE:
            return False
