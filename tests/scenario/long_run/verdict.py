"""The verdict: what peers counted, what cemd recorded, what the prober said of itself, and what was planned, compared.

Pure: numbers in, sentences out; no sentence means that everything agrees to the last attempt.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from cemd.model.quality import Outcome
from cemd.monitor.plans import Plan
from numpy.typing import NDArray

from .daemon import Records
from .world import MOST, is_important, role_of

EARLY_SECONDS = 0.05
"""A run may begin a millisecond before its time, and two clocks may drift apart by more within an hour."""
EDGE_SECONDS = 0.1
SHOWN = 10
NOT_RUN = ("shed_runs", "skipped_late", "skipped_bulkhead_full", "not_active_runs")
"""The prober's counts of runs that did not happen, each of which is a blind record."""
QUICK_LOOK_SECONDS = 1.0
"""What began later than this after its time was a quick look after a failure."""


@dataclass(frozen=True, slots=True)
class Span:
    """From when until when (wall clock, s) a probe surely had an interval: what falls into it must have been run."""

    number: int
    every_seconds: float
    begin: float
    end: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """All that is compared. `counters` are the prober's totals at the end."""

    peers: NDArray[np.int64]
    dropped: int
    records: Records
    counters: Mapping[str, float]
    spans: Sequence[Span]
    pressed: bool
    """Whether the prober was driven beyond its cap."""


def faults(seen: Seen) -> list[str]:
    """Everything that does not agree."""
    return [*_by_probe(seen), *_by_total(seen), *_silent(seen), *_shedding(seen)]


def _by_probe(seen: Seen) -> list[str]:
    """Each attempt that reached a peer is a record, and each record that is not blind reached one."""
    looked = seen.records.probe[seen.records.outcome != Outcome.BLIND]
    recorded = np.bincount(looked, minlength=MOST)
    found = []
    for number in np.flatnonzero(recorded != seen.peers)[:SHOWN].tolist():
        words = f"probe p{number}: its peer counted {seen.peers[number]}, cemd recorded {recorded[number]}."
        found.append(words)
    different = np.flatnonzero(recorded != seen.peers)
    if len(different):
        kinds = Counter(" ".join(role_of(number)) for number in different.tolist())
        found.append(f"{len(different)} probes differ from their peers: {dict(kinds)}.")
        if seen.dropped:
            found.append(f"the kernel dropped {seen.dropped} attempts before a peer could count them.")
    return found


def _by_total(seen: Seen) -> list[str]:
    """What the prober says of itself is what arrived."""
    found = []
    for outcome in Outcome:
        said = int(seen.counters.get(f"runs_{outcome.name.lower()}", 0))
        arrived = int(np.count_nonzero(seen.records.outcome == outcome))
        if said != arrived:
            found.append(f"outcome {outcome.name.lower()}: the prober says {said}, {arrived} arrived.")
    not_run = sum(int(seen.counters.get(name, 0)) for name in NOT_RUN)
    blind = int(np.count_nonzero(seen.records.outcome == Outcome.BLIND))
    if not_run > blind:
        found.append(f"{not_run} runs did not happen by the prober's own count, and only {blind} records are blind.")
    if seen.counters.get("shed_samples", 0.0):
        found.append(f"{seen.counters['shed_samples']:.0f} samples were given up on their way.")
    return found


def _silent(seen: Seen) -> list[str]:
    """Each planned run has a record, unless it is counted as one that came while the one before still ran, that waited
    when its probe left, or whose interval passed while the prober stood still."""
    missing = missing_runs(seen.spans, seen.records)
    counted = sum(int(seen.counters.get(f"skipped_{why}", 0)) for why in ("still_running", "probe_left", "missed"))
    if len(missing) > counted:
        first = ", ".join(f"p{number} at {at:.3f}" for number, at in missing[:5])
        return [f"{len(missing)} planned runs have no record, and {counted} are counted as skipped: {first}."]
    return []


def missing_runs(spans: Sequence[Span], records: Records) -> list[tuple[int, float]]:
    """Planned runs without a record: (number, when)."""
    order = np.lexsort((records.at, records.probe))
    probes, at = records.probe[order], records.at[order]
    first, last = np.searchsorted(probes, np.arange(MOST)), np.searchsorted(probes, np.arange(MOST), side="right")
    missing = []
    for span in spans:
        mine = at[first[span.number] : last[span.number]]
        planned = planned_runs(span)
        turns = np.floor((mine - planned[0] + EARLY_SECONDS) / span.every_seconds) if len(planned) else mine
        there = set(turns.tolist())
        missing += [(span.number, float(when)) for turn, when in enumerate(planned) if float(turn) not in there]
    return missing


def planned_runs(span: Span) -> NDArray[np.float64]:
    """The instants of the wall clock at which a probe must run within a span."""
    phase = Plan(uid=f"p{span.number}", every_seconds=span.every_seconds, kind="", group="").phase()
    begin, end = span.begin + EDGE_SECONDS, span.end - EDGE_SECONDS
    first = np.ceil((begin - phase) / span.every_seconds)
    last = np.floor((end - phase) / span.every_seconds)
    return np.asarray(phase + np.arange(first, last + 1) * span.every_seconds, dtype=np.float64)


def _shedding(seen: Seen) -> list[str]:
    """Under pressure ordinary runs give way, and moments of truth do not."""
    shed, important = seen.counters.get("shed_runs", 0.0), seen.counters.get("shed_moments_of_truth", 0.0)
    found = []
    if important:
        found.append(f"{important:.0f} moments of truth were given up, of {shed:.0f} runs.")
    if seen.pressed and not shed:
        found.append("the prober was driven beyond its cap and gave up nothing.")
    blind = np.unique(seen.records.probe[seen.records.outcome == Outcome.BLIND])
    hurt = [number for number in blind.tolist() if is_important(number)]
    walls = sum(seen.counters.get(f"skipped_{why}", 0.0) for why in ("late", "bulkhead_full"))
    if hurt and not walls:
        found.append(f"moments of truth are blind without a reason: p{hurt[0]} and {len(hurt) - 1} more.")
    return found


def lateness(spans: Sequence[Span], records: Records) -> dict[str, float]:
    """How far starts were from their planned times, before or after, in milliseconds; each probe's longest span."""
    begin, end, every, phase = (np.zeros(MOST) for _ in range(4))
    for span in spans:
        planned = planned_runs(span)
        if len(planned) and span.end - span.begin > end[span.number] - begin[span.number]:
            begin[span.number], end[span.number] = span.begin, span.end
            every[span.number], phase[span.number] = span.every_seconds, planned[0]
    probes, at = records.probe, records.at
    kept = (every[probes] > 0) & (at > begin[probes]) & (at < end[probes]) & (records.outcome != Outcome.BLIND)
    probes, at = probes[kept], at[kept]
    off = np.abs((at - phase[probes] + EARLY_SECONDS) % every[probes] - EARLY_SECONDS)
    off = off[off < QUICK_LOOK_SECONDS]
    if not len(off):
        return {}
    return {f"off_p{share}_ms": float(np.percentile(off, share)) * 1000 for share in (50, 99)}
