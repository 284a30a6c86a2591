"""Entries: everything that the core ever learns, in one order.

The sequencer gives each payload a `seq` and a core time, appends it to the log, acknowledges it, and hands it to
`step`. Payloads are tagged, so that a log written today is read tomorrow; fields may be added with a default, never
renamed. Columns travel as raw little-endian bytes with their dtype.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from enum import StrEnum
from typing import Any, TypeAlias

import msgspec
import numpy as np

from cemd.errors import StoreError
from cemd.model.identity import Instant
from cemd.model.measurement import Series
from cemd.model.notice import Phase

Column: TypeAlias = np.ndarray[Any, Any]
"""A numpy array inside an entry; its dtype is given where the field is defined."""


class Batch(msgspec.Struct, frozen=True, kw_only=True, tag="batch"):
    """Samples from one source. `number` grows per source, so that a batch sent twice counts once; 0: not numbered.

    Columns: series int64[n], at float64[n], value float64[n], outcome uint8[n].
    """

    source: str
    number: int
    series: Column
    at: Column
    value: Column
    outcome: Column


class SeriesAdded(msgspec.Struct, frozen=True, kw_only=True, tag="series_added"):
    """Series got their durable numbers; always logged before the first batch that uses them."""

    series: tuple[Series, ...]


class Tick(msgspec.Struct, frozen=True, kw_only=True, tag="tick"):
    """Time passes: findings, incidents, decisions and timers happen here."""


class ClockStepped(msgspec.Struct, frozen=True, kw_only=True, tag="clock_stepped"):
    """The wall clock jumped by `seconds`; after a jump back core time goes at half speed until the clock is even. The
    first one of a process speaks of what happened while nobody ran."""

    seconds: float


class ConfigEpoch(msgspec.Struct, frozen=True, kw_only=True, tag="config_epoch"):
    """A configuration was accepted. `document` is its canonical JSON, so that replay needs no file."""

    hash: str
    author: str
    document: bytes


class CommandKind(StrEnum):
    ACKNOWLEDGE = "acknowledge"  # incident
    CONFIRM = "confirm"  # incident, cause: customers may hear of it
    CLOSE = "close"  # incident
    CANCEL = "cancel"  # incident
    KILL = "kill"  # stop every message to customers at once
    UNKILL = "unkill"
    RELEASE = "release"  # communication held by ceiling or after a restore
    DECLINE = "decline"  # communication
    HOLD_SENDING = "hold_sending"  # after a restore
    LABEL_TRUE = "label_true"  # finding of a detector: it was a fault
    LABEL_FALSE = "label_false"  # it was none
    LABEL_BENIGN = "label_benign"  # it is the new normal
    RUN = "run"  # probe: measure at once


class Command(msgspec.Struct, frozen=True, kw_only=True, tag="command"):
    """A person or a machine asks for something. `actor` is a name of staff, never of a customer."""

    kind: CommandKind
    actor: str
    subject: str = ""  # id of incident, communication or finding, uid of a probe
    note: str = ""


class CustomersLoaded(msgspec.Struct, frozen=True, kw_only=True, tag="customers_loaded"):
    """Rows of the customer columns, added or replaced by number; names are tables that the codes point into.

    Columns of length n: number uint32, site uint16 (index into `sites`), services uint64 (bit per entry of `services`),
    segment uint8, language uint8, zone uint16, basis uint8 (bits of `LawfulBasis`), channels uint8 (bits of
    `ChannelKind`), preferred uint8 (`ChannelKind` value or 255), flags uint8 (bits of `CustomerFlag`),
    digest_email int64, digest_sms int64, digest_webhook int64 (keyed digests, 0: no such address).
    No address is ever in an entry: addresses are in keys.db, sealed.
    """

    source: str
    replace: bool  # True: who is not in this load is gone (first chunk of a full load)
    sites: tuple[str, ...]
    services: tuple[str, ...]
    segments: tuple[str, ...]
    languages: tuple[str, ...]
    zones: tuple[str, ...]
    columns: dict[str, Column]


class ContactKind(StrEnum):
    CALL_QUEUED = "call_queued"
    CALL_ENDED = "call_ended"
    TICKET_OPENED = "ticket_opened"
    TICKET_CLOSED = "ticket_closed"
    TOLD_BY_AGENT = "told_by_agent"
    UNSUBSCRIBED = "unsubscribed"
    ERASED = "erased"


class Contact(msgspec.Struct, frozen=True, kw_only=True, tag="contact"):
    """Something happened between a customer and the company that decides whether a notice is right."""

    kind: ContactKind
    customer: int
    communication: str = ""
    service: str = ""


class DispatchRequest(msgspec.Struct, frozen=True, kw_only=True, tag="dispatch"):
    """An edge can take up to `capacity` notices for this channel now: decide again, and write the rows."""

    channel: str
    capacity: int


class NoticeOutcomes(msgspec.Struct, frozen=True, kw_only=True, tag="notice_outcomes"):
    """What became of notices that were in flight. Columns: customer uint32[n], state uint8[n] (`NoticeState`).

    `due` says that a notice surely did not leave, and counts only for the handing over that it answers (`seq`, as in
    `NoticeRows`): said late or twice it must not bring back what was handed over anew.
    """

    communication: str
    phase: Phase
    revision: int
    customer: Column
    state: Column
    reason: str = ""
    seq: int = 0


class AlertOutcome(msgspec.Struct, frozen=True, kw_only=True, tag="alert_outcome"):
    """What became of one alert to staff."""

    alert: str
    revision: int
    sent: bool
    permanent: bool = False
    unknown: bool = False  # the answer was lost: staff may have been told
    reason: str = ""


class Started(msgspec.Struct, frozen=True, kw_only=True, tag="started"):
    """The daemon started: open findings are stated anew, what was in flight is unknown, what is held stays held."""

    version: str


Payload: TypeAlias = (
    Batch
    | SeriesAdded
    | Tick
    | ClockStepped
    | ConfigEpoch
    | Command
    | CustomersLoaded
    | Contact
    | DispatchRequest
    | NoticeOutcomes
    | AlertOutcome
    | Started
)


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One payload in the one order. `at` is core time: never below that of the entry before."""

    seq: int
    at: Instant
    payload: Payload


