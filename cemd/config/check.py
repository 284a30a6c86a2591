"""Checks of the whole set that are no references: duplicates, contradictions, promises that could not be kept."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from cemd.config.judged import misspelt, never_known, unjudged
from cemd.config.maintenance import Maintenance
from cemd.config.params import Kinds
from cemd.config.rules import Indicator, Policy, Rater, RaterProfile, Summary
from cemd.config.settings import Settings
from cemd.config.source import NOUNS, Item, Items, did_you_mean
from cemd.config.targets import Targets, remedy
from cemd.config.topology import Topology
from cemd.config.voices import unconfirmable
from cemd.errors import Fault
from cemd.model.notice import Mode

_SINGLE = ("detector", "forecast", "drift", "multivariate", "rater", "cei", "grouping")
_RENAMED = ("services", "touchpoints", "journeys", "probes")
_QUALITIES = ("at_risk", "degraded", "down")


def contradictions(items: Items, kinds: Kinds) -> Iterator[Fault]:
    """Every fault that one entry, or two together, make; references are checked elsewhere."""
    for settings in items.settings:
        yield from _settings(settings)
    for probe in items.probes:
        timeout, every = probe.value.timeout_seconds, probe.value.every_seconds
        if timeout >= every:
            fact = f"timeout_seconds ({timeout:g}) is not below every_seconds ({every:g})"
            yield probe.fault(("timeout_seconds",), fact, "make the timeout shorter or the interval longer")
        if (least := kinds.least_seconds(probe.value.kind, probe.value.params)) >= timeout:
            fact = f"timeout_seconds ({timeout:g}) is not above the {least:g} s that its packets take to send"
            yield probe.fault(("timeout_seconds",), fact, "make the timeout longer, or send fewer packets or faster")
    yield from _targets(items, kinds)
    yield from _vantages(items)
    yield from misspelt(items, kinds)
    for indicator in items.indicators:
        yield from _indicator(indicator)
    for rater in items.rater:
        yield from _rater(rater)
    for policy in items.policies:
        yield from _policy(policy, items)
        yield from _texts(policy, kinds)
    for route in items.routes:
        yield from _wrong_audience(route, ("channel",), route.value.channel, "staff", items)
    for window in items.maintenance:
        yield from _window(window)
    for playbook in items.playbooks:
        for place, quality in enumerate(playbook.value.on_quality):
            if quality not in _QUALITIES:
                fact = "on_quality holds an unknown quality"
                yield playbook.fault(("on_quality", place), fact, f"use {', '.join(_QUALITIES)}")
    yield from _sites(items)
    yield from _journeys(items)


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


def _settings(item: Item[Settings]) -> Iterator[Fault]:
    settings = item.value
    if not is_zone(settings.operator.zone):
        yield item.fault(("operator", "zone"), "unknown time zone", _ZONE)
    if not is_loopback(settings.listen.host) and settings.listen.push_token_file is None:
        fact = "listen.host is not loopback and push_token_file is missing"
        yield item.fault(
            ("listen", "host"), fact, "name a file with a token as listen.push_token_file, or listen on 127.0.0.1"
        )
    seen: set[str] = set()
    for place, source in enumerate(settings.intake.mqtt):
        if source.name in seen:
            yield item.fault(
                ("intake", "mqtt", place, "name"), f'duplicate source "{source.name}"', "rename one of them"
            )
        seen.add(source.name)
    for place, name in enumerate(settings.intake.http):
        if name in settings.intake.http[:place]:
            yield item.fault(("intake", "http", place), f'duplicate source "{name}"', "remove one of them")


def _vantages(items: Items) -> Iterator[Fault]:
    """Probes of a vantage point that nobody described; vantage points that are there twice or cannot look."""
    settings = items.settings[0].value if items.settings else Settings()
    known = [settings.vantage, *(one.name for one in settings.vantages)]
    for probe in items.probes:
        for place, name in enumerate(probe.value.vantages):
            if name not in known:
                fact = f"no vantage point has the name {name!r}{did_you_mean(name, known)}"
                yield probe.fault(("vantages", place), fact, "describe it under `vantages` of config/cemd.yaml")
    for item in items.settings:
        for place, one in enumerate(item.value.vantages):
            where = ("vantages", place)
            if one.name in [other.name for other in item.value.vantages[:place]]:
                yield item.fault((*where, "name"), f'duplicate vantage point "{one.name}"', "rename one of them")
            for number, reference in enumerate(one.way_out.references):
                if refusal := settings.targets.refusal_of_text(reference.host):
                    yield item.fault((*where, "way_out", "references", number, "host"), refusal, remedy(refusal))


def _targets(items: Items, kinds: Kinds) -> Iterator[Fault]:
    """Probes that go where `targets` of the settings do not let them."""
    if "settings" in items.unread:
        return
    targets = items.settings[0].value.targets if items.settings else Targets()
    for probe in items.probes:
        for key, host in kinds.hosts(probe.value.kind, probe.value.params):
            if fact := targets.refusal_of_text(host):
                yield probe.fault(("params", *key), fact, remedy(fact))


def _window(item: Item[Maintenance]) -> Iterator[Fault]:
    """Both ends are instants, in order."""
    ends: list[datetime] = []
    for key in ("begins_at", "ends_at"):
        try:
            moment = datetime.fromisoformat(getattr(item.value, key))
        except ValueError:
            moment = None
        if moment is None or moment.tzinfo is None:
            fact = f"{key} is no instant with its offset from UTC"
            yield item.fault((key,), fact, "write it as 2026-03-02T01:00:00+01:00")
        else:
            ends.append(moment)
    if len(ends) == 2 and ends[0] >= ends[1]:  # noqa: PLR2004, RUF100 -- both could be read
        yield item.fault(("ends_at",), "the window ends before it begins", "exchange begins_at and ends_at")


_ZONE = "use a name of the IANA data base, such as Europe/Berlin or UTC"


def is_zone(name: str) -> bool:
    """True for a time zone that this host or the tzdata package knows."""
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        return False
    return True


def is_loopback(host: str) -> bool:
    """True when nobody outside this machine can reach the address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _indicator(item: Item[Indicator]) -> Iterator[Fault]:
    score, objective = item.value.score, item.value.objective
    if score.worst == score.best:
        yield item.fault(("score", "best"), f"worst and best are the same ({score.best:g})", "let them differ")
    if objective is None:
        return
    yield from _budget(item)
    low, high = objective.at_least, objective.at_most
    if (low is None) == (high is None):
        fact = (
            "the objective has neither at_least nor at_most"
            if low is None
            else "the objective has at_least and at_most"
        )
        yield item.fault(("objective",), fact, "give exactly one of them")
        return
    target, sign = (low, 1) if low is not None else (high or 0.0, -1)
    word = "at_least" if low is not None else "at_most"
    if item.value.summary is Summary.RATIO and not 0 <= target <= 1:
        fact = f"{word} ({target:g}) lies outside 0 to 1, between which a ratio lies"
        yield item.fault(("objective", word), fact, f"write {target / 100:g} for {target:g} %")
    if objective.warn_at is not None and (objective.warn_at - target) * sign <= 0:
        fact = f"warn_at ({objective.warn_at:g}) is not on the good side of {word} ({target:g})"
        yield item.fault(("objective", "warn_at"), fact, f"make it {'larger' if sign > 0 else 'smaller'} than {word}")
    if objective.down_at is not None and (objective.down_at - target) * sign > 0:
        fact = f"down_at ({objective.down_at:g}) is on the good side of {word} ({target:g})"
        yield item.fault(("objective", "down_at"), fact, f"make it {'smaller' if sign > 0 else 'larger'} than {word}")


