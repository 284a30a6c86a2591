"""Files of very many probes, as an operator's generator writes them: ten of block style, beside services and sites."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from cemd.config.load import load
from cemd.daemon.kinds import kinds
from tests.scenario.long_run.world import address_of

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
    _dump(root / "config/cemd.yaml", {"targets": {"loopback": True}})
    write_catalogue(root)
    write_probes(root, map(udp_probe, range(probes)))
    write_rules(root, indicators)


def write_catalogue(root: Path) -> None:
    """Services and sites."""
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
    _dump(root / "config/catalogue/all.yaml", {"services": services, "sites": sites})


def write_probes(root: Path, probes: Iterable[Mapping[str, Any]]) -> None:
    """The probes, in some files."""
    entries = list(probes)
    each = -(-len(entries) // FILES)
    for place in range(FILES):
        _dump(root / f"probes/region-{place}.yaml", {"probes": entries[place * each : (place + 1) * each]})


def write_rules(root: Path, indicators: int) -> None:
    """Indicators that look at a whole service each."""
    rules = [
        {
            "name": f"answers-{number:03}",
            "of": {"service": f"service-{number % SERVICES:03}", "metric": "success"},
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


def udp_probe(number: int) -> dict[str, Any]:
    """A question by datagram to an address of its own."""
    params = {"host": address_of(number), "port": 7, "send": str(number), "resend_seconds": 59}
    return probe_of(number, "udp", 60, 4, params)


def probe_of(number: int, kind: str, every: float, timeout: float, params: Mapping[str, Any]) -> dict[str, Any]:
    """An entry of a file."""
    return {
        "name": f"probe-{number:05}",
        "kind": kind,
        "service": f"service-{number % SERVICES:03}",
        "site": f"site-{number % SITES:04}",
        "every_seconds": every,
        "timeout_seconds": timeout,
        "labels": {"region": f"r{number % 10}"},
        "params": dict(params),
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
