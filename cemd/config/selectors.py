"""Many selectors at once: which of them may fit something, without asking each of them.

Fifty thousand probes under hundreds of indicators would be millions of questions at every start and reload; most
selectors name a probe, a service or a kind, and are found by that word alone.
"""

from __future__ import annotations

from collections.abc import Sequence

from cemd.config.rules import Selector


class Selectors:
    """Read-only after it is made; a selector is known by its place in the sequence."""

    def __init__(self, selectors: Sequence[Selector]) -> None:
        self._of_probe: dict[str, list[int]] = {}
        self._of_service: dict[str, list[int]] = {}
        self._of_kind: dict[str, list[int]] = {}
        self._of_others: list[int] = []
        for place, one in enumerate(selectors):
            if one.probe is not None:
                self._of_probe.setdefault(one.probe, []).append(place)
            elif one.service is not None:
                self._of_service.setdefault(one.service, []).append(place)
            elif one.kind is not None:
                self._of_kind.setdefault(one.kind, []).append(place)
            else:
                self._of_others.append(place)

    def candidates(self, *, probes: Sequence[str], service: str, kind: str) -> list[int]:
        """Places of those that the name and uid of a probe, its service and its kind do not rule out, ascending: ask
        each of them whether it `fits`."""
        found = [*self._of_service.get(service, ()), *self._of_kind.get(kind, ()), *self._of_others]
        for name in dict.fromkeys(probes) if self._of_probe else ():
            found += self._of_probe.get(name, ())
        found.sort()
        return found