def _budget(item: Item[Indicator]) -> Iterator[Fault]:
    objective = item.value.objective
    if objective is None or objective.budget is None:
        return
    path = ("objective", "budget")
    if item.value.summary is not Summary.RATIO or objective.at_least is None:
        fact = f"a budget counts failures, but the indicator is a {item.value.summary}"
        if item.value.summary is Summary.RATIO:
            fact = "a budget counts failures, but the objective has no at_least"
        yield item.fault(path, fact, "use summary: ratio with at_least, or remove the budget")
    for place, rate in enumerate(objective.budget.burn_rates):
        where = (*path, "burn_rates", place, "short_seconds")
        if rate.short_seconds >= rate.long_seconds:
            fact = f"short_seconds ({rate.short_seconds:g}) is not below long_seconds ({rate.long_seconds:g})"
            yield item.fault(where, fact, "make the short window about a twelfth of the long one")
        if rate.long_seconds > objective.budget.period_seconds:
            period = f"period_seconds ({objective.budget.period_seconds:g})"
            fact = f"long_seconds ({rate.long_seconds:g}) of a burn rate is beyond {period}"
            remedy = "make the period longer, or write burn_rates with shorter windows"
            yield item.fault((*path, "burn_rates", place, "long_seconds"), fact, remedy)


