"""Quality of detection: the deep detector, the bank, ablations of every kind, and river's models on the same series.

    python -m bench.detection [--shared ../shared] [--only deep,nearby,bank,without,alone,river] [--json]

Scorers and labelled series are not part of this project: where they are absent, it says so and ends. Every series of a
data set belongs to a part by a hash of its name, `tuned` (three fifths) or `held out`; both are printed. Thresholds of
the deep detector and the bank are fixed (1). River's models have no scale: they get the best threshold of each data
set, afterwards, which is a favour, and the same pause between alarms.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.util
import json
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from cemd.analyze.columns import Array
from cemd.analyze.detectors import KINDS, threshold
from cemd.analyze.detectors.deep import Deep
from cemd.analyze.detectors.gate import QUIET_SAMPLES
from cemd.analyze.tiers import BankTier, DeepTier, Tier
from cemd.commands.series_files import read_blocks

NAB, KPI = "nab-dev", ("telkpi-dev", "mscm-dev")
NEARBY = (0.96, 0.98, 1.02, 1.04)
PARTS = ("all", "tuned", "held out")


@dataclass(frozen=True, slots=True)
class Series:
    data: str
    name: str
    at: Array
    value: Array

    @property
    def part(self) -> str:
        return "held out" if int(hashlib.sha256(self.name.encode()).hexdigest(), 16) % 5 < 2 else "tuned"


@dataclass(frozen=True, slots=True)
class Scores:
    """What a method gives each series: gated for NAB, continuous for the others."""

    gated: list[Array]
    severe: list[Array]
    threshold: float | None
    """None: the best one of each data set."""


def load(shared: Path) -> list[Series]:
    found = []
    for data in (NAB, *KPI):
        root = shared / "data" / data / "data"
        for path in sorted(root.rglob("*.csv")):
            blocks = list(read_blocks(path))
            at, value = (np.concatenate([getattr(block, name) for block in blocks]) for name in ("at", "value"))
            found.append(Series(data, str(path.relative_to(root)), at, value))
    return sorted(found, key=lambda one: -len(one.at))


def through(tier: Tier, series: list[Series]) -> Scores:
    """All series side by side, row by row."""
    tier.add(len(series))
    gated, severe = ([np.zeros(len(one.at)) for one in series] for _ in range(2))
    for row in range(len(series[0].at)):
        live = np.array([n for n, one in enumerate(series) if row < len(one.at) and not np.isnan(one.value[row])])
        at, value = (np.array([getattr(series[n], name)[row] for n in live]) for name in ("at", "value"))
        opened, severity = tier.observe(live, at, value)
        for place, number in enumerate(live.tolist()):
            gated[number][row], severe[number][row] = opened[place], severity[place]
    return Scores(gated, severe, 1.0)


def river_models() -> dict[str, tuple[Callable[[], Any], str]]:
    from river import anomaly as typed
    from river import compose, preprocessing

    anomaly: Any = typed
    return {
        "GaussianScorer": (lambda: anomaly.GaussianScorer(grace_period=30), "target"),
        "StandardAbsoluteDeviation": (anomaly.StandardAbsoluteDeviation, "target"),
        "HalfSpaceTrees": (
            lambda: compose.Pipeline(preprocessing.MinMaxScaler(), anomaly.HalfSpaceTrees(seed=1)),
            "features",
        ),
        "OneClassSVM": (
            lambda: compose.Pipeline(preprocessing.StandardScaler(), anomaly.OneClassSVM(nu=0.01)),
            "features",
        ),
        "PredictiveAnomalyDetection": (anomaly.PredictiveAnomalyDetection, "predictive"),
    }


def through_river(make: Callable[[], Any], feed: str, series: list[Series]) -> Scores:
    scores = []
    for one in series:
        model, found, before = make(), np.zeros(len(one.at)), 0.0
        for row, value in enumerate(one.value.tolist()):
            if np.isnan(value):
                continue
            arguments: tuple[Any, ...] = ({"x": value},)
            if feed == "target":
                arguments = (None, value)
            elif feed == "predictive":
                arguments = ({"before": before, "hour": one.at[row] / 3600 % 24}, value)
            try:
                score = model.score_one(*arguments)
            except ZeroDivisionError:  # of PredictiveAnomalyDetection, where a series was constant so far
                score = None
            found[row] = abs(score) if score is not None and np.isfinite(score) else 0.0
            model.learn_one(*arguments)
            before = value
        scores.append(found)
    return Scores(scores, scores, None)


class Judge:
    """The scorers of the shared folder."""

    def __init__(self, shared: Path, series: list[Series]) -> None:
        self._nab, self._kpi = (_module(shared / "bench" / f"{name}_score.py") for name in ("nab", "kpi"))
        self._shared, self._series = shared, series
        self._windows = json.loads((shared / "data" / NAB / "windows.json").read_text())
        self._labels: dict[str, Array] = {}

    def report(self, scores: Scores) -> dict[str, dict[str, float]]:
        return {part: {**self._of_nab(scores, part), **self._of_kpi(scores, part)} for part in PARTS}

    def _of(self, data: str, part: str) -> Iterator[tuple[int, Series]]:
        for number, one in enumerate(self._series):
            if one.data == data and part in ("all", one.part):
                yield number, one

    def _of_nab(self, scores: Scores, part: str) -> dict[str, float]:
        mine = list(self._of(NAB, part))
        if scores.threshold is not None:
            return self._nab_at({n: scores.gated[n] for n, _ in mine}, mine, scores.threshold)
        pool = np.concatenate([scores.gated[n] for n, _ in mine])
        tried = [
            self._nab_at({n: quietly(scores.gated[n], cut) for n, _ in mine}, mine, 1.0)
            for cut in np.unique(np.quantile(pool, [0.95, 0.97, 0.98, 0.99, 0.993, 0.996, 0.998, 0.999, 0.9995]))
        ]
        return max(tried, key=lambda one: one["nab"])

    def _nab_at(self, gated: dict[int, Array], mine: list[tuple[int, Series]], threshold: float) -> dict[str, float]:
        rows: list[list[Array]] = [[], [], []]
        windows = 0
        for number, one in mine:
            times = (one.at * 1e6).astype(np.int64).astype("datetime64[us]")
            window, value, first, count = self._nab.geometry(times, self._windows.get(one.name, []))
            numbered = np.where(window >= 0, window + windows, -1)
            for held, part in zip(rows, (gated[number], numbered, value), strict=True):
                held.append(part[first:])
            windows += count
        flat = [np.concatenate(held) for held in rows]
        profiles = self._nab.PROFILES
        found = {
            name: self._nab.normalise(
                self._nab.at_threshold(*flat, profiles[key], threshold)[0], windows, profiles[key]
            )
            for name, key in (("nab", "standard"), ("nab low fp", "reward_low_FP_rate"))
        }
        return {name: round(float(score), 1) for name, score in found.items()}

    def _of_kpi(self, scores: Scores, part: str) -> dict[str, float]:
        held: dict[str, float] = {}
        for data in KPI:
            lines = []
            for number, one in self._of(data, part):
                times = one.at.astype(np.int64).astype("datetime64[s]")
                lines.append(self._kpi.Series(one.name, times, self._label(one), scores.severe[number]))
            found = self._kpi.evaluate(lines, scores.threshold)
            short = data.removesuffix("-dev")
            held[f"{short} vus-pr"] = round(found["vus_pr"], 3)
            held[f"{short} event-f1"] = round(found["event"]["event_f1"], 3)
            held[f"{short} recall@1"] = round(found["at_budget"]["recall"], 3)
        return held

    def _label(self, one: Series) -> Array:
        if one.name not in self._labels:
            path = self._shared / "data" / one.data / "data" / one.name
            (label,) = self._kpi.read(str(path), ["label"])
            self._labels[one.name] = (self._kpi.to_float(label) > 0.5).astype(int)
        return self._labels[one.name]


def quietly(score: Array, cut: float) -> Array:
    """1 where the score exceeds the cut for the first time in QUIET_SAMPLES samples."""
    gated, last = np.zeros(len(score)), -QUIET_SAMPLES - 1
    for row in np.flatnonzero(score >= max(cut, 1e-12)).tolist():
        if row - last > QUIET_SAMPLES:
            gated[row] = 1.0
        last = row
    return gated


def _module(path: Path) -> Any:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def through_nearby(share: float, series: list[Series]) -> Scores:
    """The deep detector with another threshold: scores that hang on one value of it are luck."""
    before = threshold.LIMIT
    threshold.LIMIT = before * share
    try:
        return through(DeepTier(), series)
    finally:
        threshold.LIMIT = before


def methods(only: set[str], series: list[Series]) -> Iterator[tuple[str, Callable[[], Scores]]]:
    if "deep" in only:
        yield "deep", lambda: through(DeepTier(), series)
    if "nearby" in only:
        for share in NEARBY:
            yield f"deep, threshold x {share}", lambda share=share: through_nearby(share, series)  # type: ignore[misc]
    if "bank" in only:
        yield "bank", lambda: through(BankTier(), series)
    if "without" in only:
        for word in KINDS:
            kinds = {name: kind for name, kind in KINDS.items() if name != word}
            yield f"deep without {word}", lambda kinds=kinds: through(DeepTier(Deep(kinds)), series)  # type: ignore[misc]
    if "alone" in only:
        for word in KINDS:
            yield f"{word} alone", lambda word=word: through(DeepTier(Deep({word: KINDS[word]})), series)  # type: ignore[misc]
    if "river" in only:
        for name, (make, feed) in river_models().items():
            yield f"river {name}", lambda make=make, feed=feed: through_river(make, feed, series)  # type: ignore[misc]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shared", type=Path, default=Path("../shared"))
    parser.add_argument("--only", default="deep,nearby,bank,without,alone,river")
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    if not (asked.shared / "bench" / "nab_score.py").exists():
        print(f"{asked.shared} holds no bench/nab_score.py: no scorers, no scores; name the folder with --shared.")
        return 0
    series = load(asked.shared)
    judge = Judge(asked.shared, series)
    for name, run in methods(set(asked.only.split(",")), series):
        start = time.process_time()
        report = judge.report(run())
        spent = round(time.process_time() - start)
        if asked.json:
            print(json.dumps({"method": name, "cpu_seconds": spent, **report}), flush=True)
            continue
        print(f"{name} ({spent} s of CPU)")
        for part, figures in report.items():
            print(f"  {part:9s}", "  ".join(f"{key} {value:g}" for key, value in figures.items()), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
