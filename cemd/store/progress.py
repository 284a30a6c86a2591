"""Which entry the core is at, in a small file that outlives a kill of the process (a power cut may take it).

It is written for every entry, so it is one `pwrite` into the page cache and never waits for the disk. An entry that was
in progress at two crashes in a row is set aside by the core.
"""

from __future__ import annotations

import os
import struct
import zlib
from pathlib import Path

from cemd.errors import StoreUnavailable
from cemd.store.failure import kind_of

RECORD = struct.Struct("<qqI")  # seq (0: at rest), crashes before this try, CRC-32 of both


class FileProgress:
    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as exc:
            raise kind_of(exc)(
                f"{path}: cannot be opened for writing ({exc.strerror}); file and folder must belong to the user "
                "that runs cemd."
            ) from exc
        seq, crashes = self._read()
        self._crashed = (seq, crashes + 1) if seq else (0, 0)

    def begin(self, seq: int) -> None:
        self._write(seq, self._crashed[1] if self._crashed[0] == seq else 0)

    def rest(self) -> None:
        self._write(0, 0)

    def crashed_at(self) -> tuple[int, int]:
        return self._crashed

    def close(self) -> None:
        os.close(self._file)

    def _read(self) -> tuple[int, int]:
        """A record torn by a power cut counts as none."""
        record = os.pread(self._file, RECORD.size, 0)
        if len(record) < RECORD.size:
            return 0, 0
        seq, crashes, crc = RECORD.unpack(record)
        return (seq, crashes) if crc == zlib.crc32(record[:16]) else (0, 0)

    def _write(self, seq: int, crashes: int) -> None:
        body = struct.pack("<qq", seq, crashes)
        try:
            os.pwrite(self._file, body + struct.pack("<I", zlib.crc32(body)), 0)
        except OSError as exc:
            raise StoreUnavailable(f"{self.path}: cannot be written ({exc.strerror}); free space on the disk.") from exc
