"""Plants a defect from outside, and has a simulated life catch it: the checker must name the promise that it breaks.

Which life catches it soonest is written in `hints.json`: a seed, and after how many days it did. A change of the core
makes some lives go another way; then a few other seeds are tried, and what the hint should be is said as a warning.
`python -m tests.simulation.planting` looks again for each hint that is stale and writes the file anew (`--all`: for
every one, so that the quickest life is taken).
"""

from __future__ import annotations

import json
import sys
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

import pytest
from cemd.loop.core import Core
from cemd.simulation.outcome import Broken
from cemd.simulation.plan import Plan
from cemd.simulation.run import Make, Simulation

Patch = pytest.MonkeyPatch
HINTS = Path(__file__).with_name("hints.json")
SEARCHED = range(1, 9)
"""Seeds that a test tries when its hint is stale; the command above tries more."""
DAYS = 0.6
"""How long each of them lives at most."""
REMEDY = "renew hints with `python -m tests.simulation.planting`."
MODULES = ("test_defects_of_the_order", "test_defects_of_releasing", "test_defects_of_ends")


class StaleHint(UserWarning):
    """A hint leads nowhere any more: to be renewed, and no fault of what is tested."""


says_stale_hints = pytest.mark.filterwarnings("default::tests.simulation.planting.StaleHint")
"""Warnings are errors elsewhere; this one is for the summary."""


@dataclass(frozen=True, slots=True)
class Planted:
    """A defect and the promise that it breaks. `plant` gives the core to live with; None: the usual one."""

    plant: Callable[[Patch], Make | None]
    promise: str

    def __str__(self) -> str:
        return f"{self.plant.__name__}-{self.promise}"


@dataclass(frozen=True, slots=True, order=True)
class Find:
    """A life that caught a defect, and what it cost."""

    cpu_seconds: float
    seed: int
    days: float


def in_core(core: type[Core]) -> Callable[[Patch], Make]:
    """Plants a core of another class."""

    def plant(_: Patch) -> Make:
        return core

    plant.__name__ = core.__name__
    return plant


def caught(planted: Planted, monkeypatch: Patch) -> None:
    """Passes when a life finds the defect and names its promise."""
    make = planted.plant(monkeypatch) or Core
    seed, days = json.loads(HINTS.read_text()).get(str(planted), (0, 0.0))
    if days and _life(seed, days, make, planted.promise):
        return
    found = next(_finds(planted.promise, make, SEARCHED), None)
    if found is None:
        pytest.fail(f"no life of seeds {SEARCHED} found that {planted.promise} was broken; {REMEDY}")
    warnings.warn(StaleHint(f"{planted} is found by seed {found.seed}, not {seed}; {REMEDY}"), stacklevel=2)


def _life(seed: int, until: float, make: Make, promise: str) -> Broken | None:
    broken = Simulation(Plan(seed=seed, days=1.0, until=until), make=make).run().broken
    return broken if broken is not None and broken.promise == promise else None


def _finds(promise: str, make: Make, seeds: Iterable[int]) -> Iterator[Find]:
    """Lives that find it, seed by seed, cut as short as they still do."""
    for seed in seeds:
        for until in (0.2, DAYS):  # what shows only at the end shows after a short life too
            broken = _life(seed, until, make, promise)
            if broken is not None:
                cut = min(until, round(broken.after_seconds / 86_400.0 + 0.001, 3))
                began = time.process_time()
                days = cut if _life(seed, cut, make, promise) else until
                yield Find(time.process_time() - began, seed, days)
                break


def _renew(planted: Planted, hint: tuple[int, float], *, every: bool) -> tuple[int, float]:
    with pytest.MonkeyPatch.context() as patch:
        make = planted.plant(patch) or Core
        began = time.process_time()
        holds = hint[1] > 0 and _life(*hint, make, planted.promise) is not None
        if holds and not every:
            return hint
        finds = [Find(time.process_time() - began, *hint)] if holds else []
        for find in _finds(planted.promise, make, range(1, 41)):
            finds.append(find)
            if find.cpu_seconds < 0.8 or len(finds) > 1:
                break
    if not finds:
        print(f"{planted}: NO life of forty seeds finds it; is it a defect, and is its promise checked?", flush=True)
        return 0, 0.0
    best = min(finds)
    print(f"{planted}: seed {best.seed}, {best.days} days, {best.cpu_seconds:.2f} s of processor time", flush=True)
    return best.seed, best.days


def all_planted() -> Iterator[Planted]:
    """Every defect of the test files."""
    for module in MODULES:
        yield from import_module(f"tests.simulation.{module}").PLANTED


def main() -> None:
    """Renews the hints."""
    hints = json.loads(HINTS.read_text()) if HINTS.exists() else {}
    kept: dict[str, tuple[int, float]] = {}
    for planted in all_planted():
        seed, days = hints.get(str(planted), (0, 0.0))
        kept[str(planted)] = _renew(planted, (seed, days), every="--all" in sys.argv)
        _write({**hints, **kept})
    _write(kept)


def _write(hints: dict[str, tuple[int, float]]) -> None:
    lines = (f"  {json.dumps(name)}: {json.dumps(list(hint))}" for name, hint in hints.items())
    HINTS.write_text("{\n" + ",\n".join(lines) + "\n}\n")


if __name__ == "__main__":
    main()
