"""Files of fifty thousand probes: reading them against plain PyYAML, and a reload of a whole daemon against one that
reads them itself, each in the same run.

Run: python -m bench.reload [files] [--probes 50000] [--indicators 200] [--json]
     python -m bench.reload live [--probes 50000] [--every 60] [--quiet 30] [--json]
Exit 1 when a goal is missed.

`files` compares CPU time of one process: `yaml.load` with `CSafeLoader` of every file, which checks nothing, against
all of `cemd check` (syntax, models, parameters of kinds, references, cautions). What `live` does stands in
`bench/reload/live.py`.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path

from bench.reload import files
from bench.reload.live import Shape, live, missed


def main() -> int:
    """Measures and prints; 1 when a goal is missed."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("what", nargs="?", choices=["files", "live"], default="files")
    arguments.add_argument("--probes", type=int, default=50_000)
    arguments.add_argument("--indicators", type=int, default=200)
    arguments.add_argument(
        "--every", type=float, default=60.0, help="live: seconds from one run of a probe to the next"
    )
    arguments.add_argument("--quiet", type=float, default=30.0, help="live: seconds that are watched before the reload")
    arguments.add_argument("--echo", action="store_true", help="live: shows what the processes say")
    arguments.add_argument("--json", action="store_true")
    given = arguments.parse_args()
    if given.what == "files":
        return _files(given.probes, given.indicators, as_json=given.json)
    shape = Shape(
        probes=given.probes, indicators=given.indicators, every_seconds=given.every, quiet_seconds=given.quiet
    )
    found = live(shape, echo=given.echo)
    faults = missed(found)
    if given.json:
        print(json.dumps({**found, "missed": faults}, indent=2))
    else:
        print("\n".join(f"{name:32} {value:,.2f}" for name, value in found.items()))
        print("\n".join(faults) or "every goal is met.")
    return int(bool(faults))


def _files(probes: int, indicators: int, *, as_json: bool) -> int:
    with tempfile.TemporaryDirectory(prefix="cemd-reload-") as folder:
        files.write(Path(folder), probes, indicators)
        found = files.read(Path(folder), probes)
    if as_json:
        print(json.dumps({**asdict(found), "ratio": found.ratio}, indent=2))
    else:
        print(
            f"{found.probes:,} probes, {found.megabytes:.1f} MiB, seconds of processor:"
            f" plain PyYAML {found.plain_seconds:.2f}, cemd check {found.check_seconds:.2f}, ratio {found.ratio:.2f}"
        )
    return int(found.ratio < files.GOAL_RATIO)


if __name__ == "__main__":
    sys.exit(main())
