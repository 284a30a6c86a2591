"""A series as SVG: values as a line, the expected band behind it, failures as marks, time with its zone.

A pure function of its arguments. Colours are presentation attributes that the page's style sheet overrides, so the same
text is a picture of its own and follows light and dark inside the page. Everything that names something is escaped.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from html import escape
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from cemd.model.identity import Instant
from cemd.model.measurement import SUCCESS
from cemd.model.quality import Outcome

WIDTH, HEIGHT = 960, 300
LEFT, RIGHT, TOP, BOTTOM = 68, 16, 18, 40
TICK_WIDTH = 115  # a time with its date has room
MOST_MARKS = 200
LARGEST = 1e300  # beyond it, a scale cannot be computed; such values lie on the edge
NICE_SECONDS = (10, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400, 172800, 604800)


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """What to draw. `band` is float64[m, 4] (at, expected, low, high); the last row stands for now.

    `width` and `height` are in pixels of the place where it will stand, so that its words have the size of the page's.
    """

    title: str
    metric: str
    zone: ZoneInfo
    since: Instant
    until: Instant
    at: NDArray[np.float64]
    value: NDArray[np.float64]
    outcome: NDArray[np.uint8]
    band: NDArray[np.float64] = field(default_factory=lambda: np.zeros((0, 4)))
    threshold: float | None = None
    """An objective, in the unit of the series; of successes, the share of attempts that must be one."""
    shaded_from: Instant | None = None
    shaded_until: Instant | None = None
    width: int = WIDTH
    height: int = HEIGHT


def scale_of(metric: str, largest: float) -> tuple[float, str]:
    """Factor and unit that people read: seconds below one become milliseconds, ratios and success per cent."""
    if metric.endswith("_seconds"):
        return (1000.0, "ms") if largest < 1 else (1.0, "s")
    if metric.endswith("_ratio") or metric == SUCCESS:
        return 100.0, "%"
    if metric.endswith("_bytes"):
        return 1.0, "bytes"
    return 1.0, ""


def nice_ticks(low: float, high: float, count: int = 5) -> list[float]:
    """Round numbers that span low..high: steps of 1, 2 or 5 times a power of ten."""
    span = max((high - low) or abs(high) or 1.0, 1e-12)
    rough = span / count
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rough * 0.999)
    first = math.floor(low / step + 1e-9)
    last = math.ceil(high / step - 1e-9)
    return [float(f"{step * number:.12g}") for number in range(first, max(last, first + 1) + 1)]


def time_ticks(since: Instant, until: Instant, zone: ZoneInfo, most: int = 8) -> list[tuple[Instant, str]]:
    """Instants at round local times, with their words; a new day also names its date."""
    step = next((step for step in NICE_SECONDS if (until - since) / step <= most), NICE_SECONDS[-1])
    offset = datetime.fromtimestamp(since, zone).utcoffset()
    shift = offset.total_seconds() if offset else 0.0
    first = math.ceil((since + shift) / step) * step - shift
    ticks, day = [], ""
    for number in range(int((until - first) // step) + 1):
        at = first + number * step
        local = datetime.fromtimestamp(at, zone)
        words = local.strftime("%H:%M:%S" if step < 60 else "%H:%M")
        today = local.strftime("%-d %b")
        ticks.append((at, f"{today} {words}" if day and today != day else words))
        day = today
    return ticks


class _Frame:
    """Maps instants and values to the picture."""

    def __init__(self, chart: Chart) -> None:
        values = [chart.value, chart.band[:, 2], chart.band[:, 3]]
        if chart.threshold is not None:
            values.append(np.array([chart.threshold]))
        every = np.concatenate(values) if values else np.zeros(0)
        every = every[np.abs(every) < LARGEST]
        low, high = (float(every.min()), float(every.max())) if len(every) else (0.0, 1.0)
        self.factor, self.unit = scale_of(chart.metric, max(abs(low), abs(high)))
        if low >= 0 and low < 0.6 * high:
            low = 0.0
        elif high == low:
            low, high = low - (abs(low) or 1.0) * 0.1, high + (abs(high) or 1.0) * 0.1
        self.ticks = nice_ticks(low * self.factor, high * self.factor, max(2, chart.height // 60))
        self.low, self.high = self.ticks[0], self.ticks[-1]
        self.right, self.foot = chart.width - RIGHT, chart.height - BOTTOM
        self.since, self.seconds = chart.since, max(chart.until - chart.since, 1e-9)

    def x(self, at: float) -> float:
        share = min(max((at - self.since) / self.seconds, 0.0), 1.0)
        return LEFT + share * (self.right - LEFT)

    def y(self, value: float) -> float:
        share = (value * self.factor - self.low) / (self.high - self.low)
        return self.foot - min(max(share, 0.0), 1.0) * (self.foot - TOP)


def draw(chart: Chart) -> str:
    """The chart as one SVG element."""
    frame = _Frame(chart)
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {chart.width} {chart.height}" class="chart" role="img" '
        f'aria-label="{escape(describe(chart))}" font-family="system-ui, sans-serif" font-size="12">'
    )
    parts = [
        head,
        *_shade(chart, frame),
        *_grid(chart, frame),
        *_band(chart, frame),
        *_threshold(chart, frame),
        *_line(chart, frame),
        *_failures(chart, frame),
    ]
    if not len(chart.at):
        parts.append(
            _text((LEFT + frame.right) / 2, chart.height / 2, "no samples in this span", "middle", "chart-empty")
        )
    return "".join([*parts, "</svg>"])


def describe(chart: Chart) -> str:
    """The chart in one sentence, for those who do not see it."""
    finite = chart.value[np.isfinite(chart.value)]
    if not len(finite):
        return f"{chart.title}: no values in this span."
    factor, unit = scale_of(chart.metric, float(np.abs(finite).max()))
    low, high, last = (f"{value * factor:.4g} {unit}".strip() for value in (finite.min(), finite.max(), finite[-1]))
    return f"{chart.title}: {len(chart.at)} samples between {low} and {high}, last {last}."


def _text(x: float, y: float, words: str, anchor: str, kind: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="#5b6470" class="{kind}">{escape(words)}</text>'


def _grid(chart: Chart, frame: _Frame) -> Iterable[str]:
    for tick in frame.ticks:
        y = frame.y(tick / frame.factor)
        yield f'<path d="M{LEFT} {y:.1f}H{frame.right}" stroke="#8884" stroke-width="1" class="chart-grid"/>'
        words = f"{tick:.6g}" + (f" {frame.unit}" if frame.unit else "")
        yield _text(LEFT - 8, y + 4, words, "end", "chart-label")
    for at, words in time_ticks(chart.since, chart.until, chart.zone, max(2, (frame.right - LEFT) // TICK_WIDTH)):
        x = frame.x(at)
        yield f'<path d="M{x:.1f} {frame.foot}v5" stroke="#8888" stroke-width="1" class="chart-tick"/>'
        if x > LEFT + 12:
            yield _text(x, frame.foot + 18, words, "middle" if x < chart.width - 40 else "end", "chart-label")
    end = datetime.fromtimestamp(chart.until, chart.zone)
    zone = f"{end:%-d %b %Y}, {end:%Z} (UTC{end.isoformat()[-6:]})"
    yield _text(frame.right, chart.height - 5, zone, "end", "chart-label chart-zone")


def _shade(chart: Chart, frame: _Frame) -> Iterable[str]:
    if chart.shaded_from is None:
        return
    left, right = frame.x(chart.shaded_from), frame.x(chart.shaded_until or chart.until)
    yield (
        f'<rect x="{left:.1f}" y="{TOP}" width="{max(right - left, 2):.1f}" height="{frame.foot - TOP}" '
        'fill="#c33" fill-opacity="0.08" class="chart-shade"/>'
    )


def _band(chart: Chart, frame: _Frame) -> Iterable[str]:
    """What was recorded is drawn where it was; before that, the band as of the first record, fainter."""
    rows = chart.band[np.isfinite(chart.band[:, 1:]).all(axis=1)]
    if not len(rows):
        return
    first, last = rows[0], rows[-1]
    if first[0] > chart.since:
        yield _area(
            [(chart.since, first[2], first[3]), (first[0], first[2], first[3])], frame, "chart-band-before", 0.10
        )
    points = [(float(at), float(low), float(high)) for at, _, low, high in rows]
    yield _area([*points, (chart.until, float(last[2]), float(last[3]))], frame, "chart-band", 0.20)
    usual = [
        (chart.since, float(first[1])),
        *((float(at), float(value)) for at, value, _, _ in rows),
        (chart.until, float(last[1])),
    ]
    path = "L".join(f"{frame.x(at):.1f} {frame.y(value):.1f}" for at, value in usual)
    yield _stroke(f"M{path}", "chart-usual", "#2f6fb0", 'stroke-opacity="0.6" stroke-dasharray="2 4"')


def _area(rows: Sequence[tuple[float, float, float]], frame: _Frame, kind: str, opacity: float) -> str:
    upper = [f"{frame.x(at):.1f} {frame.y(high):.1f}" for at, _, high in rows]
    lower = [f"{frame.x(at):.1f} {frame.y(low):.1f}" for at, low, _ in reversed(rows)]
    return f'<path d="M{"L".join([*upper, *lower])}Z" fill="#2f6fb0" fill-opacity="{opacity}" class="{kind}"/>'


def _stroke(path: str, kind: str, colour: str, more: str) -> str:
    return f'<path d="{path}" fill="none" stroke="{colour}" {more} class="{kind}"/>'


def _threshold(chart: Chart, frame: _Frame) -> Iterable[str]:
    if chart.threshold is None:
        return
    y = frame.y(chart.threshold)
    yield f'<path d="M{LEFT} {y:.1f}H{frame.right}" stroke="#b3261e" stroke-dasharray="6 4" class="chart-threshold"/>'
    words = f"objective {chart.threshold * frame.factor:.4g} {frame.unit}".strip()
    if chart.metric == SUCCESS:  # a share is no value of one attempt
        words += " of the attempts"
    below = y - TOP < 30  # what is good lies there, at the upper edge
    yield _text(LEFT + 6, y + 14 if below else y - 5, words, "start", "chart-label chart-threshold-label")


def _line(chart: Chart, frame: _Frame) -> Iterable[str]:
    """A line that breaks where values are missing or where the gap is far beyond the usual one."""
    good = np.isfinite(chart.value)
    if not good.any():
        return
    gaps = np.diff(chart.at)
    usual = float(np.median(gaps)) if len(gaps) else 0.0
    path, pen = [], False
    before = -np.inf
    for at, value, ok in zip(chart.at.tolist(), chart.value.tolist(), good.tolist(), strict=True):
        if not ok:
            pen = False
            continue
        joined = pen and at - before <= 4 * usual + 1
        path.append(f"{'L' if joined else 'M'}{frame.x(at):.1f} {frame.y(value):.1f}")
        pen, before = True, at
    round_pen = 'stroke-width="1.75" stroke-linejoin="round" stroke-linecap="round"'
    yield _stroke("".join(path), "chart-line", "#1f5fa8", round_pen)
    at, value = float(chart.at[good][-1]), float(chart.value[good][-1])
    yield f'<circle cx="{frame.x(at):.1f}" cy="{frame.y(value):.1f}" r="3.5" fill="#1f5fa8" class="chart-last"/>'


def _failures(chart: Chart, frame: _Frame) -> Iterable[str]:
    """A triangle at the foot for a failed or timed-out attempt, a small ring where we could not look."""
    bad = np.flatnonzero(chart.outcome != Outcome.OK)
    for place in bad[:: max(1, len(bad) // MOST_MARKS)].tolist():
        x, y = frame.x(float(chart.at[place])), frame.foot
        if chart.outcome[place] == Outcome.BLIND:
            yield f'<circle cx="{x:.1f}" cy="{y - 5}" r="3" fill="none" stroke="#5b6470" class="chart-blind"/>'
        else:
            yield f'<path d="M{x:.1f} {y - 9}l4.5 8h-9z" fill="#b3261e" class="chart-failed"/>'


def thinned(at: NDArray[np.float64], value: NDArray[np.float64], most: int) -> NDArray[np.intp]:
    """Places to keep so that at most `most` remain: of each stretch the lowest and the highest, in order."""
    if len(at) <= most:
        return np.arange(len(at))
    keep: list[int] = []
    for part in np.array_split(np.arange(len(at)), max(most // 2, 1)):
        values = value[part]
        if np.isfinite(values).any():
            keep += sorted({int(part[int(np.nanargmin(values))]), int(part[int(np.nanargmax(values))])})
        else:
            keep.append(int(part[0]))
    return np.array(keep)
