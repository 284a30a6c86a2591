"""Improve's state: rows, and indexes that are worked out from rows and configuration alone."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from cemd.config.topology import Topology
from cemd.improve.census import Census
from cemd.improve.lifecycle import ENDED
from cemd.improve.records import (
    AskedRun,
    AttachedFinding,
    FindingLabel,
    Grounds,
    RefusedCommand,
    ServiceChange,
    Upkeep,
    beginning,
)
from cemd.improve.watch import Watch
from cemd.model.customers import Customers
from cemd.model.incident import Incident, IncidentState
from cemd.model.rows import Rows

KEPT_REFUSALS = 200
KEPT_LABELS = 2000
KEPT_RUNS = 2000


class ImproveState:
    """Incidents and what stands behind them, as rows.

    The indexes below the tables hold nothing of their own: they are built from the rows when first needed, so a state
    that was loaded and one that was lived are the same.
    """

    def __init__(self) -> None:
        self.epoch = ""
        self.incidents: Rows[Incident] = Rows("incident", Incident)
        self.findings: Rows[AttachedFinding] = Rows("incident_finding", AttachedFinding)
        self.grounds: Rows[Grounds] = Rows("incident_grounds", Grounds)
        self.changes: Rows[ServiceChange] = Rows("service_change", ServiceChange)
        self.refusals: Rows[RefusedCommand] = Rows("refused_command", RefusedCommand)
        self.labels: Rows[FindingLabel] = Rows("finding_label", FindingLabel)
        self.runs: Rows[AskedRun] = Rows("asked_run", AskedRun)
        self.upkeep: Rows[Upkeep] = Rows("improve_upkeep", Upkeep)
        self.counts: dict[tuple[object, ...], tuple[int, int, int]] = {}  # of customers; see impact
        self._watch: Watch | None = None
        self._census: Census | None = None
        self._live: dict[str, None] | None = None
        self._attached: dict[str, dict[str, None]] | None = None
        self._versions: dict[str, int] = {}
        self._sorted: dict[str, tuple[int, tuple[AttachedFinding, ...]]] = {}

    def tables(self) -> Sequence[Rows]:  # type: ignore[type-arg]
        incidents = (self.incidents, self.findings, self.grounds)
        return (*incidents, self.changes, self.refusals, self.labels, self.runs, self.upkeep)

    def watch(self, topology: Topology) -> Watch:
        """Who measures what in this configuration."""
        if self._watch is None or self._watch.topology is not topology:
            self._watch = Watch(topology)
        return self._watch

    def census(self, customers: Customers, topology: Topology) -> Census:
        """How many customers are where, as they are now."""
        if self._census is None or not self._census.is_of(customers, topology):
            self._census = Census(customers, topology)
        return self._census

    def expect(self, watch: Watch) -> None:
        """Takes what was worked out already."""
        self._watch = watch

    def live(self) -> tuple[Incident, ...]:
        """Incidents that have not ended, oldest first; ended ones stay among them until `forget`."""
        return tuple(self.incidents[key] for key in self._live_index())

    def put(self, incident: Incident) -> None:
        self._live_index().setdefault(incident.id)
        self.incidents.put(incident.id, incident)

    def forget(self, incident: Incident) -> None:
        """An ended incident that can no longer be reopened: what stood behind it goes, its own row is history."""
        self._live_index().pop(incident.id, None)
        self.grounds.delete(incident.id)
        for attached in self.attached(incident.id):
            if not attached.open:
                self.drop(attached.finding.id)
            elif incident.state is not IncidentState.CANCELLED:  # of a cancelled one it must not open another
                self.attach(msgspec.structs.replace(attached, incident=""))
        self._sorted.pop(incident.id, None)

    def attached(self, incident: str) -> tuple[AttachedFinding, ...]:
        """Findings of an incident ("" for those that belong to none), in the order in which they began."""
        version = self.version_of(incident)
        known = self._sorted.get(incident)
        if known is None or known[0] != version:
            mine = (self.findings[key] for key in self._attached_index().get(incident, ()))
            known = (version, tuple(sorted(mine, key=beginning)))
            self._sorted[incident] = known
        return known[1]

    def version_of(self, incident: str) -> int:
        """Another number whenever what is attached to the incident has changed."""
        return self._versions.get(incident, 0)

    def attach(self, attached: AttachedFinding) -> None:
        key = attached.finding.id
        before = self.findings.get(key)
        if before is not None and before.incident != attached.incident:
            self._attached_index()[before.incident].pop(key, None)
            self._turn(before.incident)
        self._turn(attached.incident)
        self._attached_index().setdefault(attached.incident, {})[key] = None
        self.findings.put(key, attached)

    def drop(self, finding: str) -> None:
        if (known := self.findings.get(finding)) is not None:
            self._attached_index().get(known.incident, {}).pop(finding, None)
            self._turn(known.incident)
            self.findings.delete(finding)

    def _turn(self, incident: str) -> None:
        self._versions[incident] = self._versions.get(incident, 0) + 1

    def refuse(self, refusal: RefusedCommand) -> None:
        self.refusals.put(str(refusal.seq), refusal)
        for old in tuple(self.refusals)[:-KEPT_REFUSALS]:
            self.refusals.delete(str(old.seq))

    def label(self, label: FindingLabel) -> None:
        self.labels.put(str(label.seq), label)
        for old in tuple(self.labels)[:-KEPT_LABELS]:
            self.labels.delete(str(old.seq))

    def note_run(self, run: AskedRun) -> None:
        self.runs.put(str(run.seq), run)
        for old in tuple(self.runs)[:-KEPT_RUNS]:
            self.runs.delete(str(old.seq))

    def _live_index(self) -> dict[str, None]:
        if self._live is None:
            self._live = {
                incident.id: None
                for incident in self.incidents
                if incident.state not in ENDED or incident.id in self.grounds
            }
        return self._live

    def _attached_index(self) -> dict[str, dict[str, None]]:
        if self._attached is None:
            self._attached = {}
            for attached in self.findings:
                self._attached.setdefault(attached.incident, {})[attached.finding.id] = None
        return self._attached
