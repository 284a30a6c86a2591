"""A file that takes up room for nothing, until the disk is full: then it is given up, so that log and state stay
writable while samples give way (deleting takes room, too).
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

NAME = "ballast"
MEGABYTE = 2**20


class Ballast:
    """Blocks that are really allocated; made again when the disk has room for it five times over."""

    def __init__(self, directory: Path, megabytes: int) -> None:
        self.path = directory / NAME
        self.bytes = megabytes * MEGABYTE
        self.given_up = 0  # times, for the metrics
        self.make_again()

    def give_up(self) -> bool:
        """Removes the file; True when that made room."""
        try:
            self.path.unlink()
        except OSError:
            return False
        self.given_up += 1
        return True

    def make_again(self) -> bool:
        """Makes the file where it is missing and there is plenty of room; True when it stands."""
        if self.bytes == 0:
            return False
        if self.path.exists() and self.path.stat().st_size == self.bytes:
            return True
        try:
            if shutil.disk_usage(self.path.parent).free < 5 * self.bytes:
                return False
            file = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                os.posix_fallocate(file, 0, self.bytes)
            finally:
                os.close(file)
        except OSError:
            self.path.unlink(missing_ok=True)
            return False
        return True
