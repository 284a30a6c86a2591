"""What the store costs: `python -m bench.store [--quick] [--directory DIR]`.

Prints ratios against sqlite-utils' `insert_all` in the same run on the same disk, and the figures that the design
bounds: bytes a sealed sample, longest sealing transaction, outbox rows a second, people a second. Exit 1 when a goal is
missed. The batches of both sides take turns, and the lower quartile of each is compared, because disks are shared.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
from cemd.model.entry import Batch, Entry, encode_group
from cemd.model.identity import series_id
from cemd.model.measurement import Samples
from cemd.model.notice import MessageClass, NoticeRows, NoticeState, Phase
from cemd.store.base import LogGroup, StateChange
from cemd.store.compaction import Compactor
from cemd.store.sqlite import SqliteStore, open_store
from sqlite_utils import Database

BATCH = 1_000
COLUMNS = ("series", "at", "value", "outcome")
LOG_GOAL = 15.0
SEAL_GOAL_SECONDS = 0.020
START = 480_000 * 3600.0


def samples(count: int, seed: int) -> Samples:
    """One batch as a prober sends it: many series, milliseconds of jitter, latencies and percentages."""
    rng = np.random.default_rng(seed)
    return Samples(
        series=np.arange(count, dtype=np.int64),
        at=START + seed + np.round(rng.normal(0, 0.004, count), 3),
        value=np.where(np.arange(count) % 2, np.round(np.exp(rng.normal(-4, 0.2, count)), 6), np.ones(count)),
        outcome=np.zeros(count, np.uint8),
    )


def timed(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def bench_disk(directory: Path) -> dict[str, float]:
    """What the disk itself takes to make 8 KiB safe: everything below stands on this."""
    file = os.open(directory / "probe", os.O_RDWR | os.O_CREAT, 0o600)
    os.pwrite(file, bytes(8192), 0)
    took = [timed(partial(_write_through, file)) for _ in range(200)]
    os.close(file)
    return {"disk_sync_median_ms": statistics.median(took) * 1000, "disk_sync_longest_ms": max(took) * 1000}


def _write_through(file: int) -> None:
    os.pwrite(file, os.urandom(8192), 0)
    os.fdatasync(file)


def bench_log(store: SqliteStore, directory: Path, rounds: int) -> dict[str, float]:
    """Batches of 1,000 samples, each durable before the next: encode, log, fsync. Against sqlite-utils with one row a
    sample: with the index that history by rows would need, and bare."""
    indexed, bare = (_rows_file(directory / f"{name}.db") for name in ("indexed", "bare"))
    indexed.table("sample").create_index(["series", "at"])
    took: dict[str, list[float]] = {"log": [], "indexed": [], "bare": []}
    for place in range(rounds):
        batch = samples(BATCH, place)
        columns = (batch.series.tolist(), batch.at.tolist(), batch.value.tolist(), batch.outcome.tolist())
        records = [dict(zip(COLUMNS, row, strict=True)) for row in zip(*columns, strict=True)]
        took["indexed"].append(timed(partial(indexed.table("sample").insert_all, records)))
        took["bare"].append(timed(partial(bare.table("sample").insert_all, records)))
        took["log"].append(timed(partial(append, store, batch)))
    indexed.close()
    bare.close()
    usual = {name: statistics.quantiles(seconds)[0] for name, seconds in took.items()}
    return {
        "log_samples_per_second": BATCH / usual["log"],
        "sqlite_utils_samples_per_second": BATCH / usual["indexed"],
        "log_ratio": usual["indexed"] / usual["log"],
        "log_ratio_without_index": usual["bare"] / usual["log"],
        "log_bytes_per_sample": size_of(store, "log") / rounds / BATCH,
    }


def _rows_file(path: Path) -> Database:
    database = Database(path)
    database.conn.execute("PRAGMA journal_mode = WAL")
    database.conn.execute("PRAGMA synchronous = FULL")
    database.table("sample").create({"series": int, "at": float, "value": float, "outcome": int})
    return database


def append(store: SqliteStore, batch: Samples) -> None:
    seq = store.log.last_seq() + 1
    payload = Batch(
        source="prober:home", number=seq, series=batch.series, at=batch.at, value=batch.value, outcome=batch.outcome
    )
    store.log.append(LogGroup(seq, seq, encode_group([Entry(seq=seq, at=START, payload=payload)])))


def size_of(store: SqliteStore, table: str) -> int:
    with store.readers["samples"].reading() as connection:
        return int(connection.execute(f"SELECT coalesce(sum(length(blob) + 10), 0) FROM {table}").fetchone()[0])


def bench_sealing(store: SqliteStore, series: int, hours: int) -> dict[str, float]:
    """Every series each 10 s, sealed at every 2 s of time, as the daemon does; then a day later compacted.

    The serials are chosen so that a hundred share a group of the staggering, as they do where there are 100,000 series.
    """
    serials = [n % max(series // 100, 1) + 1024 * (n // max(series // 100, 1)) for n in range(series)]
    ids = np.array([series_id(f"probe-{serial // 4}", serial) for serial in serials], np.int64)
    rng = np.random.default_rng(7)
    level = np.exp(rng.normal(-4, 0.5, series))
    added, seal_seconds, open_most = 0, 0.0, 0
    for step in range(hours * 360):
        at = START + step * 10.0 + np.round(rng.normal(0, 0.004, series), 3)
        latency = np.round(level * np.exp(rng.normal(0, 0.2, series)), 3)
        percent = np.round(rng.normal(50, 2, series), 1)
        kinds = np.arange(series) % 4
        value = np.select([kinds == 0, kinds == 1, kinds == 2], [latency, percent, np.ones(series)], 40.0 * step)
        batch = Samples(series=ids, at=at, value=value, outcome=np.zeros(series, np.uint8))
        store.samples.add(batch, step + 1)
        added += series
        for beat in range(5):
            seal_seconds += timed(partial(store.samples.seal, START + step * 10.0 + beat * 2))
        open_most = max(open_most, store.history.open_samples())
    seal_seconds += timed(store.history.seal_all)
    parts = size_of(store, "chunk") / added
    worker = Compactor(store.writers["samples"], store.readers["samples"], days=30, megabytes=100_000)
    compact_seconds = timed(lambda: finish(worker, START + (hours + 36) * 3600))
    read = statistics.median(
        timed(partial(store.samples.history, one, START, START + 86_400)) for one in ids[:50].tolist()
    )
    return {
        "sealed_bytes_per_sample": parts,
        "compacted_bytes_per_sample": size_of(store, "chunk") / added,
        "sealing_transaction_median_ms": float(np.median(store.history.took_seconds)) * 1000,
        "sealing_transaction_99th_ms": float(np.quantile(store.history.took_seconds, 0.99)) * 1000,
        "sealing_transaction_longest_ms": max(store.history.took_seconds) * 1000,
        "sealed_samples_per_second": added / seal_seconds,
        "compacted_samples_per_second": added / compact_seconds,
        "most_open_samples_per_series": open_most / series,
        "read_one_series_ms": read * 1000,
    }


def finish(worker: Compactor, now: float) -> None:
    while worker.step(now, seconds=1.0):
        pass


def bench_outbox(store: SqliteStore, rows: int) -> dict[str, float]:
    """Notices inserted in flight before they are sent: one by one, by 100, by 1,000."""
    found = {}
    seq = store.state.applied_seq()
    customer = 0
    for size in (1, 100, 1_000):
        groups = max(rows // size if size > 1 else 300, 5)
        began = time.perf_counter()
        for _ in range(groups):
            seq += 1
            numbers = np.arange(customer, customer + size, dtype=np.uint32)
            customer += size
            store.state.commit(StateChange(applied_seq=seq, at=START, notices=[notices(numbers, seq)]))
        found[f"outbox_rows_per_second_by_{size}"] = groups * size / (time.perf_counter() - began)
    return found


def notices(numbers: np.ndarray[tuple[int], np.dtype[np.uint32]], seq: int) -> NoticeRows:
    digests = (numbers.astype(np.int64) + 1) * 0x5DEECE66D
    return NoticeRows(
        communication="com-bench",
        trace="trc-bench",
        phase=Phase.FIRST,
        revision=0,
        channel="email",
        state=NoticeState.IN_FLIGHT,
        message_class=MessageClass.SERVICE,
        customer=numbers,
        digest=digests,
        at=START,
        expires_at=START + 3600,
        seq=seq,
        values={"service": "mobile-data", "site": "north"},
    )


def bench_keys(store: SqliteStore, people: int) -> dict[str, float]:
    """A load of customers: numbers, one address each sealed; then opened before sending."""
    references = [f"customer-{n}" for n in range(people)]
    addresses = [f"person.{n}@example.net" for n in range(people)]
    began = time.perf_counter()
    numbers = store.keys.numbers(references).tolist()
    store.keys.put_addresses(numbers, 0, addresses)
    load = time.perf_counter() - began
    again = timed(lambda: store.keys.put_addresses(numbers, 0, addresses))
    opened = timed(lambda: store.keys.addresses(numbers, 0))
    return {"people_load_seconds": load, "people_again_seconds": again, "people_open_seconds": opened}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a tenth of the work")
    parser.add_argument("--directory", type=Path, help="on the disk to measure; default: a temporary folder")
    parser.add_argument("--json", action="store_true", help="figures as JSON")
    options = parser.parse_args()
    scale = 10 if options.quick else 1
    with tempfile.TemporaryDirectory(dir=options.directory) as folder:
        directory = Path(folder)
        store = open_store(directory / "state", ballast_megabytes=0)
        figures = bench_disk(directory) | bench_log(store, directory, 500 // scale)
        figures |= bench_sealing(store, 2_000 // scale, 6)
        figures |= bench_outbox(store, 100_000 // scale)
        figures |= bench_keys(store, 20_000 // scale)
        store.close()
    missed = []
    if figures["log_ratio"] < LOG_GOAL:
        missed.append(f"log insert is {figures['log_ratio']:.1f}x sqlite-utils, the goal is {LOG_GOAL:.0f}x")
    if figures["sealing_transaction_99th_ms"] > SEAL_GOAL_SECONDS * 1000:
        missed.append(f"1 in 100 sealing transactions took {figures['sealing_transaction_99th_ms']:.1f} ms or more")
    if options.json:
        print(json.dumps({"figures": figures, "missed": missed, "processors": os.cpu_count()}))
    else:
        for name, figure in figures.items():
            print(f"{name:38} {figure:>14,.2f}")
        print(*(missed or ["every goal was met"]), sep="\n")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
