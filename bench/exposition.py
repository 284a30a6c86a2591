"""Exposition: our text of many series against prometheus-client's, in the same run on the same values.

Run: python -m bench.exposition [--series 100000] [--json]; exit 1 when a goal is missed.

Compared is CPU time of the thread that renders (`generate_latest` against `SeriesText.render`), with every value
changed, with a tenth changed, and with none. The longest hold of an event loop is measured while the real server
answers scrapes of another process: a task sleeps 1 ms again and again and notes how late it wakes. From that is taken
what the kernel let the two threads wait for a processor (schedstat), which on a busy machine is most of it; both
figures are told. Memory is what each keeps per series, by tracemalloc.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import sys
import threading
import time
import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
from cemd.daemon.house import SWITCH_SECONDS
from cemd.kit.parent import end_with_starter
from cemd.model.identity import series_id
from cemd.model.measurement import Series, SeriesKey
from cemd.model.view import SeriesColumns
from cemd.web.exposition import SeriesText
from cemd.web.server import WebServer
from numpy.typing import NDArray
from prometheus_client import CollectorRegistry, Gauge, generate_latest
from tests.web.scene import SceneHouse, rich_views

LABELS = ("probe", "metric", "vantage", "target")


def keys(count: int) -> list[SeriesKey]:
    metrics = ("success", "round_trip_seconds", "loss_ratio", "jitter_seconds")
    return [
        SeriesKey(probe=f"probe-{place // 4:06d}", metric=metrics[place % 4], target=f"192.0.2.{place // 4 % 250}")
        for place in range(count)
    ]


def series_of(named: list[SeriesKey]) -> tuple[Series, ...]:
    return tuple(
        Series(id=series_id(key.identity(), serial), key=key, source="prober:home") for serial, key in enumerate(named)
    )


def cpu_milliseconds(work: Callable[[int], object], rounds: int) -> float:
    """The best of some rounds: what the work costs when nobody disturbs it."""
    best = float("inf")
    for number in range(rounds):
        begun = time.thread_time()
        work(number)
        best = min(best, time.thread_time() - begun)
    return best * 1000


def kept_bytes(make: Callable[[], object]) -> tuple[int, object]:
    gc.collect()
    tracemalloc.start()
    made = make()
    gc.collect()
    size, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return size, made


def library(named: list[SeriesKey], values: NDArray[np.float64]) -> CollectorRegistry:
    registry = CollectorRegistry()
    gauge = Gauge("cemd_series_value", "Last value of a series.", LABELS, registry=registry)
    for key, value in zip(named, values.tolist(), strict=True):
        gauge.labels(key.probe, key.metric, key.vantage, key.target).set(value)
    return registry


def timed_library(named: list[SeriesKey], values: NDArray[np.float64], rounds: int) -> tuple[int, float]:
    """Bytes that prometheus-client keeps, and CPU milliseconds of one rendering; nothing of it stays."""
    size, registry = kept_bytes(lambda: library(named, values))
    assert isinstance(registry, CollectorRegistry)
    return size, cpu_milliseconds(lambda _: generate_latest(registry), rounds)


def ours(series: tuple[Series, ...], values: NDArray[np.float64]) -> SeriesText:
    lines = SeriesText("cemd_series_value", "Last value of a series.")
    lines.name(series, 1)
    lines.render(values)
    return lines


def changed(values: NDArray[np.float64], share: float, count: int) -> list[NDArray[np.float64]]:
    """Versions of the values that follow each other, a share of them new each time."""
    chance, made = np.random.default_rng(7), [values]
    for _ in range(count):
        fresh = made[-1].copy()
        where = chance.random(len(fresh)) < share
        fresh[where] = chance.lognormal(-3, 1, int(where.sum()))
        made.append(fresh)
    return made[1:]


def clustered(values: NDArray[np.float64], share: float, count: int) -> list[NDArray[np.float64]]:
    """The same share, but of neighbours: series of a probe arrive together."""
    chance, made = np.random.default_rng(8), [values]
    for number in range(count):
        fresh = made[-1].copy()
        width = int(len(fresh) * share)
        start = number * width % (len(fresh) - width + 1)
        fresh[start : start + width] = chance.lognormal(-3, 1, width)
        made.append(fresh)
    return made[1:]


def waited_milliseconds() -> float:
    """How long the kernel kept this loop's and the web's threads waiting for a processor, since they began."""
    total = 0
    for thread in threading.enumerate():
        if thread is threading.main_thread() or thread.name.startswith("cemd-web"):
            stat = Path(f"/proc/self/task/{thread.native_id}/schedstat")
            total += int(stat.read_text().split()[1])
    return total / 1e6


async def longest_hold(series: tuple[Series, ...], values: NDArray[np.float64], *, scrapes: int) -> dict[str, float]:
    """Worst lateness (ms) of a 1 ms timer in the server's loop while scrapes are answered."""
    columns = rich_views().series
    whole = dict.fromkeys(("last_at", "value", "expected", "low", "high", "score"), values)
    versions = changed(values, 1.0, 6)
    many = SeriesColumns(version=2, series=series, outcome=np.zeros(len(values), np.uint8), **whole)
    assert columns.version != many.version
    house = SceneHouse(replace(rich_views(), series=many))
    server = WebServer(house, port=0)
    await server.start()
    script = SCRAPER.format(url=f"{server.url}metrics", scrapes=scrapes)
    pipe = asyncio.subprocess.PIPE
    scraper = await asyncio.create_subprocess_exec(
        sys.executable, "-c", script, stdin=pipe, stdout=pipe, preexec_fn=end_with_starter
    )
    late: list[tuple[float, float]] = []
    done = asyncio.Event()

    async def watch() -> None:
        while not done.is_set():
            begun, queued = time.perf_counter(), waited_milliseconds()
            await asyncio.sleep(0.001)
            lateness = (time.perf_counter() - begun - 0.001) * 1000
            late.append((max(lateness - (waited_milliseconds() - queued), 0.0), lateness))

    watching = asyncio.create_task(watch(), name="watch")
    await asyncio.sleep(1.0)
    late.clear()  # starting a process holds this loop too, and is none of the server's doing: it was started before
    assert scraper.stdin is not None
    scraper.stdin.write(b"go\n")
    number = 0
    while scraper.returncode is None:
        assert house.shown is not None
        number += 1
        fresh = replace(house.shown.series, value=versions[number % len(versions)])
        house.shown = replace(house.shown, seq=house.shown.seq + 1, at=house.shown.at + 2, series=fresh)
        try:
            async with asyncio.timeout(0.25):
                await scraper.wait()
        except TimeoutError:
            continue
    assert scraper.stdout is not None
    took = json.loads(await scraper.stdout.read())
    done.set()
    await watching
    await server.stop()
    own, whole_late = (sorted(column) for column in zip(*late, strict=True))
    return {
        "longest_ms": round(own[-1], 2),
        "p999_ms": round(own[int(len(own) * 0.999)], 2),
        "longest_with_machine_ms": round(whole_late[-1], 2),
        "scrape_ms": round(took["median_ms"], 1),
        "megabytes": round(took["bytes"] / 1e6, 2),
    }


