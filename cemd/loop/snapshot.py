"""Snapshots: what of the state is saved in blocks, and how a state is put together again at a start."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
import zstandard

from cemd.analyze import stage as analyze
from cemd.config.configuration import Configuration
from cemd.config.topology import Topology
from cemd.loop.state import State
from cemd.model.identity import Instant
from cemd.store.base import Snapshots, StateStore

CUSTOMERS = "customers"


class _Frame(msgspec.Struct, frozen=True, kw_only=True):
    """What is true of the state as a whole."""

    version: int = 1
    at: Instant
    epoch: str
    document: bytes


def blocks(state: State, *, with_customers: bool) -> dict[str, bytes | None]:
    """The blocks of a snapshot; None keeps the block that was saved before."""
    document = state.document or state.topology.configuration.document()
    frame = _Frame(at=state.at, epoch=state.epoch, document=document)
    saved: dict[str, bytes | None] = {"frame": msgspec.msgpack.encode(frame)}
    saved.update((f"analyze.{name}", block) for name, block in analyze.snapshot(state.analyze).items())
    saved[CUSTOMERS] = zstandard.compress(state.customers.dump(), 1) if with_customers else None
    return saved


def restore_past(state: State, snapshots: Snapshots) -> int:
    """Fills a new state with what a replay begins from: time, configuration and analyze, no rows and no customers.

    Returns:
        The seq that the snapshot stands at; 0: there is none, and the state is as new.

    Raises:
        StoreError: a block cannot be read.
    """
    seq, saved = snapshots.load()
    if saved:
        frame = msgspec.msgpack.decode(saved["frame"], type=_Frame)
        state.seq, state.at, state.epoch = seq, frame.at, frame.epoch
        _restore_analyze(state, frame, saved)
        state.analyze.epoch = frame.epoch
    return seq


def _restore_analyze(state: State, frame: _Frame, saved: Mapping[str, bytes]) -> None:
    """The topology and analyze's own blocks."""
    state.topology, state.document = Topology(Configuration.from_document(frame.document)), frame.document
    analyze.restore(
        state.analyze,
        {name.removeprefix("analyze."): block for name, block in saved.items() if name.startswith("analyze.")},
        state.topology,
    )


def restore(state: State, snapshots: Snapshots, rows: StateStore) -> int:
    """Fills a new state; returns the seq that the snapshot stands at (0: there is none).

    Raises:
        StoreError: a block or a row cannot be read.
    """
    seq, saved = snapshots.load()
    if saved:
        frame = msgspec.msgpack.decode(saved["frame"], type=_Frame)
        state.seq, state.at, state.epoch = seq, frame.at, frame.epoch
        _restore_analyze(state, frame, saved)
        if CUSTOMERS in saved:
            state.customers.restore(zstandard.decompress(saved[CUSTOMERS]))
    for table in state.improve.tables():
        table.load(rows.rows(table.table))
    state.report.restore(rows)
    for wing in (state.analyze, state.improve, state.report):
        wing.epoch = state.epoch
    return seq
