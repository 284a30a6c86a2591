"""The incident desk: one entry's work on the incidents. Made by `stage` for an entry, then thrown away.

Every change ends in `_put`, so that row, event and time line never drift apart.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from cemd.config.rules import Grouping
from cemd.config.topology import Topology
from cemd.improve import lifecycle
from cemd.improve.cause import probable_cause
from cemd.improve.doubt import waiting, why_wait
from cemd.improve.grouping import WORDS, Relation, best_incident, deepest_first, shared_suspect
from cemd.improve.impact import accrued, impact_of, urgency
from cemd.improve.picture import Picture, services_of
from cemd.improve.records import AttachedFinding, Grounds, RefusedCommand, ServiceChange, hurts
from cemd.improve.state import ImproveState
from cemd.kit.words import counted
from cemd.model.customers import Customers
from cemd.model.entry import Command, CommandKind, Entry
from cemd.model.finding import Finding, FindingPhase
from cemd.model.identity import record_id
from cemd.model.incident import Cause, Confidence, Impact, Incident, IncidentChange, IncidentEvent, IncidentState
from cemd.model.quality import worst

ACCRUE_SECONDS = 60.0
"""How often user-minutes, cause and impact of a lasting incident are brought up to date: a row a minute, not a tick."""
KEPT_PAST = 200
"""Ids of ended findings that an incident names, and their rows; older ones are in history."""

_replace = msgspec.structs.replace


class Desk:
    def __init__(self, state: ImproveState, entry: Entry, topology: Topology, customers: Customers) -> None:
        self.state = state
        self.at, self.seq = entry.at, entry.seq
        self.topology = topology
        self.customers = customers
        self.grouping: Grouping = topology.configuration.grouping
        self.watch = state.watch(topology)
        self.events: list[IncidentEvent] = []
        self.fresh: list[Finding] = []
        self._new: dict[str, bool] = {}

    def take(self, findings: Sequence[Finding]) -> None:
        """Findings that began, changed or ended."""
        touched: dict[str, None] = {}
        ended: dict[str, None] = {}
        fresh: list[AttachedFinding] = []
        for finding in findings:
            known = self.state.findings.get(finding.id)
            if finding.phase is FindingPhase.ENDED:
                if known is not None:
                    ended.update(self._end(known, finding))
            elif known is None:
                fresh.append(AttachedFinding(finding=finding))
                self.fresh.append(finding)
            elif _says_else(known.finding, finding) or not known.open:
                self.state.attach(_replace(known, finding=finding, open=True))
                touched[known.incident] = None
        for attached in fresh:
            self.state.attach(attached)
        touched.update(self._place(fresh))
        self._update(touched | ended)

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
            if incident.state in lifecycle.OVER:
                self._close_when_due(incident)
            elif incident.clear_since is None:
                grounds = self.state.grounds[incident.id]
                if self.at - grounds.accrued_at >= ACCRUE_SECONDS:
                    self._refresh(incident)
            elif self.at - incident.clear_since >= self.grouping.stable_seconds:
                self._put(
                    lifecycle.resolved(incident, self.at),
                    IncidentChange.RESOLVED,
                    f"resolved: nothing hurt for {self.grouping.stable_seconds:.0f} s.",
                )

    def obey(self, command: Command) -> None:
        """A person's command on an incident; what cannot be obeyed is written down with its reason."""
        incident = self.state.incidents.get(command.subject)
        if incident is None:
            self._refuse(command, f"there is no incident {command.subject}; the list of incidents shows the open ones.")
            return
        match command.kind:
            case CommandKind.ACKNOWLEDGE:
                self._acknowledge(incident, command)
            case CommandKind.CONFIRM:
                self._confirm(incident, command)
            case CommandKind.CLOSE:
                if self._is_refused(incident, command, lifecycle.why_not(incident, IncidentState.CLOSED)):
                    return
                self._put(lifecycle.closed(incident, self.at), IncidentChange.CLOSED, _said("closed", command), command)
            case CommandKind.CANCEL:
                if self._is_refused(incident, command, lifecycle.why_not(incident, IncidentState.CANCELLED)):
                    return
                incident = lifecycle.cancelled(self._accrue(incident), self.at)
                self._put(incident, IncidentChange.CANCELLED, _said("cancelled", command), command)
                self.state.forget(incident)

    # findings

    def _end(self, known: AttachedFinding, finding: Finding) -> dict[str, None]:
        """Notes an end; returns the incident that it touches."""
        incident = self.state.incidents.get(known.incident)
        if incident is None or incident.state in lifecycle.ENDED:
            self.state.drop(known.finding.id)
            return {}
        self.state.attach(_replace(known, finding=finding, open=False))
        return {incident.id: None}

    def _place(self, fresh: Sequence[AttachedFinding]) -> dict[str, None]:
        """Finds or opens the incident of each new finding that hurts, then lets related ones support it."""
        touched: dict[str, None] = {}
        hurting = [*waiting(self.state.attached("")), *(one for one in fresh if self._hurts(one))]
        if not hurting:
            supporting: Sequence[AttachedFinding] = fresh
        else:
            picture = self._picture()
            for one in deepest_first(hurting, self.topology):
                if (incident := self._placed(one, picture)) is not None:
                    touched[incident] = None
            supporting = self.state.attached("")
        touched.update(self._support([one for one in supporting if not self._hurts(one)]))
        return touched

    def _placed(self, finding: AttachedFinding, picture: Picture) -> str | None:
        """The incident that the finding joined or opened; None while it has to wait."""
        found = best_incident(finding, self._candidates(), picture, self.grouping)
        joins = found is not None and found[1] is not Relation.RELAPSE
        reason = why_wait(finding, picture, self.grouping, joins=joins)
        if not reason and found is None:
            suspected = shared_suspect(finding, self._candidates(), picture, self.grouping)
            if suspected is not None:
                incident, service = suspected
                reason = f"may share its cause with {incident.id}: {service} has not had the time to show it."
        if reason != finding.waits:
            finding = _replace(finding, waits=reason)
            self.state.attach(finding)
        return None if reason else self._join_or_open(finding, found)

    def _join_or_open(self, finding: AttachedFinding, found: tuple[Incident, Relation] | None) -> str:
        if found is None:
            incident = self._opened(finding)
        else:
            incident, relation = found
            self.state.attach(_replace(finding, incident=incident.id))
            self._put(incident, None, f"{finding.finding.subject} joins: it {WORDS[relation]}.")
        return incident.id

    def _support(self, findings: Sequence[AttachedFinding]) -> dict[str, None]:
        """Anomalies, warnings and silences open nothing, but count as evidence of an incident that explains them."""
        open_ones = [pair for pair in self._candidates() if pair[0].state not in lifecycle.OVER]
        if not findings or not open_ones:
            return {}
        picture = self._picture()
        touched: dict[str, None] = {}
        for one in findings:
            found = best_incident(one, open_ones, picture, self.grouping)
            if found is not None and found[1] in (Relation.EXPLAINED, Relation.DEEPER):
                self.state.attach(_replace(one, incident=found[0].id))
                touched[found[0].id] = None
        return touched

    def _candidates(self) -> list[tuple[Incident, Sequence[AttachedFinding]]]:
        return [(incident, self.state.attached(incident.id)) for incident in self.state.live()]

    def _picture(self) -> Picture:
        return Picture(
            self.topology,
            self.watch,
            [one for one in self.state.findings if one.open],
            at=self.at,
            anomaly_opens=self.grouping.anomaly_opens,
        )

    def _hurts(self, attached: AttachedFinding) -> bool:
        return hurts(attached.finding, anomaly_opens=self.grouping.anomaly_opens)

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
        picture = self._picture() if touched else None
        for key in touched:
            incident = self.state.incidents.get(key)
            if picture is not None and incident is not None and incident.state not in _FINAL:
                self._follow(incident, picture)
        for key in touched:
            if picture is not None and key in self.state.incidents and self._absorb(self.state.incidents[key], picture):
                self._follow(self.state.incidents[key], picture)

    def _follow(self, incident: Incident, picture: Picture) -> None:
        attached = self.state.attached(incident.id)
        is_hurt = any(one.open and self._hurts(one) for one in attached)
        was_new = self._new.pop(incident.id, False)
        was_clear = incident.clear_since is not None
        if not is_hurt and was_clear:
            self._put(self._counted(incident), None)
            return
        if is_hurt and was_clear:
            self.state.grounds.put(incident.id, _replace(self.state.grounds[incident.id], accrued_at=self.at))
        elif not was_new:
            incident = self._accrue(incident)
        judged = self._judged(self._counted(incident), picture)
        if was_new:
            self._put(self._accrue(judged), IncidentChange.OPENED)
        elif is_hurt and was_clear and incident.state in lifecycle.OVER:
            again = lifecycle.reopened(judged)
            self._put(again, IncidentChange.REOPENED, f"reopened ({again.reopened}): it is hurt again.")
        elif is_hurt and was_clear:
            self._put(_replace(judged, clear_since=None), IncidentChange.RELAPSED, "hurt again before it was stable.")
        elif not is_hurt:
            self._put(_replace(judged, clear_since=self.at), IncidentChange.CLEARED, "all that hurt has ended.")
        else:
            self._put_changed(self.state.incidents[incident.id], judged)
        if is_hurt:
            self._confirm_by_quorum(incident.id)

    def _absorb(self, incident: Incident, picture: Picture) -> list[Incident]:
        """Takes in the incidents that stand on this one's cause, now that the cause itself is seen to be hurt.

        What stands on a cause is often measured sooner than the cause, and then opens incidents of its own. One that
        was confirmed or acknowledged stays: people may have been told of it.
        """
        cause = incident.cause
        if incident.state in lifecycle.OVER or not cause.service or not picture.hurting(cause.service, cause.site):
            return []
        taken = [
            other
            for other in self.state.live()
            if other.id != incident.id
            and other.state not in lifecycle.OVER
            and other.confirmed_at is None
            and not other.acknowledged_by
            and self._stands_on(other, cause)
        ]
        for other in taken:
            for one in self.state.attached(other.id):
                self.state.attach(_replace(one, incident=incident.id))
            gone = lifecycle.cancelled(self._accrue(other), self.at)
            self._put(gone, IncidentChange.CANCELLED, f"is part of {incident.id}: it stands on {_named(cause)}.")
            self.state.forget(gone)
            self._put(self.state.incidents[incident.id], None, f"takes in {other.id}: {other.subject} stands on it.")
        return taken

    def _stands_on(self, incident: Incident, cause: Cause) -> bool:
        hurt = [one.finding for one in self.state.attached(incident.id) if self._hurts(one)]
        return bool(hurt) and all(
            any(cause.service in self.topology.needs(service) for service in services_of(finding, self.topology))
            and self.topology.overlap(finding.subject.site, cause.site)
            for finding in hurt
        )

    def _refresh(self, incident: Incident) -> None:
        """Once a minute: user-minutes, and what time alone teaches (who is still fine is evidence)."""
        judged = self._judged(self._accrue(incident), self._picture())
        self._put_changed(incident, judged)

    def _put_changed(self, before: Incident, incident: Incident) -> None:
        words = _difference(before, incident)
        self._put(incident, IncidentChange.CHANGED if words else None, words)

    def _counted(self, incident: Incident) -> Incident:
        """The incident with the ids and the worst quality of its findings as they are now."""
        attached = self.state.attached(incident.id)
        ended = [one for one in attached if not one.open]
        for one in ended[:-KEPT_PAST]:
            self.state.drop(one.finding.id)
        now = tuple(one.finding.id for one in attached if one.open)
        past = dict.fromkeys((*incident.past_findings, *incident.findings, *(one.finding.id for one in ended)))
        qualities = [one.finding.quality for one in attached if one.open and self._hurts(one)]
        return _replace(
            incident,
            findings=now,
            past_findings=tuple(key for key in past if key not in now)[-KEPT_PAST:],
            quality=worst(qualities) if qualities else incident.quality,
        )

    def _judged(self, incident: Incident, picture: Picture) -> Incident:
        """Cause, impact and urgency worked out anew."""
        attached = [one for one in self.state.attached(incident.id) if self._hurts(one)]
        if not attached:
            return incident
        cause = incident.cause
        if not self.state.grounds[incident.id].cause_by and not (cause.service and self._is_recovering(attached)):
            changes: dict[str, ServiceChange] = self._changes()
            cause = probable_cause(attached, picture, self.grouping, changes)
            cause = _confirmed(cause) if incident.confirmed_at is not None and cause.service else cause
        hurt = [one for one in attached if one.open] or attached
        impact, critical = impact_of(hurt, cause, picture, self.customers, self.state.counts, incident.impact)
        factor, priority = urgency(impact, incident.quality, critical, self.topology, self.customers)
        return _replace(incident, cause=cause, impact=impact, importance_factor=factor, priority=priority)

    def _is_recovering(self, attached: Sequence[AttachedFinding]) -> bool:
        """Some of it is well again and nothing new came: that what stands on the cause is fine now is no evidence
        against it."""
        new = {finding.id for finding in self.fresh}
        return any(not one.open for one in attached) and not any(one.finding.id in new for one in attached)

    def _changes(self) -> dict[str, ServiceChange]:
        return {name: change for name in self.topology.services if (change := self.state.changes.get(name)) is not None}

    def _accrue(self, incident: Incident) -> Incident:
        """Counts user-minutes up to now; nothing accrues while it is clear."""
        grounds = self.state.grounds.get(incident.id)
        if grounds is None or incident.clear_since is not None or incident.state in lifecycle.OVER:
            return incident
        impact = accrued(incident.impact, grounds.accrued_at, self.at)
        self.state.grounds.put(incident.id, _replace(grounds, accrued_at=self.at))
        return _replace(incident, impact=impact)

    # confirmation

    def _confirm_by_quorum(self, key: str) -> None:
        """Independent sources with open broken objectives confirm a service problem; blind ones abstain."""
        incident = self.state.incidents[key]
        if incident.confirmed_at is not None:
            return
        sources = dict.fromkeys(
            source
            for one in self.state.attached(key)
            if one.open and hurts(one.finding, anomaly_opens=False)
            for source in _sources(one.finding)
        )
        if len(sources) < self.grouping.confirm_sources:
            return
        by = f"{len(sources)} independent sources"
        words = f"confirmed by {by}: {', '.join(list(sources)[:5])}."
        self._put(self._as_confirmed(incident, by), IncidentChange.CONFIRMED, words)

    def _as_confirmed(self, incident: Incident, by: str) -> Incident:
        cause = _confirmed(incident.cause) if incident.cause.service else incident.cause
        return _replace(lifecycle.working(incident), confirmed_at=self.at, confirmed_by=by, cause=cause)

    # commands

    def _acknowledge(self, incident: Incident, command: Command) -> None:
        refusal = ""
        if incident.state in lifecycle.OVER:
            refusal = f"incident {incident.id} is {incident.state}; only one that is not over can be acknowledged."
        elif incident.acknowledged_by == command.actor:
            refusal = f"incident {incident.id} is acknowledged by {command.actor} already."
        if not self._is_refused(incident, command, refusal):
            taken = _replace(lifecycle.working(incident), acknowledged_by=command.actor)
            self._put(taken, IncidentChange.CHANGED, _said("acknowledged", command), command)

    def _confirm(self, incident: Incident, command: Command) -> None:
        """A person says that it is real, and (when the note is the name of a service) what caused it."""
        names_cause = command.note in self.topology.services
        refusal = ""
        if incident.state in lifecycle.OVER:
            refusal = f"incident {incident.id} is {incident.state}; only one that is not over can be confirmed."
        elif incident.confirmed_at is not None and not names_cause:
            refusal = f"incident {incident.id} was confirmed by {incident.confirmed_by} already."
        if self._is_refused(incident, command, refusal):
            return
        if names_cause:
            cause = Cause(
                confidence=Confidence.CONFIRMED,
                service=command.note,
                site=incident.cause.site if incident.cause.service else incident.subject.site,
                score=1.0,
                reasons=(f"{command.actor} says so.",),
            )
            grounds = self.state.grounds[incident.id]
            self.state.grounds.put(incident.id, _replace(grounds, cause_by=command.actor))
            incident = self._judged(_replace(self._accrue(incident), cause=cause), self._picture())
        change = IncidentChange.CHANGED if incident.confirmed_at is not None else IncidentChange.CONFIRMED
        confirmed = incident if incident.confirmed_at is not None else self._as_confirmed(incident, command.actor)
        self._put(confirmed, change, _said("confirmed", command), command)

    def _is_refused(self, incident: Incident, command: Command, refusal: str) -> bool:
        if refusal:
            self._refuse(command, refusal)
            words = f"{command.kind} refused: {refusal}"
            self._put(incident, None, words, command)
        return bool(refusal)

    def _refuse(self, command: Command, reason: str) -> None:
        refusal = RefusedCommand(
            at=self.at, seq=self.seq, kind=command.kind, subject=command.subject, actor=command.actor, reason=reason
        )
        self.state.refuse(refusal)

    # endings

    def _close_when_due(self, incident: Incident) -> None:
        if lifecycle.can_reopen(incident, self.at, self.grouping.relapse_within_seconds):
            return
        if incident.state is IncidentState.RESOLVED:
            incident = lifecycle.closed(incident, self.at)
            self._put(incident, IncidentChange.CLOSED, "closed: no relapse came.")
        self.state.forget(self.state.incidents[incident.id])

    def _put(
        self, incident: Incident, change: IncidentChange | None, what: str = "", command: Command | None = None
    ) -> None:
        """Writes the row; a line and an event where something is to be told."""
        if what:
            by = command.actor if command else "cemd"
            incident = lifecycle.noted(incident, at=self.at, seq=self.seq, what=what, by=by)
        elif change is not None:
            incident = _replace(incident, changed_at=self.at, seq=self.seq)
        self.state.put(incident)
        if change is not None:
            self.events.append(IncidentEvent(change=change, incident=incident, at=self.at, seq=self.seq))


