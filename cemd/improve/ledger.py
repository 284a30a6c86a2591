"""The ledger of one entry: every change of an incident ends in `put`, so that row, event and time line never drift
apart."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from cemd.improve import lifecycle
from cemd.improve.records import RefusedCommand
from cemd.improve.state import ImproveState
from cemd.kit.words import counted
from cemd.model.entry import Command, Entry
from cemd.model.incident import Cause, Incident, IncidentChange, IncidentEvent

MOST_PLACES = 20
"""That a line of the time line names."""


class Ledger:
    """Writes what an entry changes, at the entry's instant and seq."""

    def __init__(self, state: ImproveState, entry: Entry) -> None:
        self.state = state
        self.at, self.seq = entry.at, entry.seq
        self.events: list[IncidentEvent] = []

    def put(
        self, incident: Incident, change: IncidentChange | None, what: str = "", command: Command | None = None
    ) -> None:
        """Writes the row; a line and an event where something is to be told."""
        if what:
            by = command.actor if command else "cemd"
            incident = lifecycle.noted(incident, at=self.at, seq=self.seq, what=what, by=by)
        elif change is not None:
            incident = msgspec.structs.replace(incident, changed_at=self.at, seq=self.seq)
        self.state.put(incident)
        if change is not None:
            self.events.append(IncidentEvent(change=change, incident=incident, at=self.at, seq=self.seq))

    def put_changed(self, before: Incident, incident: Incident) -> None:
        """Writes the row, and tells of it when people would call it a change."""
        words = difference(before, incident)
        self.put(incident, IncidentChange.CHANGED if words else None, words)

    def refuse(self, command: Command, reason: str) -> None:
        """Writes down what cannot be obeyed, with its reason."""
        refusal = RefusedCommand(
            at=self.at, seq=self.seq, kind=command.kind, subject=command.subject, actor=command.actor, reason=reason
        )
        self.state.refuse(refusal)


def difference(before: Incident, after: Incident) -> str:
    """One sentence on what people would call a change; "" when there is nothing to tell."""
    words = []
    if before.quality is not after.quality:
        words.append(f"is {after.quality} (was {before.quality})")
    if (before.cause.service, before.cause.site) != (after.cause.service, after.cause.site):
        words.append(f"probable cause {named(after.cause)} (was {named(before.cause)})")
    if before.impact.services != after.impact.services or before.impact.sites != after.impact.sites:
        words.append(f"hurts {', '.join(after.impact.services)} {_places(after.impact.sites)}")
    elif before.impact.places != after.impact.places:
        words.append(f"hurts {', '.join(f'{name} {_places(at)}' for name, at in after.impact.places.items())}")
    elif before.impact.customers != after.impact.customers:
        words.append(f"hurts {counted(after.impact.customers, 'customer')} (was {before.impact.customers:,})")
    return f"{'; '.join(words)}." if words else ""


def named(cause: Cause) -> str:
    return f"{cause.service} at {cause.site}" if cause.site else cause.service or "undetermined"


def _places(sites: Sequence[str]) -> str:
    """In an outage of a region a line a tick would name thousands; the incident itself knows them all."""
    if not sites:
        return "everywhere"
    rest = len(sites) - MOST_PLACES
    return f"at {', '.join(sites[:MOST_PLACES])}" + (f" and {counted(rest, 'more place')}" if rest > 0 else "")
