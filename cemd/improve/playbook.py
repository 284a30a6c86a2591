"""Actions by playbook. So far `recheck`: what is behind a new finding is measured again at once."""

from __future__ import annotations

from collections.abc import Sequence

from cemd.config.topology import Topology
from cemd.improve.picture import services_of
from cemd.improve.watch import Watch
from cemd.model.effect import Recheck
from cemd.model.finding import Finding

MOST_PROBES = 5
"""Of a finding that stands on many probes, so that a widespread fault does not double the load on what is ill."""


def rechecks(findings: Sequence[Finding], topology: Topology, watch: Watch) -> list[Recheck]:
    """One recheck per probe behind the findings that a playbook wants."""
    wanted: dict[str, Recheck] = {}
    for playbook in topology.configuration.playbooks:
        for finding in findings:
            if finding.quality not in playbook.on_quality:
                continue
            for probe in _probes(finding, topology, watch):
                wanted.setdefault(probe, Recheck(probe=probe, reason=f"playbook {playbook.name}: {finding.subject}"))
    return list(wanted.values())


def _probes(finding: Finding, topology: Topology, watch: Watch) -> list[str]:
    if finding.probe:
        return [finding.probe]
    services = services_of(finding, topology)
    return [name for service in services for name in watch.probes(service, finding.subject.site)][:MOST_PROBES]