def _encode_column(value: object) -> object:
    if isinstance(value, np.ndarray):
        return [value.dtype.str, value.tobytes()]
    raise TypeError(f"an entry cannot hold a {type(value).__name__}.")


def _decode_column(_: type, value: Any) -> Any:
    dtype, raw = value
    if dtype not in _DTYPES:
        raise ValueError(f"a column of type {dtype!r} is not known.")
    return np.frombuffer(raw, dtype=dtype)  # read-only, as a logged column should be


_DTYPES = frozenset({"<i8", "<f8", "<u8", "<u4", "<u2", "|u1", "<f4", "<i4"})
_encoder = msgspec.msgpack.Encoder(enc_hook=_encode_column)
_decoder = msgspec.msgpack.Decoder(tuple[Entry, ...], dec_hook=_decode_column)


def encode_group(entries: Sequence[Entry]) -> bytes:
    """A group of entries as one blob: CRC-32 (4 bytes, little-endian), then MessagePack."""
    body = _encoder.encode(tuple(entries))
    return zlib.crc32(body).to_bytes(4, "little") + body


def decode_group(blob: bytes) -> tuple[Entry, ...]:
    """The entries of a blob, as `encode_group` wrote them.

    Raises:
        StoreError: the blob is damaged.
    """
    body = memoryview(blob)[4:]
    if zlib.crc32(body) != int.from_bytes(blob[:4], "little"):
        raise StoreError("samples.db: a group of the log fails its checksum; restore it from a backup.")
    try:
        return _decoder.decode(body)
    except (msgspec.DecodeError, ValueError) as exc:
        raise StoreError(f"samples.db: a group of the log cannot be read ({exc}); is cemd older than it?") from exc
