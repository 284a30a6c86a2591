"""Numbers of agents: what a value is worth, and how much counters grow, over wraps and restarts.

Source: RFC 2578, sections 7.1.6 and 7.1.10.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from cemd.monitor.protocols.ber import Oid
from cemd.monitor.protocols.snmp import Bound, ValueType

UPTIME: Oid = (1, 3, 6, 1, 2, 1, 1, 3, 0)
_MODULUS = {ValueType.COUNTER32: 1 << 32, ValueType.COUNTER64: 1 << 64}


@dataclass(frozen=True, slots=True)
class Now:
    """When an answer came (time of the loop), and how long its agent was up then, in ticks; None: not known."""

    at: float
    uptime: int | None


@dataclass(frozen=True, slots=True)
class _Seen:
    """A counter as it was at its last answer."""

    value: int
    at: float
    uptime: int | None


class Counters:
    """The numbers of one agent, each as it was at its last answer."""

    def __init__(self) -> None:
        self._seen: dict[tuple[str, Oid], _Seen] = {}

    def rate(self, metric: str, bound: Bound, now: Now) -> float | None:
        """How much it grows in a second; None where that is not known yet. One counter may be asked for under several
        metrics, each of which has its own memory: within a run they come one after the other."""
        if not isinstance(bound.value, int):
            return None
        key = (metric, bound.oid)
        before = self._seen.get(key)
        self._seen[key] = _Seen(bound.value, now.at, now.uptime)
        if before is None or now.at <= before.at:
            return None
        grown = growth(before.value, bound.value, bound.type, restarted=_restarted(before.uptime, now.uptime))
        return None if grown is None else grown / (now.at - before.at)


def _restarted(before: int | None, now: int | None) -> bool:
    return before is not None and now is not None and now < before


def growth(before: int, now: int, kind: ValueType, *, restarted: bool) -> int | None:
    """How much a number grew; None where that cannot be known.

    A counter that is lower than before has wrapped, unless its agent began anew. One of 64 bits that would have to
    grow by more than half its range was reset: no line is that fast. What is no counter may fall.

    Source: RFC 2578, sections 7.1.6 and 7.1.10.
    """
    if restarted:
        return None
    modulus = _MODULUS.get(kind)
    if now >= before or modulus is None:
        return now - before
    grown = now - before + modulus
    return None if kind is ValueType.COUNTER64 and grown > modulus // 2 else grown


def number_of(bound: Bound) -> float | None:
    """The value as a number; some agents write numbers as text."""
    if isinstance(bound.value, int):
        return float(bound.value)
    if isinstance(bound.value, bytes) and bound.type is ValueType.OCTETS and len(bound.value) <= 40:
        try:
            number = float(bound.value)
        except ValueError:
            return None
        return number if abs(number) < float("inf") else None
    return None


def uptime_of(found: Mapping[Oid, Bound]) -> int | None:
    """How long the agent is up, where that was asked for."""
    uptime = found[UPTIME].value if UPTIME in found else None
    return uptime if isinstance(uptime, int) else None
