"""When a finding alone is not enough: planned work, and a probe that nobody else believes.

A probe that says "failed" may be wrong itself: its check is stale, its account is locked. While others that would see
the same fault look and see nothing, it waits for a second voice; that voice may be any other source with something
unusual there on the same service, or (of no wider place than the probe's own) on what it stands on or what stands on
it; elsewhere something must fail as well. What only takes longer than usual is none: somewhere something always does,
and what is slow without missing its objective makes nothing else fail. A check that only reaches the port says nothing
against one that asks a question; what customers themselves get done since (pushed as a share of success) does, and
where they alone can tell, they are waited for (`hearing`). What an announced window covers waits until the window is
over. And a call centre that is overrun while many customers are hurt by something else is hurt by their calls.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from cemd.config.catalogue import TouchpointChannel
from cemd.config.rules import Grouping
from cemd.config.topology import Topology
from cemd.improve.hearing import Takers, testimony
from cemd.improve.picture import Picture, services_of
from cemd.improve.records import AttachedFinding, hurts
from cemd.improve.watch import Lookout, Watch
from cemd.model.finding import Condition, Finding
from cemd.model.identity import Instant
from cemd.model.incident import Incident
from cemd.model.measurement import SUCCESS
from cemd.model.subject import SubjectKind

TOGETHER_SECONDS = 300.0
"""What is only unusual, or hurts elsewhere, is a second voice when it began so close in time: somewhere something is
always a little unusual."""
OF_TIME = "_seconds"
"""How the name of a metric ends that measures how long something takes."""
MOST_NAMED = 5
"""Who speaks against a finding, or is waited for, by name; the others see the same."""
CONTRADICTED = "would show it too."
"""How the reason ends for which a finding waits that others speak against."""
CALLERS_SHARE = 0.02
"""Share of all customers who must be hurt: the calls of fewer hardly overrun a call centre that is there for all."""
PLANNED_WORK = "planned work"
"""How the reason begins for which a finding under announced work waits."""


def why_wait(attached: AttachedFinding, picture: Picture, grouping: Grouping, takers: Takers, *, joins: bool) -> str:
    """Why the finding opens nothing yet, as a sentence; "": it may. One that `joins` an incident has company."""
    topology, finding = picture.topology, attached.finding
    if window := window_over(attached, topology, picture.at):
        return f"{PLANNED_WORK}: {window}."
    age = picture.at - finding.began_at
    if joins or age >= grouping.alone_opens_after_seconds or not _can_be_doubted(finding, topology):
        return ""
    if _has_company(attached, picture, grouping):  # asked first: where much fails nobody need be counted
        return ""
    patience = grouping.alone_hears_customers_seconds
    doubted = attached.waits.endswith(CONTRADICTED)
    services = services_of(finding, topology)
    said = testimony(attached, picture, takers, services, patience=patience, doubted=doubted)
    if said.agrees:
        return ""
    if others := [*(one.source for one in contradicting(finding, picture)), *said.contrary]:
        return f"only {finding.probe} says so; {_few(others)} {CONTRADICTED}"
    if doubted:  # by customers: that fewer try by now takes nothing back
        return attached.waits
    if said.awaited and age < patience:
        return f"only {finding.probe} says so; {_few(said.awaited)} has not had the time to show it."
    return ""


def _few(names: Iterable[str]) -> str:
    return ", ".join(tuple(dict.fromkeys(names))[:MOST_NAMED])


def why_crowded(attached: AttachedFinding, incidents: Sequence[Incident], watch: Watch, customers: int) -> str:
    """Why customers may merely call because of something else, as a sentence; "": they do not.

    What a call centre reports of itself (waits, answered calls) is no problem of its own while an incident lives that
    began before and hurts enough customers.

    Args:
        attached: The finding; probes ask whether the call centre works at all, and are believed.
        incidents: Those that live.
        watch: Says who is a probe; its topology, which touchpoints are call centres and on what they stand.
        customers: How many there are in all.
    """
    finding, topology = attached.finding, watch.topology
    desks = [one for one in topology.touchpoints.values() if one.channel is TouchpointChannel.CALL_CENTRE]
    services = services_of(finding, topology)
    if watch.is_probe(finding.probe) or not any(
        finding.touchpoint == one.name or not set(services).isdisjoint(one.depends_on) for one in desks
    ):
        return ""
    for incident in incidents:
        if (
            incident.impact.peak_customers >= max(1.0, CALLERS_SHARE * customers)
            and incident.first_hurt_at <= attached.onset
            and incident.subject != finding.subject
        ):
            return f"customers call because of {incident.id}, which hurts {incident.impact.peak_customers:,} of them."
    return ""


def window_over(attached: AttachedFinding, topology: Topology, at: Instant) -> str:
    """Name of the announced window that covers the finding now; "". What was measured in it opens nothing later either:
    analyze ends what broke by it when it is over."""
    finding = attached.finding
    for window in topology.configuration.maintenance:
        if not window.begins() <= at < window.ends():
            continue
        touched = {above for service in window.services for above in topology.dependents(service)}
        around = topology.around(finding.subject.site) if finding.subject.site else ()
        here = not window.sites or any(site in around for site in window.sites)
        if here and not touched.isdisjoint(services_of(finding, topology)):
            return window.name
    return ""


def _can_be_doubted(finding: Finding, topology: Topology) -> bool:
    """Only whether something works at all is seen alike by different probes; how long it takes is each one's own."""
    if not finding.probe or finding.evidence.mixed:  # a check that is wrong itself fails always
        return False
    indicators = topology.configuration.indicators
    return any(one.name == finding.indicator and one.of.metric == SUCCESS for one in indicators)


