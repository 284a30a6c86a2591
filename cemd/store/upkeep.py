"""Upkeep of the files while the daemon runs: history grows old, quotas hold, the ballast comes back.

One object, driven by one thread of the daemon every few seconds; each call works for a fraction of a second. What it
finds it says in an `UpkeepReport`, which the metrics show.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass, field

from cemd.errors import StoreError
from cemd.model.identity import Instant
from cemd.store.backup import BackupNote, backup, is_restored, release_restored, restore
from cemd.store.compaction import Compactor
from cemd.store.sqlite import KINDS, SqliteStore

__all__ = ["BackupNote", "Upkeep", "UpkeepReport", "backup", "is_restored", "release_restored", "restore"]


EVIDENCE_PART = 4
"""At most one part in so many of what samples.db may hold is evidence, or it would push the samples out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UpkeepReport:
    """State of the files after a call. `faults` are sentences for the log."""

    bytes_used: dict[str, int]
    bytes_free: int  # on the disk
    ballast: bool
    round_running: bool
    faults: tuple[str, ...] = field(default=())


class Upkeep:
    """Quotas as in `retention` of config/cemd.yaml."""

    def __init__(
        self,
        store: SqliteStore,
        *,
        samples_days: float,
        samples_megabytes: int,
        state_megabytes: int,
        evidence_days: float,
        evidence_megabytes: int,
    ) -> None:
        self._store = store
        self._evidence_seconds = evidence_days * 86_400
        self._evidence_bytes = min(evidence_megabytes * 2**20, samples_megabytes * 2**20 // EVIDENCE_PART)
        self._state_bytes = state_megabytes * 2**20
        self._compactor = Compactor(
            store.writers["samples"], store.readers["samples"], days=samples_days, megabytes=samples_megabytes
        )

    def run(self, now: Instant, *, seconds: float = 0.05) -> UpkeepReport:
        """One piece of work. Errors do not rise: a full disk is what upkeep is for."""
        faults: list[str] = []
        running = False
        ballast = self._store.ballast
        standing = ballast.make_again()
        try:
            running = self._compactor.step(now, seconds=seconds, pressed=ballast.bytes > 0 and not standing)
            running |= self._store.evidence.trim(now - self._evidence_seconds, self._evidence_bytes)
        except StoreError as exc:
            faults.append(str(exc))
        if ballast.bytes and not standing:
            faults.append(self._without_ballast())
        faults.extend(self._over_quota())
        return UpkeepReport(
            bytes_used={kind: self._used(kind) for kind in KINDS},
            bytes_free=shutil.disk_usage(self._store.directory).free,
            ballast=standing,
            round_running=running,
            faults=tuple(faults),
        )

    def _used(self, kind: str) -> int:
        path = self._store.directory / f"{kind}.db"
        files = (path, path.with_name(path.name + "-wal"))
        return sum(file.stat().st_size for file in files if file.exists())

    def _without_ballast(self) -> str:
        """The last warning before a full disk: what keeps the state writable was given up, or never found room."""
        megabytes = self._store.ballast.bytes // 2**20
        return (
            f"{self._store.directory}: the disk has too little room for the ballast of {megabytes} MiB, which is"
            " given up when it is full; until it stands again the oldest samples give way; free space on it."
        )

    def _over_quota(self) -> list[str]:
        """state.db is never cut from outside: its rows are what the wings remember. So people are told."""
        used = self._used("state")
        if used <= self._state_bytes:
            return []
        words = f"it holds {used // 2**20} MiB, more than its quota of {self._state_bytes // 2**20} MiB"
        return [f"{self._store.directory / 'state.db'}: {words}; raise retention.state_megabytes on this machine."]
