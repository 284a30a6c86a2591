"""Analyze's part of `step`: batches update columns; at ticks conditions become findings.

Nothing here depends on how batches were cut: watermarks are running maxima per sample, windows and bank take samples in
order. Surprising: a sample's time counts at most as far as core time (a source whose clock is ahead cannot spoil the
watermark), and samples too far behind their vantage's watermark are ignored here: history keeps them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec
import numpy as np

from cemd.analyze import blocks
from cemd.analyze.bank.bank import Bank
from cemd.analyze.bank.warnings import Warnings
from cemd.analyze.columns import BLIND, Array
from cemd.analyze.crowds import Crowds
from cemd.analyze.detectors.attention import Attention
from cemd.analyze.findings import Moment, OpenFindings
from cemd.analyze.hearing import Ear, rows_heard
from cemd.analyze.indicators.indicators import Indicators
from cemd.analyze.judge.anomalies import deep_findings, series_findings
from cemd.analyze.judge.objectives import indicator_findings
from cemd.analyze.judge.retired import retired_findings
from cemd.analyze.judge.silence import silence_findings, silent_series, vantage_findings
from cemd.analyze.labels import LABELS, Clerk, Labels
from cemd.analyze.models.lookout import Lookout
from cemd.analyze.series import SeriesTable
from cemd.analyze.sighted import retired_sightings, sighted_findings
from cemd.analyze.vantages import Heard, Vantages
from cemd.analyze.views import analyze_view
from cemd.analyze.views import series_columns as columns_of
from cemd.config.configuration import Configuration
from cemd.config.topology import Topology
from cemd.model.entry import Batch, ClockStepped, Command, Entry, SeriesAdded, Started, Tick
from cemd.model.finding import Finding
from cemd.model.identity import Instant, SeriesId
from cemd.model.measurement import SUCCESS, Series, prober_at
from cemd.model.view import AnalyzeView, SeriesColumns

LARGEST = 1e18
"""Values are taken into baselines up to this size: the bank squares deviations in single precision."""


class AnalyzeState:
    """Baselines, windows and open findings; restored from a snapshot and the log."""

    def __init__(self) -> None:
        self.epoch = ""
        self.at: Instant = 0.0
        self.awake_at: Instant = 0.0  # silence is counted from here: while the daemon was away nobody was silent
        self.last_numbers: dict[str, int] = {}
        self.even_at: Instant = 0.0  # after a jump back of the clock: when it will have caught up with core time
        self.watermarks = np.full(0, -np.inf)  # by vantage
        self.vantages = Vantages()
        self.table = SeriesTable()
        self.bank = Bank()
        self.attention = Attention()
        self.crowds = Crowds()
        self.indicators = Indicators(Topology(Configuration()))
        self.lookout = Lookout()
        self.labels = Labels()
        self.warnings = Warnings()
        self.findings = OpenFindings()
        self.ignored_batches = 0
        self.late_samples = 0


def handle(state: AnalyzeState, entry: Entry, topology: Topology) -> Sequence[Finding]:
    """Applies an entry; findings arise at ticks, and all open ones are stated anew at `Started`."""
    state.at = entry.at
    if state.indicators.topology is not topology:  # a configuration epoch, or the first entry of all
        _configure(state, topology)
    match entry.payload:
        case Batch() as batch:
            _observe(state, batch, entry.at, topology)
        case SeriesAdded(series=series):
            _add_series(state, series, topology)
        case Tick():
            return _tick(state, Moment(entry.at, entry.seq, state.epoch), topology)
        case Command(kind=kind) if kind in LABELS:
            return _label(state, entry.payload, Moment(entry.at, entry.seq, state.epoch), topology)
        case ClockStepped(seconds=seconds):
            _step_clock(state, seconds, entry.at)
        case Started():
            state.awake_at = entry.at
            return state.findings.state_anew(Moment(entry.at, entry.seq, state.epoch))
        case _:
            pass
    return ()


def last_number(state: AnalyzeState, source: str) -> int:
    """Highest batch number that was taken from a source; 0 before the first."""
    return state.last_numbers.get(source, 0)


def view(state: AnalyzeState, topology: Topology) -> AnalyzeView:
    """What may be seen of services, touchpoints, journeys, index, indicators and findings; a copy."""
    return analyze_view(topology, state.table, state.indicators, state.findings, state.vantages)


def series_columns(state: AnalyzeState, topology: Topology) -> SeriesColumns:
    """Every series as columns, with what is expected of it now; a copy."""
    return columns_of(state.table, state.bank, state.at, topology.configuration.detector.learn_samples)


def band(state: AnalyzeState, series: SeriesId, topology: Topology) -> tuple[float, float, float]:
    """(expected, low, high) of one series now; NaN while "not yet" or where the series is unknown."""
    row = state.table.row(series)
    if row < 0:
        return (float("nan"),) * 3
    held = state.bank.band(np.array([row]), state.at, topology.configuration.detector.learn_samples)
    return float(held.expected[0]), float(held.low[0]), float(held.high[0])


def _observe(state: AnalyzeState, batch: Batch, now: Instant, topology: Topology) -> None:
    if batch.number:  # 0: pushed data, whose sender keeps no count
        if batch.number <= last_number(state, batch.source):
            state.ignored_batches += 1
            return
        state.last_numbers[batch.source] = batch.number
    settings = topology.configuration.settings
    rows = state.table.rows(batch.series)
    at = np.minimum(batch.at + max(0.0, state.even_at - now), now)
    takes = (rows >= 0) & np.isfinite(at) & (batch.at <= now + settings.lateness_seconds)
    if not takes.all():
        rows, at = rows[takes], at[takes]
    value, outcome = batch.value[takes], batch.outcome[takes]
    if not len(rows):
        return
    if vantage := prober_at(batch.source):
        state.vantages.hear(vantage, now)
    late = _late(state, rows, at, settings.lateness_seconds)
    if late.any():
        state.late_samples += int(late.sum())
        rows, at, value, outcome = rows[~late], at[~late], value[~late], outcome[~late]
        if not len(rows):
            return
    if vantage:
        state.vantages.see(vantage, at, topology.configuration.detector)
    bounded = np.clip(value, -LARGEST, LARGEST)
    state.bank.observe(rows, at, bounded, outcome, topology.configuration.detector)
    counts = np.isfinite(value) & (outcome != BLIND)
    if not counts.all():
        rows, at, value, bounded = rows[counts], at[counts], value[counts], bounded[counts]
    learn = topology.configuration.detector.learn_samples
    state.indicators.observe(rows, at, value, lambda asked: state.bank.tail(asked, learn))
    state.attention.observe(rows, at, bounded)
    state.crowds.observe(rows, bounded)


def _late(state: AnalyzeState, rows: Array, at: Array, lateness: float) -> Array:
    """Per sample: further behind the newest sample that its vantage gave before it (or it itself) than `lateness`."""
    vantage = state.table.columns["vantage"][rows]
    late = np.zeros(len(rows), np.bool_)
    codes = np.flatnonzero(np.bincount(vantage)).tolist()
    for code in codes:
        mine: Array | slice = vantage == code if len(codes) > 1 else slice(None)  # as a rule a batch is of one vantage
        newest = np.maximum.accumulate(np.maximum(at[mine], state.watermarks[code]))
        late[mine] = at[mine] < newest - lateness
        state.watermarks[code] = newest[-1]
    return late


def _add_series(state: AnalyzeState, series: Sequence[Series], topology: Topology) -> None:
    rows = state.table.add(series)
    state.indicators.add_series(state.table, rows)
    state.bank.add(np.array([state.table.series[row].key.metric == SUCCESS for row in rows], np.bool_))
    grown = np.full(len(state.table.vantages), -np.inf)
    grown[: len(state.watermarks)] = state.watermarks
    state.watermarks = grown
    _attend(state, topology)


def _attend(state: AnalyzeState, topology: Topology) -> None:
    """The deep detector serves what indicators look at, as long as it has a scale of its own."""
    looked_at = state.indicators.rows_looked_at()
    scaled = looked_at[~state.bank.columns["binary"][looked_at]]
    state.attention.serve(scaled, len(state.table), topology.configuration.detector)
    state.crowds.serve(rows_heard(state.indicators), len(state.table))


def _configure(state: AnalyzeState, topology: Topology) -> None:
    """A reload: places and instances are made anew, what did not change keeps its windows and streaks."""
    state.table.place_all(topology)
    state.vantages.configure(topology.posts, state.at)
    indicators = Indicators(topology)
    indicators.add_series(state.table, range(len(state.table)))
    indicators.take_over(state.indicators)
    lookout = Lookout()
    lookout.take_over(state.lookout, state.indicators, indicators)
    state.indicators, state.lookout = indicators, lookout
    retired = [row for row, place in enumerate(state.table.places) if place is None]
    state.bank.forget_alarm(np.array(retired, np.intp))
    _attend(state, topology)


def _label(state: AnalyzeState, command: Command, moment: Moment, topology: Topology) -> list[Finding]:
    """A person says what a finding was; detectors learn from it."""
    detector = topology.configuration.detector
    clerk = Clerk(
        state.findings,
        state.labels,
        state.bank,
        state.attention,
        state.lookout,
        state.indicators,
        state.table,
        detector,
    )
    return clerk.obey(command, moment)


def _step_clock(state: AnalyzeState, seconds: float, now: Instant) -> None:
    """After a jump back core time is ahead until the clock is even with it, and so is what samples are taken to mean:
    else windows would see nothing but the past for so long. A jump ahead first makes up for that."""
    ahead = max(0.0, state.even_at - now)
    state.even_at = now + max(0.0, ahead - seconds)
    if seconds > ahead:
        jump = seconds - ahead
        state.bank.shift(jump)
        state.vantages.shift(jump)
        state.attention.shift(jump)
        state.indicators.shift(jump)
        state.lookout.shift(jump)


def _tick(state: AnalyzeState, moment: Moment, topology: Topology) -> list[Finding]:
    blind = state.bank.columns["outcome"] == BLIND
    held = state.findings
    retired = retired_findings(held, state.indicators, state.table, moment)
    turns = state.indicators.tick(moment.at, blind)
    retired += retired_sightings(held, state.lookout, state.indicators, moment)
    sighted = state.lookout.tick(moment.at, state.indicators, topology.configuration)
    detector = topology.configuration.detector
    silent = silent_series(state.bank, state.table, moment.at, detector, state.awake_at)
    ear = Ear(held, state.indicators, state.crowds, moment)
    found = [
        *retired,
        *ear.with_heard(indicator_findings(held, turns, state.indicators, state.table, state.bank, moment, silent)),
        *series_findings(
            held,
            state.bank,
            state.attention,
            state.labels,
            state.warnings,
            state.table,
            moment,
            detector,
        ),
        *deep_findings(held, state.bank, state.attention, state.labels, state.table, moment),
        *vantage_findings(held, state.vantages, moment, detector, state.awake_at),
        *silence_findings(held, state.bank, state.table, state.vantages, moment, detector, silent, state.awake_at),
        *sighted_findings(held, sighted, state.lookout, state.indicators, state.table, moment),
    ]
    found += ear.heard_since()
    state.labels.note(held.take_ended(), found)
    return found


def _as_measured(state: AnalyzeState) -> dict[str, Heard]:
    """Of a snapshot that is older than `vantages`: each was heard when it measured last."""
    last_at, prober = state.bank.columns["last_at"], state.table.columns["prober"]
    newest = {name: last_at[prober == code].max() for name, code in state.table.probers.items()}
    return {
        name: Heard(expected_since=state.at, heard_at=float(at), newest_at=float(at))
        for name, at in newest.items()
        if np.isfinite(at)
    }


class _Meta(msgspec.Struct, frozen=True, kw_only=True):
    at: Instant
    awake_at: Instant
    last_numbers: dict[str, int]
    series: tuple[Series, ...]
    instances: tuple[str, ...]
    ignored_batches: int = 0
    late_samples: int = 0
    even_at: Instant = 0.0
    vantages: dict[str, Heard] = {}


def snapshot(state: AnalyzeState) -> dict[str, bytes]:
    """The state as blocks; `restore` gives one that decides the same, to the bit."""
    meta = _Meta(
        at=state.at,
        awake_at=state.awake_at,
        last_numbers=state.last_numbers,
        series=tuple(state.table.series),
        instances=tuple(one.key for one in state.indicators.instances),
        ignored_batches=state.ignored_batches,
        late_samples=state.late_samples,
        even_at=state.even_at,
        vantages=state.vantages.dump(),
    )
    parts = {
        "meta": msgspec.msgpack.encode(meta),
        "watermarks": state.watermarks.tobytes(),
        "findings": state.findings.dump(),
        "labels": state.labels.dump(),
        "warnings": state.warnings.dump(),
    }
    return {
        "meta": blocks.pack(parts),
        "bank": blocks.pack(state.bank.dump()),
        "attention": blocks.pack(state.attention.dump()),
        "crowds": blocks.pack(state.crowds.dump()),
        "indicators": blocks.pack(state.indicators.dump()),
        "lookout": blocks.pack(state.lookout.dump()),
    }


def restore(state: AnalyzeState, saved: Mapping[str, bytes], topology: Topology) -> None:
    """Fills a new state from the blocks of `snapshot`, under the configuration that was in force then.

    Raises:
        StoreError: a block is damaged or newer than this program.
    """
    if not saved:
        return
    parts = blocks.unpack("meta", saved["meta"])
    meta = msgspec.msgpack.decode(parts["meta"], type=_Meta)
    state.at, state.awake_at, state.last_numbers = meta.at, meta.awake_at, meta.last_numbers
    state.ignored_batches, state.late_samples = meta.ignored_batches, meta.late_samples
    state.even_at = meta.even_at
    state.table = SeriesTable()
    state.table.place_all(topology)
    state.table.add(meta.series)
    state.bank = Bank()
    state.bank.load(blocks.unpack("bank", saved["bank"]))
    if "attention" in saved:  # older snapshots have none: the deep detector begins anew
        state.attention.load(blocks.unpack("attention", saved["attention"]))
    if "crowds" in saved:
        state.crowds.load(blocks.unpack("crowds", saved["crowds"]))
    state.vantages.configure(topology.posts, meta.at)
    state.vantages.load(meta.vantages or _as_measured(state))
    state.watermarks = np.frombuffer(parts["watermarks"], "<f8").copy()
    state.indicators = Indicators(topology)
    state.indicators.add_series(state.table, range(len(state.table)))
    if meta.instances == tuple(one.key for one in state.indicators.instances):  # else all restart as unknown
        state.indicators.load(blocks.unpack("indicators", saved["indicators"]))
        if "lookout" in saved:  # older snapshots have none: the models begin anew
            state.lookout.load(blocks.unpack("lookout", saved["lookout"]))
    state.findings.load(parts["findings"])
    if "labels" in parts:
        state.labels.load(parts["labels"])
    if "warnings" in parts:
        state.warnings.load(parts["warnings"])
    _attend(state, topology)
