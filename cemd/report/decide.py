"""Decides about many customers at once: who is told in this phase, through what, and why the others are not.

The same question is asked at selection (blocks of the columns) and again at dequeue (the next few customers). Reasons
are laid over each other from the mildest to the strictest, so that the strictest one stands. All arrays are parallel
to `numbers`, which is ascending.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache

import numpy as np
import zstandard
from numpy.typing import NDArray
from pyroaring import BitMap

from cemd.model.customers import DIGEST_OF, ChannelKind, CustomerFlag, Customers
from cemd.model.notice import Decision, Phase, Reason
from cemd.report.quiet import QuietTable
from cemd.report.told import is_member, numbers_of

NO_CHANNEL = 255
_BUCKET_BITS = 20
_COUNTED = 1 << 18
"""Counted in parts: numpy holds the interpreter lock while it counts."""
GRANTED = {
    Phase.FIRST: Reason.FIRST_NOTICE,
    Phase.UPDATE: Reason.UPDATE_NOTICE,
    Phase.WORKAROUND: Reason.UPDATE_NOTICE,
    Phase.OVER: Reason.OVER_NOTICE,
    Phase.CORRECTION: Reason.CORRECTION_NOTICE,
}

Mask = Callable[[NDArray[np.uint32]], NDArray[np.bool_]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """A channel that works now, in the order of the policy's preference."""

    channel: str
    kind: ChannelKind


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """Everything that bears on who is told; made once for a communication, phase and instant."""

    phase: Phase
    bases: int  # bits of LawfulBasis, any one of which permits the message
    ways: tuple[Way, ...]
    by_place: bool  # selected by home site: whoever is abroad is not there
    affected: Mask | None = None  # asked again at dequeue
    required: BitMap | None = None  # who is not in it was never told what this phase speaks of
    already: BitMap = field(default_factory=BitMap)
    agent: BitMap = field(default_factory=BitMap)
    tickets: BitMap = field(default_factory=BitMap)
    calls: BitMap = field(default_factory=BitMap)
    capped: Mask | None = None
    quiet: QuietTable | None = None
    overrule: Reason | None = None  # stands for all who would be told: incident over, quiet hours passed


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One reason a customer, and for those granted the index of the way and the digest of the address."""

    numbers: NDArray[np.uint32]
    reasons: NDArray[np.uint8]
    way: NDArray[np.uint8]
    digest: NDArray[np.int64]

    def granted(self, phase: Phase) -> NDArray[np.bool_]:
        return np.equal(self.reasons, GRANTED[phase])


def answer(customers: Customers, numbers: NDArray[np.uint32], question: Question) -> Answer:
    """Decides for each of `numbers`; same addresses are for the caller, who sees more than one block."""
    way, digest = choose_ways(customers, numbers, question.ways)
    reasons = np.full(len(numbers), GRANTED[question.phase], dtype=np.uint8)
    if question.quiet is not None:
        held = question.quiet.holds(customers["zone"][numbers], customers["site"][numbers])
        reasons[held] = Reason.QUIET_HOURS
    if question.overrule is not None:
        reasons[:] = question.overrule
    if question.capped is not None:
        reasons[question.capped(numbers)] = Reason.FREQUENCY_CAP
    reasons[way == NO_CHANNEL] = Reason.NO_WORKING_CHANNEL
    for members, reason in (
        (question.calls, Reason.IN_CALL_QUEUE),
        (question.tickets, Reason.OPEN_TICKET),
        (question.agent, Reason.TOLD_BY_AGENT),
        (question.already, Reason.ALREADY_TOLD),
    ):
        if members:
            reasons[is_member(members, numbers)] = reason
    if question.required is not None:
        reasons[~is_member(question.required, numbers)] = Reason.NEVER_TOLD
    if question.affected is not None:
        reasons[~question.affected(numbers)] = Reason.NOT_AFFECTED
    lawless = (customers["basis"][numbers] & np.uint8(question.bases)) == 0
    reasons[lawless] = Reason.NO_LAWFUL_BASIS
    by_flags = _reasons_by_flags(abroad=question.by_place and question.phase is Phase.FIRST)
    never = np.take(by_flags, customers["flags"][numbers])
    np.copyto(reasons, never, where=never != 0)
    return Answer(numbers=numbers, reasons=reasons, way=way, digest=digest)


@cache
def _reasons_by_flags(*, abroad: bool) -> NDArray[np.uint8]:
    """For each value of the flags the strictest reason that they alone give; 0: none."""
    table = np.zeros(256, dtype=np.uint8)
    flags = np.arange(256)
    table[(flags & int(CustomerFlag.PRESENT)) == 0] = Reason.NO_LAWFUL_BASIS
    if abroad:
        table[(flags & int(CustomerFlag.ABROAD)) != 0] = Reason.ABROAD
    for flag, reason in (
        (CustomerFlag.UNSUBSCRIBED, Reason.UNSUBSCRIBED),
        (CustomerFlag.MACHINE, Reason.MACHINE),
        (CustomerFlag.ERASED, Reason.ERASED),
    ):
        table[(flags & int(flag)) != 0] = reason
    return table


def choose_ways(
    customers: Customers, numbers: NDArray[np.uint32], ways: tuple[Way, ...]
) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """(index into `ways`, digest) of each customer: what the customer prefers, else the first of the policy's order."""
    has = customers["channels"][numbers]
    if len(ways) == 1:
        can = (has & np.uint8(1 << ways[0].kind)) != 0
        digest = customers[DIGEST_OF[ways[0].kind]][numbers]
        digest *= can
        return np.where(can, np.uint8(0), np.uint8(NO_CHANNEL)), digest
    way = np.full(len(numbers), NO_CHANNEL, dtype=np.uint8)
    digest = np.zeros(len(numbers), dtype=np.int64)
    preferred = customers["preferred"][numbers]
    for only_preferred in (True, False):
        for index, each in enumerate(ways):
            can = (way == NO_CHANNEL) & ((has & np.uint8(1 << each.kind)) != 0)
            if only_preferred:
                can &= preferred == each.kind
            if can.any():
                way[can] = index
                digest[can] = customers[DIGEST_OF[each.kind]][numbers[can]]
    return way, digest


