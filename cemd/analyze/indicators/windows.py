"""Rolling windows: rings of buckets with mergeable partials (count, sum, least, greatest) and rings of last samples.

A window of W seconds is kept as buckets of W/30, the one under way and 30 full ones, so that it covers W to 31/30 of W
and three samples 10 s apart are always in a window of 30 s. Percentiles come from the last 512 samples of the window:
exact while it holds no more, beyond that from an even thinning (every second, fourth, ... sample; 512 kept), whose rank
error has a standard error below one percentage point at p95. Adding is elementwise in the order of samples, so the bits
do not depend on how batches were cut.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from cemd.analyze.columns import Array, Columns, Field
from cemd.config.rules import Summary

BUCKETS = 30
SLOTS = BUCKETS + 1  # the bucket under way and 30 full ones
KEEP = 512
NEVER, ALWAYS = -(2**62), 2**62
"""Numbers of buckets: before and after all others."""
Count = tuple[float, float]
"""(samples, their sum)."""
SUMMARIES = tuple(Summary)
QUANTILES = {Summary.P50: 0.50, Summary.P95: 0.95, Summary.P99: 0.99}
SHARES = np.array([QUANTILES.get(name, np.nan) for name in SUMMARIES])
"""By the number of the summary."""

WINDOW_FIELDS = {
    "width": Field("<f8", 1.0),
    "summary": Field("|u1"),
    "ring": Field("<i4", -1),
    "dirty": Field("|b1"),
    "seen_number": Field("<i8", NEVER),
    "number": Field("<i8", NEVER, (SLOTS,)),
    "count": Field("<f8", 0, (SLOTS,)),
    "sum": Field("<f8", 0, (SLOTS,)),
    "low": Field("<f8", 0, (SLOTS,)),
    "high": Field("<f8", 0, (SLOTS,)),
    "last_at": Field("<f8", -np.inf),
    "last": Field("<f8", np.nan),
}
RING_FIELDS = {
    "at": Field("<f8", -np.inf, (KEEP,)),
    "value": Field("<f8", 0, (KEEP,)),
    "head": Field("<i8"),  # samples ever kept
    "seen": Field("<i8"),  # samples ever offered
    "stride": Field("<i8", 1),
}


class Windows:
    """One window per indicator instance, by its number."""

    def __init__(self) -> None:
        self.columns = Columns(WINDOW_FIELDS)
        self.rings = Columns(RING_FIELDS)
        self._oldest = np.zeros(0, np.int64)
        """By ring: no sample kept before this one can be live again. Derived, so never stored: 0 is always right."""
        self._turns = np.zeros(0, np.int64)
        """By window: the bucket under way in which its oldest one leaves it. Derived; NEVER is always right."""
        self._leaves = np.zeros(0)
        """By window: the time of its ring's oldest live sample. Derived; it counts from `_turns` on only."""

    def open(self, windows: Sequence[tuple[Summary, float]]) -> range:
        """Appends empty windows of (summary, seconds)."""
        first = len(self.columns)
        self.columns.add(len(windows))
        ringed = [place for place, (summary, _) in enumerate(windows, first) if summary in QUANTILES]
        start = len(self.rings)
        self.rings.add(len(ringed))
        self.columns["summary"][first:] = [SUMMARIES.index(summary) for summary, _ in windows]
        self.columns["width"][first:] = [seconds / BUCKETS for _, seconds in windows]
        self.columns["ring"][ringed] = np.arange(start, start + len(ringed))
        return range(first, len(self.columns))

    def add(self, window: NDArray[np.intp], at: Array, value: Array) -> None:
        """Adds samples (equal lengths; finite values) in the order in which they came."""
        if not len(window):
            return
        c = self.columns
        number = np.floor(at / c["width"][window]).astype(np.int64)
        flat = window * SLOTS + number % SLOTS
        held = c["number"].reshape(-1)
        before = held[flat]
        np.maximum.at(held, flat, number)
        fresh = flat[held[flat] > before]
        for name, start in (("count", 0.0), ("sum", 0.0), ("low", np.inf), ("high", -np.inf)):
            c[name].reshape(-1)[fresh] = start
        keep = number == held[flat]
        flat, kept = flat[keep], value[keep]
        np.add.at(c["count"].reshape(-1), flat, 1.0)
        np.add.at(c["sum"].reshape(-1), flat, kept)
        np.minimum.at(c["low"].reshape(-1), flat, kept)
        np.maximum.at(c["high"].reshape(-1), flat, kept)
        c["dirty"][window] = True
        self._add_last(window, at, value)
        ring = c["ring"][window]
        ringed = ring >= 0
        if ringed.any():
            self._add_ringed(ring[ringed], at[ringed], value[ringed])

    def _add_last(self, window: NDArray[np.intp], at: Array, value: Array) -> None:
        """The newest sample by its own time wins; of equal times, the one that came last."""
        c = self.columns
        of_last = np.flatnonzero(c["summary"][window] == SUMMARIES.index(Summary.LAST))
        if not len(of_last):
            return
        order = of_last[np.lexsort((of_last, at[of_last], window[of_last]))]
        newest = order[np.append(window[order][1:] != window[order][:-1], True)]
        newest = newest[at[newest] >= c["last_at"][window[newest]]]
        c["last_at"][window[newest]] = at[newest]
        c["last"][window[newest]] = value[newest]

    def _add_ringed(self, ring: Array, at: Array, value: Array) -> None:
        r = self.rings
        order = np.argsort(ring, kind="stable")
        ring, at, value = ring[order], at[order], value[order]
        offered = r["seen"][ring] + _rank(ring)
        np.add.at(r["seen"], ring, 1)
        keep = offered % r["stride"][ring] == 0
        ring, at, value = ring[keep], at[keep], value[keep]
        place = r["head"][ring] + _rank(ring)
        np.add.at(r["head"], ring, 1)
        new = place >= r["head"][ring] - KEEP  # only the last KEEP of one ring: no place is written twice
        ring, slot = ring[new], place[new] % KEEP
        r["at"][ring, slot] = at[new]
        r["value"][ring, slot] = value[new]

    def due(self, now: float) -> NDArray[np.intp]:
        """Windows whose answer may have changed since they were last evaluated, because something came or something has
        left them; they count as evaluated now."""
        c = self.columns
        self._reach(len(c))
        number = np.floor(now / c["width"]).astype(np.int64)
        left = (number >= self._turns) | (self._leaves <= now - c["width"] * SLOTS)
        due = np.flatnonzero(c["dirty"] | (left & (number != c["seen_number"])))
        c["dirty"][due] = False
        c["seen_number"][:] = number
        return due

    def _reach(self, windows: int) -> None:
        """Nothing is known of what leaves windows that are new, restored or taken over."""
        if len(self._turns) != windows:
            self._turns, self._leaves = np.full(windows, NEVER), np.full(windows, -np.inf)

    def evaluate(self, windows: NDArray[np.intp], now: float) -> tuple[Array, Array]:
        """Value (NaN: no sample) and number of samples of each window at `now`."""
        c = self.columns
        live = self._live(windows, now)
        counts, total = self._sums(windows, live)
        self._foresee(windows, now)
        summary = c["summary"][windows]
        some = counts > 0
        value = np.full(len(windows), np.nan)
        for code, name in enumerate(SUMMARIES):
            mine = some & (summary == code)
            if not mine.any():
                continue
            match name:
                case Summary.RATIO | Summary.MEAN:
                    value[mine] = total[mine] / counts[mine]
                case Summary.SUM:
                    value[mine] = total[mine]
                case Summary.MIN:
                    value[mine] = np.where(live[mine], c["low"][windows[mine]], np.inf).min(axis=1)
                case Summary.MAX:
                    value[mine] = np.where(live[mine], c["high"][windows[mine]], -np.inf).max(axis=1)
                case Summary.LAST:
                    value[mine] = c["last"][windows[mine]]
                case _:  # quantiles: below, all at once
                    pass
        ringed = some & (c["ring"][windows] >= 0)
        if ringed.any():
            value[ringed] = self._quantile(windows[ringed], now, SHARES[summary[ringed]])
        return value, counts

    def _foresee(self, windows: NDArray[np.intp], now: float) -> None:
        """When the next bucket that holds something leaves each window, or comes into it (its clock was set back)."""
        c = self.columns
        self._reach(len(c))
        number, newest = c["number"][windows], np.floor(now / c["width"][windows]).astype(np.int64)[:, None]
        turns = np.where(number <= newest, number + SLOTS, number)
        turns[(turns <= newest) | (c["count"][windows] == 0)] = ALWAYS
        self._turns[windows] = turns.min(axis=1)
        self._leaves[windows] = np.inf

    def parted(self, window: int, at: float, now: float) -> tuple[Count, Count]:
        """What one window holds at `now` of before `at`, and of since then; what lies across it is neither."""
        c = self.columns
        live, number = self._live(np.array([window]), now)[0], c["number"][window]
        width = float(c["width"][window])
        sides = (live & ((number + 1) * width <= at), live & (number * width >= at))
        counts = [(float(c["count"][window][side].sum()), float(c["sum"][window][side].sum())) for side in sides]
        return counts[0], counts[1]

    def parted_since(self, window: int, since: float, border: float, now: float) -> tuple[Count, Count]:
        """What one window holds at `now` of since `since`: (of before a border, of after it). Asked again with the
        border as `since`, nothing is counted twice and nothing left out."""
        c = self.columns
        live, starts = self._live(np.array([window]), now)[0], c["number"][window] * float(c["width"][window])
        sides = (live & (starts >= since) & (starts < border), live & (starts >= since) & (starts >= border))
        counts = [(float(c["count"][window][side].sum()), float(c["sum"][window][side].sum())) for side in sides]
        return counts[0], counts[1]

    def without_worst(self, windows: NDArray[np.intp], now: float, sign: Array) -> Array:
        """Mean of each window without its one worst sample, per window: the lowest where `sign` is above 0, else the
        highest. NaN where no other sample is left."""
        c = self.columns
        live = self._live(windows, now)
        counts, total = self._sums(windows, live)
        low = np.where(live, c["low"][windows], np.inf).min(axis=1)
        high = np.where(live, c["high"][windows], -np.inf).max(axis=1)
        left = np.maximum(counts - 1.0, 1.0)
        return np.where(counts > 1, (total - np.where(sign > 0, low, high)) / left, np.nan)

    def forget(self, windows: NDArray[np.intp], before: Array) -> None:
        """Drops what was measured before these instants, one a window, and the bucket that an instant falls into."""
        c, r = self.columns, self.rings
        number = c["number"][windows]
        first = np.ceil(before / c["width"][windows]).astype(np.int64)[:, None]
        c["number"][windows] = np.where(number < first, NEVER, number)
        old = windows[c["last_at"][windows] < before]
        c["last_at"][old], c["last"][old] = -np.inf, np.nan
        ring = c["ring"][windows]
        ringed = ring >= 0
        at = r["at"][ring[ringed]]
        r["at"][ring[ringed]] = np.where(at < before[ringed, None], -np.inf, at)
        c["dirty"][windows] = True

    def _live(self, windows: NDArray[np.intp], now: float) -> NDArray[np.bool_]:
        """Which buckets of each window reach into it at `now`."""
        number = self.columns["number"][windows]
        newest = np.floor(now / self.columns["width"][windows]).astype(np.int64)[:, None]
        live: NDArray[np.bool_] = (number >= newest - BUCKETS) & (number <= newest)
        return live

    def _sums(self, windows: NDArray[np.intp], live: NDArray[np.bool_]) -> tuple[Array, Array]:
        """Samples and their sum in the live buckets."""
        c = self.columns
        counts = np.where(live, c["count"][windows], 0.0).sum(axis=1)
        return counts, np.where(live, c["sum"][windows], 0.0).sum(axis=1)

    def _quantile(self, windows: NDArray[np.intp], now: float, share: Array) -> Array:
        """At the `share` of each window, linear between order statistics, as `numpy.percentile` does."""
        ring = self.columns["ring"][windows]
        since = now - self.columns["width"][windows] * SLOTS
        held, count, oldest = self._live_values(ring, since)
        self._adapt(ring, count)
        self._leaves[windows] = np.where(self.rings["stride"][ring] > 1, -np.inf, oldest)  # it adapts at each look
        place = np.maximum(count - 1, 0) * share
        below = np.floor(place).astype(np.intp)
        above = np.minimum(below + 1, np.maximum(count - 1, 0))
        rows = np.arange(len(ring))
        low = held[rows, below]
        value = low + (held[rows, above] - low) * (place - below)
        return np.where(count > 0, value, np.nan)

    def _live_values(self, ring: Array, since: Array) -> tuple[Array, Array, Array]:
        """Sorted live values of each ring, padded with infinity, how many, and the time of the oldest. Most rings hold
        far more than their window, and what has left it stays out: only what was kept since the oldest live sample is
        looked at."""
        r = self.rings
        if len(self._oldest) != len(r):
            self._oldest = np.zeros(len(r), np.int64)
        head = r["head"][ring]
        first = np.maximum(self._oldest[ring], head - KEEP)
        place = first[:, None] + np.arange(max(int((head - first).max()), 1))
        flat = ring[:, None].astype(np.intp) * KEEP + (place & (KEEP - 1))  # as `%`, which is slow
        at = r["at"].reshape(-1)[flat]
        live = (place < head[:, None]) & (at > since[:, None])
        count = live.sum(axis=1)
        self._oldest[ring] = np.where(count > 0, first + live.argmax(axis=1), head)
        held = np.where(live, r["value"].reshape(-1)[flat], np.inf)
        held.sort(axis=1, kind="stable")
        return held, count, np.where(live, at, np.inf).min(axis=1)

    def _adapt(self, rings: Array, live: Array) -> None:
        """Thins a ring whose samples no longer reach back over the window; thickens one that has become sparse."""
        r = self.rings
        for ring in rings[(live == KEEP) & (r["head"][rings] > KEEP)].tolist():
            stride = int(r["stride"][ring])
            head = int(r["head"][ring])
            places = np.arange(max(0, head - KEEP), head)
            last = (int(r["seen"][ring]) - 1) // stride  # number of the newest kept sample, in strides
            kept = places[(last - (head - 1 - places)) % 2 == 0] % KEEP
            at, value = r["at"][ring][kept], r["value"][ring][kept]
            r["at"][ring] = -np.inf
            r["at"][ring, : len(kept)] = at
            r["value"][ring, : len(kept)] = value
            r["head"][ring] = len(kept)
            self._oldest[ring] = 0
            r["stride"][ring] = 2 * stride
        sparse = rings[(live < KEEP // 8) & (r["stride"][rings] > 1)]
        r["stride"][sparse] //= 2

    def move_from(self, other: Windows, pairs: Sequence[tuple[int, int]]) -> None:
        """Takes over the content of windows of `other`: pairs of (here, there) with equal definitions."""
        here = np.array([pair[0] for pair in pairs], np.intp)
        there = np.array([pair[1] for pair in pairs], np.intp)
        for name in WINDOW_FIELDS:
            if name != "ring":
                self.columns.copy_rows(name, here, other.columns, there)
        mine, theirs = self.columns["ring"][here], other.columns["ring"][there]
        for name in RING_FIELDS:
            self.rings.copy_rows(name, mine[mine >= 0], other.rings, theirs[theirs >= 0])
        self._oldest, self._turns = np.zeros(0, np.int64), np.zeros(0, np.int64)

    def dump(self) -> dict[str, bytes]:
        sizes = np.array([len(self.columns), len(self.rings)], "<i8").tobytes()
        parts = {f"window.{name}": data for name, data in self.columns.dump().items()}
        return {"sizes": sizes, **parts, **{f"ring.{name}": data for name, data in self.rings.dump().items()}}

    def load(self, dumped: Mapping[str, bytes]) -> None:
        windows, rings = np.frombuffer(dumped["sizes"], "<i8").tolist()
        for prefix, columns, size in (("window.", self.columns, windows), ("ring.", self.rings, rings)):
            held = {name.removeprefix(prefix): data for name, data in dumped.items() if name.startswith(prefix)}
            columns.load(size, held)
        self._oldest, self._turns = np.zeros(0, np.int64), np.zeros(0, np.int64)


def _rank(groups: Array) -> Array:
    """How many equal values stand before each one; equal values must be neighbours."""
    if not len(groups):
        return np.zeros(0, np.int64)
    place = np.arange(len(groups))
    first = np.append(True, groups[1:] != groups[:-1])
    return place - np.maximum.accumulate(np.where(first, place, 0))
