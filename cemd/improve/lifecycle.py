"""The life of an incident: TM Forum's service problem with exactly its published transitions.

Every change of state goes through `moved`, which refuses what the table does not have. What a person asks for and may
not have is answered with a sentence, never swallowed.

Source: TMF656 Service Problem Management, state diagram.
"""

from __future__ import annotations

import msgspec

from cemd.model.identity import Instant
from cemd.model.incident import Incident, IncidentState, TimelineItem

_S = IncidentState
TRANSITIONS: dict[IncidentState, tuple[IncidentState, ...]] = {
    _S.ACKNOWLEDGED: (_S.IN_PROGRESS, _S.REJECTED, _S.CANCELLED),
    _S.IN_PROGRESS: (_S.HELD, _S.PENDING, _S.RESOLVED, _S.CANCELLED),
    _S.HELD: (_S.IN_PROGRESS, _S.RESOLVED, _S.CANCELLED),
    _S.PENDING: (_S.IN_PROGRESS, _S.RESOLVED, _S.CANCELLED),
    _S.RESOLVED: (_S.CLOSED, _S.IN_PROGRESS),
    _S.CLOSED: (_S.IN_PROGRESS,),
    _S.REJECTED: (),
    _S.CANCELLED: (),
}
ENDED = (_S.CLOSED, _S.CANCELLED, _S.REJECTED)
OVER = (_S.RESOLVED, *ENDED)

KEPT_FIRST = 20
KEPT_LAST = 60
"""Of a time line: how it began and how it stands; what lies between is in the log and in history."""


def moved(incident: Incident, state: IncidentState) -> Incident:
    """The incident in another state.

    Raises:
        ValueError: TM Forum's diagram has no such transition.
    """
    if refusal := why_not(incident, state):
        raise ValueError(refusal)
    return msgspec.structs.replace(incident, state=state)


def why_not(incident: Incident, state: IncidentState) -> str:
    """ "" when the transition is published, else a sentence that says what is possible instead."""
    possible = TRANSITIONS[incident.state]
    if state in possible:
        return ""
    ways = f"it may become {', '.join(possible)}" if possible else "nothing follows that"
    return f"incident {incident.id} is {incident.state} and cannot become {state}; {ways}."


def noted(incident: Incident, *, at: Instant, seq: int, what: str, by: str = "cemd") -> Incident:
    """The incident with one more line; of a long time line the first and the last stay."""
    item = TimelineItem(at=at, seq=seq, what=what, by=by)
    timeline = (*incident.timeline, item)
    if len(timeline) > KEPT_FIRST + KEPT_LAST:
        timeline = (*timeline[:KEPT_FIRST], *timeline[-KEPT_LAST:])
    return msgspec.structs.replace(incident, timeline=timeline, changed_at=at, seq=seq)


def working(incident: Incident) -> Incident:
    """In progress, from wherever that is possible; already there: as it is."""
    return incident if incident.state is _S.IN_PROGRESS else moved(incident, _S.IN_PROGRESS)


def resolved(incident: Incident, at: Instant) -> Incident:
    """Resolved; who nobody took in hand passes through `inProgress`, as the diagram wants."""
    if incident.state is _S.ACKNOWLEDGED:
        incident = moved(incident, _S.IN_PROGRESS)
    return msgspec.structs.replace(moved(incident, _S.RESOLVED), resolved_at=at)


def reopened(incident: Incident) -> Incident:
    """The solution did not hold: the same incident goes on, and nobody has it in hand."""
    return msgspec.structs.replace(
        moved(incident, _S.IN_PROGRESS),
        clear_since=None,
        resolved_at=None,
        closed_at=None,
        acknowledged_by="",
        reopened=incident.reopened + 1,
    )


def closed(incident: Incident, at: Instant) -> Incident:
    return msgspec.structs.replace(moved(incident, _S.CLOSED), closed_at=at)


def cancelled(incident: Incident, at: Instant) -> Incident:
    return msgspec.structs.replace(moved(incident, _S.CANCELLED), closed_at=at)


def can_reopen(incident: Incident, at: Instant, relapse_seconds: float) -> bool:
    """True while a relapse belongs to this incident rather than to a new one."""
    return (
        incident.state in (_S.RESOLVED, _S.CLOSED)
        and incident.resolved_at is not None
        and at <= incident.resolved_at + relapse_seconds
    )
