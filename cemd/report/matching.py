"""Which policy speaks of which incident, which communication an incident belongs to, and what may be said of it."""

from __future__ import annotations

from collections.abc import Iterable

from cemd.config.rules import Policy, Texts
from cemd.config.topology import Topology
from cemd.model.identity import Instant
from cemd.model.incident import Confidence, Incident
from cemd.model.notice import Communication, CommunicationState, Phase
from cemd.model.subject import SubjectKind
from cemd.report.address import address_kind
from cemd.report.decide import Way
from cemd.report.quiet import spoken_time
from cemd.report.state import ReportState, is_hurting

Places = dict[str, tuple[str, ...]]
"""Services, and where each of them is hurt; empty: everywhere."""


def sold_services_hurt(incident: Incident, topology: Topology) -> tuple[str, ...]:
    """Sold services of the impact, and none where nothing sold is in it; only where no impact was worked out those
    that stand on the cause or the subject."""
    if hurt := incident.impact.services:
        sold = (name for name in hurt if name in topology.services and topology.services[name].sold)
        return tuple(dict.fromkeys(sold))
    if incident.cause.confidence is not Confidence.UNDETERMINED and incident.cause.service:
        return topology.sold(incident.cause.service)
    return topology.sold(incident.subject.name) if incident.subject.kind is SubjectKind.SERVICE else ()


def sites_hurt(incident: Incident) -> tuple[str, ...]:
    """Empty: everywhere. The place of the subject stands in only where no impact was worked out."""
    if incident.impact.services or incident.impact.sites:
        return incident.impact.sites
    return (incident.subject.site,) if incident.subject.site else ()


def places_hurt(incident: Incident, services: Iterable[str]) -> Places:
    """Where each of these services is hurt."""
    everywhere = sites_hurt(incident)
    return {name: incident.impact.places.get(name, everywhere) for name in services}


def united(several: Iterable[Places]) -> Places:
    """Each service wherever any of them says."""
    together: Places = {}
    for places in several:
        for name, sites in places.items():
            known = together.get(name, sites)
            together[name] = tuple(dict.fromkeys([*known, *sites])) if known and sites else ()
    return together


def sites_of(places: Places) -> tuple[str, ...]:
    """All of them together; empty: everywhere."""
    return tuple(dict.fromkeys(site for some in places.values() for site in some)) if all(places.values()) else ()


def beyond(places: Places, known: Places, topology: Topology) -> Places:
    """What is in these places and not in the known ones, or within them."""
    more: Places = {}
    for name, sites in places.items():
        if name not in known:
            more[name] = sites
        elif known[name]:
            new = tuple(site for site in sites if set(topology.around(site)).isdisjoint(known[name]))
            if new or not sites:
                more[name] = new
    return more


def hurts_more(incident: Incident, than: Incident, topology: Topology) -> bool:
    """True when it hurts a service, or a service at a place, that it did not hurt before."""
    before, now = (places_hurt(one, one.impact.services or ("",)) for one in (than, incident))
    return bool(beyond(now, before, topology))


def matched_services(policy: Policy, incident: Incident, topology: Topology) -> tuple[str, ...]:
    """The services that this policy would speak of; none when it is silent about the incident."""
    if incident.planned or incident.quality not in policy.qualities or not is_hurting(incident):
        return ()
    hurt = sold_services_hurt(incident, topology)
    return tuple(name for name in hurt if not policy.services or name in policy.services)


def cause_key(policy: Policy, incident: Incident) -> str:
    """Same cause and place: joins."""
    cause = incident.cause.service if incident.cause.confidence is not Confidence.UNDETERMINED else ""
    return "|".join((policy.name, cause or incident.subject.name, ",".join(sites_hurt(incident))))


def belongs_to(state: ReportState, policy: Policy, incident: Incident, at: Instant) -> Communication | None:
    """The communication that already speaks of this incident, or of the same cause and place lately."""
    mine = [one for one in state.communications if one.policy == policy.name and can_join(one, policy, at)]
    by_incident = next((one for one in mine if incident.id in one.incidents), None)
    key = cause_key(policy, incident)
    return by_incident or next((one for one in mine if one.cause_key == key), None)


def can_join(communication: Communication, policy: Policy, at: Instant) -> bool:
    if communication.state not in (CommunicationState.ENDED, CommunicationState.DECLINED):
        return True
    since = communication.ended_at if communication.ended_at is not None else communication.opened_at
    return at - since <= max(policy.join_within_seconds, policy.relapse_within_seconds)


def broken_services(state: ReportState, communication: Communication) -> set[str]:
    """Everything that the incidents say is hurt, cause and subject included."""
    broken = set(communication.services)
    for incident in state.incidents_of(communication):
        if is_hurting(incident):
            broken.update((incident.cause.service, incident.subject.name, *incident.impact.services))
    return broken - {""}


def ways_now(state: ReportState, communication: Communication, policy: Policy, topology: Topology) -> tuple[Way, ...]:
    """Channels of the policy that exist and do not stand on what is broken, in order of preference."""
    channels = {channel.name: channel for channel in topology.configuration.channels}
    broken = broken_services(state, communication)
    ways = []
    for name in policy.channels:
        channel = channels.get(name)
        kind = address_kind(channel) if channel else None
        if channel is None or kind is None:
            continue
        stands_on = {need for service in channel.depends_on for need in topology.needs(service)}
        if stands_on.isdisjoint(broken):
            ways.append(Way(channel=name, kind=kind))
    return tuple(ways)


def hurt_since(state: ReportState, communication: Communication) -> Instant:
    """When the first of it began."""
    known = [each.first_hurt_at for each in state.incidents_of(communication) if each.first_hurt_at]
    return min(known, default=communication.opened_at)


def spoken_values(state: ReportState, communication: Communication, topology: Topology) -> dict[str, str]:
    """What a text may say: no name, number or address of anybody."""
    settings = topology.configuration.settings.operator
    services = [found.title or n if (found := topology.services.get(n)) else n for n in communication.services]
    sites = [place.title or n if (place := topology.sites.get(n)) else n for n in communication.sites]
    return {
        "service": _titles(services),
        "site": _titles(sites),
        "since": spoken_time(hurt_since(state, communication), settings.zone, "UTC"),
        "operator": settings.name,
        "operator_language": settings.language,
    }  # fmt: skip


def spoken_texts(policy: Policy, phase: Phase) -> dict[str, tuple[str, str]]:
    """(subject, body) of the phase by language."""

    def pair(texts: Texts) -> tuple[str, str]:
        match phase:
            case Phase.OVER:
                return texts.over_subject, texts.over
            case Phase.CORRECTION:
                return texts.correction_subject, texts.correction
            case _:
                return texts.first_subject, texts.first

    return {language: pair(texts) for language, texts in policy.texts.items()}


def _titles(names: list[str]) -> str:
    return ", ".join(names[:3]) + (f" +{len(names) - 3}" if len(names) > 3 else "")
