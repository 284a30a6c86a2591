"""Reading the files of fifty thousand probes, against plain PyYAML in the same run.

Run: python -m bench.reload [--probes 50000] [--indicators 200] [--json]; exit 1 when the goal is missed.

The files are written as an operator's generator writes them: ten of block style, beside 200 services and 2,500 sites.
Compared is CPU time of one process: `yaml.load` with `CSafeLoader` of every file, which checks nothing, against all of
`cemd check` (syntax, models, parameters of kinds, references, cautions).
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import yaml
from cemd.config.load import load
from cemd.daemon.kinds import kinds

FILES, SERVICES, SITES = 10, 200, 2_500
GOAL_RATIO = 1.0
"""All of `cemd check` for less than plain PyYAML takes to read: so much more than that is not lost on checking."""


@dataclass(frozen=True, slots=True)
class Read:
    probes: int
    megabytes: float
    plain_seconds: float
    check_seconds: float

    @property
    def ratio(self) -> float:
        """How often `cemd check` fits into plain reading."""
        return self.plain_seconds / self.check_seconds


def write(root: Path, probes: int, indicators: int) -> None:
    """A root with its catalogue, probes and rules."""
    services = [
        {
            "name": f"service-{n:03}",
            "function": "access",
            "domain": "network",
            "platform": f"p{n % 20}",
            "sold": n % 4 == 0,
        }
        for n in range(SERVICES)
    ]
    sites = [
        {"name": f"site-{n:04}", **({"parent": f"site-{n // 50 * 50:04}"} if n % 50 else {})} for n in range(SITES)
    ]
    _dump(root / "config/cemd.yaml", {"targets": {"loopback": True}})
    _dump(root / "config/catalogue/all.yaml", {"services": services, "sites": sites})
    entries = [_probe(number) for number in range(probes)]
    each = -(-probes // FILES)
    for place in range(FILES):
        _dump(root / f"probes/region-{place}.yaml", {"probes": entries[place * each : (place + 1) * each]})
    rules = [
        {
            "name": f"answers-{number:03}",
            "of": {"service": f"service-{number % SERVICES:03}", "kind": "udp", "metric": "success"},
            "summary": "ratio",
            "window_seconds": 600,
            "dimension": "reliability",
            "score": {"worst": 0.5, "best": 1},
            "objective": {"at_least": 0.9},
            "source": "set by the house",
        }
        for number in range(indicators)
    ]
    _dump(root / "rules/analyze/all.yaml", {"indicators": rules})


def _probe(number: int) -> dict[str, Any]:
    return {
        "name": f"probe-{number:05}",
        "kind": "udp",
        "service": f"service-{number % SERVICES:03}",
        "site": f"site-{number % SITES:04}",
        "every_seconds": 60,
        "timeout_seconds": 4,
        "labels": {"region": f"r{number % 10}"},
        "params": {
            "host": f"127.{16 + (number >> 16)}.{number >> 8 & 255}.{number & 255}",
            "port": 7,
            "send": str(number),
            "resend_seconds": 59,
        },
    }


def _dump(path: Path, content: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.dump(content, Dumper=yaml.CSafeDumper, sort_keys=False))


def read(root: Path, probes: int) -> Read:
    """Both readings of the same files, in CPU time."""
    files = sorted(root.glob("**/*.yaml"))
    contents = [path.read_bytes() for path in files]
    yaml.load(contents[0], Loader=yaml.CSafeLoader)
    began = time.process_time()
    for content in contents:
        yaml.load(content, Loader=yaml.CSafeLoader)
    plain = time.process_time() - began
    tables = kinds()
    began = time.process_time()
    loaded = load(root, tables)
    check = time.process_time() - began
    assert len(loaded.configuration.probes) == probes
    return Read(probes, sum(map(len, contents)) / 2**20, plain, check)


def main() -> int:
    """Measures and prints; 1 when the goal is missed."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--probes", type=int, default=50_000)
    arguments.add_argument("--indicators", type=int, default=200)
    arguments.add_argument("--json", action="store_true")
    given = arguments.parse_args()
    with tempfile.TemporaryDirectory(prefix="cemd-reload-") as folder:
        write(Path(folder), given.probes, given.indicators)
        found = read(Path(folder), given.probes)
    if given.json:
        print(json.dumps({**asdict(found), "ratio": found.ratio}, indent=2))
    else:
        print(
            f"{found.probes:,} probes, {found.megabytes:.1f} MiB, seconds of processor:"
            f" plain PyYAML {found.plain_seconds:.2f}, cemd check {found.check_seconds:.2f}, ratio {found.ratio:.2f}"
        )
    return int(found.ratio < GOAL_RATIO)


if __name__ == "__main__":
    sys.exit(main())
