"""Feeds that are not heard: `unknown`, never down."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cemd.analyze.bank.bank import Bank
from cemd.analyze.findings import Moment, OpenFindings, Said
from cemd.analyze.series import SeriesTable
from cemd.config.rules import Detector
from cemd.model.finding import Condition, Evidence, Finding
from cemd.model.identity import Instant, SeriesId
from cemd.model.quality import Quality


def silent_series(
    bank: Bank, table: SeriesTable, at: Instant, detector: Detector, awake_at: Instant
) -> NDArray[np.bool_]:
    """Which series were heard once and are heard no more, bool[all]; silence is counted from `awake_at` at the
    earliest."""
    last_at = bank.columns["last_at"]
    patience = bank.silent_after(detector, table.columns["every_seconds"])
    counts = table.columns["placed"] & np.isfinite(last_at)
    return np.asarray(counts & (at - np.maximum(last_at, awake_at) > patience))


def silence_findings(
    held: OpenFindings,
    bank: Bank,
    table: SeriesTable,
    moment: Moment,
    detector: Detector,
    silent: NDArray[np.bool_],
) -> list[Finding]:
    """Feeds that fell silent (all series that were ever heard), and those that speak again."""
    last_at = bank.columns["last_at"]
    counts = table.columns["placed"] & np.isfinite(last_at)
    open_keys = held.keys(Condition.SILENCE)
    if not open_keys and not silent.any():
        return []
    feeds = len(table.feed_rows)
    heard = np.bincount(table.columns["feed"][counts], minlength=feeds)
    quiet = (np.bincount(table.columns["feed"][silent], minlength=feeds) == heard) & (heard > 0)
    feed_of = table.columns["feed"]
    patience = bank.silent_after(detector, table.columns["every_seconds"])
    said = [
        held.end(Condition.SILENCE, key, moment)
        for key in open_keys
        if not quiet[feed_of[table.row(SeriesId(int(key)))]]
    ]
    already = dict.fromkeys(open_keys)
    for feed in np.flatnonzero(quiet).tolist():
        row = table.feed_rows[feed]
        key, place = str(table.series[row].id), table.places[row]
        if key in already or place is None:
            continue
        since = float(last_at[table.columns["feed"] == feed].max())
        series = table.series[row]
        seen_from = f" from {series.key.vantage}" if series.source.startswith("prober:") else ""
        lasted = f"no sample{seen_from} for {moment.at - since:.0f} s"
        note = f"{lasted}; after {float(patience[row]):.0f} s this counts as silence"
        evidence = Evidence(series=(table.series[row].id,), since=since, until=moment.at, note=note)
        said.append(held.begin(Condition.SILENCE, key, Said.of_place(place, "", Quality.UNKNOWN, evidence), moment))
    return said