def contradicting(finding: Finding, picture: Picture) -> list[Lookout]:
    """Who else asks at least as deep a question of the service there, or of what stands directly on it."""
    watch, site = picture.watch, finding.subject.site
    own = services_of(finding, picture.topology)
    rank = watch.rank_of(finding.probe)
    above = dict.fromkeys(other for service in own for other in watch.direct_dependents(service))
    return [
        one
        for service in (*own, *above)
        for one in picture.lookouts(service, site)
        if one.of_success and one.probe != finding.probe and one.rank >= rank
    ]


def _has_company(attached: AttachedFinding, picture: Picture, grouping: Grouping) -> bool:
    return any(_is_company(other, attached, picture.topology, grouping) for other in picture.findings)


def _is_company(other: AttachedFinding, attached: AttachedFinding, topology: Topology, grouping: Grouping) -> bool:
    """Whether another finding is a second voice for this one: near in time, of another source, and related."""
    finding = attached.finding
    if other.finding.condition is Condition.SILENCE or _may_be_same(other.finding, finding):
        return False
    hurt = hurts(other.finding, anomaly_opens=False)
    apart = abs(other.onset - attached.onset)
    if apart > (grouping.join_within_seconds if hurt else TOGETHER_SECONDS):
        return False
    own, theirs = services_of(finding, topology), services_of(other.finding, topology)
    if not hurt and other.finding.indicator.endswith(OF_TIME):  # an anomaly is named by its metric
        return False
    if not topology.overlap(other.finding.subject.site, finding.subject.site):
        fails = hurt or other.finding.indicator == SUCCESS
        return fails and not set(own).isdisjoint(theirs) and apart <= TOGETHER_SECONDS
    return _share_a_need(own, theirs, topology) if hurt else _may_show_the_same(other.finding, finding, topology)


def _share_a_need(own: Sequence[str], theirs: Sequence[str], topology: Topology) -> bool:
    needs = {need for service in own for need in topology.needs(service)}
    return any(need in needs for service in theirs for need in topology.needs(service))


def _may_show_the_same(unusual: Finding, finding: Finding, topology: Topology) -> bool:
    """What is only unusual speaks for the same service; for another one only where one stands on the other, and not
    from a wider place: what is ill in all of that would be seen by the others, who see nothing."""
    own, theirs = services_of(finding, topology), services_of(unusual, topology)
    if not set(own).isdisjoint(theirs):
        return True
    below = {need for service in own for need in topology.needs(service)}
    above = {need for service in theirs for need in topology.needs(service)}
    stands = not below.isdisjoint(theirs) or not above.isdisjoint(own)
    site = finding.subject.site
    return stands and (not site or site in topology.around(unusual.subject.site))


def _may_be_same(other: Finding, finding: Finding) -> bool:
    """One source, or a model (drift, forecast, a touchpoint as a whole) that may have seen nothing but this source."""
    is_model = other.condition in (Condition.DRIFT, Condition.FORECAST) or other.subject.kind is SubjectKind.TOUCHPOINT
    return _source(other) == _source(finding) or (is_model and not other.probe)


def _source(finding: Finding) -> str:
    return finding.probe or f"{finding.indicator} of {finding.subject}"


def waiting(findings: Sequence[AttachedFinding]) -> list[AttachedFinding]:
    """Those that wait, among findings that belong to no incident."""
    return [one for one in findings if one.open and one.waits]
