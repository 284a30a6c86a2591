"""state.db: the outbox, the truth of who was told. A row is inserted once and moves by conditional updates only.

Whatever is still in flight when a process dies becomes `unknown` at the next start. Rows of one insertion share a line
in `outbox_group`, so that a row itself is a few numbers.
"""

from __future__ import annotations

import sqlite3
from itertools import repeat

import msgspec
import numpy as np

from cemd.errors import UnwritableChange
from cemd.model.entry import NoticeOutcomes
from cemd.model.identity import Instant
from cemd.model.notice import NoticeRows
from cemd.store.base import OutboxColumns, StateChange
from cemd.store.queries import SQL


def write(connection: sqlite3.Connection, change: StateChange) -> None:
    """The outbox part of a change, inside the caller's transaction.

    Raises:
        UnwritableChange: a notice exists already.
    """
    connection.executemany(SQL["notice_orphan"], [(change.at, name) for name in change.orphaned])
    for notices in change.notices:
        _insert(connection, notices)
    for outcomes in change.outcomes:
        _move(connection, outcomes, change.at)


def columns(connection: sqlite3.Connection, communication: str) -> OutboxColumns:
    """All rows of a communication, in the order of insertion."""
    found = connection.execute(SQL["notices_of_communication"], (communication,)).fetchall()
    customer, digest, phase, revision, state, at, channel = zip(*found, strict=True) if found else ((),) * 7
    return OutboxColumns(
        customer=np.array(customer, np.uint32),
        digest=np.array(digest, np.int64),
        phase=np.array(phase, np.uint8),
        revision=np.array(revision, np.int32),
        state=np.array(state, np.uint8),
        at=np.array(at, np.float64),
        channel=list(channel),
    )


def _insert(connection: sqlite3.Connection, notices: NoticeRows) -> None:
    communication = _communication_number(connection, notices.communication)
    phase, revision = int(notices.phase), notices.revision
    group = connection.execute(
        SQL["group_put"],
        (
            communication,
            phase,
            revision,
            notices.channel,
            str(notices.message_class),
            notices.at,
            notices.expires_at,
            notices.seq,
            notices.trace,
            msgspec.json.encode(notices.values).decode(),
        ),
    ).lastrowid
    rows = zip(
        repeat(group),
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


def _communication_number(connection: sqlite3.Connection, name: str) -> int:
    found = connection.execute(SQL["communication_number"], (name,)).fetchone()
    if found is not None:
        return int(found[0])
    return int(connection.execute(SQL["communication_put"], (name,)).lastrowid or 0)


def _move(connection: sqlite3.Connection, outcomes: NoticeOutcomes, at: Instant) -> None:
    found = connection.execute(SQL["communication_number"], (outcomes.communication,)).fetchone()
    if found is not None:
        rows = zip(
            outcomes.state.tolist(),
            repeat(at),
            repeat(found[0]),
            outcomes.customer.tolist(),
            repeat(int(outcomes.phase)),
            repeat(outcomes.revision),
            strict=False,
        )
        connection.executemany(SQL["notice_move"], rows)