def _rater(item: Item[Rater]) -> Iterator[Fault]:
    own = item.value.profile is RaterProfile.OWN
    if own and not any(item.value.weights.values()):
        yield item.fault((), "profile own has no weight above 0", "give weights")
    if not own and item.value.weights:
        fact = f"weights are given, but the profile is {item.value.profile}"
        yield item.fault(("weights",), fact, "write `profile: own`, or remove the weights")


def _policy(item: Item[Policy], items: Items) -> Iterator[Fault]:
    policy = item.value
    if policy.mode is Mode.LIVE and policy.ceiling is None:
        yield item.fault(
            ("mode",), "mode live needs a ceiling", "add `ceiling:`, the largest audience told without a person"
        )
    if policy.hold_seconds >= policy.decide_by_seconds:
        fact = f"hold_seconds ({policy.hold_seconds:g}) is not below decide_by_seconds ({policy.decide_by_seconds:g})"
        yield item.fault(("hold_seconds",), fact, "hold shorter or decide later")
    if policy.quiet_hours and policy.quiet_hours.start == policy.quiet_hours.end:
        yield item.fault(("quiet_hours",), "start and end are the same", "let them differ, or remove quiet_hours")
    for place, name in enumerate(policy.channels):
        yield from _wrong_audience(item, ("channels", place), name, "customers", items)
    for place, name in enumerate(policy.services):
        for service in items.services:
            if service.value.name == name and not service.value.sold:
                fact = f'service "{name}" is not sold, so no customer has it'
                yield item.fault(("services", place), fact, "name sold services; what they stand on is included")


def _texts(item: Item[Policy], kinds: Kinds) -> Iterator[Fault]:
    for language, texts in item.value.texts.items():
        for name, text in texts.model_dump().items():
            keys = ("texts", language, name)
            if fault := kinds.text_fault(text):
                yield item.fault(keys, f"{'.'.join(keys)}: {fault}", "use only what `cemd explain policy` names")
            if name.endswith("subject") and len(text.splitlines()) != 1:
                yield item.fault(keys, f"{'.'.join(keys)} is not one line", "write it on one line, in quotes")


def _wrong_audience(
    item: Item[Any], keys: tuple[str | int, ...], name: str, audience: str, items: Items
) -> Iterator[Fault]:
    for channel in items.channels:
        if channel.value.name == name and channel.value.to != audience:
            fact = f'channel "{name}" is for {channel.value.to}, not for {audience}'
            yield item.fault(keys, fact, f"name a channel with `to: {audience}`")


def _sites(items: Items) -> Iterator[Fault]:
    parents = {item.value.name: item.value.parent for item in items.sites}
    for item in items.sites:
        if item.value.zone is not None and not is_zone(item.value.zone):
            yield item.fault(("zone",), "unknown time zone", _ZONE)
        seen: set[str] = set()
        above = item.value.parent
        while above is not None and above not in seen and above != item.value.name:
            seen.add(above)
            above = parents.get(above)
        if above == item.value.name:
            yield item.fault(("parent",), "the site lies within itself", "correct the parents")


def _journeys(items: Items) -> Iterator[Fault]:
    for item in items.journeys:
        names: list[str] = []
        for place, step in enumerate(item.value.steps):
            if step.name in names:
                fact = f'duplicate step "{step.name}", first as number {names.index(step.name) + 1}'
                yield item.fault(("steps", place, "name"), fact, "rename one of them")
            names.append(step.name)
        used = {step.touchpoint for step in item.value.steps}
        for point in item.value.alternatives:
            if point not in used:
                fact = f'alternatives are given for "{point}", which no step uses'
                yield item.fault(("alternatives", point), fact, "use the touchpoint of a step")


def cautions(items: Items, topology: Topology) -> Iterator[str]:
    """What is accepted but deserves a word."""
    yield from topology.warnings
    yield from unjudged(items, topology)
    yield from never_known(items, topology)
    yield from unconfirmable(items, topology)
    for item in items.services:
        if item.value.name in item.value.depends_on:
            yield f"{item.place}: {item.label}: depends on itself; this says nothing and can be removed"
