"""After how long without a sample a series counts as silent: by what is usual for it, from its first samples on."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from cemd.analyze.bank.bank import Bank
from cemd.analyze.bank.compiled import PLAIN, Compiled
from cemd.analyze.bank.kernel import Kernel
from cemd.analyze.bank.passes import Passes
from cemd.config.rules import Detector

T0 = 1_780_000_000.0
DETECTOR = Detector()
USUAL, LONG = 60.0, 6 * 3600.0


def patience(gaps: Sequence[float], kernel: Kernel, every_seconds: float = 0.0, *, binary: bool = False) -> float:
    """Seconds after which a series that came with these gaps is silent."""
    bank = Bank()
    bank.use(kernel)
    bank.add(np.array([False, True]))
    rng, rows = np.random.default_rng(2), np.arange(2)
    for at in T0 + np.cumsum([0.0, *gaps]):
        bank.observe(rows, np.full(2, at), np.array([rng.normal(10.0, 1.0), 1.0]), np.zeros(2, np.uint8), DETECTOR)
    return float(bank.silent_after(DETECTOR, np.full(2, every_seconds))[1 if binary else 0])


@pytest.fixture(params=["rows", "loops"])
def kernel(request: pytest.FixtureRequest) -> Kernel:
    return Passes() if request.param == "rows" else Compiled(PLAIN, neighbours=2**20)


@pytest.mark.parametrize("binary", [False, True])
@pytest.mark.parametrize("before", [0, 1, 2, 8, 15, 40])
def test_a_silence_among_the_first_samples_does_not_hide_the_next(kernel: Kernel, before: int, *, binary: bool) -> None:
    gaps = [USUAL] * before + [LONG] + [USUAL] * 20
    intervals = patience(gaps, kernel, binary=binary) / USUAL
    assert DETECTOR.silence_intervals <= intervals <= 1.6 * DETECTOR.silence_intervals


@pytest.mark.parametrize("every", [0.0, 20.0])
def test_gaps_that_came_again_are_usual(kernel: Kernel, every: float) -> None:
    """Samples come in bursts, once an hour."""
    gaps = [1.0, 1.0, 1.0, 1.0, 3600.0] * 4
    assert patience(gaps, kernel, every) > 0.8 * 3600.0 * DETECTOR.silence_intervals


def test_a_first_pair_close_together_is_forgotten(kernel: Kernel) -> None:
    """As two kept messages of a broker; without that the third sample of a minute would be silence already."""
    assert patience([0.001] + [USUAL] * 20, kernel) >= USUAL * DETECTOR.silence_intervals


def test_nobody_is_silent_before_there_is_an_interval(kernel: Kernel) -> None:
    assert patience([USUAL] * 10, kernel) == np.inf
