"""Makes the small set of files that tests open for ever after, once a release:
`python -m tests.store.make_release 0.1.0`."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from cemd.model.identity import SeriesId
from cemd.store.base import LogGroup, StateChange
from cemd.store.sqlite import open_store

from tests.store.house import key, notices, row, samples

KEPT = ("samples.db", "state.db", "keys.db", "master.key")


def make(directory: Path) -> None:
    """Something in every table; the master key of a fixture is no secret."""
    store = open_store(directory, ballast_megabytes=0)
    store.log.append(LogGroup(1, 3, b"three entries " * 100))
    store.log.append(LogGroup(4, 4, b"short"))
    store.snapshots.save(3, 30.0, {"analyze.bank": b"bank" * 50})
    ids, _ = store.series.resolve("prober:home", [key("core-east"), key("shop", "order_seconds")], 10)
    series = SeriesId(int(ids[0] or 0))
    store.samples.add(samples([(series, 3600.0 + place * 10, 0.01 * place, place % 2) for place in range(40)]), 2)
    store.history.seal_all()
    store.keys.numbers(["ann", "bob"])
    store.keys.put_addresses([0, 1], 0, ["ann@example.net", "bob@example.net"])
    store.keys.erase(1)
    store.state.save_epoch("abcdef", "ann", 1.0, b'{"probes": []}')
    incidents = [row("incident", name, b'{"state": "open", "opened_at": 20.0}') for name in ("inc-1", "inc-2")]
    change = StateChange(applied_seq=4, at=40.0, rows=incidents, notices=[notices([0, 1], digests=[11, 12])])
    store.state.commit(change)
    store.close()
    for path in directory.iterdir():
        if path.name not in KEPT:
            path.unlink()


if __name__ == "__main__":
    target = Path(__file__).parent / "releases" / sys.argv[1]
    shutil.rmtree(target, ignore_errors=True)
    make(target)
