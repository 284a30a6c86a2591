"""What hurts in one incident, by service and place, and kept so while one finding after the other joins it.

In an outage thousands join within minutes, and each is held against all that joined before it: that must not cost more
the more there are.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Iterable, Sequence

from cemd.config.topology import Topology
from cemd.improve.picture import services_of
from cemd.improve.places import Places
from cemd.improve.precedence import Early
from cemd.improve.records import AttachedFinding, beginning, hurts
from cemd.improve.state import ImproveState


class Case:
    """Findings of an incident that hurt, in the order in which they began."""

    def __init__(self, attached: Iterable[AttachedFinding], topology: Topology, *, anomaly_opens: bool) -> None:
        self._topology, self._anomaly_opens = topology, anomaly_opens
        self._sites: dict[str, Places] = {}
        self._early: dict[str, Early] = {}
        self._of: dict[str, list[AttachedFinding]] = {}
        self.hurt: list[AttachedFinding] = []
        for one in attached:
            self.join(one)

    def join(self, one: AttachedFinding) -> None:
        """One more finding of the incident."""
        if not hurts(one.finding, anomaly_opens=self._anomaly_opens):
            return
        if self.hurt and beginning(one) < beginning(self.hurt[-1]):
            insort(self.hurt, one, key=beginning)
        else:
            self.hurt.append(one)
        for service in services_of(one.finding, self._topology):
            self._of.setdefault(service, []).append(one)
            self._early.setdefault(service, Early()).add(one)
            if service not in self._sites:
                self._sites[service] = Places((), self._topology)
            self._sites[service].add(one.finding.subject.site)

    def of(self, service: str) -> Sequence[AttachedFinding]:
        """Those about a service."""
        return self._of.get(service, ())

    def early(self, service: str) -> Early:
        """Of the same, what is asked of all together."""
        return self._early.get(service) or Early()

    def reaches(self, service: str, site: str) -> bool:
        """Whether any is about the service, at a place that overlaps the site."""
        return service in self._sites and self._sites[service].meet(site)

    def is_near(self, one: AttachedFinding, seconds: float) -> bool:
        """Whether any began so close to this finding."""
        return any(abs(one.onset - each.onset) <= seconds for each in reversed(self.hurt))  # the latest are nearest


class Cases:
    """Of each incident, for as long as one entry is worked on; made anew only where something but a joining changed
    what is attached."""

    def __init__(self, state: ImproveState, topology: Topology, *, anomaly_opens: bool) -> None:
        self._state, self._topology, self._anomaly_opens = state, topology, anomaly_opens
        self._known: dict[str, tuple[int, Case]] = {}  # with the version of what is attached

    def of(self, incident: str) -> Case:
        """What hurts in the incident now."""
        version = self._state.version_of(incident)
        known = self._known.get(incident)
        if known is None or known[0] != version:
            attached = self._state.attached(incident)
            known = (version, Case(attached, self._topology, anomaly_opens=self._anomaly_opens))
            self._known[incident] = known
        return known[1]

    def join(self, finding: AttachedFinding) -> None:
        """Attaches a finding to its incident."""
        case = self.of(finding.incident)
        self._state.attach(finding)
        case.join(finding)
        self._known[finding.incident] = (self._state.version_of(finding.incident), case)
