"""Customers are columns. Nothing here makes an object a customer; audiences are masks and bitmaps over row numbers.

A row number is the customer's number: durable, never reused, dense from 0, so columns are indexed by it directly.
Names (sites, services, segments, languages, zones) are interned into tables; a load brings its own tables and is
translated here once.
"""

from __future__ import annotations

from enum import IntEnum, IntFlag
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from cemd.model.entry import CustomersLoaded


class LawfulBasis(IntFlag):
    CONTRACT = 1
    LEGAL_DUTY = 2
    VITAL_INTEREST = 4
    CONSENT = 8


class ChannelKind(IntEnum):
    """The kinds of address that a customer can have; a channel of configuration says which kind it uses."""

    EMAIL = 0
    SMS = 1
    WEBHOOK = 2


class CustomerFlag(IntFlag):
    PRESENT = 1
    MACHINE = 2
    ABROAD = 4
    UNSUBSCRIBED = 8
    ERASED = 16
    CRITICAL = 32  # emergency services, hospitals, telecare


COLUMNS: dict[str, str] = {
    "site": "<u2",
    "services": "<u8",
    "segment": "|u1",
    "language": "|u1",
    "zone": "<u2",
    "basis": "|u1",
    "channels": "|u1",
    "preferred": "|u1",
    "flags": "|u1",
    "digest_email": "<i8",
    "digest_sms": "<i8",
    "digest_webhook": "<i8",
}
"""Column name to dtype; 42 bytes a customer."""

DIGEST_OF = {ChannelKind.EMAIL: "digest_email", ChannelKind.SMS: "digest_sms", ChannelKind.WEBHOOK: "digest_webhook"}


_STICKY = CustomerFlag.UNSUBSCRIBED | CustomerFlag.ERASED


class Customers:
    """The columns, with plain verbs. `size` is one above the highest number ever seen."""

    def __init__(self) -> None:
        self.size = 0
        self.columns: dict[str, NDArray[Any]] = {name: np.zeros(0, dtype) for name, dtype in COLUMNS.items()}
        self.sites: list[str] = []
        self.services: list[str] = []
        self.segments: list[str] = []
        self.languages: list[str] = []
        self.zones: list[str] = []
        self.version = 0
        self.source = ""  # of the newest load: tells whether a file has to be loaded again

    def __getitem__(self, column: str) -> NDArray[Any]:
        return self.columns[column][: self.size]

    def load(self, load: CustomersLoaded) -> None:
        """Adds or replaces rows by number. Who unsubscribed or was erased stays so, whatever a late file says.

        A load that has a `refusal` changes nothing: an entry that is logged must not end the core.
        """
        if self.refusal(load):
            return
        number = load.columns["number"].astype(np.int64)
        translated = self._translated(load)
        self._grow(int(number.max()) + 1 if len(number) else 0)
        if load.replace:
            self.columns["flags"][: self.size] &= np.uint8(0xFF ^ CustomerFlag.PRESENT)
        kept = self.columns["flags"][number] & np.uint8(_STICKY)
        for name, values in translated.items():
            self.columns[name][number] = values
        self.columns["flags"][number] |= kept
        self.columns["flags"][number] |= np.uint8(CustomerFlag.PRESENT)
        self.source = load.source
        self.version += 1

    def refusal(self, load: CustomersLoaded) -> str:
        """Why the columns cannot hold this load: with what is known already it names too much; "": they can."""
        for what, table, names, most in (
            ("sites", self.sites, load.sites, 65_535),
            ("sold services", self.services, load.services, 64),
            ("segments", self.segments, load.segments, 255),
            ("languages", self.languages, load.languages, 255),
            ("zones", self.zones, load.zones, 65_535),
        ):
            if len({*table, *names}) > most:
                return f"more than {most} different {what}, counting those of former loads"
        return ""

    def _translated(self, load: CustomersLoaded) -> dict[str, NDArray[Any]]:
        columns = {name: load.columns[name].astype(dtype) for name, dtype in COLUMNS.items()}
        tables = (
            ("site", self.sites, load.sites),
            ("segment", self.segments, load.segments),
            ("language", self.languages, load.languages),
            ("zone", self.zones, load.zones),
        )
        codes = {name: _interned(table, names) for name, table, names in tables}
        bits = _interned(self.services, load.services)
        for name, code in codes.items():
            if len(code):
                columns[name] = code[load.columns[name].astype(np.int64)].astype(COLUMNS[name])
        old = columns["services"]
        new = np.zeros_like(old)
        for place, bit in enumerate(bits.tolist()):
            new |= ((old >> np.uint64(place)) & np.uint64(1)) << np.uint64(bit)
        columns["services"] = new
        return columns

    def _grow(self, size: int) -> None:
        if size <= self.size:
            return
        capacity = len(self.columns["flags"])
        if size > capacity:
            room = max(size, capacity + capacity // 2, 1024)
            for name, dtype in COLUMNS.items():
                grown = np.zeros(room, dtype)
                grown[: self.size] = self.columns[name][: self.size]
                self.columns[name] = grown
        self.size = size

    def dump(self) -> bytes:
        """Everything as one block, for a snapshot."""
        tables = (self.sites, self.services, self.segments, self.languages, self.zones)
        columns = {name: self[name].tobytes() for name in COLUMNS}
        return msgspec.msgpack.encode((self.size, self.source, tables, columns))

    def restore(self, block: bytes) -> None:
        """What `dump` wrote.

        Raises:
            msgspec.DecodeError: the block is not one of ours.
        """
        size, source, tables, columns = msgspec.msgpack.decode(
            block, type=tuple[int, str, tuple[list[str], list[str], list[str], list[str], list[str]], dict[str, bytes]]
        )
        self.size, self.source = size, source
        self.sites, self.services, self.segments, self.languages, self.zones = tables
        self.columns = {name: np.frombuffer(columns[name], dtype).copy() for name, dtype in COLUMNS.items()}
        self.version += 1

    def present(self) -> int:
        """How many customers there are now."""
        return int(np.count_nonzero(self["flags"] & CustomerFlag.PRESENT))

    def set_flag(self, number: int, flag: CustomerFlag) -> None:
        if 0 <= number < self.size:
            self.columns["flags"][number] |= np.uint8(flag)
            self.version += 1


def _interned(table: list[str], names: tuple[str, ...]) -> NDArray[np.int64]:
    """Code of each of `names` in `table`, which grows by the new ones."""
    place = {name: code for code, name in enumerate(table)}
    fresh = [name for name in dict.fromkeys(names) if name not in place]
    for name in fresh:
        place[name] = len(table)
        table.append(name)
    return np.array([place[name] for name in names], dtype=np.int64)
