"""Whether an incident is confirmed: by how many independent sources it is seen, without anybody's word.

Independent sources with open broken objectives confirm a service problem; blind ones abstain. What is pushed and only
warns (customers' own steps, counters) opens nothing, but is a voice beside a probe.
"""

from __future__ import annotations

from collections.abc import Sequence

from cemd.improve.assessor import Assessor
from cemd.improve.hearing import agreeing, may_be_due_to
from cemd.improve.ledger import Ledger
from cemd.improve.records import AttachedFinding, hurts
from cemd.kit.words import counted
from cemd.model.finding import Condition, Finding
from cemd.model.incident import IncidentChange


class Confirmation:
    """The quorum of one entry's incidents."""

    def __init__(self, ledger: Ledger, assessor: Assessor) -> None:
        self._ledger = ledger
        self._state = ledger.state
        self._at = ledger.at
        self._assessor = assessor
        self._grouping = assessor.grouping

    def by_quorum(self, key: str) -> None:
        """Confirms the incident once enough sources say the same; one that is confirmed stays so."""
        incident = self._state.incidents[key]
        if incident.confirmed_at is not None:
            return
        still = [one for one in self._state.attached(key) if one.open]
        hurt = [one for one in still if hurts(one.finding, anomaly_opens=False)]
        sources = dict.fromkeys(
            source
            for one in still
            if hurts(one.finding, anomaly_opens=False) or self._is_pushed_warning(one.finding, hurt)
            for source in _sources(one.finding)
        )
        if len(sources) < self._grouping.confirm_sources:
            sources.update(dict.fromkeys(self._agreeing(key)))
        if len(sources) < self._grouping.confirm_sources:
            return
        by = counted(len(sources), "independent source")
        words = f"confirmed by {by}: {', '.join(list(sources)[:5])}."
        self._ledger.put(self._assessor.as_confirmed(incident, by), IncidentChange.CONFIRMED, words)

    def is_heard_anew(self, known: AttachedFinding, finding: Finding) -> bool:
        """Whether more was heard of what is not confirmed yet, or of a service that may be hurt with it and shows
        nothing."""
        incident, heard = self._state.incidents.get(known.incident), finding.evidence.heard
        if incident is None or known.finding.evidence.heard == heard:
            return False
        young = self._at - known.onset <= self._grouping.alone_hears_customers_seconds
        open_question = any(one.service not in incident.impact.services for one in heard)
        return incident.confirmed_at is None or (young and open_question)

    def _agreeing(self, key: str) -> list[str]:
        """By which names customers' own attempts say the same as a finding of the incident."""
        telling = [one for one in self._state.attached(key) if one.open and one.finding.evidence.heard]
        picture, seconds = self._assessor.picture() if telling else None, self._grouping.alone_hears_customers_seconds
        return [
            heard.indicator
            for one in telling
            if picture is not None and hurts(one.finding, anomaly_opens=False)
            for heard in agreeing(one, picture, self._assessor.takers, seconds)
        ]

    def _is_pushed_warning(self, finding: Finding, hurt: Sequence[AttachedFinding]) -> bool:
        """Of a source, not a probe, and no larger than what is hurt may make it."""
        pushed = finding.condition is Condition.OBJECTIVE_WARNING and not self._assessor.watch.is_probe(finding.probe)
        return pushed and may_be_due_to(finding, hurt, self._assessor.topology, self._assessor.takers)


def _sources(finding: Finding) -> list[str]:
    """What a finding stands on: a probe, from each vantage point that sees it. Two findings of one source are one piece
    of evidence."""
    named = finding.probe or f"{finding.indicator} of {finding.subject}"
    seen = finding.evidence.failing
    return [f"{named} from {vantage}" for vantage in seen] if len(seen) > 1 else [named]
