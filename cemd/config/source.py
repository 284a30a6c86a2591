"""A file as it was read, and the things found in it: every check speaks of an `Item` and so knows its place."""

from __future__ import annotations

from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any, Generic, TypeVar

from pydantic import BaseModel

from cemd.config.catalogue import Journey, Process, Service, Site, Touchpoint
from cemd.config.channels import Channel, Route
from cemd.config.detection import Drift, Forecast, Multivariate
from cemd.config.maintenance import Maintenance
from cemd.config.probes import Probe
from cemd.config.rules import Cei, Detector, Grouping, Indicator, Policy, Rater, RecheckPlaybook
from cemd.config.settings import Settings
from cemd.config.yaml import Document, Path
from cemd.errors import Fault

T = TypeVar("T")

NOUNS = {
    "services": "service",
    "sites": "site",
    "touchpoints": "touchpoint",
    "processes": "process",
    "journeys": "journey",
    "probes": "probe",
    "indicators": "indicator",
    "playbooks": "playbook",
    "policies": "policy",
    "channels": "channel",
    "routes": "route",
    "maintenance": "maintenance window",
}
"""What one entry of a list is called in messages."""


@dataclass(frozen=True, slots=True)
class Source:
    """One file: `name` is its path below the root, with `/`."""

    name: str
    document: Document

    def at(self, path: Path) -> Any:
        """The part at a path that is there."""
        part: Any = self.document.tree
        for step in path:
            part = part[step]
        return part

    def at_value(self, path: Path, fact: str, remedy: str) -> Fault:
        mark = self.document.value_mark(path)
        return Fault(self.name, mark.line, mark.column, fact, remedy)

    def at_key(self, path: Path, fact: str, remedy: str) -> Fault:
        mark = self.document.key_mark(path)
        return Fault(self.name, mark.line, mark.column, fact, remedy)

    def label(self, path: Path) -> str:
        """What the part at `path` is called: `probe "core-east"`, or its keys."""
        if len(path) >= 2 and path[0] in NOUNS and isinstance(self.document.tree, dict):
            entries = self.document.tree.get(str(path[0]))
            place = path[1]
            if isinstance(entries, list) and isinstance(place, int) and place < len(entries):
                entry = entries[place]
                name = entry.get("name") if isinstance(entry, dict) else None
                noun = NOUNS[str(path[0])]
                return f'{noun} "{name[:64]}"' if isinstance(name, str) else f"{noun} number {place + 1}"
        return str(path[0]) if path else "the file"


@dataclass(frozen=True, slots=True)
class Item(Generic[T]):
    """A checked part of a file with the way to it."""

    value: T
    source: Source
    path: Path
    params: BaseModel | None = None
    """The kind's own model of the parameters of a probe or channel; what is wrong in them it does not have."""

    @property
    def label(self) -> str:
        return self.source.label(self.path)

    @property
    def place(self) -> str:
        mark = self.source.document.value_mark(self.path)
        return f"{self.source.name}:{mark.line}:{mark.column}"

    def fault(self, keys: Path, fact: str, remedy: str) -> Fault:
        """A fault of the value under `keys` of this item; the fact is told with the item's name before it."""
        return self.source.at_value((*self.path, *keys), f"{self.source.label((*self.path, *keys))}: {fact}", remedy)


@dataclass(slots=True)
class Items:
    """Everything valid by itself that the files hold, and every name, even of entries that are not valid."""

    settings: list[Item[Settings]] = field(default_factory=list)
    services: list[Item[Service]] = field(default_factory=list)
    sites: list[Item[Site]] = field(default_factory=list)
    touchpoints: list[Item[Touchpoint]] = field(default_factory=list)
    processes: list[Item[Process]] = field(default_factory=list)
    journeys: list[Item[Journey]] = field(default_factory=list)
    probes: list[Item[Probe]] = field(default_factory=list)
    indicators: list[Item[Indicator]] = field(default_factory=list)
    detector: list[Item[Detector]] = field(default_factory=list)
    forecast: list[Item[Forecast]] = field(default_factory=list)
    drift: list[Item[Drift]] = field(default_factory=list)
    multivariate: list[Item[Multivariate]] = field(default_factory=list)
    rater: list[Item[Rater]] = field(default_factory=list)
    cei: list[Item[Cei]] = field(default_factory=list)
    grouping: list[Item[Grouping]] = field(default_factory=list)
    playbooks: list[Item[RecheckPlaybook]] = field(default_factory=list)
    policies: list[Item[Policy]] = field(default_factory=list)
    channels: list[Item[Channel]] = field(default_factory=list)
    routes: list[Item[Route]] = field(default_factory=list)
    maintenance: list[Item[Maintenance]] = field(default_factory=list)
    parts: dict[str, list[Item[BaseModel]]] = field(default_factory=dict)
    """Section -> what is right of entries that are not valid; attributes that are wrong or missing they do not have."""
    names: dict[str, dict[str, Item[str]]] = field(default_factory=dict)
    """Section -> name -> where it stands first."""
    unread: set[str] = field(default_factory=set)
    """Sections of files that could not be read: what refers to them may be right, and is no second fault."""

    def known(self, section: str) -> dict[str, Item[str]]:
        return self.names.get(section, {})


def did_you_mean(word: str, known: list[str]) -> str:
    """` (did you mean "x"?)` or nothing: goes at the end of a fact."""
    close = get_close_matches(word, known, n=1, cutoff=0.6)
    return f' (did you mean "{close[0]}"?)' if close else ""
