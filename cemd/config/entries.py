"""Checks of one entry by itself, and against the settings: each asks one thing, so that a fault of the entry hides no
other (`partial`)."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any, TypeAlias
from zoneinfo import ZoneInfo, available_timezones

from cemd.config.catalogue import Journey, Site
from cemd.config.channels import Route
from cemd.config.maintenance import Maintenance
from cemd.config.params import Kinds
from cemd.config.partial import as_far_as_known
from cemd.config.probes import Probe
from cemd.config.rules import Indicator, Policy, Rater, RaterProfile, RecheckPlaybook, Summary
from cemd.config.settings import Settings
from cemd.config.source import Item, Items, did_you_mean
from cemd.config.targets import remedy
from cemd.errors import Fault
from cemd.model.notice import Mode

Check: TypeAlias = Callable[[Any, Items, Kinds], Iterator[Fault]]
_QUALITIES = ("at_risk", "degraded", "down")
_ZONE = "use a name of the IANA data base, such as Europe/Berlin or UTC"
_NO_SETTINGS = Settings()


def _pace(probe: Item[Probe], _items: Items, _kinds: Kinds) -> Iterator[Fault]:
    timeout, every = probe.value.timeout_seconds, probe.value.every_seconds
    if timeout >= every:
        fact = f"timeout_seconds ({timeout:g}) is not below every_seconds ({every:g})"
        yield probe.fault(("timeout_seconds",), fact, "make the timeout shorter or the interval longer")


def _least(probe: Item[Probe], _items: Items, kinds: Kinds) -> Iterator[Fault]:
    timeout, params = probe.value.timeout_seconds, probe.params
    least = as_far_as_known(lambda: kinds.least_seconds(params)) if params is not None else None
    if least is not None and least >= timeout:
        fact = f"timeout_seconds ({timeout:g}) is not above the {least:g} s that its packets take to send"
        yield probe.fault(("timeout_seconds",), fact, "make the timeout longer, or send fewer packets or faster")


def _target(probe: Item[Probe], items: Items, kinds: Kinds) -> Iterator[Fault]:
    """It goes where `targets` of the settings do not let it."""
    params = probe.params
    if params is None or "settings" in items.unread:
        return
    targets = _settings_of(items).targets
    for key, host in as_far_as_known(lambda: kinds.hosts(params)) or ():
        if fact := targets.refusal_of_text(host):
            yield probe.fault(("params", *key), fact, remedy(fact))


def _vantages(probe: Item[Probe], items: Items, _kinds: Kinds) -> Iterator[Fault]:
    """It runs at a vantage point that nobody described."""
    if not probe.value.vantages:
        return
    settings = _settings_of(items)
    known = [settings.vantage, *(one.name for one in settings.vantages)]
    for place, name in enumerate(probe.value.vantages):
        if name not in known:
            fact = f"no vantage point has the name {name!r}{did_you_mean(name, known)}"
            yield probe.fault(("vantages", place), fact, "describe it under `vantages` of config/cemd.yaml")


def _settings_of(items: Items) -> Settings:
    return items.settings[0].value if items.settings else _NO_SETTINGS


def _settings(item: Item[Settings], _items: Items, _kinds: Kinds) -> Iterator[Fault]:
    settings = item.value
    if not is_zone(settings.operator.zone):
        yield item.fault(("operator", "zone"), _unknown_zone(settings.operator.zone), _ZONE)
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


def _ways_out(item: Item[Settings], _items: Items, _kinds: Kinds) -> Iterator[Fault]:
    """Vantage points that are there twice or cannot look."""
    settings = item.value
    for place, one in enumerate(settings.vantages):
        where = ("vantages", place)
        if one.name in [other.name for other in settings.vantages[:place]]:
            yield item.fault((*where, "name"), f'duplicate vantage point "{one.name}"', "rename one of them")
        for number, reference in enumerate(one.way_out.references):
            if refusal := settings.targets.refusal_of_text(reference.host):
                yield item.fault((*where, "way_out", "references", number, "host"), refusal, remedy(refusal))


def _window(item: Item[Maintenance], _items: Items, _kinds: Kinds) -> Iterator[Fault]:
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


def is_zone(name: str) -> bool:
    """True for a time zone that this host or the tzdata package knows."""
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        return False
    return True


def _unknown_zone(name: str) -> str:
    return f'unknown time zone "{name[:64]}"{did_you_mean(name, sorted(available_timezones()))}'


def is_loopback(host: str) -> bool:
    """True when nobody outside this machine can reach the address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _indicator(item: Item[Indicator], _items: Items, _kinds: Kinds) -> Iterator[Fault]:
    score, objective = item.value.score, item.value.objective
    if score.worst == score.best:
        yield item.fault(("score", "best"), f"worst and best are the same ({score.best:g})", "let them differ")
    if objective is None:
        return
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


def _budget(item: Item[Indicator], _items: Items, _kinds: Kinds) -> Iterator[Fault]:
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


def _rater(item: Item[Rater], _items: Items, _kinds: Kinds) -> Iterator[Fault]:
    own = item.value.profile is RaterProfile.OWN
    if own and not any(item.value.weights.values()):
        yield item.fault((), "profile own has no weight above 0", "give weights")
    if not own and item.value.weights:
        fact = f"weights are given, but the profile is {item.value.profile}"
        yield item.fault(("weights",), fact, "write `profile: own`, or remove the weights")


def _policy(item: Item[Policy], _items: Items, _kinds: Kinds) -> Iterator[Fault]:
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


def _policy_names(item: Item[Policy], items: Items, _kinds: Kinds) -> Iterator[Fault]:
    for place, name in enumerate(item.value.channels):
        yield from _wrong_audience(item, ("channels", place), name, "customers", items)


def _policy_services(item: Item[Policy], items: Items, _kinds: Kinds) -> Iterator[Fault]:
    for place, name in enumerate(item.value.services):
        for service in items.services:
            if service.value.name == name and not service.value.sold:
                fact = f'service "{name}" is not sold, so no customer has it'
                yield item.fault(("services", place), fact, "name sold services; what they stand on is included")


def _texts(item: Item[Policy], _items: Items, kinds: Kinds) -> Iterator[Fault]:
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


def _route(route: Item[Route], items: Items, _kinds: Kinds) -> Iterator[Fault]:
    yield from _wrong_audience(route, ("channel",), route.value.channel, "staff", items)


def _playbook(playbook: Item[RecheckPlaybook], _items: Items, _kinds: Kinds) -> Iterator[Fault]:
    for place, quality in enumerate(playbook.value.on_quality):
        if quality not in _QUALITIES:
            fact = "on_quality holds an unknown quality"
            yield playbook.fault(("on_quality", place), fact, f"use {', '.join(_QUALITIES)}")


def _zone(item: Item[Site], _items: Items, _kinds: Kinds) -> Iterator[Fault]:
    if item.value.zone is not None and not is_zone(item.value.zone):
        yield item.fault(("zone",), _unknown_zone(item.value.zone), _ZONE)


def _journey(item: Item[Journey], _items: Items, _kinds: Kinds) -> Iterator[Fault]:
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


OF_EACH: dict[str, tuple[Check, ...]] = {
    "settings": (_settings, _ways_out),
    "sites": (_zone,),
    "journeys": (_journey,),
    "probes": (_pace, _least, _target, _vantages),
    "indicators": (_indicator, _budget),
    "rater": (_rater,),
    "playbooks": (_playbook,),
    "policies": (_policy, _policy_names, _policy_services, _texts),
    "routes": (_route,),
    "maintenance": (_window,),
}
"""Checks by section: of an entry, under all of what was read, by the kinds."""
