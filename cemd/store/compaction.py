"""Samples grow old: parts become chunks of six hours and hourly roll-ups, and what is too old or too much is given up.

A round visits every series once, a few at a call. Parts older than a day are compacted (half the bytes a sample) and
summed up hour by hour; below the horizon chunks are deleted. The horizon follows the age that was asked for, and
moves up by itself while the file is over its quota: samples give way first, roll-ups only when no samples are left.
"""

from __future__ import annotations

import sqlite3
import time
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cemd.model.identity import Instant, SeriesId
from cemd.store.chunk import MOST_SAMPLES, SMALL, Columns, decoded, encoded, joined
from cemd.store.packing import packed, unpacked
from cemd.store.queries import SQL
from cemd.store.sealing import COMPACTED, COMPACTED_HOURS, chunk_key, key_parts
from cemd.store.writer import Readers, Writer

SETTLED_HOURS = 24
"""Younger hours may still get late samples and are left in parts."""
LOOK_BACK_HOURS = 72
"""Parts younger than this are looked for; a round that was missed for longer leaves older ones as they are."""
ROLLUP_TIMES = 12
"""Roll-ups are kept this many times longer than samples."""
HORIZON_STEP_HOURS = 24
SHRINK_PAGES = 500
LAST_KEY = (1 << 63) - 1
HOURLY = np.dtype([("mean", "<f4"), ("least", "<f4"), ("most", "<f4"), ("good", "<u4"), ("bad", "<u4")])


@dataclass(frozen=True, slots=True, kw_only=True)
class Rollup:
    """Hours of one series: `at` (start of the hour), mean, least and most of its values (NaN: no value), and how many
    attempts were good and bad."""

    at: NDArray[np.float64]
    mean: NDArray[np.float32]
    least: NDArray[np.float32]
    most: NDArray[np.float32]
    good: NDArray[np.uint32]
    bad: NDArray[np.uint32]


