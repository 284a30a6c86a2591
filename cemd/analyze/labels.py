"""What people say of findings that detectors made, and what the detectors learn from it.

*False*: this was no fault. Later anomalies of the series must deviate more, or last longer, than this one did, up to
a bound. *Benign*: this is the new normal; the baseline is learnt anew at once. *True*: this was a fault; the baseline
stays as it was when the anomaly was noticed, however long it lasts, and the finding does not end by habit. Drift,
forecasts and touchpoints learn in their own models (`models`). A label acts at its seq, as every command, so a replay
learns the same.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec
import numpy as np
from numpy.typing import NDArray

from cemd.analyze.bank.bank import Bank
from cemd.analyze.detectors.attention import Attention
from cemd.analyze.findings import Moment, OpenFindings, place_of
from cemd.analyze.indicators.indicators import Indicators
from cemd.analyze.models.lookout import Lookout
from cemd.analyze.series import SeriesTable
from cemd.config.rules import Detector
from cemd.model.entry import Command, CommandKind
from cemd.model.finding import LEARNT, Condition, Finding, FindingPhase
from cemd.model.identity import Instant, SeriesId

KEPT_ENDED = 500
"""Ended findings that can still be labelled; the list of a shift is far shorter."""
KEPT_BASELINES = 1000
"""Open anomalies whose baseline is held for a label `true`: 1.6 kB each."""
MOST_DEVIATION = 8.0
"""Half widths of the band that a label `false` tolerates at most."""
MOST_SECONDS = 14_400.0
LONGER = 1.5
"""An anomaly must last so much longer than the one that was false, at most four hours, to be said in spite of it."""
BASELINE = ("n", "level", "spread", "floor", "evenness", "first", "second", "third")
"""Columns of the bank that are what is expected of a series; not what was measured, nor where in the hour it is."""
MEASURED = ("base", "x", "last_at", "outcome", "binary", "interval", "long_gap", "lone_gap")
"""Columns that a baseline which is learnt anew keeps."""


class Label(StrEnum):
    TRUE = "true"
    FALSE = "false"
    BENIGN = "benign"


LABELS = {
    CommandKind.LABEL_TRUE: Label.TRUE,
    CommandKind.LABEL_FALSE: Label.FALSE,
    CommandKind.LABEL_BENIGN: Label.BENIGN,
}


class Tolerance(msgspec.Struct, frozen=True, kw_only=True):
    """Up to this far and this long, an anomaly of the series is not said."""

    deviation: float  # half widths of the band
    seconds: float


class Ended(msgspec.Struct, frozen=True, kw_only=True):
    key: str
    finding: Finding


class _Saved(msgspec.Struct, frozen=True, kw_only=True):
    tolerated: dict[int, Tolerance]
    waiting: dict[int, Instant]
    baselines: dict[int, dict[str, bytes]]
    true: list[int]
    ended: list[Ended]


class Labels:
    """State by row of the bank, and the findings that ended lately."""

    def __init__(self) -> None:
        self.tolerated: dict[int, Tolerance] = {}
        self.waiting: dict[int, Instant] = {}  # alarms that a tolerance holds back, since when
        self.baselines: dict[int, dict[str, bytes]] = {}  # as they were when the alarm was noticed
        self.true: dict[int, None] = {}
        self.ended: dict[str, Ended] = {}

    def gate(self, bank: Bank, at: Instant, detector: Detector) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Rows whose anomaly is to be said, and rows whose anomaly is over, since the last tick."""
        opened, ended = (dict.fromkeys(rows.tolist()) for rows in bank.turned())
        for row in opened:
            self._save(bank, row)
        for row in [row for row in opened if row in self.tolerated]:
            self.waiting[row] = at
            del opened[row]
        for row, since in tuple(self.waiting.items()):
            if row in ended:
                del self.waiting[row]
            elif self._exceeds(bank, row, at - since, at, detector):
                del self.waiting[row]
                opened[row] = None
        for row in tuple(self.true):
            put_back(bank, row, self.baselines[row])
            if not bank.columns["alarm"][row]:
                is_over = deviation(bank, row, at, detector) <= 1.0
                ended.pop(row, None)
                if is_over:
                    ended[row] = None
                    del self.true[row]
        for row in ended:
            if row not in self.true:
                self.baselines.pop(row, None)
        return np.array(list(opened), np.intp), np.array(list(ended), np.intp)

    def _save(self, bank: Bank, row: int) -> None:
        self.baselines[row] = baseline(bank, row)
        for old in list(self.baselines)[:-KEPT_BASELINES]:
            if old not in self.true:
                del self.baselines[old]

    def _exceeds(self, bank: Bank, row: int, lasted: float, at: Instant, detector: Detector) -> bool:
        tolerance = self.tolerated[row]
        return lasted > tolerance.seconds or deviation(bank, row, at, detector) > tolerance.deviation

    def tolerate(self, row: int, far: float, lasted: float) -> None:
        """A person said that an anomaly of the row was false, which went so far and lasted so long."""
        before = self.tolerated.get(row, Tolerance(deviation=0.0, seconds=0.0))
        self.tolerated[row] = Tolerance(
            deviation=min(max(before.deviation, far), MOST_DEVIATION),
            seconds=min(max(before.seconds, lasted * LONGER), MOST_SECONDS),
        )
        self.forget(row)

    def forget(self, row: int) -> None:
        """Nothing is open on the row any more."""
        self.waiting.pop(row, None)
        self.true.pop(row, None)
        self.baselines.pop(row, None)

    def note(self, keys: dict[str, str], findings: list[Finding]) -> None:
        """Remembers what ended, so that it can still be labelled, unless it began at this very tick and nobody saw it.
        `keys`: of each that ended, by id."""
        for finding in findings:
            if finding.phase is not FindingPhase.ENDED or finding.condition not in LEARNT:
                continue
            if finding.id in keys and finding.began_at < finding.at:
                self.ended[finding.id] = Ended(key=keys[finding.id], finding=finding)
        for old in list(self.ended)[:-KEPT_ENDED]:
            del self.ended[old]

    def dump(self) -> bytes:
        return msgspec.msgpack.encode(
            _Saved(
                tolerated=self.tolerated,
                waiting=self.waiting,
                baselines=self.baselines,
                true=list(self.true),
                ended=list(self.ended.values()),
            )
        )

    def load(self, body: bytes) -> None:
        saved = msgspec.msgpack.decode(body, type=_Saved)
        self.tolerated, self.waiting, self.baselines = saved.tolerated, saved.waiting, saved.baselines
        self.true = dict.fromkeys(saved.true)
        self.ended = {one.finding.id: one for one in saved.ended}


