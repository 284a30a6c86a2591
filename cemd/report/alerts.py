"""Staff alerts: one row per route, channel and incident holds what was last told and what should be told now.

The contract: if a firing was sent, its resolve will be sent, through reload, silence and kill -9. Never told and clear
again: nothing is said. A firing counts as told from the moment it is handed to the edge, until the edge says for sure
that it did not leave. At least once: what was in flight at a start is due again. Shares no policy with customers.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

from msgspec.structs import replace

from cemd.config.channels import Channel, Route
from cemd.config.topology import Topology
from cemd.model.effect import Effects
from cemd.model.entry import AlertOutcome
from cemd.model.identity import Instant
from cemd.model.incident import Incident, IncidentState
from cemd.model.notice import Alert, AlertState
from cemd.model.quality import Quality
from cemd.model.rows import Rows
from cemd.report.quiet import zone_or

FIRST_RETRY_SECONDS = 5.0
LONGEST_RETRY_SECONDS = 900.0
KEPT_SECONDS = 604_800.0
REFRESH_SECONDS = 60.0
"""How often an Alertmanager is told again: it forgets an alert that is not repeated before its end."""

OVER = (IncidentState.RESOLVED, IncidentState.CLOSED, IncidentState.CANCELLED, IncidentState.REJECTED)
_WORDS = {quality: str(quality).replace("_", " ") for quality in Quality}
GONE = "channel {name!r} is no longer configured; its resolve cannot be told."


def alert_id(route: Route, incident: Incident) -> str:
    return f"{route.name}/{route.channel}/{incident.id}"


def is_wanted(route: Route, incident: Incident, topology: Topology) -> bool:
    """True when this route is to hear of the incident as it is now."""
    if incident.state in OVER or incident.planned or incident.quality not in route.qualities:
        return False
    touched = {incident.subject.name, incident.cause.service, *incident.impact.services}
    if route.services and touched.isdisjoint(route.services):
        return False
    owners = {topology.journeys[name].owner for name in incident.impact.journeys if name in topology.journeys}
    return not route.owners or not owners.isdisjoint(route.owners)


def unheard(alerts: Rows[Alert], incidents: Iterable[Incident], topology: Topology) -> dict[str, str]:
    """Why no staff was told of an incident and none is about to be, as a sentence by its id."""
    spoken_of = {row.incident for row in alerts}
    routes = topology.configuration.routes
    return {one.id: _why_unheard(one, routes) for one in incidents if one.id not in spoken_of}


def _why_unheard(incident: Incident, routes: Sequence[Route]) -> str:
    if not routes:
        return "config/channels.yaml has no route, so staff hear of nothing"
    if incident.state in OVER:
        return f"it ended before staff were told, or more than {KEPT_SECONDS / 86_400:.0f} days ago"
    if incident.planned:
        return "it is announced work"
    if not any(incident.quality in route.qualities for route in routes):
        return f"no route is told of what is {_WORDS[incident.quality]}"
    return "no route asks for these services, or for journeys of these owners"


def consider(alerts: Rows[Alert], incident: Incident, topology: Topology, at: Instant) -> None:
    """Brings the rows of every route in line with the incident."""
    for route in topology.configuration.routes:
        row = alerts.get(alert_id(route, incident))
        wanted = is_wanted(route, incident, topology)
        if wanted:
            fire(alerts, _fresh(route, incident, topology, at), at)
        elif row is not None and row.firing:
            ended = replace(row, summary=end_of(incident, topology), annotations=annotations_of(incident, topology))
            stop(alerts, ended, at)


def reload(alerts: Rows[Alert], incidents: Sequence[Incident], topology: Topology, at: Instant) -> None:
    """A configuration took effect: new routes hear of what is on, removed ones are told that it ended for them, and
    what could not be told is tried at once, for its channel may be mended."""
    routes = {(route.name, route.channel) for route in topology.configuration.routes}
    for row in alerts:
        if row.failure and row.state in (AlertState.DUE, AlertState.FAILED):
            row = replace(row, state=AlertState.DUE, due_at=at, attempts=0)
            alerts.put(row.id, row)
        if row.firing and (row.route, row.channel) not in routes:
            stop(alerts, replace(row, summary=f"{row.summary}; no longer told through route {row.route}"), at)
    for incident in incidents:
        consider(alerts, incident, topology, at)


def restart(alerts: Rows[Alert], at: Instant) -> None:
    """What was in flight may have arrived or not: it is due again."""
    for row in alerts:
        if row.state is AlertState.IN_FLIGHT:
            maybe = row.revision if row.told_firing else row.told_revision
            alerts.put(row.id, replace(row, state=AlertState.DUE, due_at=at, told_revision=maybe))


def settle(alerts: Rows[Alert], outcome: AlertOutcome, at: Instant) -> None:
    """Takes what the edge says of one attempt; an answer to an attempt that nobody waits for changes nothing."""
    row = alerts.get(outcome.alert)
    if row is None or row.state is not AlertState.IN_FLIGHT:
        return
    current = row.revision == outcome.revision
    if outcome.sent:
        done = replace(row, told_revision=outcome.revision, told_at=at, attempts=0, failure="")
        if current:
            alerts.put(row.id, replace(done, state=AlertState.SENT, told_firing=row.firing))
        else:
            alerts.put(row.id, replace(done, state=AlertState.DUE, due_at=at))
        return
    maybe = max(outcome.revision, row.told_revision) if outcome.unknown else row.told_revision
    failed = replace(row, failure=outcome.reason, told_revision=maybe, told_firing=row.told_firing and maybe >= 0)
    if not failed.firing and not failed.told_firing:
        alerts.delete(row.id)
    elif outcome.permanent and current:  # until somebody mends the far end, which no entry tells
        alerts.put(row.id, replace(failed, state=AlertState.FAILED, due_at=at + LONGEST_RETRY_SECONDS))
    else:
        wait = min(FIRST_RETRY_SECONDS * 2.0 ** min(row.attempts - 1, 20), LONGEST_RETRY_SECONDS) if current else 0.0
        alerts.put(row.id, replace(failed, state=AlertState.DUE, due_at=at + wait))


def release(alerts: Rows[Alert], topology: Topology, at: Instant, effects: Effects) -> None:
    """Hands everything that is due to the edge, as rows in flight."""
    channels = {channel.name: channel for channel in topology.configuration.channels}
    routes = {(route.name, route.channel): route for route in topology.configuration.routes}
    for row in alerts:
        channel = channels.get(row.channel)
        if row.state is AlertState.SENT:
            row = _repeated(row, routes.get((row.route, row.channel)), channel, at)
        if row.state is AlertState.SENT and not row.firing and at - (row.told_at or at) > KEPT_SECONDS:
            alerts.delete(row.id)
        if row.state not in (AlertState.DUE, AlertState.FAILED) or row.due_at > at:
            continue
        if channel is None:
            if row.state is AlertState.DUE:
                alerts.put(row.id, replace(row, state=AlertState.FAILED, failure=GONE.format(name=row.channel)))
            continue
        ends_at = at + 5 * refresh_seconds(channel) if row.firing else row.ends_at
        sent = replace(
            row, state=AlertState.IN_FLIGHT, attempts=row.attempts + 1, told_firing=row.told_firing or row.firing,
            ends_at=ends_at,
        )  # fmt: skip
        alerts.put(row.id, sent)
        effects.alerts.append(sent)


def refresh_seconds(channel: Channel) -> float:
    given = channel.params.get("refresh_seconds")
    return float(given) if isinstance(given, int | float) else REFRESH_SECONDS


def _repeated(row: Alert, route: Route | None, channel: Channel | None, at: Instant) -> Alert:
    if route is None or channel is None or not row.firing or row.told_at is None:
        return row
    every = route.repeat_seconds
    if channel.kind == "alertmanager":
        every = min(every, refresh_seconds(channel))
    return replace(row, state=AlertState.DUE, due_at=at) if row.told_at + every <= at else row


def _fresh(route: Route, incident: Incident, topology: Topology, at: Instant) -> Alert:
    return Alert(
        id=alert_id(route, incident),
        trace=incident.trace,
        route=route.name,
        channel=route.channel,
        incident=incident.id,
        firing=True,
        due_at=at,
        summary=summary_of(incident, topology),
        labels=labels_of(route, incident),
        annotations=annotations_of(incident, topology),
        starts_at=incident.first_hurt_at or incident.opened_at,
    )


def fire(alerts: Rows[Alert], fresh: Alert, at: Instant) -> None:
    """What a route is to be told now; what it was told already is not told again before its time."""
    row = alerts.get(fresh.id)
    if row is None:
        alerts.put(fresh.id, fresh)
        return
    said = (row.firing, row.summary, row.labels)
    kept = replace(row, annotations=fresh.annotations)
    if said == (True, fresh.summary, fresh.labels):
        alerts.put(row.id, kept)
        return
    alerts.put(row.id, _changed(replace(kept, firing=True, summary=fresh.summary, labels=fresh.labels), at))


def stop(alerts: Rows[Alert], row: Alert, at: Instant) -> None:
    """A route is to be told that it is over, if it was told of it."""
    if row.state is not AlertState.IN_FLIGHT and not row.told_firing:
        alerts.delete(row.id)
    else:
        alerts.put(row.id, _changed(replace(row, firing=False, ends_at=at), at))


def _changed(row: Alert, at: Instant) -> Alert:
    if row.state is AlertState.IN_FLIGHT:
        return replace(row, revision=row.revision + 1)
    return replace(row, revision=row.revision + 1, state=AlertState.DUE, due_at=at, attempts=0)


def summary_of(incident: Incident, topology: Topology) -> str:
    """One line for people: what is how bad where, and why as far as it is known."""
    name, place, cause = _said(incident, topology)
    return f"{name} is {_WORDS[incident.quality]}{place}{cause}"


def end_of(incident: Incident, topology: Topology) -> str:
    """One line for people: what no longer is so, and why this route hears no more of it."""
    name, place, cause = _said(incident, topology)
    match incident.state:
        case IncidentState.RESOLVED | IncidentState.CLOSED:
            return f"{name} is well again{place}{cause}"
        case IncidentState.CANCELLED | IncidentState.REJECTED:
            return f"{name}{place}: the incident was {incident.state}{cause}"
        case _ if incident.planned:
            return f"{name}{place}: this is announced work{cause}"
        case _:
            return f"{name} is {_WORDS[incident.quality]}{place}, of which this route is not told{cause}"


def _said(incident: Incident, topology: Topology) -> tuple[str, str, str]:
    """(what, where, why) in the words of people: titles, not the names of the files."""
    subject, cause = incident.subject, incident.cause
    site = topology.sites.get(subject.site or "")
    place = f" at {(site.title if site else '') or subject.site}" if subject.site else ""
    why = f", cause {_title(cause.service, topology)} ({cause.confidence})" if cause.service else ""
    return _title(subject.name, topology), place, why


def _title(name: str, topology: Topology) -> str:
    service = topology.services.get(name)
    if service is None:  # a slip in a label of pushed data, most likely
        return f"{name} (not in the catalogue)"
    return service.title or name


def labels_of(route: Route, incident: Incident) -> dict[str, str]:
    """What names the alert; these stay as they are while it lasts, or an Alertmanager takes it for another one."""
    return {
        "alertname": "CemdIncident",
        "incident": incident.id,
        "service": incident.subject.name,
        "site": incident.subject.site,
        "route": route.name,
    }


def annotations_of(incident: Incident, topology: Topology) -> dict[str, str]:
    """What people want to know beside the line; a change of these alone is no news. Times are those of the operator."""
    well = incident.clear_since if incident.state in OVER else None
    return {
        "since": clock(incident.first_hurt_at or incident.opened_at, topology),
        "until": "" if well is None else clock(well, topology),
        "quality": str(incident.quality),
        "cause": incident.cause.service or "undetermined",
        "journeys": ", ".join(incident.impact.journeys),
        "customers": str(incident.impact.customers),
        "priority": str(incident.priority),
        "acknowledged_by": incident.acknowledged_by,
    }


def clock(at: Instant, topology: Topology) -> str:
    """An instant for people, in the operator's zone."""
    zone = zone_or(topology.configuration.settings.operator.zone, "")
    return f"{datetime.fromtimestamp(at, zone):%Y-%m-%d %H:%M:%S %Z}"
