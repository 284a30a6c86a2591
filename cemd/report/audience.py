"""Who is concerned: a walk over the customer columns in blocks that ends in one reason per concerned customer.

Columns decide, bitmaps remember. The place is expanded on the incident's side into a table of sites; each block then
costs a few array operations that release the interpreter lock, and only the concerned are looked at closely. Ten
million customers take a quarter of a second.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from pyroaring import BitMap

from cemd.config.topology import Topology
from cemd.model.customers import CustomerFlag, Customers
from cemd.model.notice import Reason
from cemd.report.decide import Question, answer, repeated
from cemd.report.told import bitmap

T = TypeVar("T", bound=np.generic)

BLOCK = 131_072
_PRESENT = np.uint8(CustomerFlag.PRESENT)


@dataclass(frozen=True, slots=True)
class Concern:
    """Which customers a problem concerns: any of these services, at any of these sites (None: everywhere)."""

    services: int  # bits
    sites: NDArray[np.bool_] | None  # by site code


@dataclass(slots=True)
class Selection:
    """The outcome: concerned customers with their reasons, and the granted ones per channel."""

    concerned: BitMap = field(default_factory=BitMap)
    reasons: NDArray[np.uint8] = field(default_factory=lambda: np.zeros(0, np.uint8))
    audience: dict[str, BitMap] = field(default_factory=dict)

    @property
    def count(self) -> int:
        return sum(map(len, self.audience.values()))


def concern(customers: Customers, services: Sequence[str], sites: Sequence[str], topology: Topology) -> Concern:
    """The concern in the codes of the columns; sites are taken with everything inside them."""
    bits = sum(1 << place for place, name in enumerate(customers.services) if name in services)
    if not sites:
        return Concern(bits, None)
    inside = {name for site in sites for name in topology.inside(site)}
    return Concern(bits, np.array([name in inside for name in customers.sites] or [False], dtype=np.bool_))


def concerned(customers: Customers, whom: Concern) -> Iterator[NDArray[np.uint32]]:
    """Numbers of the concerned, ascending, block by block."""
    flags, services, site = customers["flags"], customers["services"], customers["site"]
    for low in range(0, customers.size, BLOCK):
        block = slice(low, min(low + BLOCK, customers.size))
        hit = (services[block] & np.uint64(whom.services)) != 0
        hit &= (flags[block] & _PRESENT) != 0
        if whom.sites is not None:
            hit &= np.take(whom.sites, site[block], mode="clip")
        found = np.flatnonzero(hit)
        if len(found):
            yield (found + low).astype(np.uint32)


def of_bitmap(members: BitMap, size: int) -> Iterator[NDArray[np.uint32]]:
    """The members below `size`, ascending, block by block."""
    numbers = np.frombuffer(members.to_array(), dtype=np.uint32)
    numbers = numbers[: int(np.searchsorted(numbers, size))]
    for low in range(0, len(numbers), BLOCK):
        yield numbers[low : low + BLOCK]


def select(customers: Customers, blocks: Iterator[NDArray[np.uint32]], question: Question) -> Selection:
    """Asks the question about every block, then lets each address be used once: the lowest number keeps it."""
    selection = Selection()
    reasons, places, numbers, ways, digests = [], [], [], [], []
    offset = 0
    for block in blocks:
        part = answer(customers, block, question)
        granted = np.flatnonzero(part.reasons < Reason.NO_LAWFUL_BASIS)
        reasons.append(part.reasons)
        places.append((granted + offset).astype(np.uint32))
        numbers.append(block[granted])
        ways.append(part.way[granted])
        digests.append(part.digest[granted])
        offset += len(block)
        selection.concerned |= bitmap(block)
    if not offset:
        return selection
    selection.reasons = _joined(reasons)
    again = repeated(_joined(digests))
    selection.reasons[_joined(places)[again]] = Reason.SAME_ADDRESS
    way, number = _joined(ways), _joined(numbers)
    for index, each in enumerate(question.ways):
        if len(chosen := number[(way == index) & ~again]):
            selection.audience[each.channel] = gathered(chosen)
    return selection


def _joined(parts: list[NDArray[T]]) -> NDArray[T]:
    """One array of all parts, which are given up."""
    whole = np.concatenate(parts)
    parts.clear()
    return whole


def gathered(numbers: NDArray[np.uint32]) -> BitMap:
    """A bitmap, built in blocks so that the interpreter lock is never held long."""
    members = BitMap()
    for low in range(0, len(numbers), BLOCK):
        members |= bitmap(numbers[low : low + BLOCK])
    return members
