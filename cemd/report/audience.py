"""Who is concerned: a walk over the customer columns in blocks that ends in one reason per concerned customer.

Columns decide, bitmaps remember. The place is expanded on the incident's side into a table of sites; each block then
costs a few array operations that release the interpreter lock, and only the concerned are looked at closely. Ten
million customers take a quarter of a second.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
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
_ABROAD = np.uint8(CustomerFlag.ABROAD)


@dataclass(frozen=True, slots=True)
class Concern:
    """Which customers a problem concerns: those of any part, which is services as bits and sites by code (None:
    everywhere). What is disturbed here and what is disturbed there do not add up to a third."""

    parts: tuple[tuple[int, NDArray[np.bool_] | None], ...]

    @property
    def is_by_place(self) -> bool:
        return bool(self.parts) and all(sites is not None for _, sites in self.parts)

    def holds(self, customers: Customers, chosen: slice | NDArray[np.uint32]) -> NDArray[np.bool_]:
        """Whom of the chosen it concerns. Where some services are disturbed by place and others everywhere, who is
        abroad is concerned by the latter alone; where all are by place, the decision names the reason."""
        services, site = customers["services"][chosen], customers["site"][chosen]
        mixed = len({sites is None for _, sites in self.parts}) > 1
        hit = np.zeros(len(services), dtype=np.bool_)
        for bits, sites in self.parts:
            theirs = (services & np.uint64(bits)) != 0
            if sites is not None:
                theirs &= np.take(sites, site, mode="clip")
                if mixed:
                    theirs &= (customers["flags"][chosen] & _ABROAD) == 0
            hit |= theirs
        return hit

    def services_of(self, customers: Customers, chosen: NDArray[np.uint32]) -> NDArray[np.uint64]:
        """In which of their services it concerns each of the chosen, as bits; whoever is abroad as if at home."""
        services, site = customers["services"][chosen], customers["site"][chosen]
        disturbed = np.zeros(len(services), dtype=np.uint64)
        for bits, sites in self.parts:
            here = True if sites is None else np.take(sites, site, mode="clip")
            disturbed |= np.where(here, services & np.uint64(bits), np.uint64(0))
        return disturbed


@dataclass(slots=True)
class Selection:
    """The outcome: concerned customers with their reasons, and the granted ones per channel."""

    concerned: BitMap = field(default_factory=BitMap)
    reasons: NDArray[np.uint8] = field(default_factory=lambda: np.zeros(0, np.uint8))
    audience: dict[str, BitMap] = field(default_factory=dict)

    @property
    def count(self) -> int:
        return sum(map(len, self.audience.values()))


def concern(customers: Customers, places: Mapping[str, Sequence[str]], topology: Topology) -> Concern:
    """The concern in the codes of the columns: each service at its sites with everything inside them, none being
    everywhere."""
    bits: dict[tuple[str, ...], int] = {}
    for place, name in enumerate(customers.services):
        if name in places:
            bits[tuple(places[name])] = bits.get(tuple(places[name]), 0) | 1 << place
    return Concern(tuple((each, _table(customers, sites, topology)) for sites, each in bits.items()))


def _table(customers: Customers, sites: Sequence[str], topology: Topology) -> NDArray[np.bool_] | None:
    if not sites:
        return None
    inside = {name for site in sites for name in topology.inside(site)}
    return np.array([name in inside for name in customers.sites] or [False], dtype=np.bool_)


def concerned(customers: Customers, whom: Concern) -> Iterator[NDArray[np.uint32]]:
    """Numbers of the concerned, ascending, block by block."""
    flags = customers["flags"]
    for low in range(0, customers.size, BLOCK):
        block = slice(low, min(low + BLOCK, customers.size))
        hit = whom.holds(customers, block)
        hit &= (flags[block] & _PRESENT) != 0
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