def repeated(digests: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which entries repeat an earlier one; 0 means no address known and never repeats.

    Finds the values that occur twice by a sort of values alone, which is quick, then looks closely only at the entries
    that fall into a bucket of such a value.
    """
    answer = np.zeros(len(digests), dtype=np.bool_)
    values, counts = np.unique(digests, return_counts=True)
    twice = values[(counts > 1) & (values != 0)]
    if len(twice):
        bucket = np.zeros(1 << _BUCKET_BITS, dtype=np.bool_)
        bucket[_bucket_of(twice)] = True
        maybe = np.flatnonzero(bucket[_bucket_of(digests)])
        involved = maybe[np.isin(digests[maybe], twice)]
        order = involved[np.argsort(digests[involved], kind="stable")]
        answer[order[1:]] = digests[order[1:]] == digests[order[:-1]]
    return answer


def _bucket_of(digests: NDArray[np.int64]) -> NDArray[np.int64]:
    """Digests are keyed hashes: any of their bits will do."""
    return digests & ((1 << _BUCKET_BITS) - 1)


def counts_of(reasons: NDArray[np.uint8]) -> dict[str, int]:
    """How many per reason, by the reason's word."""
    counts = np.zeros(256, dtype=np.int64)
    for low in range(0, len(reasons), _COUNTED):
        counts += np.bincount(reasons[low : low + _COUNTED], minlength=256)
    return {Reason(code).name.lower(): int(counts[code]) for code in np.flatnonzero(counts).tolist()}


def packed(reasons: NDArray[np.uint8]) -> bytes:
    """Reasons as they stand in a decision."""
    return zstandard.ZstdCompressor(level=1).compress(reasons.tobytes())


def unpacked(decision: Decision) -> tuple[NDArray[np.uint32], NDArray[np.uint8]]:
    """(customers ascending, reasons) of a decision."""
    if not decision.customers:
        return np.zeros(0, np.uint32), np.zeros(0, np.uint8)
    reasons = zstandard.ZstdDecompressor().decompress(decision.reasons)
    return numbers_of(BitMap.deserialize(decision.customers)), np.frombuffer(reasons, np.uint8)
