"""Identities that last: partitions, series ids, and ids of records made from what caused them.

`hash()` changes with every process, so everything here uses BLAKE2b. A series id is 38 bits: partition (8) above
serial (30). Serials grow by one, are never reused, and index arrays; the partition says which worker owns the series.
"""

from __future__ import annotations

import hashlib
from typing import NewType

import numpy as np
from numpy.typing import NDArray

Instant = float
"""Seconds since 1970-01-01T00:00:00Z. In the core always core time, which never goes back."""

SeriesId = NewType("SeriesId", int)

PARTITIONS = 256
SERIAL_BITS = 30
SERIAL_MASK = (1 << SERIAL_BITS) - 1


def stable_hash(text: str) -> int:
    """64-bit hash of a text, equal in every process and on every machine."""
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big")


def partition_of(identity: str) -> int:
    """The partition (0..255) that owns an identity."""
    return stable_hash(identity) % PARTITIONS


def series_id(identity: str, serial: int) -> SeriesId:
    """Packs partition and serial.

    Raises:
        ValueError: `serial` does not fit in 30 bits.
    """
    if not 0 <= serial <= SERIAL_MASK:
        raise ValueError(f"series serial {serial} is outside 0..{SERIAL_MASK}.")
    return SeriesId(partition_of(identity) << SERIAL_BITS | serial)


def serials(ids: NDArray[np.int64]) -> NDArray[np.int64]:
    """Serial of each series id; dense from 0, so it indexes arrays."""
    return ids & SERIAL_MASK


def record_id(prefix: str, *parts: object) -> str:
    """A short id that is the same for the same cause: `record_id("inc", seq, service)` -> `inc-3f2a91c04d7e`.

    Records of the core get their ids this way because randomness is forbidden there.
    """
    text = "\x1f".join(map(str, parts))
    return f"{prefix}-{hashlib.blake2b(text.encode(), digest_size=6).hexdigest()}"
