"""The incident desk: how the findings of one entry become incidents, and what becomes due. Made by `stage` for an
entry, then thrown away.

A finding joins the incident that explains it, waits while its cause may still show, or opens one. What an incident
amounts to is judged by the assessor, whether enough sources say so by the confirmation; every change ends in the
ledger.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from cemd.improve import lifecycle
from cemd.improve.assessor import Assessor
from cemd.improve.cases import Case, Cases
from cemd.improve.confirmation import Confirmation
from cemd.improve.doubt import PLANNED_WORK, waiting, why_crowded, why_wait, window_over
from cemd.improve.grouping import Relation, best_incident, deepest_first, placing_order, was_cause
from cemd.improve.joining import why_joins
from cemd.improve.ledger import Ledger, named
from cemd.improve.lifecycle import OVER
from cemd.improve.parting import outlived
from cemd.improve.picture import Picture, services_of
from cemd.improve.precedence import came_apart
from cemd.improve.records import AttachedFinding, Grounds
from cemd.improve.suspects import shared_suspect
from cemd.model.finding import Finding, FindingPhase
from cemd.model.identity import record_id
from cemd.model.incident import Cause, Impact, Incident, IncidentChange, IncidentState

ACCRUE_SECONDS = 60.0
"""How often user-minutes, cause and impact of a lasting incident are brought up to date: a row a minute, not a tick."""

_replace = msgspec.structs.replace


class Desk:
    """One entry's work on the incidents."""

    def __init__(self, ledger: Ledger, assessor: Assessor) -> None:
        self.ledger = ledger
        self.assessor = assessor
        self.state = ledger.state
        self.at, self.seq = ledger.at, ledger.seq
        self.topology = assessor.topology
        self.customers = assessor.customers
        self.grouping = assessor.grouping
        self.confirmation = Confirmation(ledger, assessor)
        self._new: dict[str, bool] = {}
        self._cases = Cases(self.state, self.topology, anomaly_opens=self.grouping.anomaly_opens)
        self.look_again: list[Finding] = []
        """What was hurt until announced work was over: a look at once says whether it still is."""

    def take(self, findings: Sequence[Finding]) -> None:
        """Findings that began, changed or ended."""
        touched: dict[str, None] = {}
        ended: dict[str, None] = {}
        heard: dict[str, None] = {}
        fresh: list[AttachedFinding] = []
        for finding in findings:
            known = self.state.findings.get(finding.id)
            if finding.phase is FindingPhase.ENDED:
                if known is not None:
                    ended.update(self._end(known, finding))
            elif known is None:
                fresh.append(AttachedFinding(finding=finding))
                self.assessor.fresh.append(finding)
            elif known.waits or _says_else(known.finding, finding) or not known.open:
                self.state.attach(_replace(known, finding=finding, open=True))
                touched[known.incident] = None
            elif self.confirmation.is_heard_anew(known, finding):
                self.state.attach(_replace(known, finding=finding))
                heard[known.incident] = None
        for attached in fresh:
            self.state.attach(attached)
        touched.update(self._place(fresh))
        self._update(touched | ended)
        for key in heard:
            if (incident := self.state.incidents.get(key)) is not None and incident.state not in OVER:
                self.confirmation.by_quorum(key)

    def reconcile(self, findings: Sequence[Finding]) -> None:
        """After a start all open findings are stated anew: what is not among them has ended meanwhile."""
        stated = {finding.id for finding in findings}
        gone: dict[str, None] = {}
        for known in self.state.findings:
            if known.open and known.finding.id not in stated:
                gone.update(self._end(known, known.finding))
        self._update(gone)

    def pass_time(self) -> None:
        """What becomes due: findings that waited, user-minutes, resolved after being stable, closed when no relapse
        came."""
        if waiting(self.state.attached("")):
            self._update(self._place(()))
        for incident in self.state.live():
            if incident.state in OVER:
                self._close_when_due(incident)
            elif incident.clear_since is None:
                grounds = self.state.grounds[incident.id]
                if self.at - grounds.accrued_at >= ACCRUE_SECONDS:
                    self._refresh(incident)
                    self._part(self.state.incidents[incident.id])
            elif self.at - incident.clear_since >= self.grouping.stable_seconds:
                self.ledger.put(
                    lifecycle.resolved(incident, self.at),
                    IncidentChange.RESOLVED,
                    f"resolved: nothing hurt for {self.grouping.stable_seconds:.0f} s.",
                )

    # findings

    def _end(self, known: AttachedFinding, finding: Finding) -> dict[str, None]:
        """Notes an end; returns the incident that it touches."""
        if known.waits.startswith(PLANNED_WORK) and not window_over(known, self.topology, self.at):
            self.look_again.append(finding)
        incident = self.state.incidents.get(known.incident)
        if incident is None or incident.state in lifecycle.ENDED:
            self.state.drop(known.finding.id)
            return {}
        self.state.attach(_replace(known, finding=finding, open=False))
        return {incident.id: None}

    def _place(self, fresh: Sequence[AttachedFinding]) -> dict[str, None]:
        """Finds or opens the incident of each new finding that hurts, then lets related ones support it."""
        touched: dict[str, None] = {}
        hurting = [*waiting(self.state.attached("")), *(one for one in fresh if self.assessor.hurts(one))]
        if not hurting:
            supporting: Sequence[AttachedFinding] = fresh
        else:
            picture = self.assessor.picture()
            for one in placing_order(hurting, self._candidates(), picture, self.grouping):
                if (incident := self._placed(one, picture)) is not None:
                    touched[incident] = None
            supporting = self.state.attached("")
        touched.update(self._support([one for one in supporting if self.assessor.supports(one)]))
        return touched

    def _placed(self, finding: AttachedFinding, picture: Picture) -> str | None:
        """The incident that the finding joined or opened; None while it has to wait."""
        candidates = self._candidates()
        found = best_incident(finding, candidates, picture, self.grouping)
        joined = found[0] if found and found[1] is not Relation.RELAPSE else None
        # what is all well again is company only to its own cause that comes back
        company = joined is not None and (joined.clear_since is None or was_cause(finding, joined, picture))
        reason = why_wait(finding, picture, self.grouping, self.assessor.takers, joins=company)
        if not reason and joined is None:
            reason = why_crowded(finding, tuple(self.state.live()), self.assessor.watch, self.customers.size)
        if not reason and self._may_be_of_another(finding, found, picture):
            suspected = shared_suspect(finding, candidates, picture, self.grouping)
            if suspected is not None:
                reason = f"may share its cause with {suspected[0].id}: {suspected[1]} has not had the time to show it."
        if reason != finding.waits:
            finding = _replace(finding, waits=reason)
            self.state.attach(finding)
        if reason:
            return None
        if found is None:
            return self._opened(finding).id
        key = self._joined(finding, *found, picture)
        if joined is None:  # reopened at once: what else shows now finds it living
            self._update({key: None})
        return key

    @staticmethod
    def _may_be_of_another(finding: AttachedFinding, found: tuple[Incident, Relation] | None, picture: Picture) -> bool:
        """It has no incident yet, or one that is over and had another cause: what lives comes first."""
        return found is None or (found[1] is Relation.RELAPSE and not was_cause(finding, found[0], picture))

    def _joined(self, finding: AttachedFinding, incident: Incident, relation: Relation, picture: Picture) -> str:
        why = why_joins(relation, finding, incident, self._cases.of(incident.id), picture)
        self._cases.join(_replace(finding, incident=incident.id))
        self.ledger.put(incident, None, f"{finding.finding.subject} joins: it {why}")
        return incident.id

    def _support(self, findings: Sequence[AttachedFinding]) -> dict[str, None]:
        """Anomalies, warnings and silences open nothing, but count as evidence of an incident that explains them."""
        open_ones = [pair for pair in self._candidates() if pair[0].state not in OVER]
        if not findings or not open_ones:
            return {}
        picture = self.assessor.picture()
        touched: dict[str, None] = {}
        for one in findings:
            found = best_incident(one, open_ones, picture, self.grouping)
            if found is not None and found[1] in (Relation.EXPLAINED, Relation.DEEPER):
                self.state.attach(_replace(one, incident=found[0].id))
                touched[found[0].id] = None
        return touched

    def _candidates(self) -> list[tuple[Incident, Case]]:
        return [(incident, self._cases.of(incident.id)) for incident in self.state.live()]

    # incidents

    def _opened(self, attached: AttachedFinding) -> Incident:
        finding = attached.finding
        incident = Incident(
            id=record_id("inc", self.seq, finding.id),
            trace=finding.trace,
            state=IncidentState.ACKNOWLEDGED,
            quality=finding.quality,
            subject=finding.subject,
            cause=Cause(),
            impact=Impact(),
            findings=(finding.id,),
            first_hurt_at=attached.onset,
            opened_at=self.at,
            changed_at=self.at,
            epoch=finding.epoch,
            seq=self.seq,
        )
        self.state.grounds.put(incident.id, Grounds(accrued_at=attached.onset))
        self.state.attach(_replace(attached, incident=incident.id))
        incident = lifecycle.noted(incident, at=self.at, seq=self.seq, what=f"{finding.subject} is {finding.quality}.")
        self.state.put(incident)
        self._new[incident.id] = True
        return incident

    def _update(self, touched: Mapping[str, None]) -> None:
        """Brings the incidents up to date with their findings, and says what changed."""
        picture = self.assessor.picture() if touched else None
        for key in touched:
            incident = self.state.incidents.get(key)
            if picture is not None and incident is not None and incident.state not in _FINAL:
                self._follow(incident, picture)
        for key in touched:
            if picture is not None and key in self.state.incidents and self._absorb(self.state.incidents[key], picture):
                self._follow(self.state.incidents[key], picture)

    def _follow(self, incident: Incident, picture: Picture) -> None:
        attached = self.state.attached(incident.id)
        is_hurt = any(one.open and self.assessor.hurts(one) for one in attached)
        was_new = self._new.pop(incident.id, False)
        was_clear = incident.clear_since is not None
        if not is_hurt and was_clear:
            self.ledger.put(self.assessor.counted(incident), None)
            return
        if is_hurt and was_clear:
            self.state.grounds.put(incident.id, _replace(self.state.grounds[incident.id], accrued_at=self.at))
        elif not was_new:
            incident = self.assessor.accrue(incident)
        judged = self.assessor.judged(self.assessor.counted(incident), picture)
        if was_new:
            self.ledger.put(self.assessor.accrue(judged), IncidentChange.OPENED)
        elif is_hurt and was_clear and incident.state in OVER:
            again = lifecycle.reopened(judged)
            self.ledger.put(again, IncidentChange.REOPENED, f"reopened ({again.reopened}): it is hurt again.")
        elif is_hurt and was_clear:
            self.ledger.put(
                _replace(judged, clear_since=None), IncidentChange.RELAPSED, "hurt again before it was stable."
            )
        elif not is_hurt:
            self.ledger.put(_replace(judged, clear_since=self.at), IncidentChange.CLEARED, "all that hurt has ended.")
        else:
            self.ledger.put_changed(self.state.incidents[incident.id], judged)
        if is_hurt:
            self.confirmation.by_quorum(incident.id)

    def _absorb(self, incident: Incident, picture: Picture) -> list[Incident]:
        """Takes in the incidents that stand on this one's cause, now that the cause itself is seen to be hurt.

        What stands on a cause is often measured sooner than the cause, and then opens incidents of its own. One that
        was confirmed or acknowledged stays: people may have been told of it.
        """
        cause = incident.cause
        is_hurt = incident.clear_since is None and incident.state not in OVER
        if not is_hurt or not cause.service or not picture.hurting(cause.service, cause.site):
            return []
        taken = [
            other
            for other in self.state.live()
            if other.id != incident.id
            and other.state not in OVER
            and other.confirmed_at is None
            and not other.acknowledged_by
            and self._stands_on(other, cause)
            and not came_apart(self._hurt_in(incident), self._hurt_in(other), picture)
        ]
        for other in taken:
            for one in self.state.attached(other.id):
                self.state.attach(_replace(one, incident=incident.id))
            gone = lifecycle.cancelled(self.assessor.accrue(other), self.at)
            self.ledger.put(gone, IncidentChange.CANCELLED, f"is part of {incident.id}: it stands on {named(cause)}.")
            self.state.forget(gone)
            self.ledger.put(
                self.state.incidents[incident.id], None, f"takes in {other.id}: {other.subject} stands on it."
            )
        return taken

    def _stands_on(self, incident: Incident, cause: Cause) -> bool:
        hurt = self._hurt_in(incident)
        return bool(hurt) and all(
            any(cause.service in self.topology.needs(service) for service in services_of(one.finding, self.topology))
            and self.topology.overlap(one.finding.subject.site, cause.site)
            for one in hurt
        )

    def _hurt_in(self, incident: Incident) -> list[AttachedFinding]:
        return [one for one in self.state.attached(incident.id) if self.assessor.hurts(one)]

    def _refresh(self, incident: Incident) -> None:
        """Once a minute: user-minutes, and what time alone teaches (who is still fine is evidence), or a reload (fewer
        sources are asked for)."""
        judged = self.assessor.judged(self.assessor.accrue(incident), self.assessor.picture())
        self.ledger.put_changed(incident, judged)
        self.confirmation.by_quorum(incident.id)

    def _part(self, incident: Incident) -> None:
        """What outlived the cause of its incident is another problem: of another incident that explains it, else of
        one of its own."""
        if not incident.cause.service or self.state.grounds[incident.id].cause_by:
            return
        picture = self.assessor.picture()
        since, left = outlived(incident, self.state.attached(incident.id), picture)
        touched: dict[str, None] = {}
        for one in deepest_first(left, self.topology):
            alone = _replace(one, incident="", since=max(since, one.onset))
            others = [each for each in self._candidates() if each[0].id != incident.id and each[0].state not in OVER]
            found = best_incident(alone, others, picture, self.grouping)
            key = self._joined(alone, *found, picture) if found else self._opened(alone).id
            words = f"{one.finding.subject} is part of {key} now: {named(incident.cause)} is well, and it is not."
            self.ledger.put(self.state.incidents[incident.id], None, words)
            touched |= {incident.id: None, key: None}
        self._update(touched)

    # endings

    def _close_when_due(self, incident: Incident) -> None:
        if lifecycle.can_reopen(incident, self.at, self.grouping.relapse_within_seconds):
            return
        if incident.state is IncidentState.RESOLVED:
            incident = lifecycle.closed(incident, self.at)
            self.ledger.put(incident, IncidentChange.CLOSED, "closed: no relapse came.")
        self.state.forget(self.state.incidents[incident.id])


_FINAL = (IncidentState.CANCELLED, IncidentState.REJECTED)


def _says_else(known: Finding, finding: Finding) -> bool:
    """True when a stated finding differs in what matters here; fresh evidence values alone write no row."""
    said = [(one.quality, one.condition, one.subject, one.evidence.failing) for one in (known, finding)]
    return said[0] != said[1]
