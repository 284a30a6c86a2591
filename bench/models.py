"""Forecasts, drift and touchpoints: what they find, how early, how often falsely, beside river's own; their cost.

    python -m bench.models [--samples 10000] [--series 20] [--json]

All data is seeded. A false alarm is an episode on data without a trend, a move or a fault; "stated" is what the rules
say for so many samples. Costs are CPU time, both sides in this process. Exit 1 when a goal is missed.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from cemd.analyze.columns import Array
from cemd.analyze.models.drift import Drifts
from cemd.analyze.models.forecast import Forecasts
from cemd.analyze.models.touchpoint import TouchpointModel
from cemd.config.detection import Drift, Forecast, Multivariate

PACE = 150.0
WEEK = 604_800.0
Make = Callable[[np.random.Generator, int, int], Array]


def _correlated(share: float) -> Make:
    def make(rng: np.random.Generator, samples: int, series: int) -> Array:
        noise = rng.normal(0, 1, (samples, series))
        for place in range(1, samples):
            noise[place] = share * noise[place - 1] + np.sqrt(1 - share * share) * noise[place]
        return noise

    return make


def _daily(rng: np.random.Generator, samples: int, series: int) -> Array:
    hours = np.arange(samples)[:, None] * PACE / 3600.0
    return np.asarray(2.0 * np.sin(hours * 2 * np.pi / 24) + rng.normal(0, 0.7, (samples, series)))


FLAT: dict[str, Make] = {
    "normal": lambda rng, n, k: rng.normal(0, 1, (n, k)),
    "overlapping windows": lambda rng, n, k: (lambda x: (x[1:] + x[:-1]) / 2**0.5)(rng.normal(0, 1, (n + 1, k))),
    "Student t3": lambda rng, n, k: rng.standard_t(3, (n, k)),
    "log-normal": lambda rng, n, k: -rng.lognormal(0, 0.7, (n, k)),
    "quantised": lambda rng, n, k: np.round(rng.normal(0, 0.6, (n, k))),
    "constant": lambda _, n, k: np.zeros((n, k)),
    "mostly whole": lambda rng, n, k: -(rng.random((n, k)) < 0.01).astype(np.float64),
    "uniform": lambda rng, n, k: rng.uniform(-1.7, 1.7, (n, k)),
    "AR 0.5": _correlated(0.5),
    "AR 0.7": _correlated(0.7),
    "AR 0.9": _correlated(0.9),
    "daily rhythm": _daily,
}
HELD = tuple(FLAT)[:9]
"""Kinds on which the stated rate must hold within a factor of two; the others are told as limits."""


def forecast_run(values: Array, target: float) -> list[tuple[int, int]]:
    """(sample, series) at which warnings began."""
    series = values.shape[1]
    forecasts = Forecasts()
    forecasts.reach(series)
    fixed = {
        "sign": np.ones(series),
        "target": np.full(series, target),
        "pace": np.full(series, PACE),
        "phase": np.zeros(series),
    }
    began: list[tuple[int, int]] = []
    for turn, value in enumerate(values):
        given = {**fixed, "value": value, "broken": value < target}
        began += [(turn, row) for row in forecasts.tick(1e9 + turn * PACE, given, Forecast()).began.tolist()]
    return began


def forecast_false(samples: int, series: int) -> dict[str, tuple[int, float]]:
    """Warnings on data without a trend, the target four to six spreads away; and what is stated."""
    stated = samples * series * PACE / WEEK * Forecast().false_alarms_per_indicator_week
    rng = np.random.default_rng(1)
    return {kind: (len(forecast_run(make(rng, samples, series), -5.0)), stated) for kind, make in FLAT.items()}


def forecast_ramps(series: int) -> dict[int, tuple[int, int, float]]:
    """Length of a ramp over ten spreads -> (warned strictly before, all, median share of the ramp still ahead)."""
    rng, found = np.random.default_rng(2), {}
    for length in (48, 100, 200, 400, 1000, 3000):
        turns = np.arange(300 + length)[:, None]
        values = rng.normal(10, 1, (300 + length, series)) - np.clip((turns - 300) / length, 0, 1) * 10
        breach = (values < 0).argmax(axis=0)
        breach[breach == 0] = len(values)
        first: dict[int, int] = {}
        for turn, row in forecast_run(values, 0.0):
            first.setdefault(row, turn)
        leads = [(breach[row] - turn) / length for row, turn in first.items() if 300 < turn < breach[row]]
        found[length] = (len(leads), series, float(np.median(leads)) if leads else 0.0)
    return found


def drift_false(samples: int, series: int) -> dict[str, int]:
    """Episodes of drift on flat data of a spread of a tenth of the way from worst to best."""
    rng, found = np.random.default_rng(3), {}
    for kind in HELD:
        drifts = Drifts()
        drifts.reach(series)
        pace, count = np.full(series, 2 * PACE), 0
        for turn, value in enumerate(0.8 + 0.1 * FLAT[kind](rng, samples, series)):
            count += len(
                drifts.tick(1e9 + turn * 2 * PACE, {"placed": value, "pace": pace, "phase": 0.0 * pace}, Drift()).began
            )
        found[kind] = count
    return found


def drift_delay(series: int) -> dict[float, tuple[int, float]]:
    """Size of a move -> (found, median samples until found)."""
    rng, found = np.random.default_rng(4), {}
    for size in (0.1, 0.2, 0.4):
        drifts = Drifts()
        drifts.reach(series)
        values = 0.9 + rng.normal(0, 0.1, (700, series))
        values[300:] -= size
        pace, delays = np.full(series, 2 * PACE), []
        for turn, value in enumerate(values):
            began = drifts.tick(
                1e9 + turn * 2 * PACE, {"placed": value, "pace": pace, "phase": 0.0 * pace}, Drift()
            ).began
            delays += [turn - 300] * len(began)
        found[size] = (len(delays), float(np.median(delays)) if delays else np.nan)
    return found


def looks(rng: np.random.Generator, count: int, members: int) -> Array:
    """A touchpoint in order: indicators with a common load, and a little of their own."""
    load = rng.normal(0, 0.1, (count, 1))
    ways = np.resize([1.0, 0.9, -0.8, 0.5, 0.7, -0.6], members)
    return np.asarray(0.8 + load * ways + rng.normal(0, 0.02, (count, members)))


FAULTS = ("one alone", "against the load", "all together")


def fault(kind: str, rng: np.random.Generator, members: int) -> Array:
    """Four looks of a fault; only the last kind leaves what each value always was."""
    strange = looks(rng, 4, members)
    match kind:
        case "one alone":
            strange[:, 1] -= 0.15
        case "against the load":
            strange[:, 0], strange[:, 1] = 0.92, 0.68
        case _:
            strange -= 0.5
    return strange


def touchpoint_case(samples: int, runs: int, members: int = 4) -> dict[str, Any]:
    """False episodes of the model, share of faults that it finds, and the same for river's two at the same false rate:
    their limit is the largest score that the quiet part gave."""
    rng = np.random.default_rng(5)
    false, found = 0, {name: dict.fromkeys(FAULTS, 0) for name in ("cemd", "HalfSpaceTrees", "OneClassSVM")}
    for run in range(runs):
        quiet = looks(rng, samples, members)
        model = TouchpointModel(tuple("abcdefgh"[:members]), Multivariate().learn_looks)
        before = False
        for turn, x in enumerate(quiet):
            model.look(1e9 + turn * PACE, x, PACE, Multivariate())
            false += model.said and not before
            before = model.said
        body = model.dump()
        strange = {kind: fault(kind, rng, members) for kind in FAULTS}
        for kind, xs in strange.items():
            judged = TouchpointModel.load(body)
            for turn, x in enumerate(xs):
                judged.look(2e9 + turn * PACE, x, PACE, Multivariate())
            found["cemd"][kind] += judged.said
        for name, score in river_models(quiet, run).items():
            limit = score["limit"]
            for kind, xs in strange.items():
                found[name][kind] += sum(score["of"](x) > limit for x in xs) >= 2
    return {"false": false, "runs": runs, "found": found}


def river_models(quiet: Array, seed: int) -> dict[str, Any]:
    """river's multivariate models, learnt on the quiet part; the limit is the largest score of its newer half."""
    from river import anomaly, preprocessing

    made: Any = anomaly.HalfSpaceTrees
    svm: Any = anomaly.OneClassSVM
    scaler: Any = preprocessing.StandardScaler
    limits = dict.fromkeys(range(quiet.shape[1]), (-0.5, 1.5))
    models: dict[str, Any] = {
        "HalfSpaceTrees": made(n_trees=10, height=8, window_size=250, limits=limits, seed=seed),
        "OneClassSVM": scaler() | svm(nu=0.05),
    }
    out: dict[str, Any] = {}
    for name, model in models.items():
        largest = -np.inf
        for turn, x in enumerate(quiet.tolist()):
            named = dict(enumerate(x))
            if turn >= len(quiet) // 2:
                largest = max(largest, model.score_one(named))
            model.learn_one(named)
        out[name] = {"limit": largest, "of": lambda x, model=model: model.score_one(dict(enumerate(x.tolist())))}
    return out


