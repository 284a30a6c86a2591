"""What a core and a store remember, as comparable values: lived against loaded, lived against replayed."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from cemd.analyze import stage as analyze
from cemd.loop.core import Core
from cemd.model.identity import Instant
from cemd.store.base import LogGroup
from cemd.store.memory import MemoryStore


def state_of(core: Core) -> dict[str, object]:
    """Everything that a core remembers."""
    state = core.state
    whole: dict[str, object] = {"seq": state.seq, "at": state.at, "epoch": state.epoch}
    for table in (*state.improve.tables(), *state.report.tables()):
        whole[f"rows of {table.table}"] = [msgspec.json.encode(record) for record in table]
    whole.update((f"analyze {name}", block) for name, block in analyze.snapshot(state.analyze).items())
    whole["customers"] = state.customers.dump()
    whole["told"] = [(one.id, state.report.told_of(one.id).states()) for one in state.report.communications]
    return whole


def remembered(memory: MemoryStore) -> dict[str, object]:
    """What is durable: rows in their order, and the outbox."""
    state = memory.state
    whole: dict[str, object] = {"applied_seq": state.applied_seq()}
    for table in sorted(state._rows):  # noqa: SLF001 -- the fake's own memory: its tables have no list of names
        whole[f"rows of {table}"] = list(state.rows(table))
    for key, _ in state.rows("communication"):
        columns = state.outbox(key)
        whole[f"outbox of {key}"] = [
            getattr(columns, name).tolist()
            for name in ("customer", "digest", "phase", "revision", "state", "at", "moved_at", "seq")
        ]
    return whole


def replayed(groups: Sequence[LogGroup], wall: Instant) -> dict[str, object]:
    """What is durable after the whole log went through a process that never dies, into an empty store."""
    fresh = MemoryStore()
    for group in groups:
        fresh.log.append(group)
    core = Core(fresh.store(), lambda _entry, _effects: None)
    core.recover(wall=wall)
    return remembered(fresh)
