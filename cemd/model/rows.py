"""Rows: the state of improve and report that outlives a process.

A wing that remembers by rows keeps nothing else: whatever is not in a `Rows` is gone after a restart, by construction.
Every change is noted, leaves `step` as an effect, and is committed before anything is sent. Iteration is in the order
of first insertion, which the store keeps, so that a loaded state and a lived one decide the same.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

import msgspec

R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class RowChange:
    """`body` is the record as JSON, None: the row is deleted."""

    table: str
    key: str
    body: bytes | None


class Rows(Generic[R]):
    """A table of frozen records by key."""

    __slots__ = ("_changed", "_records", "record", "table")

    def __init__(self, table: str, record: type[R]) -> None:
        self.table = table
        self.record = record
        self._records: dict[str, R] = {}
        self._changed: dict[str, bool] = {}  # key -> it was deleted since the last commit

    def __len__(self) -> int:
        return len(self._records)

    def __contains__(self, key: str) -> bool:
        return key in self._records

    def __iter__(self) -> Iterator[R]:
        return iter(tuple(self._records.values()))

    def get(self, key: str) -> R | None:
        return self._records.get(key)

    def __getitem__(self, key: str) -> R:
        return self._records[key]

    def put(self, key: str, record: R) -> None:
        """Adds or replaces; writing an equal record changes nothing."""
        before = self._records.get(key)
        if before != record:
            deleted = self._changed.pop(key, False) if before is None else self._changed.get(key, False)
            self._records[key] = record
            self._changed[key] = deleted

    def delete(self, key: str) -> None:
        if self._records.pop(key, None) is not None:
            self._changed.pop(key, None)
            self._changed[key] = True

    def load(self, bodies: Iterator[tuple[str, bytes]]) -> None:
        """Fills the table from the store, in the store's order; notes no change.

        Raises:
            msgspec.ValidationError: a row does not fit its record.
        """
        decoder = msgspec.json.Decoder(self.record)
        self._records = {key: decoder.decode(body) for key, body in bodies}
        self._changed = {}

    def take_changes(self) -> list[RowChange]:
        """The changes since the last call, in order of change; the caller commits them. A record that was deleted and
        put again is deleted first, so that it stands last in the store too."""
        changes: list[RowChange] = []
        for key, deleted in self._changed.items():
            if deleted:
                changes.append(RowChange(self.table, key, None))
            if key in self._records:
                changes.append(RowChange(self.table, key, msgspec.json.encode(self._records[key])))
        self._changed = {}
        return changes
