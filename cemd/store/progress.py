"""Which entry the core is at: eight bytes in a file, so that a crash can be blamed on the entry that caused it.

Written without fsync: the file has to survive the death of the process, not of the machine. An entry that was in
progress at two crashes in a row is set aside by the core.
"""

from __future__ import annotations

import os
import struct
from pathlib import Path

from cemd.errors import StoreError

_LAYOUT = struct.Struct("<qqq")  # in progress (0: none), entry of the last crash, crashes in a row on it


class FileProgress:
    """The mark of one core in one file."""

    def __init__(self, path: Path) -> None:
        try:
            self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as exc:
            raise StoreError(f"{path} cannot be opened ({exc.strerror}); check the state directory's owner.") from exc

    def begin(self, seq: int) -> None:
        """The core begins this entry."""
        os.pwrite(self._file, seq.to_bytes(8, "little"), 0)

    def rest(self) -> None:
        """The core is between entries: whatever ends the process now is no entry's fault."""
        os.pwrite(self._file, bytes(8), 0)

    def crashed_at(self) -> tuple[int, int]:
        """(seq, crashes in a row) of the entry in progress when the process died; (0, 0) after a quiet end.
        Call once at a start: it counts the crash."""
        raw = os.pread(self._file, _LAYOUT.size, 0).ljust(_LAYOUT.size, b"\0")
        seq, last, times = _LAYOUT.unpack(raw)
        times = 0 if seq == 0 else times + 1 if seq == last else 1
        os.pwrite(self._file, _LAYOUT.pack(0, seq, times), 0)
        return seq, times

    def close(self) -> None:
        os.close(self._file)


class MemoryProgress:
    """The same for simulation: survives the core, not the simulation."""

    def __init__(self) -> None:
        self._seq = self._last = self._times = 0

    def begin(self, seq: int) -> None:
        self._seq = seq

    def rest(self) -> None:
        self._seq = 0

    def crashed_at(self) -> tuple[int, int]:
        seq = self._seq
        self._times = 0 if seq == 0 else self._times + 1 if seq == self._last else 1
        self._last, self._seq = seq, 0
        return seq, self._times
