"""The names by which pushed data says where it was measured: those of the catalogue, and what is said of others.

The door that takes a measurement and the core that places it ask the same question here, so that what a sender is told
is what happens.
"""

from __future__ import annotations

from collections.abc import Mapping

from cemd.config.configuration import Configuration
from cemd.config.source import did_you_mean

LABELS = ("service", "site", "touchpoint")
"""Labels that name something of the catalogue; all others only tell series apart."""


class Names:
    """Read-only after it is made."""

    def __init__(self, configuration: Configuration) -> None:
        self._known = {
            "service": frozenset(one.name for one in configuration.services),
            "site": frozenset(one.name for one in configuration.sites),
            "touchpoint": frozenset(one.name for one in configuration.touchpoints),
        }

    def strange(self, labels: Mapping[str, str]) -> tuple[str, str] | None:
        """The first label, with its name, that the catalogue does not know; None: it knows them all. Without a service
        nothing is placed, so its site and touchpoint are words like any others."""
        if "service" not in labels:
            return None
        for label in LABELS:
            if label in labels and labels[label] not in self._known[label]:
                return label, labels[label]
        return None

    def nearest(self, label: str, name: str) -> str:
        """` (did you mean "x"?)` or nothing. Looks at every name: some hundred milliseconds for tens of thousands."""
        return did_you_mean(name, sorted(self._known[label]))
