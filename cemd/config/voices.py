"""Who could confirm a service problem without a person: the independent voices that `confirm_sources` counts.

A probe is one voice from each vantage point, however many indicators look at it. Where a policy speaks to customers of
a service that too few voices speak of, nobody is told until a person confirms on the page, and `cemd check` says so.
"""

from __future__ import annotations

from collections.abc import Iterator

from cemd.config.rules import Grouping
from cemd.config.settings import Settings
from cemd.config.source import Items
from cemd.config.topology import Topology


def unconfirmable(items: Items, topology: Topology) -> Iterator[str]:
    """Sold services of a policy that fewer probes watch than must see a problem before customers hear of it.

    Says nothing where an indicator looks at pushed data: whose voices those are is not known beforehand.
    """
    needed = (items.grouping[0].value if items.grouping else Grouping()).confirm_sources
    rules = [one.value for one in items.indicators if one.value.objective is not None]
    if needed == 1 or any(rule.of.probe is None and rule.of.kind is None for rule in rules):
        return
    settings = items.settings[0].value if items.settings else Settings()
    for policy in items.policies:
        for service in policy.value.services or [one.name for one in topology.services.values() if one.sold]:
            voices = _voices(service, settings, topology)
            if 0 < voices < needed:
                yield f"{policy.place}: {policy.label}: {_few(service, voices, needed)}"


def _voices(service: str, settings: Settings, topology: Topology) -> int:
    """Probes, each from each of its vantage points, of the service, what it stands on, and what stands on that."""
    related = {name for need in topology.needs(service) for name in topology.dependents(need)}
    return sum(len(settings.runs_at(probe.vantages)) for name in related for probe in topology.probes_of(name))


def _few(service: str, voices: int, needed: int) -> str:
    seen = "one probe alone watches" if voices == 1 else f"{voices} probes alone watch"
    fact = (
        f'of a problem of service "{service}" no customer hears until a person confirms it on the page, for {seen} it'
    )
    return (
        f"{fact} and `confirm_sources` is {needed}; add a probe that looks at it in another way, or from another"
        " vantage point, or set `confirm_sources` of the `grouping` (rules/improve)"
    )