class Compactor:
    """Owned by the thread that does upkeep."""

    def __init__(self, writer: Writer, readers: Readers, *, days: float, megabytes: int) -> None:
        self._writer = writer
        self._readers = readers
        self._hours = days * 24
        self._most_bytes = megabytes * 2**20
        self._cursor: int | None = None  # key to go on from; None: between rounds
        self._round_hour = -1
        with readers.reading() as connection:
            found = connection.execute(SQL["mark_get"], ("horizon_hour",)).fetchone()
        self.horizon: int = found[0] if found else 0

    def step(self, now: Instant, *, seconds: float = 0.05, pressed: bool = False) -> bool:
        """Works for about `seconds`; returns True while the round is not over. `pressed`: the disk is full; samples
        older than a day give way, and their room is given back to the disk.

        Raises:
            StoreError: a damaged chunk stays as it is, and the round goes on behind it at the next call.
        """
        hour = int(now // 3600)
        if pressed:
            self._writer.call("samples.shrink", _give_back)
        if self._cursor is None and not self._begin(hour, pressed=pressed):
            return False
        until = time.monotonic() + seconds
        while self._cursor is not None and time.monotonic() < until:
            self._visit(hour)
        return self._cursor is not None

    def _begin(self, hour: int, *, pressed: bool) -> bool:
        """A round a day; another at once while the file is over its quota."""
        wanted = max(self.horizon, int(hour - self._hours))
        if self.used_bytes() > self._most_bytes:
            wanted = min(max(wanted, self._oldest_hour(hour)) + HORIZON_STEP_HOURS, hour)
        elif pressed:  # perhaps somebody else filled the disk: a day of samples is kept in any case
            eldest = max(wanted, self._oldest_hour(hour)) + HORIZON_STEP_HOURS
            wanted = max(wanted, min(eldest, hour - SETTLED_HOURS))
        if wanted == self.horizon and hour < self._round_hour + 24:
            return False
        self.horizon, self._round_hour, self._cursor = wanted, hour, 0
        self._writer.call("samples.horizon", lambda c: c.execute(SQL["mark_put"], ("horizon_hour", wanted)))
        return True

    def used_bytes(self) -> int:
        """Size of what is in the file, free pages not counted."""
        with self._readers.reading() as connection:
            pages, free, size = (
                connection.execute(f"PRAGMA {name}").fetchone()[0]
                for name in ("page_count", "freelist_count", "page_size")
            )
        return int((pages - free) * size)

    def _oldest_hour(self, hour: int) -> int:
        """The oldest hour of the first few series that have any: where giving up begins to help."""
        oldest, key = hour, 0
        with self._readers.reading() as connection:
            for _ in range(64):
                found = connection.execute(SQL["chunk_next"], (key,)).fetchone()[0]
                if found is None:
                    break
                series, first, _ = key_parts(found)
                oldest, key = min(oldest, first), chunk_key(series + 1, 0, 0)
        return oldest

    def _visit(self, hour: int) -> None:
        """One series: give up what is below the horizon, compact what has settled."""
        with self._readers.reading() as connection:
            found = connection.execute(SQL["chunk_next"], (self._cursor,)).fetchone()[0]
            rolled = connection.execute(SQL["rollup_next"], (self._cursor,)).fetchone()[0]
        keys = [key for key in (found, rolled) if key is not None]
        if not keys:
            self._cursor = None
            self._writer.call("samples.shrink", _give_back)
            return
        series = key_parts(min(keys))[0]
        following = chunk_key(series + 1, 0, 0)
        self._cursor = following if following < LAST_KEY else None
        self._give_up(series, hour)
        self._compact(series, hour)

    def _give_up(self, series: int, hour: int) -> None:
        horizon = self.horizon - self.horizon % COMPACTED_HOURS
        rolled = max(hour - int(self._hours * ROLLUP_TIMES), 0)

        def work(connection: sqlite3.Connection) -> None:
            start = chunk_key(series, 0, 0)
            connection.execute(SQL["chunk_drop_range"], (start, chunk_key(series, horizon, 0) - 1))
            connection.execute(SQL["rollup_drop_range"], (start, chunk_key(series, rolled, 0) - 1))

        if horizon > 0:
            self._writer.call("samples.give_up", work)

    def _compact(self, series: int, hour: int) -> None:
        settled = hour - SETTLED_HOURS
        settled -= settled % COMPACTED_HOURS
        begin = max(hour - LOOK_BACK_HOURS, self.horizon, 0)
        begin -= begin % COMPACTED_HOURS
        for block in range(begin, settled, COMPACTED_HOURS):
            bounds = chunk_key(series, block, 0), chunk_key(series, block + COMPACTED_HOURS, 0) - 1
            with self._readers.reading() as connection:
                found = connection.execute(SQL["chunks"], bounds).fetchall()
            if any(key_parts(key)[2] != COMPACTED for key, _ in found):
                self._compact_block(series, block, found)

    def _compact_block(self, series: int, block: int, found: list[tuple[int, bytes]]) -> None:
        whole = joined([decoded(blob, f"{self._readers.path}: chunk {key}") for key, blob in found])
        if len(whole) > MOST_SAMPLES:
            return
        blob = encoded(whole, SMALL)
        hourly = _hourly(whole, block)

        def work(connection: sqlite3.Connection) -> None:
            connection.executemany(SQL["chunk_drop"], [(key,) for key, _ in found])
            connection.execute(SQL["chunk_replace"], (chunk_key(series, block, COMPACTED), blob))
            _roll_up(connection, series, block, hourly, str(self._writer.path))

        self._writer.call("samples.compact", work)


def _give_back(connection: sqlite3.Connection) -> None:
    """Free pages at the end of the file go back to the disk, some at a time."""
    connection.execute(f"PRAGMA incremental_vacuum({SHRINK_PAGES})").fetchall()


def rollups(readers: Readers, series: SeriesId, since: Instant, until: Instant) -> Rollup:
    """Hourly roll-ups of a series, also of hours whose samples were given up; since <= hour < until.

    Raises:
        StoreError: a roll-up is damaged.
    """
    first, last = int(max(since, 0) // 3600), int(max(until, 0) // 3600)
    bounds = chunk_key(series, first - first % 24, 0), chunk_key(series, last, COMPACTED)
    with readers.reading() as connection:
        found = connection.execute(SQL["rollups"], bounds).fetchall()
    days = [_day(blob, f"{readers.path}: roll-up {key}") for key, blob in found]
    rows = np.concatenate(days) if days else np.zeros(0, HOURLY)
    starts = [key_parts(key)[1] for key, _ in found]
    at = (np.repeat(np.array(starts, np.float64), 24) + np.tile(np.arange(24.0), len(starts))) * 3600.0
    kept = (at >= since) & (at < until) & ((rows["good"] > 0) | (rows["bad"] > 0))
    rows = rows[kept]
    return Rollup(
        at=at[kept],
        mean=rows["mean"],
        least=rows["least"],
        most=rows["most"],
        good=rows["good"],
        bad=rows["bad"],
    )


def _hourly(whole: Columns, block: int) -> NDArray[np.void]:
    hours = np.zeros(COMPACTED_HOURS, HOURLY)
    places = whole.at // 3_600_000 - block
    for place in range(COMPACTED_HOURS):
        inside = places == place
        values = whole.value[inside]
        values = values[np.isfinite(values)]
        good = int((whole.outcome[inside] == 0).sum())
        summary = (values.mean(), values.min(), values.max()) if len(values) else (np.nan, np.nan, np.nan)
        with np.errstate(over="ignore"):  # beyond float32 a mean is infinite, which is what it is to a chart
            hours[place] = (*summary, good, int(inside.sum()) - good)
    return hours


def _roll_up(connection: sqlite3.Connection, series: int, block: int, hourly: NDArray[np.void], path: str) -> None:
    key = chunk_key(series, block - block % 24, 0)
    found = connection.execute(SQL["rollup_get"], (key,)).fetchone()
    day = _day(found[0], f"{path}: roll-up {key}").copy() if found else np.zeros(24, HOURLY)
    day[block % 24 : block % 24 + COMPACTED_HOURS] = hourly
    connection.execute(SQL["rollup_put"], (key, packed(day.tobytes())))


def _day(blob: bytes, place: str) -> NDArray[np.void]:
    return np.frombuffer(unpacked(blob, place, 24 * HOURLY.itemsize), HOURLY)
