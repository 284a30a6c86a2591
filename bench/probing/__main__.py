"""Probing: the prober's whole path, from the schedule to the batch on the socket, beside its peers, per CPU second.

Run: python -m bench.probing http|tls|dns|snmp|snmp10|tcp|icmp|latency|all [--seconds 6] [--pace N] [--json]; exit 1
when a goal is missed. `--pace`: of dns, snmp and snmp10, runs a second at which ours takes about half of a processor on
this machine; each case has its own otherwise.

A real prober process gets a probe set over its socket and owes the bench every measurement, as it owes them to a
daemon; what counts is the CPU time of that process over the measurements that arrived. The peer works on the same
targets, in turn with it: Debian's blackbox_exporter through its /probe page (its process), aiodns and gufo-snmp in
processes of their own, fping. Each case says at which pace. Needs nginx, named, snmpd, fping and
prometheus-blackbox-exporter; a case whose programs are missing says so and is left out.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .agents import snmp_case
from .echoes import icmp_case
from .names import dns_case
from .web import http_case, latency_case, tcp_case

GOALS = {"http": 6.0, "tls": 1.4, "dns": 3.5, "snmp": 1.6, "snmp10": 1.3, "tcp": 8.0, "icmp": 1.35}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("case", choices=[*GOALS, "latency", "all"])
    parser.add_argument("--seconds", type=float, default=6.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--pace", type=float, default=None)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    cases: dict[str, Callable[[Path], dict[str, Any]]] = {
        "http": lambda folder: http_case(folder, given.seconds, given.rounds, tls=False),
        "tls": lambda folder: http_case(folder, given.seconds, given.rounds, tls=True),
        "dns": lambda folder: dns_case(folder, given.seconds, given.rounds, given.pace),
        "snmp": lambda folder: snmp_case(folder, given.seconds, given.rounds, given.pace, names=1),
        "snmp10": lambda folder: snmp_case(folder, given.seconds, given.rounds, given.pace, names=10),
        "tcp": lambda folder: tcp_case(folder, given.seconds, given.rounds),
        "icmp": lambda folder: icmp_case(folder, given.seconds, given.rounds),
        "latency": lambda folder: latency_case(folder, given.seconds, given.rounds),
    }
    found: dict[str, Any] = {}
    for word, case in cases.items():
        if given.case in {word, "all"}:
            with tempfile.TemporaryDirectory(prefix="cemd-bench-") as folder:
                try:
                    found[word] = case(Path(folder))
                except LookupError as exc:
                    print(f"{word}: left out: {exc}.", file=sys.stderr)
                    continue
            if not given.json:
                print(f"{word}: {json.dumps(found[word], default=float)}", flush=True)
    if given.json:
        print(json.dumps(found))
    return int(any(missed(word, case) for word, case in found.items()))


def missed(word: str, case: dict[str, Any]) -> bool:
    if word == "latency":
        return bool(case["added_p50_ms"] > 0.15 or case["added_p99_ms"] > 0.5)
    return bool(case["ratio"] < GOALS[word] or case["own"]["not_ok"])


if __name__ == "__main__":
    sys.exit(main())
