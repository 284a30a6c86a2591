"""References between files: every name that is used must be defined, and a selector must be able to match a series."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from cemd.config.judged import looks_at
from cemd.config.params import Kinds
from cemd.config.rules import Selector
from cemd.config.source import NOUNS, Item, Items, did_you_mean
from cemd.config.topology import Topology
from cemd.config.yaml import Path
from cemd.errors import Fault


def dangling(items: Items, kinds: Kinds, topology: Topology) -> Iterator[Fault]:
    """Every reference to something that no file defines, and every selector that nothing can match."""
    for item, keys, section, name in _references(items):
        known = items.known(section)
        if name not in known and section not in items.unread:
            noun = NOUNS[section]
            fact = f'{noun} "{name}" does not exist{did_you_mean(name, list(known))}'
            yield item.fault(keys, fact, f"define it under `{section}:` or correct the name")
    owners = list(dict.fromkeys(journey.value.owner for journey in items.journeys))
    for route in items.routes:
        for place, owner in enumerate(route.value.owners):
            if owner not in owners and "journeys" not in items.unread:
                fact = f"no journey has this owner{did_you_mean(owner, owners)}"
                yield route.fault(("owners", place), fact, "name the `owner:` of a journey")
    for indicator in items.indicators:
        yield from _selector(indicator, indicator.value.of, items, kinds, topology)


def _references(items: Items) -> Iterator[tuple[Item[Any], Path, str, str]]:
    """Item, keys within it, section that must know the name, name."""
    yield from _catalogue(items)
    for probe in items.probes:
        yield probe, ("service",), "services", probe.value.service
        yield from _one(probe, "site", "sites", probe.value.site)
        yield from _one(probe, "touchpoint", "touchpoints", probe.value.touchpoint)
    uids = _uids(items)
    for indicator in items.indicators:
        if indicator.value.of.probe not in uids:
            yield from _one(indicator, "of", "probes", indicator.value.of.probe, "probe")
        yield from _one(indicator, "of", "services", indicator.value.of.service, "service")
        yield from _one(indicator, "of", "sites", indicator.value.of.site, "site")
        yield from _one(indicator, "of", "touchpoints", indicator.value.of.touchpoint, "touchpoint")
    for policy in items.policies:
        yield from _many(policy, ("services",), "services", policy.value.services)
        yield from _many(policy, ("channels",), "channels", policy.value.channels)
    for channel in items.channels:
        yield from _many(channel, ("depends_on",), "services", channel.value.depends_on)
    for window in items.maintenance:
        yield from _many(window, ("services",), "services", window.value.services)
        yield from _many(window, ("sites",), "sites", window.value.sites)
    for route in items.routes:
        yield from _one(route, "channel", "channels", route.value.channel)
        yield from _many(route, ("services",), "services", route.value.services)


def _catalogue(items: Items) -> Iterator[tuple[Item[Any], Path, str, str]]:
    for service in items.services:
        yield from _many(service, ("depends_on",), "services", service.value.depends_on)
    for site in items.sites:
        yield from _one(site, "parent", "sites", site.value.parent)
    for point in items.touchpoints:
        yield from _one(point, "site", "sites", point.value.site)
        yield from _many(point, ("offers",), "services", point.value.offers)
        yield from _many(point, ("depends_on",), "services", point.value.depends_on)
    for journey in items.journeys:
        yield from _one(journey, "process", "processes", journey.value.process)
        for place, step in enumerate(journey.value.steps):
            yield from _one(journey, "steps", "touchpoints", step.touchpoint, place, "touchpoint")
            yield from _many(journey, ("steps", place, "needs"), "services", step.needs)
        for point_name, others in journey.value.alternatives.items():
            yield journey, ("alternatives", point_name), "touchpoints", point_name
            yield from _many(journey, ("alternatives", point_name), "touchpoints", others)


def _one(
    item: Item[Any], key: str, section: str, name: str | None, *deeper: str | int
) -> Iterator[tuple[Item[Any], Path, str, str]]:
    if name is not None:
        yield item, (key, *deeper), section, name


def _many(item: Item[Any], keys: Path, section: str, names: list[str]) -> Iterator[tuple[Item[Any], Path, str, str]]:
    for place, name in enumerate(names):
        yield item, (*keys, place), section, name


def _selector(item: Item[Any], selector: Selector, items: Items, kinds: Kinds, topology: Topology) -> Iterator[Fault]:
    if selector.kind is not None and selector.kind not in kinds.probe_params:
        known = sorted(kinds.probe_params)
        fact = f"unknown kind of probe{did_you_mean(selector.kind, known)}"
        yield item.fault(("of", "kind"), fact, f"use one of {', '.join(known)}")
        return
    sources = sources_of(items)
    if selector.source is not None:
        if selector.source not in sources and "settings" not in items.unread:
            fact = f"no pushed source has this name{did_you_mean(selector.source, sources)}"
            yield item.fault(
                ("of", "source"), fact, "name one of `intake` in config/cemd.yaml: `mqtt:NAME`, `http:NAME`"
            )
        elif selector.probe or selector.kind:
            yield item.fault(("of",), "pushed data comes from no probe", "give either `source` or `probe` and `kind`")
        return
    by_probe = selector.probe is not None or selector.kind is not None
    if not by_probe and sources:
        return  # pushed series may carry any service, site and metric
    if _named(selector, items) and not any(looks_at(selector, probe.value, topology) for probe in items.probes):
        fact = "no probe can give a series that matches all of these words"
        yield item.fault(("of",), fact, "correct the words, or add such a probe")


def sources_of(items: Items) -> list[str]:
    """Names of the sources that may push data."""
    if not items.settings:
        return []
    intake = items.settings[0].value.intake
    return [f"mqtt:{source.name}" for source in intake.mqtt] + [f"http:{name}" for name in intake.http]


def _uids(items: Items) -> set[str]:
    """A selector may name a probe by its uid as well."""
    return {probe.value.identity() for probe in items.probes}


def _named(selector: Selector, items: Items) -> bool:
    """True when all names in it exist, and every probe was readable: else the other faults are enough."""
    valid = len(items.probes) == len(items.known("probes")) and not items.unread
    pairs = (
        ("probes", selector.probe if selector.probe not in _uids(items) else None),
        ("services", selector.service),
        ("sites", selector.site),
        ("touchpoints", selector.touchpoint),
    )
    return valid and all(name is None or name in items.known(section) for section, name in pairs)
