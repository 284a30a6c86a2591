"""Who is probed: every probe has an address of its own in 127.0.0.0/8, by which its peer knows whom to count.

What a probe is follows from its number alone, so that prober, peers and verdict agree without a word.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Final, NamedTuple

from cemd.config.probes import Probe

MOST: Final = 1 << 18
"""Numbers of probes are below this."""
ANSWERS, FAILS, HANGS = "answers", "fails", "hangs"
MIX: Final[Mapping[str, tuple[int, int, int]]] = {
    "icmp": (24, 0, 0),
    "snmp": (12, 0, 8),
    "tcp": (10, 0, 6),
    "http": (9, 1, 6),
    "dns": (6, 1, 5),
    "udp": (2, 0, 2),
    "stamp": (2, 0, 2),
    "ntp": (3, 0, 1),
}
"""Of a hundred probes of each kind: how many are answered, are answered wrongly, and hang. Thirty in a hundred hang."""
LIGHT: Final = frozenset({"tcp", "udp", "dns"})
"""Kinds that are driven hard in the phase of pressure."""
NEVER: Final = 60.0
"""No question is asked twice within one attempt: an attempt is one datagram."""


class Role(NamedTuple):
    """What a probe does and what it meets."""

    kind: str
    manner: str


@dataclass(frozen=True, slots=True)
class Pace:
    """How often probes run."""

    every_seconds: float
    timeout_seconds: float


@cache
def _roles() -> tuple[Role, ...]:
    manners = (ANSWERS, FAILS, HANGS)
    return tuple(
        Role(kind, manner)
        for kind, counts in MIX.items()
        for manner, count in zip(manners, counts, strict=True)
        for _ in range(count)
    )


def role_of(number: int) -> Role:
    """What the probe of a number is."""
    roles = _roles()
    return roles[number % len(roles)]


def is_important(number: int) -> bool:
    """Whether it is a moment of truth: a tenth of them are."""
    return number // len(_roles()) % 10 == 0


def address_of(number: int) -> str:
    """The address that belongs to this probe alone."""
    return f"127.{16 + (number >> 16)}.{number >> 8 & 255}.{number & 255}"


def number_of(address: bytes) -> int:
    """The probe of an address of four bytes, -1 where it is nobody's."""
    number = (address[1] - 16) << 16 | address[2] << 8 | address[3]
    return number if address[0] == 127 and 0 <= number < MOST else -1


def probe_of(number: int, pace: Pace, ports: Mapping[str, int]) -> Probe:
    """The probe as a file would give it. Of `icmp` the "port" is the size by which its peer knows our echoes."""
    kind, manner = role_of(number)
    return Probe(
        name=f"p{number}",
        kind=kind,
        service="long-run",
        every_seconds=pace.every_seconds,
        timeout_seconds=pace.timeout_seconds,
        moment_of_truth=is_important(number),
        params=_params(kind, manner, address_of(number), ports, pace.timeout_seconds),
    )


def _params(kind: str, manner: str, host: str, ports: Mapping[str, int], seconds: float) -> dict[str, object]:
    wait = seconds * 0.9
    match kind:
        case "icmp":
            return {"target": host, "packets": 1, "wait_seconds": wait, "payload_bytes": ports[kind]}
        case "http":
            return {"url": f"http://{host}:{ports[kind]}/"}
        case "dns":
            return {"server": host, "port": ports[kind], "name": "long-run.test", "resend_seconds": NEVER}
        case "tcp":
            return {"host": host, "port": ports[kind], **({"expect": "a word"} if manner == HANGS else {})}
        case "udp":
            return {"host": host, "port": ports[kind], "send": "hello", "resend_seconds": NEVER}
        case "stamp":
            return {"host": host, "port": ports[kind], "packets": 1, "wait_seconds": wait}
        case "snmp":
            uptime = {"oid": "1.3.6.1.2.1.1.3.0", "metric": "uptime_seconds", "scale": 0.01}
            return {"host": host, "port": ports[kind], "values": [uptime], "resend_seconds": NEVER}
        case _:
            return {"host": host, "port": ports[kind], "resend_seconds": NEVER}


def probes_of(numbers: Iterable[int], pace: Mapping[int, Pace], usual: Pace, ports: Mapping[str, int]) -> list[Probe]:
    """A whole set: each probe at the pace of its own, or at the usual one."""
    return [probe_of(number, pace.get(number, usual), ports) for number in numbers]
