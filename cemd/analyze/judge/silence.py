"""Who is not heard: a vantage point as a whole, or one feed while whoever measures it talks. `unknown`, never down.

A vantage point that is not heard is one finding about itself, a matter of operations. Its feeds are not: of a probe's
feed it is asked whether the vantage point measured anything long after it should have measured this; of one that is
pushed, whether it is late by the clock.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cemd.analyze.bank.bank import Bank
from cemd.analyze.findings import Moment, OpenFindings, Said
from cemd.analyze.series import SeriesTable
from cemd.analyze.vantages import Vantages, silent_since
from cemd.config.rules import Detector
from cemd.kit.words import counted
from cemd.model.finding import Condition, Evidence, Finding
from cemd.model.identity import Instant, SeriesId
from cemd.model.quality import Quality
from cemd.model.subject import Subject, SubjectKind

MOST_NAMED = 5
"""Services that a finding names; the others are counted."""


def silent_series(
    bank: Bank, table: SeriesTable, at: Instant, detector: Detector, awake_at: Instant
) -> NDArray[np.bool_]:
    """Which series were heard once and are heard no more, bool[all]; silence is counted from `awake_at` at the
    earliest."""
    last_at = bank.columns["last_at"]
    patience = bank.silent_after(detector, table.columns["every_seconds"])
    counts = table.columns["placed"] & np.isfinite(last_at)
    return np.asarray(counts & (at - np.maximum(last_at, awake_at) > patience))


def vantage_findings(
    held: OpenFindings, vantages: Vantages, moment: Moment, detector: Detector, awake_at: Instant
) -> list[Finding]:
    """Vantage points that are not heard any more, or never were, and those that are heard again. That the daemon was
    away itself begins no silence, and ends none."""
    said = []
    already = dict.fromkeys(name for key in held.keys(Condition.SILENCE) if (name := vantage_of(key)))
    for name in already:
        if name not in vantages:
            said.append(held.retire(Condition.SILENCE, key_of_vantage(name), moment))
        elif not vantages.is_silent(name, moment.at, detector):
            said.append(held.end(Condition.SILENCE, key_of_vantage(name), moment))
    for name in vantages:
        if name not in already and vantages.is_silent(name, moment.at, detector, awake_at=awake_at):
            found = _of_vantage(vantages, name, moment, detector)
            said.append(held.begin(Condition.SILENCE, key_of_vantage(name), found, moment))
    return said


def key_of_vantage(name: str) -> str:
    """Key of a vantage point's finding; those of feeds are numbers."""
    return f"{SubjectKind.VANTAGE}\x1f{name}"


def vantage_of(key: str) -> str:
    """The vantage point of a key, "" where it is a feed's."""
    kind, _, name = key.partition("\x1f")
    return name if kind == SubjectKind.VANTAGE else ""


def _of_vantage(vantages: Vantages, name: str, moment: Moment, detector: Detector) -> Said:
    heard, post = vantages.heard(name), vantages.post(name)
    what = "nothing ever came from it" if heard.heard_at is None else "nothing comes from it any more"
    named = ", ".join(post.services[:MOST_NAMED])
    more = f" and {counted(len(post.services) - MOST_NAMED, 'other')}" if len(post.services) > MOST_NAMED else ""
    asked = f"it is to run {counted(post.probes, 'probe')}, of {named}{more}"
    note = f"{what}, though {asked}; after {vantages.patience(name, detector):.0f} s this counts as silence"
    evidence = Evidence(blind=(name,), since=silent_since(heard), until=moment.at, note=note)
    return Said(quality=Quality.UNKNOWN, subject=Subject(kind=SubjectKind.VANTAGE, name=name), evidence=evidence)


def silence_findings(
    held: OpenFindings,
    bank: Bank,
    table: SeriesTable,
    vantages: Vantages,
    moment: Moment,
    detector: Detector,
    silent: NDArray[np.bool_],
    awake_at: Instant,
) -> list[Finding]:
    """Feeds that fell silent (all series that were ever heard), and those that speak again.

    Args:
        silent: Which series are silent by the clock, as `silent_series` says.
    """
    open_keys = [key for key in held.keys(Condition.SILENCE) if not vantage_of(key)]
    if not open_keys and not silent.any():
        return []
    feed_of, counts = table.columns["feed"], table.columns["placed"] & np.isfinite(bank.columns["last_at"])
    last_at = np.where(counts, bank.columns["last_at"], 0.0)  # nothing less nothing would be no number
    patience = bank.silent_after(detector, table.columns["every_seconds"])
    newest, talks_since = (spoken[table.columns["prober"]] for spoken in vantages.spoken(table.probers))
    measured = table.columns["prober"] >= 0
    until = np.where(measured, newest, moment.at)
    feeds = len(table.feed_rows)
    heard = np.bincount(feed_of[counts], minlength=feeds)

    def wholly(missed: NDArray[np.bool_]) -> NDArray[np.bool_]:
        return np.asarray((np.bincount(feed_of[counts & missed], minlength=feeds) == heard) & (heard > 0))

    still = wholly(until - last_at > patience)  # also where nobody would begin to miss it yet, after an absence
    quiet = wholly(silent & (until - np.maximum(np.maximum(last_at, awake_at), talks_since) > patience))
    said = []
    for key in open_keys:
        row = table.row(SeriesId(int(key)))
        if table.places[row] is None:
            said.append(held.retire(Condition.SILENCE, key, moment))
        elif not still[feed_of[row]]:
            said.append(held.end(Condition.SILENCE, key, moment))
    already = dict.fromkeys(open_keys)
    for feed in np.flatnonzero(quiet).tolist():
        row = table.feed_rows[feed]
        key, place = str(table.series[row].id), table.places[row]
        if key in already or place is None:
            continue
        since = float(last_at[feed_of == feed].max())
        series = table.series[row]
        by_whom = f" from {series.key.vantage}, which measures other things" if measured[row] else ""
        note = f"no sample{by_whom}; after {float(patience[row]):.0f} s this counts as silence"
        evidence = Evidence(series=(series.id,), since=since, until=moment.at, note=note)
        said.append(held.begin(Condition.SILENCE, key, Said.of_place(place, "", Quality.UNKNOWN, evidence), moment))
    return said