def deviation(bank: Bank, row: int, at: Instant, detector: Detector) -> float:
    """How far the last value is from what is expected, in half widths of the band; 0 while "not yet"."""
    band = bank.band(np.array([row]), at, detector.learn_samples)
    return _deviation(float(bank.values()[row]), float(band.expected[0]), float(band.low[0]), float(band.high[0]))


def _deviation(value: float, expected: float, low: float, high: float) -> float:
    half = (high - low) / 2.0
    far = abs(value - expected) / half if half > 0 else 0.0
    return far if np.isfinite(far) else 0.0


def baseline(bank: Bank, row: int) -> dict[str, bytes]:
    """What is expected of a row, as it is now."""
    bank.settle(np.array([row]))
    parts = {name: bank.columns[name][row].tobytes() for name in BASELINE}
    parts |= {f"season.{name}": np.ascontiguousarray(part[:, row]).tobytes() for name, part in bank.season.items()}
    return parts


def put_back(bank: Bank, row: int, parts: dict[str, bytes]) -> None:
    """The row expects again what it did when `parts` were taken."""
    bank.altered()
    bank.settle(np.array([row]))
    bank.columns["foreseen"][row] = False  # by the season that comes back
    for name, body in parts.items():
        if name.startswith("season."):
            season = bank.season[name.removeprefix("season.")]
            season[:, row] = np.frombuffer(body, season.dtype)
        else:
            column = bank.columns[name]
            column[row] = np.frombuffer(body, column.dtype)[0]


