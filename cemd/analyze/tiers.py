"""The two tiers of detection behind one door, for replaying series that no daemon measured.

A tier takes samples of numbered series in order and says after each how unusual it was: 1 is an alarm, more is worse,
0 is ordinary or "not yet".
"""

from __future__ import annotations

from typing import Protocol

import numpy as np

from cemd.analyze.bank.bank import Bank
from cemd.analyze.columns import Array
from cemd.analyze.detectors.deep import Deep
from cemd.config.rules import Detector
from cemd.model.quality import Outcome

ALARMING_TAIL = 4.0
"""The bank's scores are -log10 of its tail probability over this: one in ten thousand is 1."""

REPLAY_RATE = 0.5
"""False alarms a series and week that a replay is stated for; `OPENS` is the share of their evidence that opens."""
OPENS, STAYS = 0.4, 0.3
"""An episode that opened stays open down to so much of what opened it."""


class Tier(Protocol):
    """One way to judge series."""

    def add(self, series: int) -> None:
        """Appends series that nothing is known of."""
        ...

    def observe(self, rows: Array, at: Array, value: Array) -> tuple[Array, Array]:
        """Takes one finite sample of each of the rows.

        Returns:
            (gated, continuous), float64[n]: the score where an alarm opens, else 0; and how severe the sample is.
        """
        ...

    def bytes_per_series(self) -> int: ...


class DeepTier:
    """The deep detector: rarity gated to episodes, and severity."""

    def __init__(self, deep: Deep | None = None) -> None:
        self.deep = Deep() if deep is None else deep  # an empty one is false

    def add(self, series: int) -> None:
        self.deep.add(series)

    def observe(self, rows: Array, at: Array, value: Array) -> tuple[Array, Array]:
        opened = self.deep.observe(rows, at, value)
        score, severity = (np.nan_to_num(self.deep.columns[name][rows]) for name in ("score", "severity"))
        return np.where(opened, score, 0.0), severity

    def bytes_per_series(self) -> int:
        return self.deep.bytes_per_series()


class BankTier:
    """The bank: where its evidence has gathered two fifths of an alarm, and the tail probability of each sample.

    Whoever replays a folder looks for more than an operator can be woken for: an alarm is stated every other week.
    """

    def __init__(self) -> None:
        self.bank, self._detector = Bank(), Detector(false_alarms_per_series_week=REPLAY_RATE)
        self._open = np.zeros(0, np.bool_)

    def add(self, series: int) -> None:
        self.bank.add(np.zeros(series, np.bool_))
        self._open = np.append(self._open, np.zeros(series, np.bool_))

    def observe(self, rows: Array, at: Array, value: Array) -> tuple[Array, Array]:
        outcome = np.full(len(rows), Outcome.OK, np.uint8)
        self.bank.observe(np.asarray(rows, np.intp), at, value, outcome, self._detector)
        tail = self.bank.tail(np.asarray(rows, np.intp), self._detector.learn_samples)
        score = -np.log10(np.clip(np.where(np.isnan(tail), 1.0, tail), 1e-30, 1.0)) / ALARMING_TAIL
        share = np.nan_to_num(self.bank.share(np.asarray(rows, np.intp), self._detector.learn_samples)) / OPENS
        opens = (share >= 1.0) & ~self._open[rows]
        self._open[rows] = (share >= 1.0) | (self._open[rows] & (share >= STAYS))
        return np.where(opens, share, 0.0), score

    def bytes_per_series(self) -> int:
        return self.bank.bytes_per_series()