def costs() -> dict[str, float]:
    """Microseconds of CPU: a look of each model, and of river's HalfSpaceTrees and ADWIN."""
    from river import anomaly, drift

    rng = np.random.default_rng(6)
    series = 2000
    values = rng.normal(10, 1, (80, series))
    forecasts = Forecasts()
    forecasts.reach(series)
    fixed = {
        "sign": np.ones(series),
        "target": np.zeros(series),
        "pace": np.full(series, PACE),
        "phase": np.zeros(series),
    }
    fixed["broken"] = np.zeros(series, np.bool_)

    def forecast() -> int:
        for turn in range(60, 80):
            forecasts.tick(1e9 + turn * PACE, {**fixed, "value": values[turn]}, Forecast())
        return 20 * series

    for turn in range(60):
        forecasts.tick(1e9 + turn * PACE, {**fixed, "value": values[turn]}, Forecast())
    drifts = Drifts()
    drifts.reach(200)
    placed = rng.normal(0.8, 0.1, (200, 200))

    def drifting() -> int:
        for turn, value in enumerate(placed):
            drifts.tick(
                1e9 + turn * PACE, {"placed": value, "pace": np.full(200, PACE), "phase": np.zeros(200)}, Drift()
            )
        return placed.size

    model = TouchpointModel(tuple("abcd"), 256)
    whole = looks(rng, 4000, 4)

    def looking() -> int:
        for turn, x in enumerate(whole):
            model.look(1e9 + turn * PACE, x, PACE, Multivariate())
        return len(whole)

    made: Any = anomaly.HalfSpaceTrees
    trees = made(n_trees=10, height=8, window_size=250, seed=1)

    def growing() -> int:
        for x in whole.tolist():
            named = dict(enumerate(x))
            trees.score_one(named)
            trees.learn_one(named)
        return len(whole)

    one: Any = drift.ADWIN
    windows = [one() for _ in range(200)]

    def winding() -> int:
        for value in placed.tolist():
            for window, x in zip(windows, value, strict=True):
                window.update(x)
        return placed.size

    works: dict[str, Callable[[], int]] = {
        "forecast": forecast,
        "drift": drifting,
        "touchpoint of four": looking,
        "river HalfSpaceTrees (10, 8)": growing,
        "river ADWIN": winding,
    }
    found = {}
    for name, work in works.items():
        start = time.process_time()
        count = work()
        found[name] = (time.process_time() - start) / count * 1e6
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--samples", type=int, default=10_000)
    parser.add_argument("--series", type=int, default=20)
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    found: dict[str, Any] = {
        "forecast_false": forecast_false(asked.samples, asked.series),
        "forecast_ramps": forecast_ramps(asked.series),
        "drift_false": drift_false(asked.samples // 2, asked.series),
        "drift_delay": drift_delay(asked.series),
        "touchpoint": touchpoint_case(asked.samples // 2, max(2, asked.series // 2)),
        "cost_microseconds": costs(),
    }
    if asked.json:
        print(json.dumps(found))
    else:
        _print(found, asked.samples)
    held = all(found["forecast_false"][kind][0] <= 2 * found["forecast_false"][kind][1] + 1 for kind in HELD)
    quiet = sum(found["drift_false"].values()) == 0
    early = all(found["forecast_ramps"][length][0] >= 0.9 * asked.series for length in (400, 1000, 3000))
    sys.exit(0 if held and quiet and early else 1)


def _print(found: dict[str, Any], samples: int) -> None:
    print(f"forecast: warnings on {samples} samples a series without a trend (stated)")
    for kind, (count, stated) in found["forecast_false"].items():
        print(f"  {kind:22s} {count:5d} ({stated:.1f})" + ("" if kind in HELD else "   limit"))
    print("forecast: ramps over ten spreads")
    for length, (warned, series, lead) in found["forecast_ramps"].items():
        print(f"  {length:5d} samples: {warned} of {series} warned strictly before, {lead:.0%} of the ramp still ahead")
    print(
        "drift: episodes on flat data " + ", ".join(f"{kind} {count}" for kind, count in found["drift_false"].items())
    )
    for size, (count, delay) in found["drift_delay"].items():
        print(f"  move of {size:.0%}: {count} found, after {delay:.0f} samples")
    case = found["touchpoint"]
    print(f"touchpoint: {case['false']} false episodes in {case['runs']} runs; faults found of {case['runs']}:")
    for name, kinds in case["found"].items():
        print(f"  {name:16s} " + ", ".join(f"{kind} {count}" for kind, count in kinds.items()))
    costs_found = found["cost_microseconds"]
    for name, cost in costs_found.items():
        print(f"  {name:30s} {cost:8.2f} us a look")
    trees, look = costs_found["river HalfSpaceTrees (10, 8)"], costs_found["touchpoint of four"]
    print(f"a touchpoint's look costs {look / trees:.2f} of HalfSpaceTrees' score and learn")


if __name__ == "__main__":
    main()
