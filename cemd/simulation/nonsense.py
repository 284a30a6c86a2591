"""Malformed input: well-typed entries that make no sense, as a broken device, an old edge or a hostile sender gives."""

from __future__ import annotations

import random

import numpy as np

from cemd.model.entry import (
    AlertOutcome,
    Batch,
    Command,
    CommandKind,
    Contact,
    ContactKind,
    DispatchRequest,
    NoticeOutcomes,
    Payload,
    SeriesAdded,
)
from cemd.model.identity import SeriesId
from cemd.model.measurement import Series, SeriesKey
from cemd.model.notice import Phase

STRANGE = (float("nan"), float("inf"), float("-inf"), 1e30, -1e30, 5e-324, -0.0)
"""Values that arithmetic trips over, within single precision: beyond it the bank's columns overflow."""


def nonsense(chance: random.Random, known: tuple[int, ...], wall: float) -> Payload:
    """One payload that no honest sender makes. `known` are numbers of series that exist."""
    match chance.randrange(8):
        case 0:  # series that nobody numbered
            return _batch(chance, (1, 2**37, *known[:1]), (wall,) * 3)
        case 1:  # times from nowhere
            return _batch(chance, known[:3], (-1e12, 0.0, float("nan"))[: len(known[:3])])
        case 2:  # the same series many times, in disorder
            return _batch(chance, known[:1] * 5, tuple(wall - chance.uniform(0.0, 900.0) for _ in range(5)))
        case 3:
            return _batch(chance, (), ())
        case 4:
            return DispatchRequest(channel=chance.choice(("none", "pager", "")), capacity=chance.choice((-5, 0, 10**9)))
        case 5:
            return NoticeOutcomes(
                communication="com-none",
                phase=Phase.FIRST,
                revision=7,
                customer=np.array([0, 0, 4_000_000_000], np.uint32),
                state=np.array([2, 4, 250], np.uint8),
            )
        case 6:
            return chance.choice((
                AlertOutcome(alert="none", revision=-3, sent=True),
                Command(kind=CommandKind.CONFIRM, actor="", subject="", note="no such service"),
                Command(kind=CommandKind.RUN, actor="", subject="ghost"),
                Contact(kind=ContactKind.ERASED, customer=-1),
                Contact(kind=ContactKind.CALL_ENDED, customer=2**40, service="none"),
            ))  # fmt: skip
        case _:  # a series of a probe that does not exist
            key = SeriesKey(probe="ghost", metric="success")
            return SeriesAdded(series=(Series(id=SeriesId(2**36 + chance.randrange(1000)), key=key, source="ghost"),))


def _batch(chance: random.Random, series: tuple[int, ...], at: tuple[float, ...]) -> Batch:
    return Batch(
        source="ghost",
        number=0,
        series=np.array(series, np.int64),
        at=np.array(at, np.float64),
        value=np.array([chance.choice(STRANGE) for _ in series], np.float64),
        outcome=np.array([chance.choice((0, 1, 3, 200)) for _ in series], np.uint8),
    )
