"""What every kind of evidence is handed, and what it must offer.

A kind looks at one new sample of many series at once (arrays by series, never a loop over them), says how far the
sample is from what the kind expects, as a number without unit, and then learns the sample. How rare such a number is,
is not its business: `tails` calibrates each kind by the series' own past.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import ClassVar, Protocol

import numpy as np

from cemd.analyze.columns import Array, Columns, Field

SLOW = 1 / 4000
"""Slowest rate of the long-run mean and spread: two weeks of five minutes."""
PACE = 1 / 500
"""Slowest rate of a kind's own spread: some two days of five minutes."""
FEWEST_DAYS = 2
"""Earlier days that must have a value at this time before a kind speaks of "this time of day"."""


class Family(IntEnum):
    """What a kind looks at. Kinds of one family see the same thing and count once; families are asked one by one."""

    STEP = 0
    """From one sample to the next."""
    SIZE = 1
    LEVEL = 2
    TIME_OF_DAY = 3
    COURSE = 4
    """The last samples, against the same time on earlier days."""


BY_DAYS = (Family.TIME_OF_DAY, Family.COURSE)
"""Families that compare with earlier days."""


class Held:
    """State of the series of one round by name: views where rows follow each other, else copies, which are made once
    and must be put back."""

    def __init__(self, columns: Columns, span: Array | slice) -> None:
        self._columns = columns
        self._span = span
        self._gathered: dict[str, Array] = {}  # since they were put last

    def __getitem__(self, name: str) -> Array:
        held = self._gathered.get(name)
        if held is None:
            held = self._gathered[name] = self._columns[name][self._span]
        return held

    def __setitem__(self, name: str, value: Array) -> None:
        self._gathered.pop(name, None)  # the column may hold it in fewer bits
        self._columns[name][self._span] = value


@dataclass(slots=True)
class Sight:
    """One sample of each of R series, and what all kinds may look at. Values are relative to the series' first one."""

    held: Held
    raw: Array
    """float64[R]: the sample itself."""
    value: Array
    """float64[R]: the sample, relative to the first."""
    count: Array
    """float64[R]: samples before this one."""
    step: Array
    """float64[R]: distance from the sample before; 0 at the first."""
    floor: Array
    """float64[R]: a spread below this is rounding."""
    deviation: Array
    """float64[R]: long-run standard deviation."""
    mean: Array
    """float64[R]: long-run mean."""
    near: Array
    """float32[R, days, 5]: distance from what was two slots before to two after this time on earlier days, or NaN."""
    here: Array
    """bool[R, days]: something was at this very slot."""
    known: Array
    """int[R]: days that had something at this very slot."""
    typical: Array
    """float64[R]: median of what was at this time on the last days; 0 where nothing was."""
    usual_spread: Array
    """float64[R]: median distance of that from `typical`."""
    residual: Array
    """float64[R]: mean distance of earlier samples from `typical`."""
    knows_residual: Array
    """bool[R]: enough of them to stand on."""
    kept: dict[str, Array] = field(default_factory=dict)
    """What a kind worked out while measuring and needs for learning."""

    @property
    def has_days(self) -> Array:
        return self.known >= FEWEST_DAYS


class Evidence(Protocol):
    """One kind of evidence."""

    word: ClassVar[str]
    says: ClassVar[str]
    """For people: what is unusual, to stand after "unusual: "."""
    family: ClassVar[Family]
    ordinary: ClassVar[float]
    """What one sample in a hundred exceeds on a usual series: the unit of severity until the series has its own."""
    fields: ClassVar[Mapping[str, Field]]

    def measure(self, sight: Sight) -> Array:
        """float64[R]: how far from what is expected; the sign says which way, 0 is as expected, NaN is "not yet"."""
        ...

    def learn(self, sight: Sight) -> None:
        """Takes the sample into the state."""
        ...


def rate(count: Array, slowest: float) -> Array:
    """Weight of a new sample in a running mean: 1/(n+1), at least `slowest`."""
    weight: Array = np.maximum(1.0 / (count + 1.0), slowest)
    return weight


def or_zero(value: Array) -> Array:
    """The values; 0 where there is none (NaN), or none that has a bound."""
    held: Array = np.where(value < np.inf, value, value.dtype.type(0))
    return held


def follow(old: Array, new: Array, weight: Array | float) -> Array:
    """The running mean after `new`."""
    mean: Array = old + weight * (new - old)
    return mean
