"""Who is affected, out of ten million: time, additional memory, and how long anybody else has to wait.

Runs the selection that report makes (columns, reasons, bitmaps, decision packed), against the same question to SQLite
and to a loop over rows in Python, in the same run. A thread that only looks at the clock measures the longest pause
that the interpreter lock causes.

    python -m bench.audience [--customers 10000000] [--json]
"""

from __future__ import annotations

import argparse
import gc
import json
import sqlite3
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from cemd.config.configuration import Configuration
from cemd.config.topology import Topology
from cemd.model.customers import COLUMNS, ChannelKind, CustomerFlag, Customers, LawfulBasis
from cemd.model.effect import Effects
from cemd.model.notice import Communication, CommunicationState, MessageClass, Mode
from cemd.report.choosing import select_phase
from cemd.report.state import Moment, ReportState

SITES = 4_000
NOON = 1_762_430_400.0
TEXTS = dict.fromkeys(("first_subject", "first", "over_subject", "over", "correction_subject", "correction"), "text")


class Ticker:
    """Looks at the clock as often as it is let; the longest gap is the longest hold of the interpreter lock."""

    def __init__(self) -> None:
        self.longest = 0.0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._tick, daemon=True)

    def _tick(self) -> None:
        last = time.perf_counter()
        while not self._stop.is_set():
            time.sleep(0.0002)
            now = time.perf_counter()
            self.longest = max(self.longest, now - last)
            last = now

    def __enter__(self) -> Ticker:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()


def population(n: int) -> Customers:
    """Seeded customers: sites of unequal size, three services, most with mail, some in quiet hours or abroad."""
    chance = np.random.default_rng(7)
    customers = Customers()
    customers.sites = [f"site-{i}" for i in range(SITES)]
    customers.services, customers.zones = ["data", "voice", "tv"], ["", "Europe/Berlin", "Asia/Tokyo"]
    customers.languages, customers.segments = ["en"], ["consumer"]
    columns: dict[str, Any] = {name: np.zeros(n, dtype) for name, dtype in COLUMNS.items()}
    columns["site"][:] = np.minimum(chance.gamma(2.0, SITES / 6, n), SITES - 1)
    columns["services"][:] = chance.integers(1, 8, n)
    columns["zone"][:] = chance.integers(0, 3, n)
    columns["basis"][:] = np.where(chance.random(n) < 0.97, LawfulBasis.CONTRACT, 0)
    columns["channels"][:] = np.where(chance.random(n) < 0.9, 1 << ChannelKind.EMAIL, 0)
    columns["preferred"][:] = 255
    flags = np.full(n, CustomerFlag.PRESENT, np.uint8)
    flags |= np.where(chance.random(n) < 0.03, np.uint8(CustomerFlag.ABROAD), np.uint8(0))
    columns["flags"][:] = flags
    columns["digest_email"][:] = chance.integers(1, 2**62, n)
    customers.columns, customers.size = columns, n
    return customers