SCRAPER = """
import http.client, json, sys, time, urllib.parse
sys.stdin.readline()
url = urllib.parse.urlsplit({url!r})
times, size = [], 0
for number in range({scrapes}):
    connection = http.client.HTTPConnection(url.hostname, url.port, timeout=60)
    begun = time.perf_counter()
    connection.request("GET", url.path, headers={{"Accept-Encoding": "gzip"}} if number % 2 else {{}})
    size = max(size, len(connection.getresponse().read()))
    times.append(time.perf_counter() - begun)
    connection.close()
    time.sleep(0.1)
print(json.dumps({{"median_ms": sorted(times)[len(times) // 2] * 1000, "bytes": size}}))
"""


def measured(count: int, rounds: int) -> dict[str, object]:
    named = keys(count)
    series = series_of(named)
    values = np.random.default_rng(1).lognormal(-3, 1, count)
    library_bytes, base = timed_library(named, values, max(2, rounds // 3))
    our_bytes, lines = kept_bytes(lambda: ours(series, values))
    assert isinstance(lines, SeriesText)
    text = len(b"".join(lines.render(values)))

    def timed(versions: list[NDArray[np.float64]]) -> float:
        lines.render(values)
        return cpu_milliseconds(lambda number: lines.render(versions[number]), rounds)

    rows = {
        "every value changed": timed(changed(values, 1.0, rounds)),
        "a tenth changed, here and there": timed(changed(values, 0.1, rounds)),
        "a tenth changed, neighbours": timed(clustered(values, 0.1, rounds)),
        "nothing changed": timed([values] * rounds),
    }
    gc.collect()
    gc.freeze()  # as the daemon does once it has started: what lives for ever is not looked at again
    sys.setswitchinterval(SWITCH_SECONDS)  # so does it that, too
    hold = asyncio.run(longest_hold(series, values, scrapes=12))
    return {
        "series": count,
        "prometheus_client_ms": round(base, 1),
        "ours_ms": {name: round(value, 2) for name, value in rows.items()},
        "ratio": {name: round(base / value, 1) for name, value in rows.items()},
        "prometheus_client_bytes_per_series": round(library_bytes / count),
        "our_bytes_per_series": round(our_bytes / count),
        "of_which_kept_text": round(text / count),
        "loop": hold,
    }


def missed(found: dict[str, object]) -> int:
    """1 when a goal is missed: 55 times with every value new, and no hold of the loop over 10 ms."""
    ratio, loop = found["ratio"], found["loop"]
    assert isinstance(ratio, dict)
    assert isinstance(loop, dict)
    return int(ratio["every value changed"] < 55 or loop["longest_ms"] > 10)


def main() -> None:
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--series", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    found = measured(asked.series, asked.rounds)
    if asked.json:
        print(json.dumps(found))
        sys.exit(missed(found))
    print(f"{found['series']} series; prometheus-client generate_latest {found['prometheus_client_ms']} ms CPU")
    ours_ms, ratio = found["ours_ms"], found["ratio"]
    assert isinstance(ours_ms, dict)
    assert isinstance(ratio, dict)
    for name, value in ours_ms.items():
        print(f"  {name:34} {value:8.2f} ms CPU  {ratio[name]:8.1f} x")
    print(
        f"  kept per series: {found['our_bytes_per_series']} B (of it text {found['of_which_kept_text']} B),"
        f" prometheus-client {found['prometheus_client_bytes_per_series']} B"
    )
    print(f"  loop: {found['loop']}")
    sys.exit(missed(found))


if __name__ == "__main__":
    main()
