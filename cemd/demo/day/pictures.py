"""Pictures of a day as SVG: truth and incidents on one time line, and bars by fault.

Pure functions. Colours are classes that the page's style gives in light and dark; everything that names something is
escaped.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any
from zoneinfo import ZoneInfo

from cemd.web.chart import nice_ticks, time_ticks

WIDTH, LEFT, RIGHT = 960, 110, 12
ROW, GAP, HEAD, FOOT = 14, 3, 10, 30
LEAST = 2.0
"""Width of the shortest bar: a moment must be seen too."""

Bar = tuple[float, float, str, str]
"""(from, to, class, words)."""


def time_line_picture(document: Mapping[str, Any], zone: ZoneInfo) -> str:
    """Faults, traps and incidents, each in as many rows as keep them apart."""
    since, until = document["begins_at"], document["ends_at"]
    false = {one["id"] for one in document["false_incidents"]}
    lanes = (
        ("faults", [_bar(one, "begins_at", "ends_at", "fault") for one in document["faults"]]),
        ("traps", [_bar(one, "begins_at", "ends_at", "trap") for one in document["traps"]]),
        (
            "incidents",
            [
                _bar(one, "opened_at", "over_at", "false" if one["id"] in false else "found")
                for one in document["incidents"]
            ],
        ),
    )
    parts: list[str] = []
    top = HEAD
    for name, bars_of in lanes:
        rows = _apart(bars_of)
        parts.append(f'<text x="4" y="{top + ROW - 3}" class="text">{name}</text>')
        for row in rows or [[]]:
            parts.extend(_drawn(bar, top, since, until) for bar in row)
            top += ROW + GAP
        parts.append(f'<line x1="0" x2="{WIDTH}" y1="{top}" y2="{top}" class="line"/>')
        top += 2 * GAP
    for at, words in time_ticks(since, until, zone):
        x = _x(at, since, until)
        parts.append(f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{HEAD}" y2="{top}" class="line"/>')
        parts.append(f'<text x="{x:.1f}" y="{top + 16}" text-anchor="middle" class="muted">{escape(words)}</text>')
    return _svg("Truth and incidents on one time line", top + FOOT, parts)


def bars(title: str, values: Sequence[tuple[str, float | None]], css: str) -> str:
    """One horizontal bar a name; none where the value is not known."""
    known = [value for _, value in values if value is not None]
    ticks = nice_ticks(0.0, max(known, default=1.0) or 1.0)
    left, top = 220, 24
    parts = [f'<text x="4" y="14" class="text">{escape(title)}</text>']
    for name, value in values:
        parts.append(f'<text x="4" y="{top + ROW - 3}" class="muted">{escape(name)}</text>')
        if value is not None:
            width = max(LEAST, value / ticks[-1] * (WIDTH - left - 60))
            parts.append(f'<rect x="{left}" y="{top}" width="{width:.1f}" height="{ROW}" class="{css}"/>')
            parts.append(f'<text x="{left + width + 4:.1f}" y="{top + ROW - 3}" class="text">{value:g}</text>')
        top += ROW + GAP
    return _svg(title, top + GAP, parts)


def _bar(one: Mapping[str, Any], begin: str, end: str, css: str) -> Bar:
    name = one.get("name") or f"{one['id']} {', '.join(one['services'])}"
    if one.get("fault"):
        name += f" (found {one['fault']})"
    return one[begin], one[end], css, f"{name} {one.get('site') or ''}".strip()


def _apart(lane: Sequence[Bar]) -> list[list[Bar]]:
    """The bars in rows, so that no two of a row overlap."""
    rows: list[list[Bar]] = []
    for bar in sorted(lane):
        free = next((row for row in rows if row[-1][1] < bar[0]), None)
        if free is None:
            rows.append([bar])
        else:
            free.append(bar)
    return rows


def _drawn(bar: Bar, top: float, since: float, until: float) -> str:
    begin, end, css, words = bar
    x = _x(begin, since, until)
    width = max(LEAST, _x(end, since, until) - x)
    place = f'x="{x:.1f}" y="{top}" width="{width:.1f}" height="{ROW}"'
    return f'<rect {place} class="{css}"><title>{escape(words)}</title></rect>'


def _x(at: float, since: float, until: float) -> float:
    share = min(max((at - since) / max(until - since, 1e-9), 0.0), 1.0)
    return LEFT + share * (WIDTH - LEFT - RIGHT)


def _svg(title: str, height: float, parts: Sequence[str]) -> str:
    box = f'viewBox="0 0 {WIDTH} {height:g}" role="img" aria-label="{escape(title)}"'
    font = 'font-family="system-ui, sans-serif" font-size="11"'
    return f'<svg xmlns="http://www.w3.org/2000/svg" {box} {font}>{"".join(parts)}</svg>'
