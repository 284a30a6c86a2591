"""A region out: what each turn of the loop costs while tens of thousands of findings are open and hear customers.

    python -m bench.storm [--probes 3000] [--customers 1000000] [--minutes 15] [--still] [--json]

The daemon's own core on real files (`synchronous=FULL`): log, the three wings, commit, and the views that it publishes
after each tick. Cells lie in towns, towns in a region; every cell has a probe of its radio, of data and of speech, each
with seven figures and an objective for each, every half minute. Customers' own attempts are pushed by service and town
every ten seconds. When it is known what is usual, and after a quiet minute, the region's radio is ill (half of all runs
fail, all are slow): all objectives of all probes in it break within minutes. Then it is well again.

CPU milliseconds of the core's thread a tick, whatever came with it included. `behind` is by how much the core would
come late at its ticks of two seconds if it had a processor of its own; exit 1 where it comes late. `--still` leaves out
what is heard anew while findings are open: the difference is what it costs.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import tempfile
import time
from collections.abc import Generator, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from cemd.analyze.hearing import Ear
from cemd.config.configuration import Configuration, hash_of
from cemd.daemon.published import Published
from cemd.loop.core import Core
from cemd.loop.stages import Stage
from cemd.model.customers import COLUMNS, ChannelKind, CustomerFlag, LawfulBasis
from cemd.model.effect import Effects
from cemd.model.entry import Batch, ConfigEpoch, CustomersLoaded, Entry, Payload, SeriesAdded, Started, Tick
from cemd.model.measurement import SeriesKey
from cemd.store.sqlite import SqliteStore, open_store
from numpy.typing import NDArray

NOON = 1_762_430_400.0
TICK, EVERY, PUSHED = 2.0, 30.0, 10.0
LEARN_SECONDS, LEARN_TICK, QUIET_SECONDS = 330.0, 10.0, 60.0
CELLS_A_TOWN = 10
PHASES = ("quiet", "ill", "well")
SERVICES = ("radio", "mobile-data", "voice")
METRICS = {
    "success": 1.0,
    "loss_ratio": 0.002,
    "connect_seconds": 0.02,
    "greeting_seconds": 0.03,
    "answer_seconds": 0.05,
    "duration_seconds": 0.1,
    "jitter_seconds": 0.004,
}
"""Figures of a run, and what is usual; but for success they are ten times as much while the region is ill."""
TEXTS = dict.fromkeys(("first_subject", "first", "over_subject", "over", "correction_subject", "correction"), "text")


Ids = NDArray[np.int64]


class Operator:
    """The catalogue, and what is measured of it at an instant."""

    def __init__(self, probes: int, customers: int) -> None:
        self.cells = [f"cell-{number}" for number in range(probes // len(SERVICES))]
        self.towns = [f"town-{number}" for number in range(-(-len(self.cells) // CELLS_A_TOWN))]
        self.customers = customers
        self.healthy_towns = max(1, len(self.towns) // 20)
        self.chance = np.random.default_rng(1)
        self.ids = np.zeros(0, np.int64)
        self.pushed = np.zeros(0, np.int64)

    def configuration(self) -> Configuration:
        regions = [f"{'west' if n < self.healthy_towns else 'east'}" for n in range(len(self.towns))]
        document = {
            "services": [
                _service("transport"),
                _service("radio", "transport"),
                _service("mobile-data", "radio", sold=True),
                _service("voice", "radio", sold=True),
            ],
            "sites": [
                {"name": "land"},
                *({"name": name, "parent": "land"} for name in ("east", "west")),
                *({"name": name, "parent": regions[n]} for n, name in enumerate(self.towns)),
                *({"name": name, "parent": self.towns[n // CELLS_A_TOWN]} for n, name in enumerate(self.cells)),
            ],
            "probes": [
                {"name": f"{service}-{cell}", "kind": "http", "service": service, "site": cell}
                | {"every_seconds": EVERY, "timeout_seconds": 5.0}
                for cell in self.cells
                for service in SERVICES
            ],
            "indicators": [_indicator(metric, usual) for metric, usual in METRICS.items()] + [STEPS],
            "channels": [{"name": "mail", "kind": "email", "to": "customers"}],
            "policies": [
                {"name": "all", "mode": "shadow", "bases": ["contract"], "channels": ["mail"], "texts": {"en": TEXTS}}
            ],
            "grouping": {"alone_opens_after_seconds": 21_600.0},
        }
        return Configuration.from_document(json.dumps(document).encode())

    def begin(self, store: SqliteStore, configuration: Configuration) -> Iterator[Payload]:
        yield ConfigEpoch(hash=hash_of(configuration.document()), author="bench", document=configuration.document())
        yield Started(version="bench")
        yield self._customers()
        keys = [SeriesKey(probe=one.identity(), metric=name) for one in configuration.probes for name in METRICS]
        self.ids = yield from _added(store, "prober:home", keys)
        keys = [
            SeriesKey(
                probe="http:journeys", metric=STEPS["of"]["metric"], labels=(("service", service), ("site", town))
            )
            for service in SERVICES[1:]
            for town in self.towns
        ]
        self.pushed = yield from _added(store, "http:journeys", keys)

    def _customers(self) -> CustomersLoaded:
        n = self.customers
        columns: dict[str, Any] = {name: np.zeros(n, dtype) for name, dtype in COLUMNS.items()}
        columns["number"] = np.arange(n).astype("<u4")
        columns["site"][:] = self.chance.integers(0, len(self.cells), n)
        columns["services"][:] = self.chance.integers(1, 4, n)
        columns["basis"][:] = LawfulBasis.CONTRACT
        columns["channels"][:] = 1 << ChannelKind.EMAIL
        columns["preferred"][:] = 255
        columns["flags"][:] = CustomerFlag.PRESENT
        columns["digest_email"][:] = self.chance.integers(1, 2**62, n)
        return CustomersLoaded(
            source="bench",
            replace=True,
            sites=tuple(self.cells),
            services=SERVICES[1:],
            segments=("consumer",),
            languages=("en",),
            zones=("",),
            columns=columns,
        )

    def measured(self, number: int, at: float, *, ill: bool) -> Iterator[Batch]:
        """What comes within one tick: every probe in its turn, and every ten seconds what customers get done."""
        probe = np.arange(len(self.ids) // len(METRICS))
        mine = probe[probe % round(EVERY / TICK) == number % round(EVERY / TICK)]
        town = mine // (len(SERVICES) * CELLS_A_TOWN)
        hurt = (town >= self.healthy_towns) & ill
        value = np.tile(list(METRICS.values()), (len(mine), 1)) * self.chance.lognormal(0.0, 0.1, (len(mine), 1))
        value[:, 1:] *= np.where(hurt, 20.0, 1.0)[:, None]
        value[:, 0] = np.where(hurt, self.chance.random(len(mine)) < 0.5, 1.0)
        ids = self.ids.reshape(-1, len(METRICS))[mine].ravel()
        yield _batch("prober:home", number + 1, ids, at, value.ravel())
        if number % round(PUSHED / TICK) == 0:
            share = self.chance.binomial(200, 0.97, len(self.pushed)) / 200
            town = np.arange(len(self.pushed)) % len(self.towns)
            failing = self.chance.binomial(200, 0.55, len(self.pushed)) / 200
            share = np.where((town >= self.healthy_towns) & ill, failing, share)
            yield _batch("http:journeys", 0, self.pushed, at, share)


def _batch(source: str, number: int, ids: Any, at: float, value: Any) -> Batch:
    outcome = np.zeros(len(ids), np.uint8)
    return Batch(source=source, number=number, series=ids, at=np.full(len(ids), at), value=value, outcome=outcome)


def _added(store: SqliteStore, source: str, keys: Sequence[SeriesKey]) -> Generator[Payload, None, Ids]:
    ids, fresh = store.series.resolve(source, keys, 1_000_000)
    yield SeriesAdded(series=tuple(fresh))
    return np.array(ids, np.int64)


def _service(name: str, *needs: str, sold: bool = False) -> dict[str, object]:
    return {"name": name, "function": "f", "domain": "network", "platform": "p", "depends_on": needs, "sold": sold}


STEPS: dict[str, Any] = {
    "name": "steps-done",
    "of": {"source": "http:journeys", "metric": "step_success_ratio"},
    "summary": "mean",
    "window_seconds": 900,
    "min_samples": 4,
    "dimension": "assurance",
    "score": {"worst": 0.5, "best": 1.0},
    "objective": {"at_least": 0.0, "warn_at": 0.75, "for_seconds": 30, "clear_for_seconds": 300},
    "source": "as shipped",
}


def _indicator(metric: str, usual: float) -> dict[str, object]:
    is_share = metric == "success"
    limit = {"at_least": 0.8, "down_at": 0.34} if is_share else {"at_most": 4 * usual, "warn_at": 3 * usual}
    return {
        "name": f"probe-{metric}",
        "of": {"kind": "http", "metric": metric},
        "summary": "ratio" if is_share else "p50",
        "window_seconds": 180,
        "dimension": "reliability",
        "score": {"worst": 0.5, "best": 1.0} if is_share else {"worst": 20 * usual, "best": usual},
        "objective": {**limit, "for_seconds": 60, "clear_for_seconds": 60},
        "source": "as shipped, nearly",
    }


class Times:
    """Adds up the processor time of the core's thread by stage, tick by tick."""

    def __init__(self) -> None:
        self.tick: dict[str, float] = {}
        self.ticks: list[dict[str, float]] = []
        self._since = time.thread_time()

    def __call__(self, stage: Stage | None) -> None:
        now = time.thread_time()
        if stage is not None:
            self.add(stage.value, now - self._since)
        self._since = now

    def add(self, name: str, seconds: float) -> None:
        self.tick[name] = self.tick.get(name, 0.0) + seconds

    def turn(self) -> None:
        self.ticks.append(self.tick)
        self.tick = {}


