"""References between files: every name that is used must be defined, and a selector must be able to match a series."""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator
from typing import Any

from cemd.config.judged import Lookers
from cemd.config.params import Kinds
from cemd.config.rules import Selector
from cemd.config.source import NOUNS, Item, Items, did_you_mean
from cemd.config.topology import Topology
from cemd.config.yaml import Path
from cemd.errors import Fault


def dangling(items: Items, kinds: Kinds, topology: Topology) -> Iterator[Fault]:
    """Every reference to something that no file defines, and every selector that nothing can match."""
    uids = _uids(items)
    yield from _undefined(items, uids)
    for section, parts in items.parts.items():
        for item in parts:
            alone = Items(names=items.names, unread=items.unread)
            getattr(alone, section).append(item)
            yield from _undefined(alone, uids)
    owners = list(dict.fromkeys(journey.value.owner for journey in items.journeys))
    for route in items.routes:
        for place, owner in enumerate(route.value.owners):
            if owner not in owners and "journeys" not in items.unread:
                fact = f"no journey has this owner{did_you_mean(owner, owners)}"
                yield route.fault(("owners", place), fact, "name the `owner:` of a journey")
    lookers = Lookers([indicator.value for indicator in items.indicators], topology)
    looking = {place for probe in items.probes for place in lookers.places(probe.value)}
    for place, indicator in enumerate(items.indicators):
        yield from _selector(indicator, indicator.value.of, items, kinds, fits=place in looking)


def _undefined(items: Items, uids: Container[str]) -> Iterator[Fault]:
    for item, keys, section, name in _references(items, uids):
        known = items.known(section)
        if name not in known and section not in items.unread:
            noun = NOUNS[section]
            fact = f'{noun} "{name}" does not exist{did_you_mean(name, list(known))}'
            yield item.fault(keys, fact, f"define it under `{section}:` or correct the name")


def _references(items: Items, uids: Container[str]) -> Iterator[tuple[Item[Any], Path, str, str]]:
    """Item, keys within it, section that must know the name, name; `uids` are those of all probes. Of an entry that is
    not valid, what can be read."""
    yield from _catalogue(items)
    for probe in items.probes:
        yield from _one(probe, "service", "services", _of(probe, "service"))
        yield from _one(probe, "site", "sites", _of(probe, "site"))
        yield from _one(probe, "touchpoint", "touchpoints", _of(probe, "touchpoint"))
    for indicator in items.indicators:
        of = _of(indicator, "of") or _NOTHING
        if of.probe not in uids:
            yield from _one(indicator, "of", "probes", of.probe, "probe")
        yield from _one(indicator, "of", "services", of.service, "service")
        yield from _one(indicator, "of", "sites", of.site, "site")
        yield from _one(indicator, "of", "touchpoints", of.touchpoint, "touchpoint")
    for policy in items.policies:
        yield from _many(policy, ("services",), "services", _of(policy, "services"))
        yield from _many(policy, ("channels",), "channels", _of(policy, "channels"))
    for channel in items.channels:
        yield from _many(channel, ("depends_on",), "services", _of(channel, "depends_on"))
    for window in items.maintenance:
        yield from _many(window, ("services",), "services", _of(window, "services"))
        yield from _many(window, ("sites",), "sites", _of(window, "sites"))
    for route in items.routes:
        yield from _one(route, "channel", "channels", _of(route, "channel"))
        yield from _many(route, ("services",), "services", _of(route, "services"))


def _catalogue(items: Items) -> Iterator[tuple[Item[Any], Path, str, str]]:
    for service in items.services:
        yield from _many(service, ("depends_on",), "services", _of(service, "depends_on"))
    for site in items.sites:
        yield from _one(site, "parent", "sites", _of(site, "parent"))
    for point in items.touchpoints:
        yield from _one(point, "site", "sites", _of(point, "site"))
        yield from _many(point, ("offers",), "services", _of(point, "offers"))
        yield from _many(point, ("depends_on",), "services", _of(point, "depends_on"))
    for journey in items.journeys:
        yield from _one(journey, "process", "processes", _of(journey, "process"))
        for place, step in enumerate(_of(journey, "steps") or ()):
            yield from _one(journey, "steps", "touchpoints", step.touchpoint, place, "touchpoint")
            yield from _many(journey, ("steps", place, "needs"), "services", step.needs)
        for point_name, others in (_of(journey, "alternatives") or {}).items():
            yield journey, ("alternatives", point_name), "touchpoints", point_name
            yield from _many(journey, ("alternatives", point_name), "touchpoints", others)


_NOTHING = Selector(metric="")


def _of(item: Item[Any], key: str) -> Any:
    """What an entry says under a key; None where that is wrong or missing."""
    return getattr(item.value, key, None)


def _one(
    item: Item[Any], key: str, section: str, name: str | None, *deeper: str | int
) -> Iterator[tuple[Item[Any], Path, str, str]]:
    if name is not None:
        yield item, (key, *deeper), section, name


def _many(
    item: Item[Any], keys: Path, section: str, names: Iterable[str] | None
) -> Iterator[tuple[Item[Any], Path, str, str]]:
    for place, name in enumerate(names or ()):
        yield item, (*keys, place), section, name


def _selector(item: Item[Any], selector: Selector, items: Items, kinds: Kinds, *, fits: bool) -> Iterator[Fault]:
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
    if not fits and _named(selector, items, kinds):
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
    parts = {uid for probe in items.parts.get("probes", ()) if isinstance(uid := _of(probe, "uid"), str)}
    return {probe.value.identity() for probe in items.probes} | parts


def _named(selector: Selector, items: Items, kinds: Kinds) -> bool:
    """True when all names in it exist, and every probe was readable: else the other faults are enough."""
    valid = len(items.probes) == len(items.known("probes")) and not items.unread
    valid = valid and all(probe.value.kind in kinds.probe_params for probe in items.probes)
    pairs = (
        ("probes", selector.probe if selector.probe not in _uids(items) else None),
        ("services", selector.service),
        ("sites", selector.site),
        ("touchpoints", selector.touchpoint),
    )
    return valid and all(name is None or name in items.known(section) for section, name in pairs)
