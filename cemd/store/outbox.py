"""state.db: the outbox, the truth of who was told. A row is inserted once and moves by conditional updates only.

Whatever is still in flight when a process dies becomes `unknown` at the next start; what surely did not leave is `due`
before, and stays so. Rows that are handed over together share a line in `outbox_group`, so that a row itself is a few
numbers: a row that is due and goes out again gets another line, and stays the same row.
"""

from __future__ import annotations

import sqlite3
from itertools import repeat

import msgspec
import numpy as np

from cemd.errors import UnwritableChange
from cemd.model.entry import NoticeOutcomes
from cemd.model.identity import Instant
from cemd.model.notice import MOVED_FROM, SETTLES, NoticeRows, NoticeState
from cemd.store.base import OutboxColumns, StateChange
from cemd.store.queries import SQL


def write(connection: sqlite3.Connection, change: StateChange) -> None:
    """The outbox part of a change, inside the caller's transaction.

    Raises:
        UnwritableChange: a notice exists already, or one that goes out again is not due.
    """
    connection.executemany(SQL["notice_orphan"], [(change.at, name) for name in change.orphaned])
    for notices in change.notices:
        _insert(connection, notices)
    for notices in change.again:
        _again(connection, notices, change.at)
    for outcomes in change.outcomes:
        _move(connection, outcomes, change.at)


def columns(connection: sqlite3.Connection, communication: str) -> OutboxColumns:
    """All rows of a communication, in the order of insertion."""
    found = connection.execute(SQL["notices_of_communication"], (communication,)).fetchall()
    columns = zip(*found, strict=True) if found else ((),) * 9
    customer, digest, phase, revision, state, at, moved_at, seq, channel = columns
    return OutboxColumns(
        customer=np.array(customer, np.uint32),
        digest=np.array(digest, np.int64),
        phase=np.array(phase, np.uint8),
        revision=np.array(revision, np.int32),
        state=np.array(state, np.uint8),
        at=np.array(at, np.float64),
        moved_at=np.array(moved_at, np.float64),
        seq=np.array(seq, np.int64),
        channel=list(channel),
    )


def _insert(connection: sqlite3.Connection, notices: NoticeRows) -> None:
    communication = _communication_number(connection, notices.communication)
    phase, revision = int(notices.phase), notices.revision
    rows = zip(
        repeat(_group(connection, communication, notices)),
        repeat(communication),
        notices.customer.tolist(),
        repeat(phase),
        repeat(revision),
        notices.digest.tolist(),
        repeat(int(notices.state)),
        repeat(notices.at),
        strict=False,
    )
    try:
        connection.executemany(SQL["notice_put"], rows)
    except sqlite3.IntegrityError as exc:
        raise UnwritableChange(
            f"state.db: communication {notices.communication} has a notice for one of these customers or addresses in "
            f"phase {notices.phase.name.lower()}, revision {revision} already ({exc}); a notice is written once."
        ) from exc


def _again(connection: sqlite3.Connection, notices: NoticeRows, at: Instant) -> None:
    communication = _communication_number(connection, notices.communication)
    rows = zip(
        repeat(_group(connection, communication, notices)),
        repeat(at),
        repeat(communication),
        notices.customer.tolist(),
        repeat(int(notices.phase)),
        repeat(notices.revision),
        strict=False,
    )
    moved = max(0, connection.executemany(SQL["notice_again"], rows).rowcount)
    if moved != len(notices.customer):
        raise UnwritableChange(
            f"state.db: {len(notices.customer) - moved} notices of communication {notices.communication}, phase "
            f"{notices.phase.name.lower()}, revision {notices.revision} are to go out again and are not due; only what "
            "surely did not leave goes out again."
        )


def _group(connection: sqlite3.Connection, communication: int, notices: NoticeRows) -> int | None:
    """The line of what is handed over together."""
    return connection.execute(
        SQL["group_put"],
        (
            communication,
            int(notices.phase),
            notices.revision,
            notices.channel,
            str(notices.message_class),
            notices.at,
            notices.expires_at,
            notices.seq,
            notices.trace,
            msgspec.json.encode(notices.values).decode(),
        ),
    ).lastrowid


def _communication_number(connection: sqlite3.Connection, name: str) -> int:
    found = connection.execute(SQL["communication_number"], (name,)).fetchone()
    if found is not None:
        return int(found[0])
    return int(connection.execute(SQL["communication_put"], (name,)).lastrowid or 0)


def _move(connection: sqlite3.Connection, outcomes: NoticeOutcomes, at: Instant) -> None:
    found = connection.execute(SQL["communication_number"], (outcomes.communication,)).fetchone()
    if found is not None:
        rows = [
            (state, at, found[0], customer, int(outcomes.phase), outcomes.revision, *_sources(state))
            for customer, state in zip(outcomes.customer.tolist(), outcomes.state.tolist(), strict=True)
        ]
        connection.executemany(SQL["notice_move"], rows)


def _sources(state: int) -> tuple[int, int, int]:
    """States from which a row may move into this one, as many as the statement has places for."""
    first, second, third = (*map(int, MOVED_FROM.get(NoticeState(state), SETTLES)), -1, -1, -1)[:3]
    return first, second, third
