"""Checks of the whole set that are no references: duplicates, contradictions, promises that could not be kept."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from cemd.config.entries import OF_EACH
from cemd.config.judged import misspelt, never_known, unjudged
from cemd.config.params import Kinds
from cemd.config.partial import all_known
from cemd.config.source import NOUNS, Item, Items
from cemd.config.topology import Topology
from cemd.config.voices import unconfirmable
from cemd.errors import Fault

_SINGLE = ("detector", "forecast", "drift", "multivariate", "rater", "cei", "grouping")
_RENAMED = ("services", "touchpoints", "journeys", "probes")


def contradictions(items: Items, kinds: Kinds) -> Iterator[Fault]:
    """Every fault that one entry, or two together, make; references are checked elsewhere."""
    for section, checks in OF_EACH.items():
        for item in getattr(items, section):
            for check in checks:
                yield from check(item, items, kinds)
    yield from misspelt(items, kinds)
    yield from _within_itself(items)


def of_parts(items: Items, kinds: Kinds) -> Iterator[Fault]:
    """What is wrong with entries that are not valid, beside that: as far as it is known from what is right of them."""
    for section, parts in items.parts.items():
        for item in parts:
            for check in OF_EACH.get(section, ()):
                yield from all_known(check(item, items, kinds))


def duplicates(items: Items) -> Iterator[Fault]:
    """Second uses of a uid, of a former name, of a part that exists once; said at the second place."""
    for section in _SINGLE:
        first, *others = getattr(items, section) or [None]
        for other in others:
            fact = f"{section} is set twice, first at {first.place}"
            yield other.source.at_key(other.path, fact, "keep one of them")
    first_of: dict[str, Item[Any]] = {}
    for probe in items.probes:
        uid = probe.value.identity()
        first = first_of.setdefault(uid, probe)
        if first is not probe and first.value.name != probe.value.name:
            if probe.value.uid is None and uid in items.known("probes") and uid != probe.value.name:
                continue  # said as a wrong renamed_from
            key = "uid" if probe.value.uid else "renamed_from" if probe.value.renamed_from else "name"
            fact = f'uid "{uid}" already belongs to {first.label} at {first.place}'
            yield probe.fault((key,), fact, "give each probe a uid of its own")
    for section in _RENAMED:
        yield from _renamed(section, items)


def _renamed(section: str, items: Items) -> Iterator[Fault]:
    heirs: dict[str, Item[Any]] = {}
    for item in getattr(items, section):
        old = item.value.renamed_from
        if old is None:
            continue
        if old in items.known(section):
            fact = f'renamed_from "{old}" is the name of a {NOUNS[section]} that still exists'
            yield item.fault(("renamed_from",), fact, "remove renamed_from, or the entry with the old name")
        elif (first := heirs.setdefault(old, item)) is not item and section != "probes":
            fact = f'renamed_from "{old}" is already taken by {first.label} at {first.place}'
            yield item.fault(("renamed_from",), fact, "only one entry can go on under a former name")


def _within_itself(items: Items) -> Iterator[Fault]:
    parents = {item.value.name: item.value.parent for item in items.sites}
    for item in items.sites:
        seen: set[str] = set()
        above = item.value.parent
        while above is not None and above not in seen and above != item.value.name:
            seen.add(above)
            above = parents.get(above)
        if above == item.value.name:
            yield item.fault(("parent",), "the site lies within itself", "correct the parents")


def cautions(items: Items, topology: Topology) -> Iterator[str]:
    """What is accepted but deserves a word."""
    yield from topology.warnings
    yield from unjudged(items, topology)
    yield from never_known(items, topology)
    yield from unconfirmable(items, topology)
    for item in items.services:
        if item.value.name in item.value.depends_on:
            yield f"{item.place}: {item.label}: depends on itself; this says nothing and can be removed"
