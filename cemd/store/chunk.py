"""A chunk: samples of one series as compressed bytes with a checksum.

pcodec compresses times (milliseconds) and values best once chunks are compacted to six hours (1.6 bytes a sample) and
decodes fastest, but has no checksum and believes any length; so the CRC is checked first, and the arrays are sized from
our own bounded count. What is damaged is a StoreError, never other numbers.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from pcodec import ChunkConfig, standalone

from cemd.errors import StoreError
from cemd.model.measurement import Samples
from cemd.store.packing import packed, unpacked

N = TypeVar("N", np.int64, np.float64)

HEADER = struct.Struct("<IBII")  # CRC-32 of the rest, form, samples, bytes of times
FORM, ALL_OK, CONSTANT = 0x10, 0x01, 0x02
MOST_SAMPLES = 1 << 20
LAST_SECOND = float((1 << 20) * 3600)
"""Hours are 20 bits: up to the year 2089."""
QUICK, SMALL = ChunkConfig(compression_level=4), ChunkConfig(compression_level=8)


@dataclass(frozen=True, slots=True)
class Columns:
    """One series: `at` int64 milliseconds, `value` float64, `outcome` uint8; equal length."""

    at: NDArray[np.int64]
    value: NDArray[np.float64]
    outcome: NDArray[np.uint8]

    def __len__(self) -> int:
        return len(self.at)


def in_milliseconds(samples: Samples) -> Samples:
    """Times as history keeps them: to the millisecond; samples without a possible time are left out."""
    kept = (samples.at >= 0) & (samples.at < LAST_SECOND)
    if kept.all():
        series, at, value, outcome = samples.series, samples.at, samples.value, samples.outcome
    else:
        series, at = samples.series[kept], samples.at[kept]
        value, outcome = samples.value[kept], samples.outcome[kept]
    return Samples(series=series, at=np.round(at * 1000.0) / 1000.0, value=value, outcome=outcome)


def encoded(columns: Columns, config: ChunkConfig = QUICK) -> bytes:
    """The chunk of these samples, at least 1 and at most 2^20."""
    form = FORM
    times: bytes = standalone.simple_compress(np.ascontiguousarray(columns.at), config)
    values = np.ascontiguousarray(columns.value)
    bits = values.view(np.int64)
    if (bits == bits[0]).all():
        form |= CONSTANT
        body = values[:1].tobytes()
    else:
        body = standalone.simple_compress(values, config)
    outcomes = b""
    if columns.outcome.any():
        outcomes = packed(columns.outcome.tobytes())
    else:
        form |= ALL_OK
    lengths = struct.pack("<I", len(body)) if outcomes else b""
    rest = struct.pack("<BII", form, len(columns), len(times)) + times + lengths + body + outcomes
    crc: bytes = zlib.crc32(rest).to_bytes(4, "little")
    return crc + rest


def decoded(blob: bytes, place: str) -> Columns:
    """The samples of a chunk.

    Raises:
        StoreError: damaged or of an unknown form; `place` (file and chunk) begins the sentence.
    """
    try:
        crc, form, count, times_bytes = HEADER.unpack_from(blob)
        if crc != zlib.crc32(memoryview(blob)[4:]):
            raise _damaged(place, "fails its checksum")
        if form & 0xF0 != FORM or not 0 < count <= MOST_SAMPLES:
            raise _damaged(place, f"has form {form} and {count} samples, which this cemd does not know")
        rest = blob[HEADER.size + times_bytes :]
        at = _numbers(blob[HEADER.size : HEADER.size + times_bytes], np.empty(count, np.int64), place)
        outcome = np.zeros(count, np.uint8)
        if not form & ALL_OK:
            (body_bytes,) = struct.unpack_from("<I", rest)
            outcome = np.frombuffer(unpacked(rest[4 + body_bytes :], place, count), np.uint8)
            rest = rest[4 : 4 + body_bytes]
        if form & CONSTANT:
            value = np.full(count, np.frombuffer(rest[:8], np.float64)[0])
        else:
            value = _numbers(rest, np.empty(count, np.float64), place)
    except (struct.error, ValueError, IndexError) as exc:
        raise _damaged(place, f"cannot be read ({exc})") from exc
    if len(outcome) != count:
        raise _damaged(place, "has columns of different length")
    return Columns(at, value, outcome)


def _numbers(data: bytes, into: NDArray[N], place: str) -> NDArray[N]:
    try:
        progress = standalone.simple_decompress_into(data, into)
    except (TypeError, RuntimeError) as exc:
        raise _damaged(place, f"cannot be decompressed ({exc})") from exc
    if progress.n_processed != len(into) or not progress.finished:
        raise _damaged(place, f"holds another number of samples than the {len(into)} it states")
    return into


def _damaged(place: str, fact: str) -> StoreError:
    return StoreError(f"{place} {fact}; stop cemd and put a backup in its place with `cemd restore`.")


def joined(parts: list[Columns]) -> Columns:
    """The samples of several chunks, by time; equal times stay in the order given."""
    if not parts:
        return Columns(np.zeros(0, np.int64), np.zeros(0), np.zeros(0, np.uint8))
    at = np.concatenate([part.at for part in parts])
    value = np.concatenate([part.value for part in parts])
    outcome = np.concatenate([part.outcome for part in parts])
    order = np.argsort(at, kind="stable")
    return Columns(at[order], value[order], outcome[order])
