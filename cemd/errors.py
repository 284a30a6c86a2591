"""One tree of errors. A message is a sentence with place, fact and remedy; a silent target is no error."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


class CemdError(Exception):
    """Anything that cemd itself raises on purpose."""


@dataclass(frozen=True, slots=True, order=True)
class Fault:
    """One fault in a file: where it is, what is wrong, what to do about it.

    `line` and `column` count from 1; 0 means that the whole file is meant.
    """

    file: str
    line: int
    column: int
    fact: str
    remedy: str

    @property
    def place(self) -> str:
        return f"{self.file}:{self.line}:{self.column}" if self.line else self.file

    def __str__(self) -> str:
        return f"{self.place}: {self.fact}; {self.remedy}"


class ConfigError(CemdError):
    """The configuration cannot be used; `faults` holds every fault found, in file order."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        self.faults = tuple(sorted(faults))
        super().__init__("\n".join(map(str, self.faults)))


class StoreError(CemdError):
    """A database cannot be read or written: full disk, lock, damage, newer file."""


class StoreUnavailable(StoreError):  # noqa: N818 -- the word of the house, as for probes
    """Full, locked, or a disk in trouble: the same start may succeed later, with nothing of cemd touched."""


class UnwritableChange(StoreError):  # noqa: N818 -- what it is about is the change, not the store
    """A change that can never be written, however often it is tried: a fault of cemd. Its entry counts as one that
    crashed the core, so that it is set aside at last."""


class Refused(CemdError):  # noqa: N818 -- an answer, not a fault: nothing was taken, come back later
    """Pushed data or a command was not taken: too much waits for the log, or the store does not write."""


class ProbeUnavailable(CemdError):  # noqa: N818 -- the word of the house: not an error of the target, we could not look
    """This host cannot run the probe (no raw sockets, missing plugin): the measurement is blind, not failed."""


class ChannelError(CemdError):
    """A channel did not take a message.

    `permanent`: trying again is useless. `unknown`: the message may have left (a lost answer), so that an
    informational notice is not sent again.
    """

    def __init__(self, message: str, *, permanent: bool, unknown: bool = False) -> None:
        self.permanent = permanent
        self.unknown = unknown
        super().__init__(message)
