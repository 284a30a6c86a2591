"""Was it right? What happened, compared with the truth that only the demo knows.

For each fault: was an incident opened, does it name the cause, did exactly those who had to be told get exactly one
first notice and one all-clear, and nobody else anything. Mails are judged as the sink received them, not as the daemon
says that it sent them.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from cemd.demo.conditions import Fault
from cemd.demo.sinks import Mail

Document = Mapping[str, Any]
FIRST, OVER, CORRECTION, OTHER = "first", "over", "correction", "other"
PATIENCE_SECONDS = 90.0
"""A fault is mended at most so late for want of its first notices: on two cores that others use as well, a thousand
mails took more than forty."""


@dataclass(slots=True)
class FaultRecord:
    """One fault as it really was. Instants are seconds since 1970, None while it has not happened."""

    fault: Fault
    expected: frozenset[str]
    """Addresses that must be told of it."""
    began_at: float | None = None
    ended_at: float | None = None

    @property
    def is_over(self) -> bool:
        return self.ended_at is not None

    @property
    def outlasted_patience(self) -> bool:
        """True when it was mended before everybody had heard of it, for this machine was too slow."""
        if self.began_at is None or self.ended_at is None:
            return False
        return self.ended_at - self.began_at >= self.fault.lasts_seconds + PATIENCE_SECONDS

    def is_due_to_end(self, now: float, *, all_told: bool) -> bool:
        """True when its time is over. On a slow machine it waits for its first notices, for so long as is bearable:
        else it would be mended before the daemon could tell what the story is about."""
        if self.began_at is None or self.is_over:
            return False
        late = now - self.began_at - self.fault.lasts_seconds
        return late >= (0.0 if all_told else PATIENCE_SECONDS)


class Subjects:
    """Tells the phase of a mail from its subject, by the texts of the policies."""

    def __init__(self, policies: Iterable[Document]) -> None:
        self._patterns: list[tuple[str, re.Pattern[str]]] = []
        for policy in policies:
            for texts in policy["texts"].values():
                for phase in (FIRST, OVER, CORRECTION):
                    parts = re.split(r"\{\{.*?\}\}", texts[f"{phase}_subject"])
                    self._patterns.append((phase, re.compile(".*".join(map(re.escape, parts)))))

    def phase_of(self, subject: str) -> str:
        return next((phase for phase, pattern in self._patterns if pattern.fullmatch(subject)), OTHER)


@dataclass(slots=True)
class Judgement:
    """What is said of one fault."""

    record: FaultRecord
    incident: Document | None = None
    mails: dict[str, Counter[str]] = field(default_factory=dict)
    """Phase to recipients."""
    problems: list[str] = field(default_factory=list)

    @property
    def is_settled(self) -> bool:
        """Found, told and over: nothing more has to happen."""
        ended = set(self.mails.get(OVER, Counter()))
        return self.record.is_over and self.incident is not None and ended >= self.record.expected

    @property
    def all_told(self) -> bool:
        """Everybody who had to hear of it has heard of it."""
        return set(self.mails.get(FIRST, Counter())) >= self.record.expected

    def document(self) -> dict[str, Any]:
        record, incident = self.record, self.incident
        since = record.began_at or 0.0
        return {
            "name": record.fault.name,
            "service": record.fault.service,
            "mode": record.fault.mode.value,
            "began_at": record.began_at,
            "ended_at": record.ended_at,
            "incident": incident["id"] if incident else None,
            "seconds_to_incident": round(incident["opened_at"]["epoch"] - since, 1) if incident else None,
            "cause": incident["cause"]["service"] if incident else "",
            "expected_audience": len(record.expected),
            "mails": {phase: sum(people.values()) for phase, people in sorted(self.mails.items())},
            "problems": self.problems,
        }


def judge(
    records: Sequence[FaultRecord], incidents: Sequence[Document], mails: Sequence[Mail], subjects: Subjects
) -> list[Judgement]:
    """One judgement for each fault that began; a mail or incident belongs to the last fault before it."""
    begun = [record for record in records if record.began_at is not None]
    judgements = []
    for place, record in enumerate(begun):
        until = begun[place + 1].began_at if place + 1 < len(begun) else None
        span = (record.began_at or 0.0, until or float("inf"))
        mine = [one for one in incidents if span[0] <= one["opened_at"]["epoch"] < span[1] and not _is_absorbed(one)]
        judgement = Judgement(record=record, incident=_of_cause(mine, record.fault.service))
        for mail in mails:
            if span[0] <= mail.at < span[1]:
                phase = subjects.phase_of(mail.subject)
                judgement.mails.setdefault(phase, Counter())[mail.to] += 1
        judgement.problems = [*_incident_problems(judgement, mine), *_mail_problems(judgement)]
        judgements.append(judgement)
    return judgements


def problems_of(judgements: Sequence[Judgement], mails: Sequence[Mail]) -> list[str]:
    """Everything that was not right, as sentences; empty when all was."""
    problems = [f"{one.record.fault.name}: {problem}" for one in judgements for problem in one.problems]
    first = min((one.record.began_at or 0.0 for one in judgements), default=float("inf"))
    if early := sum(mail.at < first for mail in mails):
        problems.append(f"{early} mails came before anything was broken.")
    return problems if judgements else [*problems, "no fault began; the run was too short."]


def _is_absorbed(incident: Document) -> bool:
    """True for one that became part of another as soon as the common cause was seen."""
    return bool(incident["state"] == "cancelled")


def _of_cause(incidents: Sequence[Document], service: str) -> Document | None:
    """The incident that names the cause, else the first one at all."""
    named = [one for one in incidents if one["cause"]["service"] == service]
    return next(iter(named or incidents), None)


def _incident_problems(judgement: Judgement, incidents: Sequence[Document]) -> list[str]:
    service, incident = judgement.record.fault.service, judgement.incident
    if incident is None:
        return ["no incident was opened."]
    problems = []
    if incident["cause"]["service"] != service:
        named = incident["cause"]["service"] or "undetermined"
        problems.append(f"the cause is {service}; incident {incident['id']} says {named}.")
    others = [one["id"] for one in incidents if one["id"] != incident["id"]]
    if others:
        problems.append(f"one fault made {1 + len(others)} incidents ({incident['id']}, {', '.join(others)}).")
    return problems


def _mail_problems(judgement: Judgement) -> list[str]:
    expected, problems = judgement.record.expected, []
    told = expected & judgement.mails.get(FIRST, Counter()).keys()
    slow = (
        "; this machine was too slow: it was mended while they still waited"
        if judgement.record.outlasted_patience
        else ""
    )
    for phase, owed, why in ((FIRST, expected, slow), (OVER, told, "")):  # who heard of nothing is owed no end of it
        got = judgement.mails.get(phase, Counter())
        if missing := len(owed - got.keys()):
            problems.append(f"{missing} of {len(owed)} who had to be told got no {phase} notice{why}.")
        if wrong := len(got.keys() - expected):
            problems.append(f"{wrong} people who were not hurt got a {phase} notice.")
        if twice := sum(count > 1 for count in got.values()):
            problems.append(f"{twice} people got more than one {phase} notice.")
    strange = {phase: sum(judgement.mails[phase].values()) for phase in (CORRECTION, OTHER) if phase in judgement.mails}
    return problems + [
        f"{count} mails were of kind {phase}, which nobody expected." for phase, count in strange.items()
    ]
