"""Analyze as a whole, small: what a batch, a tick and a view cost with 1,000 series and 100 indicators.

    python -m bench.analyze_stage [--ticks 400]

CPU milliseconds of this thread; 50 services with ten probes each, measured every 10 s, all healthy. The deep detector
serves the series that the indicators stand on.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import numpy as np
from cemd.analyze import stage
from cemd.config.rules import Selector
from cemd.model.entry import Batch
from tests.analyze.world import World, configuration, delay_indicator, probe, series, service, success_indicator

SERVICES, PROBES = 50, 10


def world() -> World:
    services = [service(f"service-{number}", sold=True) for number in range(SERVICES)]
    names = [(f"probe-{number}-{place}", f"service-{number}") for number in range(SERVICES) for place in range(PROBES)]
    indicators = [
        made(name=f"{kind}-{one.name}", of=Selector(service=one.name, metric=metric))
        for kind, metric, made in (
            ("answers", "success", success_indicator),
            ("delay", "total_seconds", delay_indicator),
        )
        for one in services
    ]
    known = [
        series(2 * number + place, name, metric)
        for number, (name, _) in enumerate(names)
        for place, metric in enumerate(("success", "total_seconds"))
    ]
    probes = [probe(name, of) for name, of in names]
    changes = {"services": services, "touchpoints": [], "journeys": [], "probes": probes, "indicators": indicators}
    return World(configuration(**changes), known)


def milliseconds(work: Callable[[], object]) -> float:
    start = time.thread_time()
    work()
    return (time.thread_time() - start) * 1000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ticks", type=int, default=400)
    ticks = parser.parse_args().ticks
    one, rng = world(), np.random.default_rng(1)
    ids = np.array([known.id for known in one.series.values()], np.int64)
    delays = np.array([known.key.metric == "total_seconds" for known in one.series.values()])
    batches, steps = [], []
    for number in range(ticks):
        value = np.where(delays, rng.lognormal(-2.0, 0.3, len(ids)), 1.0)
        at = one.now + rng.uniform(0.0, 5.0, len(ids))
        outcome = np.zeros(len(ids), np.uint8)
        one.now += 5.0
        batch = Batch(source="prober:home", number=number + 1, series=ids, at=at, value=value, outcome=outcome)
        batches.append(milliseconds(lambda batch=batch: one.give(batch)))  # type: ignore[misc]
        steps += [milliseconds(lambda: one.tick(2.5)) for _ in range(2)]
    view = min(milliseconds(lambda: stage.view(one.state, one.topology)) for _ in range(20))
    print(f"{len(ids)} series, {2 * SERVICES} indicators; CPU ms")
    print(f"a batch of all of them: median {statistics.median(batches):.2f}, longest {max(batches):.1f}")
    print(f"a tick: median {statistics.median(steps):.2f}, longest {max(steps):.1f} of {len(steps)}")
    print(f"a view: {view:.2f}")


if __name__ == "__main__":
    main()
