"""The long run: fifty thousand mixed probes on peers that count, hanging targets, reloads, and the books compared.

Run: python -m bench.long_run [--minutes 60] [--probes 50000] [--every 60] [--json]; exit 1 where anything disagrees.

A real prober process gets its probe sets from the real server of the daemon and owes it every measurement. Every probe
has an address of its own, so its peer counts it by itself; three in ten hang, one in fifty is answered wrongly. On the
way there are two reloads that take a tenth of the probes out and bring others in while targets hang, a daemon that goes
away for some seconds, and last a set that asks twice of what the prober may do at its cap. At the end nothing new
begins, what runs comes to its end, and every number must agree: each probe's attempts with its peer's count, totals
with the prober's own, planned runs with records; and under pressure no moment of truth was given up. The parts stand in
`tests/scenario/long_run`, and CI runs two minutes of it.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
from pathlib import Path

import numpy as np
from tests.scenario.long_run.peers import running_peers
from tests.scenario.long_run.run import figures, long_run
from tests.scenario.long_run.verdict import Seen, faults
from tests.scenario.long_run.world import Pace


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--probes", type=int, default=50_000)
    parser.add_argument("--every", type=float, default=60.0, help="seconds from one run of a probe to the next")
    parser.add_argument("--timeout", type=float, default=5.0, help="seconds that a hanging target is waited for")
    parser.add_argument("--no-pressure", action="store_true", help="leaves out the phase beyond the cap")
    parser.add_argument("--keep", help="file (.npz) that gets the columns of records and what peers counted")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="cemd-long-run-") as folder, running_peers() as peers:
        usual = Pace(given.every, given.timeout)
        seen = asyncio.run(
            long_run(
                peers,
                Path(folder),
                minutes=given.minutes,
                probes=given.probes,
                usual=usual,
                pressure=not given.no_pressure,
            )
        )
    if given.keep:
        _keep(seen, given.keep)
    found, numbers = faults(seen), figures(seen)
    if given.json:
        print(json.dumps({"figures": numbers, "faults": found}))
    else:
        print("\n".join(f"{name:24} {value:,.1f}" for name, value in numbers.items()))
        print("\n".join(found) or "peers, records, counters and plan agree to the last attempt.")
    return int(bool(found))


def _keep(seen: Seen, file: str) -> None:
    records = seen.records
    np.savez_compressed(file, peers=seen.peers, probe=records.probe, at=records.at, outcome=records.outcome)


if __name__ == "__main__":
    sys.exit(main())
