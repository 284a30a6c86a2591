"""What people order of incidents: acknowledge, confirm, close, cancel.

What cannot be obeyed is written down with its reason, never swallowed.
"""

from __future__ import annotations

import msgspec

from cemd.improve import lifecycle
from cemd.improve.assessor import Assessor
from cemd.improve.ledger import Ledger
from cemd.model.entry import Command, CommandKind
from cemd.model.incident import Cause, Confidence, Incident, IncidentChange, IncidentState

_replace = msgspec.structs.replace


class Orders:
    """Obeys one command at the ledger's instant."""

    def __init__(self, ledger: Ledger, assessor: Assessor) -> None:
        self.ledger = ledger
        self.assessor = assessor
        self.state = ledger.state

    def obey(self, command: Command) -> None:
        """A person's command on an incident."""
        incident = self.state.incidents.get(command.subject)
        if incident is None:
            words = f"there is no incident {command.subject}; the list of incidents shows the open ones."
            self.ledger.refuse(command, words)
            return
        match command.kind:
            case CommandKind.ACKNOWLEDGE:
                self._acknowledge(incident, command)
            case CommandKind.CONFIRM:
                self._confirm(incident, command)
            case CommandKind.CLOSE:
                self._close(incident, command)
            case CommandKind.CANCEL:
                self._cancel(incident, command)

    def _acknowledge(self, incident: Incident, command: Command) -> None:
        refusal = ""
        if incident.state in lifecycle.OVER:
            refusal = f"incident {incident.id} is {incident.state}; only one that is not over can be acknowledged."
        elif incident.acknowledged_by == command.actor:
            refusal = f"incident {incident.id} is acknowledged by {command.actor} already."
        if not self._is_refused(incident, command, refusal):
            taken = _replace(lifecycle.working(incident), acknowledged_by=command.actor)
            self.ledger.put(taken, IncidentChange.CHANGED, _said("acknowledged", command), command)

    def _confirm(self, incident: Incident, command: Command) -> None:
        """A person says that it is real, and (when the note is the name of a service) what caused it."""
        names_cause = command.note in self.assessor.topology.services
        was_confirmed = incident.confirmed_at is not None
        refusal = ""
        if incident.state in lifecycle.OVER:
            refusal = f"incident {incident.id} is {incident.state}; only one that is not over can be confirmed."
        elif was_confirmed and not names_cause:
            refusal = f"incident {incident.id} was confirmed by {incident.confirmed_by} already."
        if self._is_refused(incident, command, refusal):
            return
        if names_cause:
            incident = self._with_cause(incident, command)
        change = IncidentChange.CHANGED if was_confirmed else IncidentChange.CONFIRMED
        confirmed = incident if was_confirmed else self.assessor.as_confirmed(incident, command.actor)
        self.ledger.put(confirmed, change, _said("confirmed", command), command)

    def _with_cause(self, incident: Incident, command: Command) -> Incident:
        """The incident with the cause that the person named, which no judgement changes again."""
        cause = Cause(
            confidence=Confidence.CONFIRMED,
            service=command.note,
            site=incident.cause.site if incident.cause.service else incident.subject.site,
            score=1.0,
            reasons=(f"{command.actor} says so.",),
        )
        self.state.grounds.put(incident.id, _replace(self.state.grounds[incident.id], cause_by=command.actor))
        incident = _replace(self.assessor.accrue(incident), cause=cause)
        return self.assessor.judged(incident, self.assessor.picture())

    def _close(self, incident: Incident, command: Command) -> None:
        if self._is_refused(incident, command, lifecycle.why_not(incident, IncidentState.CLOSED)):
            return
        closed = lifecycle.closed(incident, self.ledger.at)
        self.ledger.put(closed, IncidentChange.CLOSED, _said("closed", command), command)

    def _cancel(self, incident: Incident, command: Command) -> None:
        if self._is_refused(incident, command, lifecycle.why_not(incident, IncidentState.CANCELLED)):
            return
        cancelled = lifecycle.cancelled(self.assessor.accrue(incident), self.ledger.at)
        self.ledger.put(cancelled, IncidentChange.CANCELLED, _said("cancelled", command), command)
        self.state.forget(cancelled)

    def _is_refused(self, incident: Incident, command: Command, refusal: str) -> bool:
        if refusal:
            self.ledger.refuse(command, refusal)
            self.ledger.put(incident, None, f"{command.kind} refused: {refusal}", command)
        return bool(refusal)


def _said(what: str, command: Command) -> str:
    return f"{what} by {command.actor}" + (f": {command.note}" if command.note else ".")
