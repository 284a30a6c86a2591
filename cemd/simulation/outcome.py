"""What became of one life: what happened in it, and the promise that was broken, if any."""

from __future__ import annotations

import msgspec

from cemd.simulation.plan import Plan


class Broken(msgspec.Struct, frozen=True, kw_only=True):
    """A promise that was broken, and where."""

    seed: int
    promise: str
    seq: int
    at: float
    detail: str
    trace: tuple[str, ...]
    after_seconds: float  # of life


class SimulationReport(msgspec.Struct, frozen=True, kw_only=True):
    """What happened in one life. `broken` is None when every promise held."""

    seed: int
    days: float
    plan: Plan
    broken: Broken | None
    entries: int
    starts: int
    kills: dict[str, int]  # by seam
    refusals: int  # of the full disk
    reloads: int
    faults: int
    contacts: int  # of customers, those of the world's own lives and those of the plan
    incidents: int
    communications: int
    told: int
    overs: int
    submitted: int
    alerts: int
    told_wrongly: int
    cpu_seconds: float
