"""state.db in memory: rows, outbox, epochs, quarantine; part of the store in `memory`."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import numpy as np

from cemd.errors import StoreError
from cemd.model.entry import NoticeOutcomes
from cemd.model.identity import Instant
from cemd.model.notice import MOVED_FROM, SETTLES, NoticeRows, NoticeState, Phase
from cemd.store.base import TABLE_NAME, Faults, Moment, OutboxColumns, StateChange, no_faults


class _Outbox:
    """Rows of one communication, in the order of insertion."""

    def __init__(self) -> None:
        self.place: dict[tuple[int, int, int], int] = {}  # (customer, phase, revision) -> index
        self.digests: set[tuple[int, int, int]] = set()  # (phase, revision, digest), digest not 0
        self.customer: list[int] = []
        self.digest: list[int] = []
        self.phase: list[int] = []
        self.revision: list[int] = []
        self.state: list[int] = []
        self.at: list[float] = []
        self.moved_at: list[float] = []
        self.seq: list[int] = []
        self.channel: list[str] = []

    def refuse_repeats(self, notices: NoticeRows, phase_digests: set[tuple[int, int, int]], keys: set[object]) -> None:
        for customer, digest in zip(notices.customer.tolist(), notices.digest.tolist(), strict=True):
            key = (customer, int(notices.phase), notices.revision)
            by_digest = (int(notices.phase), notices.revision, digest)
            repeated = digest and (by_digest in self.digests or by_digest in phase_digests)
            if key in self.place or key in keys or repeated:
                raise StoreError(
                    f"outbox: communication {notices.communication} has a notice for customer {customer}, phase "
                    f"{notices.phase.name.lower()}, revision {notices.revision} already; a notice is written once."
                )
            keys.add(key)
            if digest:
                phase_digests.add(by_digest)

    def insert(self, notices: NoticeRows) -> None:
        for customer, digest in zip(notices.customer.tolist(), notices.digest.tolist(), strict=True):
            self.place[customer, int(notices.phase), notices.revision] = len(self.customer)
            if digest:
                self.digests.add((int(notices.phase), notices.revision, digest))
            self.customer.append(customer)
            self.digest.append(digest)
            self.phase.append(int(notices.phase))
            self.revision.append(notices.revision)
            self.state.append(int(notices.state))
            self.at.append(notices.at)
            self.moved_at.append(notices.at)
            self.seq.append(notices.seq)
            self.channel.append(notices.channel)

    def due(self, notices: NoticeRows) -> list[int]:
        """Places of the rows that are to go out again.

        Raises:
            StoreError: one of them is not due.
        """
        phase, revision = int(notices.phase), notices.revision
        places = [self.place.get((customer, phase, revision), -1) for customer in notices.customer.tolist()]
        if any(place < 0 or self.state[place] != NoticeState.DUE for place in places):
            raise StoreError(
                f"outbox: communication {notices.communication} has notices in phase {notices.phase.name.lower()} that"
                " are to go out again and are not due; only what surely did not leave goes out again."
            )
        return places

    def again(self, notices: NoticeRows, at: Instant) -> None:
        for place in self.due(notices):
            self.state[place], self.moved_at[place] = int(NoticeState.IN_FLIGHT), at
            self.seq[place], self.channel[place] = notices.seq, notices.channel

    def move(self, outcomes: NoticeOutcomes, at: Instant) -> None:
        for customer, state in zip(outcomes.customer.tolist(), outcomes.state.tolist(), strict=True):
            index = self.place.get((customer, int(outcomes.phase), outcomes.revision))
            if index is not None and self.state[index] in MOVED_FROM.get(NoticeState(state), SETTLES):
                self.state[index], self.moved_at[index] = state, at

    def orphan(self, at: Instant) -> None:
        for index, state in enumerate(self.state):
            if state == NoticeState.IN_FLIGHT:
                self.state[index], self.moved_at[index] = int(NoticeState.UNKNOWN), at

    def columns(self) -> OutboxColumns:
        return OutboxColumns(
            customer=np.array(self.customer, np.uint32),
            digest=np.array(self.digest, np.int64),
            phase=np.array(self.phase, np.uint8),
            revision=np.array(self.revision, np.int32),
            state=np.array(self.state, np.uint8),
            at=np.array(self.at, np.float64),
            moved_at=np.array(self.moved_at, np.float64),
            seq=np.array(self.seq, np.int64),
            channel=list(self.channel),
        )


class MemoryState:
    def __init__(self, faults: Faults = no_faults) -> None:
        self._faults = faults
        self._lock = threading.RLock()
        self._applied = 0
        self._rows: dict[str, dict[str, bytes]] = {}
        self._outbox: dict[str, _Outbox] = {}
        self._epochs: list[tuple[str, str, Instant]] = []
        self._documents: dict[str, bytes] = {}
        self._quarantined: dict[int, tuple[Instant, bytes, str]] = {}

    def commit(self, change: StateChange) -> None:
        with self._lock:
            self._faults("state.commit", Moment.BEFORE)
            self._check(change)
            self._faults("state.commit", Moment.WITHIN)
            for communication in change.orphaned:
                if communication in self._outbox:
                    self._outbox[communication].orphan(change.at)
            for notices in change.notices:
                self._outbox.setdefault(notices.communication, _Outbox()).insert(notices)
            for notices in change.again:
                self._outbox.setdefault(notices.communication, _Outbox()).again(notices, change.at)
            for outcomes in change.outcomes:
                if outcomes.communication in self._outbox:
                    self._outbox[outcomes.communication].move(outcomes, change.at)
            for row in change.rows:
                if row.body is None:
                    self._rows.get(row.table, {}).pop(row.key, None)
                else:
                    self._rows.setdefault(row.table, {})[row.key] = bytes(row.body)
            self._applied = change.applied_seq
            self._faults("state.commit", Moment.AFTER)

    def _check(self, change: StateChange) -> None:
        if change.applied_seq < self._applied:
            raise StoreError(
                f"state: seq {change.applied_seq} is older than {self._applied}, which was applied; replay from there."
            )
        for row in change.rows:
            if TABLE_NAME.fullmatch(row.table) is None:
                raise StoreError(f"state: {row.table!r} cannot name a table; use small letters, digits and _.")
        digests: dict[str, set[tuple[int, int, int]]] = {}
        keys: dict[str, set[object]] = {}
        for notices in change.notices:
            name = notices.communication
            known = self._outbox.get(name) or _Outbox()
            known.refuse_repeats(notices, digests.setdefault(name, set()), keys.setdefault(name, set()))
        for notices in change.again:
            (self._outbox.get(notices.communication) or _Outbox()).due(notices)

    def applied_seq(self) -> int:
        return self._applied

    def rows(self, table: str) -> Iterator[tuple[str, bytes]]:
        with self._lock:
            return iter(list(self._rows.get(table, {}).items()))

    def outbox(self, communication: str) -> OutboxColumns:
        with self._lock:
            return (self._outbox.get(communication) or _Outbox()).columns()

    def notices_of(self, customer: int, since: Instant) -> list[tuple[str, Phase, int, NoticeState, str, Instant]]:
        with self._lock:
            found = [
                (name, Phase(box.phase[i]), box.revision[i], NoticeState(box.state[i]), box.channel[i], box.at[i])
                for name, box in self._outbox.items()
                for i, number in enumerate(box.customer)
                if number == customer and box.at[i] >= since
            ]
        return sorted(found, key=lambda row: row[5])

    def in_flight(self) -> list[str]:
        with self._lock:
            return sorted(name for name, box in self._outbox.items() if NoticeState.IN_FLIGHT in box.state)

    def save_epoch(self, epoch_hash: str, author: str, at: Instant, document: bytes) -> None:
        self._faults("state.save_epoch", Moment.BEFORE)
        self._faults("state.save_epoch", Moment.WITHIN)
        self._documents.setdefault(epoch_hash, bytes(document))
        self._epochs.append((epoch_hash, author, at))
        self._faults("state.save_epoch", Moment.AFTER)

    def epochs(self) -> list[tuple[str, str, Instant]]:
        return list(self._epochs)

    def epoch(self, epoch_hash: str) -> bytes | None:
        found = [name for name in self._documents if epoch_hash and name.startswith(epoch_hash)]
        return self._documents[found[0]] if len(found) == 1 else None

    def quarantine(self, seq: int, at: Instant, blob: bytes, reason: str) -> None:
        self._faults("state.quarantine", Moment.BEFORE)
        self._faults("state.quarantine", Moment.WITHIN)
        self._quarantined[seq] = (at, bytes(blob), reason)
        self._faults("state.quarantine", Moment.AFTER)

    def quarantined(self) -> set[int]:
        return set(self._quarantined)