_FINAL = (IncidentState.CANCELLED, IncidentState.REJECTED)


def _sources(finding: Finding) -> list[str]:
    """What a finding stands on: a probe, from each vantage point that sees it. Two findings of one source are one piece
    of evidence."""
    named = finding.probe or f"{finding.indicator} of {finding.subject}"
    seen = finding.evidence.failing
    return [f"{named} from {vantage}" for vantage in seen] if len(seen) > 1 else [named]


def _says_else(known: Finding, finding: Finding) -> bool:
    """True when a stated finding differs in what matters here; fresh evidence values alone write no row."""
    said = [(one.quality, one.condition, one.subject, one.evidence.failing) for one in (known, finding)]
    return said[0] != said[1]


def _confirmed(cause: Cause) -> Cause:
    return _replace(cause, confidence=Confidence.CONFIRMED)


def _said(what: str, command: Command) -> str:
    return f"{what} by {command.actor}" + (f": {command.note}" if command.note else ".")


def _difference(before: Incident, after: Incident) -> str:
    """One sentence on what people would call a change; "" when there is nothing to tell."""
    words = []
    if before.quality is not after.quality:
        words.append(f"is {after.quality} (was {before.quality})")
    if (before.cause.service, before.cause.site) != (after.cause.service, after.cause.site):
        words.append(f"probable cause {_named(after.cause)} (was {_named(before.cause)})")
    if before.impact.services != after.impact.services or before.impact.sites != after.impact.sites:
        words.append(f"hurts {', '.join(after.impact.services)} {_places(after.impact.sites)}")
    elif before.impact.customers != after.impact.customers:
        words.append(f"hurts {counted(after.impact.customers, 'customer')} (was {before.impact.customers:,})")
    return f"{'; '.join(words)}." if words else ""


def _named(cause: Cause) -> str:
    return f"{cause.service} at {cause.site}" if cause.site else cause.service or "undetermined"


def _places(sites: Sequence[str]) -> str:
    return f"at {', '.join(sites)}" if sites else "everywhere"