def configuration() -> Configuration:
    document = {
        "services": [
            {"name": name, "function": "f", "domain": "network", "platform": "p", "sold": True}
            for name in ("data", "voice", "tv")
        ],
        "sites": [{"name": "country"}, {"name": "east", "parent": "country"}]
        + [{"name": f"site-{i}", "parent": "east" if i < SITES // 8 else "country"} for i in range(SITES)],
        "channels": [{"name": "mail", "kind": "email", "to": "customers"}],
        "policies": [
            {
                "name": "all",
                "mode": "live",
                "ceiling": 100_000_000,
                "bases": ["contract"],
                "channels": ["mail"],
                "quiet_hours": {"start": "20:00", "end": "08:00"},
                "texts": {"en": TEXTS},
                "caps": [{"most": 4, "window_seconds": 86_400.0}],
            }
        ],
    }
    return Configuration.from_document(json.dumps(document).encode())


def selector(customers: Customers, topology: Topology, sites: tuple[str, ...]) -> Callable[[], int]:
    """One selection as the stage makes it, with everything that it leaves behind."""
    state = ReportState()
    (policy,) = topology.configuration.policies
    state.keep_policy("com", policy)
    communication = Communication(
        id="com", trace="t", incidents=(), policy=policy.name, mode=Mode.LIVE, message_class=MessageClass.SERVICE,
        services=("data",), sites=sites, places={"data": sites}, cause_key="k", state=CommunicationState.TELLING,
        opened_at=NOON, hold_until=NOON, decide_by=NOON, decided_at=NOON,
    )  # fmt: skip

    def run() -> int:
        state.forget_decisions("com")
        for waiting in state.waiting:
            state.forget_waiting(f"{waiting.communication}/{waiting.channel}")
        moment = Moment(at=NOON, seq=1, topology=topology, customers=customers, effects=Effects())
        return select_phase(state, communication, moment)[1].count

    return run


def sqlite_seconds(customers: Customers, last_site: int) -> tuple[float, int]:
    """The same question as SQL with the index that suits it best, ids handed to Python."""
    database = sqlite3.connect(":memory:")
    database.execute(
        "CREATE TABLE c (n INTEGER PRIMARY KEY, site INT, services INT, basis INT, channels INT, flags INT)"
    )
    names = ("site", "services", "basis", "channels", "flags")
    for low in range(0, customers.size, 500_000):
        block = [customers[name][low : low + 500_000].tolist() for name in names]
        database.executemany(
            "INSERT INTO c VALUES (?,?,?,?,?,?)", zip(range(low, low + len(block[0])), *block, strict=True)
        )
    database.execute("CREATE INDEX by_site ON c (site, services, basis, channels, flags)")
    began = time.perf_counter()
    rows = database.execute(
        "SELECT n FROM c WHERE site <= ? AND services & 1 AND basis & 1 AND channels & 1 AND flags & 1"
        " AND NOT flags & 30 ORDER BY n",
        (last_site,),
    ).fetchall()
    return time.perf_counter() - began, len(rows)


def python_seconds(customers: Customers, last_site: int) -> float:
    """A loop over rows; a hundredth of them, times a hundred."""
    n = customers.size // 100
    names = ("site", "services", "basis", "channels", "flags")
    rows = list(zip(*(customers[name][:n].tolist() for name in names), strict=True))
    began = time.perf_counter()
    chosen = [
        number
        for number, (site, services, basis, channels, flags) in enumerate(rows)
        if site <= last_site and services & 1 and basis & 1 and channels & 1 and flags & 1 and not flags & 30
    ]
    assert chosen
    return (time.perf_counter() - began) * 100


def measured(run: Callable[[], int], repeat: int = 7) -> dict[str, float]:
    """Best and median time, CPU time, and the longest pause of another thread: median and worst of the runs."""
    run()
    gc.collect()
    seconds, cpu, pauses, count = [], [], [], 0
    for _ in range(repeat):
        with Ticker() as ticker:
            began, worked = time.perf_counter(), time.thread_time()
            count = run()
            seconds.append(time.perf_counter() - began)
            cpu.append(time.thread_time() - worked)
        pauses.append(ticker.longest * 1e3)
    middle = repeat // 2
    return {
        "seconds": min(seconds),
        "median_seconds": sorted(seconds)[middle],
        "cpu_seconds": min(cpu),
        "pause_ms": sorted(pauses)[middle],
        "worst_pause_ms": max(pauses),
        "told": count,
    }


def idle_pause_ms(seconds: float = 1.0) -> float:
    """What the machine itself costs: the longest pause while this process does nothing."""
    with Ticker() as ticker:
        time.sleep(seconds)
    return ticker.longest * 1e3


def additional_mebibytes(run: Callable[[], int]) -> float:
    """Peak resident memory of one run above what stood before it."""
    gc.collect()
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    before = _status("VmRSS")
    run()
    return (_status("VmHWM") - before) / 1024


def _status(name: str) -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(float(line.split()[1]) for line in lines if line.startswith(name))


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    arguments.add_argument("--customers", type=int, default=10_000_000)
    arguments.add_argument("--json", action="store_true")
    chosen = arguments.parse_args()
    customers = population(chosen.customers)
    topology = Topology(configuration())
    report: dict[str, Any] = {"customers": chosen.customers}
    for name, sites in (("region", ("east",)), ("one site", ("site-700",)), ("everywhere", ())):
        run = selector(customers, topology, sites)
        memory = additional_mebibytes(run)
        report[name] = {**measured(run), "additional_mib": memory}
    report["idle_pause_ms"] = idle_pause_ms()
    sql, rows = sqlite_seconds(customers, SITES // 8 - 1)
    report["sqlite"] = {"seconds": sql, "rows": rows, "ratio": sql / report["region"]["seconds"]}
    loop = python_seconds(customers, SITES // 8 - 1)
    report["python"] = {"seconds": loop, "ratio": loop / report["region"]["seconds"]}
    if chosen.json:
        print(json.dumps(report, indent=2))
        return
    for name in ("region", "one site", "everywhere"):
        row = report[name]
        print(
            f"{name:>10}: {row['seconds'] * 1e3:6.1f} ms (median {row['median_seconds'] * 1e3:.1f}, cpu"
            f" {row['cpu_seconds'] * 1e3:.1f})  pause {row['pause_ms']:.1f} ms (worst {row['worst_pause_ms']:.1f})"
            f"  +{row['additional_mib']:.0f} MiB  {row['told']:,} told"
        )
    print(f"      idle: pause {report['idle_pause_ms']:.1f} ms")
    print(f"    sqlite: {sql * 1e3:7.1f} ms  {report['sqlite']['ratio']:.1f}x of region (fewer rules, best index)")
    print(f"    python: {loop * 1e3:7.1f} ms  {report['python']['ratio']:.1f}x of region (fewer rules)")


if __name__ == "__main__":
    main()