class Storm:
    """One life of the core, quiet, ill, and well again."""

    def __init__(self, store: SqliteStore, operator: Operator) -> None:
        self.times, self.store, self.operator = Times(), store, operator
        self.core = Core(store, self._outlet, self.times)
        self.said: dict[str, int] = {}
        self.published = Published()
        self.most_open = 0
        self.rows = self.row_bytes = 0
        self._number = 0
        self._came: list[Payload] = []

    def _outlet(self, _entry: Entry, effects: Effects) -> None:
        for one in effects.findings:
            self.said[one.phase.value] = self.said.get(one.phase.value, 0) + 1
        self.rows += len(effects.rows)
        self.row_bytes += sum(len(one.body or b"") for one in effects.rows)

    def live(self, minutes: float) -> dict[str, Any]:
        operator, core = self.operator, self.core
        core.recover(wall=NOON)
        for payload in operator.begin(self.store, operator.configuration()):
            core.process([payload], wall=NOON, monotonic=0.0)
        self.times.turn()
        self.times.ticks.clear()
        self._learn()
        phases = dict(zip(PHASES, (QUIET_SECONDS, minutes * 60.0, minutes * 30.0), strict=True))
        result: dict[str, Any] = {}
        for name, seconds in phases.items():
            first, self.said, self.rows, self.row_bytes = len(self.times.ticks), {}, 0, 0
            before, began = _size(self.store), time.process_time()
            for _ in range(round(seconds / TICK)):
                self._pass(ill=name == "ill")
            ticks = self.times.ticks[first:]
            result[name] = {
                **_summary(ticks),
                "process_seconds": time.process_time() - began,
                "findings": self.said,
                "rows": self.rows,
                "row_megabytes": self.row_bytes / 1e6,
                "file_megabytes": (_size(self.store) - before) / 1e6,
                "incidents": [
                    (one.state.value, one.cause.service, one.confirmed_by, len(one.findings), one.impact.customers)
                    for one in core.state.improve.live()
                ][:5],
                "incident_count": len(core.state.improve.live()),
            }
        result["most_open"] = self.most_open
        result["resident_megabytes"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        return result

    def _learn(self) -> None:
        """So long that it is known what is usual; in longer ticks, which nobody counts."""
        for place in range(round(LEARN_SECONDS / TICK)):
            self._came.extend(self.operator.measured(self._number, NOON + self._number * TICK, ill=False))
            self._number += 1
            if place % round(LEARN_TICK / TICK) == 0:
                self._step()
        self.times.tick, self.times.ticks = {}, []

    def _pass(self, *, ill: bool) -> None:
        self._came.extend(self.operator.measured(self._number, NOON + self._number * TICK, ill=ill))
        self._number += 1
        self._step()

    def _step(self) -> None:
        at = self._number * TICK
        payloads, self._came = [*self._came, Tick()], []
        self.core.process(payloads, wall=NOON + at, monotonic=at)
        began = time.thread_time()
        self.published.publish(self.core)
        self.times.add("views", time.thread_time() - began)
        self.times.turn()
        self.most_open = max(self.most_open, len(self.core.state.analyze.findings))


def _summary(ticks: Sequence[dict[str, float]]) -> dict[str, Any]:
    whole = np.array([sum(one.values()) for one in ticks]) * 1000
    behind = latest = 0.0
    for one in whole:
        behind = max(0.0, behind + one / 1000 - TICK)
        latest = max(latest, behind)
    stages = list(dict.fromkeys(name for one in ticks for name in one))
    by = {name: np.array([one.get(name, 0.0) for one in ticks]) * 1000 for name in stages}
    return {
        "tick_ms": {
            "median": float(np.median(whole)),
            "p99": float(np.quantile(whole, 0.99)),
            "most": float(whole.max()),
        },
        "stages_ms": {name: (float(np.median(one)), float(one.max())) for name, one in by.items()},
        "cpu_seconds": float(whole.sum()) / 1000,
        "behind_seconds": latest,
    }


def _size(store: SqliteStore) -> int:
    return sum(one.stat().st_size for one in store.directory.glob("*.db*"))


def show(found: dict[str, Any]) -> None:
    """Figures for people."""
    for name in PHASES:
        one = found[name]
        ticks = ", ".join(f"{what} {ms:.0f}" for what, ms in one["tick_ms"].items())
        stages = ", ".join(f"{what} {ms[0]:.0f} / {ms[1]:.0f}" for what, ms in one["stages_ms"].items())
        said = ", ".join(f"{count:,} {phase}" for phase, count in one["findings"].items()) or "nothing"
        print(f"{name}: CPU ms a tick: {ticks}; median / most of {stages}; behind {one['behind_seconds']:.1f} s")
        print(
            f"  findings: {said}; {one['incident_count']} incidents; {one['rows']:,} rows of {one['row_megabytes']:.1f}"
        )
        print(f"  MB, files {one['file_megabytes']:.1f} MB larger")
    print(f"{found['most_open']:,} findings open at once, {found['resident_megabytes']:.0f} MB resident at most")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--probes", type=int, default=3000)
    parser.add_argument("--customers", type=int, default=1_000_000)
    parser.add_argument("--minutes", type=float, default=15.0)
    parser.add_argument("--still", action="store_true", help="findings hear nothing anew while they are open")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    if given.still:
        setattr(Ear, "heard_since", lambda _: [])  # noqa: B010 -- said so, it is no mistake
    with tempfile.TemporaryDirectory() as folder:
        store = open_store(Path(folder), ballast_megabytes=0)
        try:
            found = Storm(store, Operator(given.probes, given.customers)).live(given.minutes)
        finally:
            store.close()
    if given.json:
        print(json.dumps(found))
    else:
        show(found)
    return int(any(found[name]["behind_seconds"] > 0 for name in PHASES))


if __name__ == "__main__":
    sys.exit(main())
