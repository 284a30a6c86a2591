"""Probes as the series show them: who measures what, when it was last heard, and how its last attempt ended."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from cemd.model.measurement import SUCCESS, Attempt
from cemd.web import documents, shapes_measured
from cemd.web.asked import Page
from cemd.web.house import RunAsked
from cemd.web.present import Presenter, known, moment, moment_or_none, outcome_word


def probes_of(present: Presenter, page: Page) -> tuple[int, tuple[shapes_measured.Probe, ...]]:
    """How many probes fit the words of the page, and those on it, by name; only these are made."""
    rows_of: dict[str, list[int]] = defaultdict(list)
    for row, one in enumerate(present.views.series.series):
        rows_of[one.key.probe].append(row)
    words = page.q.lower().split()
    fitting = [name for name in sorted(rows_of) if all(word in name.lower() for word in words)]
    shown = fitting[page.offset : page.offset + page.limit]
    return len(fitting), tuple(_probe(present, name, rows_of[name]) for name in shown)


def probe_of(
    present: Presenter, name: str, failures: Sequence[Attempt], asked: Sequence[RunAsked]
) -> documents.ProbeDoc:
    """One probe, how its attempts failed, and which runs people asked for."""
    rows = [row for row, one in enumerate(present.views.series.series) if one.key.probe == name]
    told = tuple(
        shapes_measured.Attempt(
            at=moment(one.at, present.zone),
            vantage=one.vantage,
            seconds=one.seconds,
            outcome=one.outcome,
            reason=one.reason,
            detail=one.detail,
            values={metric: known(value) for metric, value in one.values.items()},
        )
        for one in failures
    )
    runs = tuple(
        shapes_measured.RunAsked(at=moment(run.at, present.zone), actor=run.actor, note=run.note, reason=run.reason)
        for run in asked
    )
    return documents.ProbeDoc(**present.stamp(), probe=_probe(present, name, rows), failures=told, asked=runs)


def _probe(present: Presenter, name: str, rows: list[int]) -> shapes_measured.Probe:
    columns = present.views.series
    series = [columns.series[row] for row in rows]
    heard = columns.last_at[rows]
    last = rows[int(np.nanargmax(heard))] if np.isfinite(heard).any() else None
    success = [columns.value[row] for row, one in zip(rows, series, strict=True) if one.key.metric == SUCCESS]
    values = np.array([value for value in success if np.isfinite(value)], np.float64)
    return shapes_measured.Probe(
        name=name,
        sources=tuple(sorted({one.source for one in series})),
        metrics=tuple(sorted({one.key.metric for one in series})),
        series=len(rows),
        last_at=moment_or_none(float(columns.last_at[last]), present.zone) if last is not None else None,
        success=known(float(values.mean())) if len(values) else None,
        outcome=outcome_word(int(columns.outcome[last])) if last is not None else "unknown",
    )
