"""Words between prober and daemon: MessagePack frames, each with a length of four bytes before it, over one stream.

The prober names a series once (`Declare`) and sends columns of numbers from then on (`Measured`); the daemon
acknowledges a batch when it is in the log. Numbers of series belong to one connection, numbers of batches to the
source for ever. A frame beyond the limit, or bytes that are no frame, end the connection: a peer that speaks wrongly
once cannot be trusted with where the next frame begins.
"""

from __future__ import annotations

import asyncio
from typing import TypeAlias, TypeVar

import msgspec
import numpy as np
from numpy.typing import NDArray

from cemd.errors import CemdError
from cemd.model.measurement import SeriesKey

MAX_FRAME = 4 * 1024 * 1024
"""What the daemon takes from a prober, bytes."""
MAX_PROBES_FRAME = 16 * 1024 * 1024
"""What a prober takes from its daemon, bytes: a piece of a probe set, which may be one large probe."""
BUFFERED_BYTES = 4 * 1024 * 1024
"""What either side reads ahead: with less, two busy processes wake each other in turn for every piece of a frame."""
MAX_DECLARED = 500
"""Series in one `Declare`; with the longest names it still fits in a frame."""
MAX_SAMPLES = 50_000
"""Samples in one `Measured`."""
VERSION = 2


class Hello(msgspec.Struct, frozen=True, kw_only=True, tag="hello"):
    """First word of the prober. `source` is `prober:VANTAGE`; `number` is below that of any batch to come."""

    version: int
    source: str
    number: int
    pid: int


class Declare(msgspec.Struct, frozen=True, kw_only=True, tag="declare"):
    """Series `first`, `first + 1`, ... of this connection."""

    first: int
    keys: tuple[SeriesKey, ...]


class Measured(msgspec.Struct, frozen=True, kw_only=True, tag="measured"):
    """Columns of equal length: series <i4 (as declared), at <f8, value <f8, outcome u1; `number` grows by one."""

    number: int
    series: bytes
    at: bytes
    value: bytes
    outcome: bytes


class AttemptNote(msgspec.Struct, frozen=True, kw_only=True):
    """Evidence of one attempt, already redacted."""

    probe: str
    at: float
    seconds: float
    outcome: str
    reason: str
    detail: str
    values: dict[str, float]


class Attempts(msgspec.Struct, frozen=True, kw_only=True, tag="attempts"):
    """Evidence; not acknowledged and not kept when the daemon is away."""

    attempts: tuple[AttemptNote, ...]


class Progress(msgspec.Struct, frozen=True, kw_only=True, tag="progress"):
    """The schedule moved. Counters are totals since the prober began."""

    counters: dict[str, float]


class Taken(msgspec.Struct, frozen=True, kw_only=True, tag="taken"):
    """The probe set of an epoch is at work; what this prober cannot run stands in `refused` as sentences."""

    epoch: str
    probes: int
    refused: tuple[str, ...]


class ProbesPart(msgspec.Struct, frozen=True, kw_only=True, tag="probes_part"):
    """A piece of the probe set of an epoch, a JSON list of `cemd.config.probes.Probe`; `place` counts from 0, which
    begins a set anew. Nothing of it is at work before `Probes` ends it."""

    epoch: str
    place: int
    probes: bytes


class Probes(msgspec.Struct, frozen=True, kw_only=True, tag="probes"):
    """The last piece of the probe set of an epoch for one vantage point, after so many `parts`; `targets` is the JSON
    of `cemd.config.targets.Targets`, `way_out` that of `cemd.config.vantage.WayOut`."""

    epoch: str
    probes: bytes
    at_once: int
    parts: int = 0
    targets: bytes = b"{}"
    way_out: bytes = b"{}"


class RecheckNow(msgspec.Struct, frozen=True, kw_only=True, tag="recheck"):
    """Run this probe (uid) at once."""

    probe: str


class Ack(msgspec.Struct, frozen=True, kw_only=True, tag="ack"):
    """All batches up to `number` are in the log."""

    number: int


FromProber: TypeAlias = Hello | Declare | Measured | Attempts | Progress | Taken
FromDaemon: TypeAlias = ProbesPart | Probes | RecheckNow | Ack

_Frame = TypeVar("_Frame")
_encoder = msgspec.msgpack.Encoder()
from_prober: msgspec.msgpack.Decoder[FromProber] = msgspec.msgpack.Decoder(FromProber)
from_daemon: msgspec.msgpack.Decoder[FromDaemon] = msgspec.msgpack.Decoder(FromDaemon)


class WireError(CemdError):
    """The peer sent what is no frame of ours; the connection ends."""


def encode(frame: FromProber | FromDaemon) -> bytes:
    """One frame with its length before it.

    Raises:
        WireError: the frame is larger than the peer takes.
    """
    body = _encoder.encode(frame)
    most = MAX_PROBES_FRAME if isinstance(frame, ProbesPart | Probes) else MAX_FRAME
    if len(body) > most:
        raise WireError(f"a {type(frame).__name__} of {len(body)} bytes exceeds {most}; split it.")
    return len(body).to_bytes(4, "big") + body


async def read_from_prober(reader: asyncio.StreamReader) -> FromProber | None:
    """The next frame of a prober, None at the end of the stream.

    Raises:
        WireError: the bytes are no frame, or too many.
    """
    body = await _read(reader, MAX_FRAME)
    return None if body is None else decode(body, from_prober)


async def read_from_daemon(reader: asyncio.StreamReader) -> FromDaemon | None:
    """The next frame of the daemon, None at the end of the stream.

    Raises:
        WireError: the bytes are no frame, or too many.
    """
    body = await _read(reader, MAX_PROBES_FRAME)
    return None if body is None else decode(body, from_daemon)


async def _read(reader: asyncio.StreamReader, most: int) -> bytes | None:
    try:
        size = int.from_bytes(await reader.readexactly(4), "big")
        if size > most:
            raise WireError(f"a frame of {size} bytes exceeds {most}; the connection is closed.")
        return await reader.readexactly(size)
    except (asyncio.IncompleteReadError, ConnectionError):
        return None


def decode(body: bytes, decoder: msgspec.msgpack.Decoder[_Frame]) -> _Frame:
    """The frame in `body`.

    Raises:
        WireError: it is none.
    """
    try:
        return decoder.decode(body)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as exc:
        raise WireError(f"bytes that are no frame ({type(exc).__name__}); the connection is closed.") from exc


def columns(frame: Measured) -> tuple[NDArray[np.int32], NDArray[np.float64], NDArray[np.float64], NDArray[np.uint8]]:
    """(series, at, value, outcome) of equal length.

    Raises:
        WireError: lengths differ, or there are more than `MAX_SAMPLES`.
    """
    try:
        series = np.frombuffer(frame.series, dtype="<i4")
        at = np.frombuffer(frame.at, dtype="<f8")
        value = np.frombuffer(frame.value, dtype="<f8")
    except ValueError as exc:
        raise WireError("a column is cut short; the connection is closed.") from exc
    outcome = np.frombuffer(frame.outcome, dtype="u1")
    if not len(series) == len(at) == len(value) == len(outcome) <= MAX_SAMPLES:
        raise WireError("columns of a batch differ in length or are too long; the connection is closed.")
    return series, at, value, outcome
