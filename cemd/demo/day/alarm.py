"""An alarm: what the core and the baseline both raise, in the form in which they are judged."""

from __future__ import annotations

from dataclasses import dataclass

from cemd.model.identity import Instant


@dataclass(frozen=True, slots=True)
class Alarm:
    """An incident of whoever is judged: the core's, or a group of the baseline's alerts."""

    id: str
    opened_at: Instant
    over_at: Instant
    services: tuple[str, ...]  # what it is about
    sites: tuple[str, ...]  # empty: everywhere
    cause: str  # "": undetermined
    cause_site: str = ""
    evidence: tuple[str, ...] = ()
    cancelled: bool = False  # or taken into another one: it finds only what no other does
    again: tuple[Alarm, ...] = ()  # the same incident each time that it was reopened
