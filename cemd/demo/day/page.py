"""The report page of a day: one HTML file with its pictures inside, made from the scorecard alone.

Truth and incidents stand on one time line; below it how soon each fault was found and how long before their first
contact its customers were told; then what was missed and what was false, with its evidence. Nothing is loaded from
elsewhere.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from html import escape
from typing import Any
from zoneinfo import ZoneInfo

from cemd.demo.day.pictures import bars, time_line_picture
from cemd.model.identity import Instant

STYLE = """
:root { color-scheme: light dark; --page: #f3f5f8; --card: #ffffff; --line: #dce2e9; --text: #16202c; --muted: #566273;
  --accent: #1f5fa8; --healthy: #1b7a4d; --at_risk: #8a5a00; --down: #b3202c; --unknown: #5a6675; }
@media (prefers-color-scheme: dark) { :root { --page: #0e1319; --card: #161d25; --line: #29333f; --text: #e5ebf2;
  --muted: #9aa8b8; --accent: #7db4ee; --healthy: #57bd88; --at_risk: #e3b341; --down: #ff7470; --unknown: #98a5b3; } }
body { margin: 0 auto; max-width: 70rem; padding: 1rem; background: var(--page); color: var(--text);
  font: 16px/1.5 system-ui, sans-serif; }
section { background: var(--card); border: 1px solid var(--line); border-radius: 8px; padding: 1rem; margin: 1rem 0; }
.wide { overflow-x: auto; } svg { width: 100%; height: auto; min-width: 40rem; }
svg .text { fill: var(--text); } svg .muted { fill: var(--muted); } svg .line { stroke: var(--line); }
svg .fault { fill: var(--down); } svg .trap { fill: var(--unknown); } svg .found { fill: var(--accent); }
svg .false { fill: var(--at_risk); } svg .good { fill: var(--healthy); }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; padding: .3rem .6rem; border-bottom: 1px solid var(--line); vertical-align: top; }
td.number, th.number { text-align: right; font-variant-numeric: tabular-nums; } .muted { color: var(--muted); }
.bad { color: var(--down); font-weight: 600; }
"""

FIGURES = (
    ("faults", "faults that hurt somebody"),
    ("found", "of these found"),
    ("delay_seconds.median", "median seconds from the first hurt to the incident"),
    ("false_incidents", "false incidents"),
    ("incident_weeks", "weeks watched"),
    ("cause_right", "share of named causes that are right"),
    ("told_before_contact_reachable", "share of the reachable told before their first contact"),
    ("told_before_contact_oracle", "the same for an oracle"),
    ("lead_time_seconds", "median seconds from being told to contact or end"),
    ("false_notices", "customers told wrongly"),
    ("told_twice", "told twice"),
    ("never_ended", "told, and never told of the end"),
    ("promises_broken", "promises broken"),
)


def report_page(document: Mapping[str, Any]) -> str:
    """The page as one text."""
    zone = ZoneInfo(document["zone"])
    title = f"{document['scenario']}, seed {document['seed']}"
    sections = [
        _card("At a glance", _figures(document["total"])),
        _card("Truth and incidents", f'<div class="wide">{time_line_picture(document, zone)}</div>'),
        _card("How soon", _soon(document)),
        _card("Missed", _missed(document, zone)),
        _card("False incidents", _false(document, zone)),
        _card("Faults", _faults(document, zone)),
    ]
    if document["broken"]:
        sections.append(_card("Promises broken", _list(document["broken"])))
    about = (
        f"{document['days']:g} days, {document['customers']} customers, {document['probes']} probes; "
        f"times in {escape(document['zone'])}"
    )
    head = (
        f'<meta charset="utf-8"><title>{escape(title)}</title>'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><style>{STYLE}</style>'
    )
    heading = f'<h1>The operator\'s day: {escape(title)}</h1><p class="muted">{about}</p>'
    body = f"{heading}{''.join(sections)}"
    return f'<!doctype html>\n<html lang="en"><head>{head}</head><body>{body}</body></html>\n'


def _card(title: str, body: str) -> str:
    return f"<section><h2>{escape(title)}</h2>{body}</section>"


def _list(items: Sequence[str]) -> str:
    return "<ul>" + "".join(f"<li>{escape(one)}</li>" for one in items) + "</ul>"


def _figures(total: Mapping[str, Any]) -> str:
    rows = []
    for name, words in FIGURES:
        mine, other = _at(total, name), _at(total["baseline"], name)
        cells = "".join(f'<td class="number">{_said(one)}</td>' for one in (mine, other))
        rows.append(f"<tr><td>{escape(words)}</td>{cells}</tr>")
    head = '<tr><th>figure</th><th class="number">cemd</th><th class="number">static thresholds</th></tr>'
    return f'<div class="wide"><table>{head}{"".join(rows)}</table></div>'


def _at(total: Mapping[str, Any], name: str) -> Any:
    part: Any = total
    for key in name.split("."):
        part = part.get(key) if isinstance(part, Mapping) else None
    return part


def _soon(document: Mapping[str, Any]) -> str:
    hurting = [one for one in document["faults"] if one["customers_hurt"]]
    delays = [(one["name"], one["first_hurt_to_incident_seconds"]) for one in hurting]
    leads = [(one["name"], one["lead_time_seconds"]) for one in hurting]
    return (
        '<div class="wide">'
        + bars("seconds from the first hurt to the incident", delays, "found")
        + bars("median seconds between being told and contact, or the end", leads, "good")
        + "</div>"
    )


def _missed(document: Mapping[str, Any], zone: ZoneInfo) -> str:
    missed = [one for one in document["faults"] if one["customers_hurt"] and not one["found"]]
    if not missed:
        return "<p>Nothing that hurt anybody was missed.</p>"
    return _list(
        [
            f"{one['name']} ({one['class']}, {one['service']}{' at ' + one['site'] if one['site'] else ''}) from "
            f"{_time(one['begins_at'], zone)} to {_time(one['ends_at'], zone)} hurt {one['customers_hurt']} customers."
            for one in missed
        ]
    )


def _false(document: Mapping[str, Any], zone: ZoneInfo) -> str:
    if not document["false_incidents"]:
        return "<p>None.</p>"
    parts = []
    for one in document["false_incidents"]:
        near = [
            trap["name"]
            for trap in document["traps"]
            if trap["begins_at"] - 900 <= one["opened_at"] <= trap["ends_at"] + 900
        ]
        near += [
            fault["name"]
            for fault in document["faults"]
            if fault["begins_at"] - 900 <= one["opened_at"] <= fault["ends_at"] + 900
        ]
        words = f"{one['id']}, {_time(one['opened_at'], zone)}: {', '.join(one['services'])}"
        words += f" at {', '.join(one['sites'])}" if one["sites"] else ""
        words += f"; meanwhile: {', '.join(near)}" if near else "; nothing was going on"
        parts.append(f"<h3>{escape(words)}</h3>{_list(one['evidence'])}")
    return "".join(parts)


def _faults(document: Mapping[str, Any], zone: ZoneInfo) -> str:
    head = (
        "<tr><th>fault</th><th>class</th><th>from</th><th>service</th>"
        '<th class="number">found after</th><th>cause named</th><th class="number">hurt</th>'
        '<th class="number">told</th><th class="number">before contact</th><th class="number">wrongly</th></tr>'
    )
    rows = []
    for one in document["faults"]:
        cause = escape(one["cause_named"] or "undetermined") if one["found"] else ""
        wrong = one["cause_right"] is False
        delay = _said(one["first_hurt_to_incident_seconds"]) if one["found"] else '<span class="bad">missed</span>'
        place = f"{one['service']} at {one['site']}" if one["site"] else one["service"]
        figures = (one[key] for key in ("customers_hurt", "told", "told_before_first_contact", "told_wrongly"))
        counts = "".join(f'<td class="number">{figure}</td>' for figure in figures)
        rows.append(
            f"<tr><td>{escape(one['name'])}</td><td>{escape(one['class'])}</td><td>{_time(one['begins_at'], zone)}</td>"
            f'<td>{escape(place)}</td><td class="number">{delay}</td>'
            f"<td{' class=bad' if wrong else ''}>{cause}</td>"
            f"{counts}</tr>"
        )
    return f'<div class="wide"><table>{head}{"".join(rows)}</table></div>'


def _time(at: Instant, zone: ZoneInfo) -> str:
    return f"{datetime.fromtimestamp(at, zone):%-d %b %H:%M}"


def _said(value: Any) -> str:
    return "–" if value is None else f"{value:g}" if isinstance(value, int | float) else escape(str(value))