def relearn(bank: Bank, row: int) -> None:
    """The row begins anew, as a series that was never seen; what was measured last stays."""
    bank.altered()
    fresh = Bank()
    fresh.add(bank.columns["binary"][[row]])
    for name in bank.columns.fields:
        if name not in MEASURED:
            bank.columns[name][row] = fresh.columns[name][0]
    for name, part in bank.season.items():
        part[:, row] = fresh.season[name][:, 0]


class Clerk(msgspec.Struct, frozen=True):
    """Applies one label; made for a command, then thrown away."""

    held: OpenFindings
    labels: Labels
    bank: Bank
    attention: Attention
    lookout: Lookout
    indicators: Indicators
    table: SeriesTable
    detector: Detector

    def obey(self, command: Command, moment: Moment) -> list[Finding]:
        """The finding as it is now that it is labelled; nothing when no detector made one of that id."""
        label = LABELS[command.kind]
        known = self.held.named(command.subject)
        is_open = known is not None
        if known is None and (ended := self.labels.ended.get(command.subject)) is not None:
            known = ended.key, ended.finding
        if known is None or known[1].condition not in LEARNT:
            return []
        key, finding = known
        if not self._teach(label, key, finding, moment, is_open=is_open):
            return []
        said = msgspec.structs.replace(finding, label=label, at=moment.at, seq=moment.seq, epoch=moment.epoch)
        if is_open and label is Label.TRUE:
            return [self.held.put(key, msgspec.structs.replace(said, phase=FindingPhase.CHANGED))]
        if is_open:
            self.held.end(finding.condition, key, moment)
        said = msgspec.structs.replace(said, phase=FindingPhase.ENDED)
        self.labels.ended[said.id] = Ended(key=key, finding=said)
        return [said]

    def _teach(self, label: Label, key: str, finding: Finding, moment: Moment, *, is_open: bool) -> bool:
        """False: what it was about is gone."""
        if finding.condition is Condition.ANOMALY and (place := place_of(key)) is not None:
            model = self.lookout.touchpoints.get(place)
            if model is not None and (is_open or label is Label.FALSE):
                {Label.TRUE: model.keep, Label.FALSE: model.doubt, Label.BENIGN: model.accept}[label]()
            return model is not None
        if finding.condition is Condition.ANOMALY and not key.isdigit():
            return False  # of a service or site as a whole: its series are labelled one by one
        if finding.condition is Condition.ANOMALY:
            row = self.table.row(SeriesId(int(key)))
            if row >= 0:
                self._teach_bank(label, row, finding, moment, is_open=is_open)
            return row >= 0
        number = self.indicators.number.get(key, -1)
        if number < 0 or number >= len(self.lookout.drifts.columns):
            return False
        drifts, forecasts = self.lookout.drifts, self.lookout.forecasts
        match finding.condition, label:
            case Condition.DRIFT, Label.FALSE:
                drifts.doubt(number)
            case Condition.DRIFT, Label.BENIGN if is_open:
                drifts.accept(number)
            case Condition.DRIFT, Label.TRUE if is_open:
                drifts.keep(number)
            case Condition.FORECAST, Label.FALSE:
                forecasts.doubt(number)
            case Condition.FORECAST, Label.BENIGN if is_open:
                forecasts.forget(number)
            case _:
                pass  # what came true teaches a forecast nothing
        return True

    def _teach_bank(self, label: Label, row: int, finding: Finding, moment: Moment, *, is_open: bool) -> None:
        end = moment.at if is_open else finding.at
        match label:
            case Label.FALSE:
                e = finding.evidence
                bounds = (e.value, e.expected, e.low, e.high)
                far = _deviation(*(np.nan if one is None else one for one in bounds))
                if is_open:
                    far = max(far, deviation(self.bank, row, moment.at, self.detector))
                    self.bank.forget_alarm(np.array([row], np.intp))
                self.labels.tolerate(row, far, end - finding.began_at)
                self.attention.called_false(row, finding.began_at, end)
            case Label.BENIGN:
                relearn(self.bank, row)
                self.attention.called_benign(row, finding.began_at, end, is_open=is_open)
                self.labels.forget(row)
            case Label.TRUE:
                self.attention.called_true(row, finding.began_at, end)
                if is_open and row in self.labels.baselines:
                    self.labels.true[row] = None
