"""Sample by sample or in whole rows, compiled or not: the bank's results are the same to the bit."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cemd.analyze.bank import compiled
from cemd.analyze.bank.bank import Bank
from cemd.analyze.bank.compiled import PLAIN, Code, Compiled
from cemd.analyze.bank.passes import Passes
from cemd.analyze.columns import Array
from cemd.config.rules import Detector
from cemd.daemon import machine
from cemd.model.quality import Outcome
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

T0 = 1_780_000_000.0
SERIES = 24
DETECTOR = Detector(learn_samples=20, false_alarms_per_series_week=5.0)
Samples = tuple[Array, Array, Array, Array]


@pytest.fixture(scope="module")
def machine_code() -> Any:
    pytest.importorskip("numba", reason="the extra `compiled` is not installed")
    return compiled.machine_code(None)


@pytest.fixture(scope="module", params=["plain", "compiled"])
def code(request: pytest.FixtureRequest) -> Any:
    return PLAIN if request.param == "plain" else request.getfixturevalue("machine_code")


def kinds(rng: np.random.Generator) -> Array:
    """By series: 0 and 1, noise, heavy tail, large numbers, constant, quantised, and now and then stuck."""
    of = rng.integers(0, 7, SERIES)
    of[:7] = np.arange(7)
    return of


def stream(seed: int, every: float, ticks: int = 260) -> Iterator[Samples]:
    """Per tick: some of the series in any order, with repeats, late, blind and missing samples, gaps of hours, outages,
    and stuck values; sometimes all series of a run that follow each other."""
    rng = np.random.default_rng(seed)
    of, now = kinds(rng), T0
    for tick in range(ticks):
        now += every * (1 if rng.random() > 0.03 else rng.integers(1, 100))
        rows = np.arange(8, SERIES) if rng.random() < 0.1 else rng.integers(0, SERIES, rng.integers(1, 2 * SERIES))
        n, kind = len(rows), of[rows]
        broken = (tick // 40 % 3 == 2) & (rows % 3 == 0)
        value = np.choose(
            kind,
            [
                (rng.random(n) > 0.05 + 0.9 * broken) * 1.0,
                rng.normal(10, 2, n) + 40 * broken,
                10 + rng.standard_t(2, n),
                1e9 * rng.lognormal(0, 2, n),
                np.full(n, 7.0),
                np.round(rng.normal(10, 0.6, n)),
                rng.normal(10, 2, n) if tick < 150 else np.full(n, 3.25),
            ],
        )
        value[rng.random(n) < 0.01] = rng.choice([np.nan, np.inf, 1e18, -1e18])
        outcome = np.where(rng.random(n) < 0.02, Outcome.BLIND, Outcome.OK).astype(np.uint8)
        lag = np.where(rng.random(n) < 0.05, rng.uniform(0, 5 * every, n), rng.uniform(0, 0.3 * every, n))
        yield rows, now - lag, np.where((kind == 0) & (np.abs(value) > 1), 1.0, value), outcome


def bank_for(seed: int, kernel: Passes) -> Bank:
    bank = Bank()
    bank.use(kernel)
    bank.add(kinds(np.random.default_rng(seed)) == 0)
    bank.columns["first"][::2] = 1.02  # where hundreds of samples would bring it: below 1 it counts as 1
    return bank


def teach(bank: Bank, samples: Samples) -> None:
    bank.observe(*samples, DETECTOR)
    bank.realised.judge(float(samples[1].max()))


def assert_same(left: Bank, right: Bank) -> None:
    ours, theirs = left.dump(), right.dump()
    assert [name for name in ours if ours[name] != theirs[name]] == []


@settings(max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(seed=st.integers(0, 2**32), every=st.sampled_from([1.0, 10.0, 300.0, 3600.0]))
def test_sample_by_sample_gives_the_bits_of_whole_rows(code: Code, seed: int, every: float) -> None:
    rows, loops = bank_for(seed, Passes()), bank_for(seed, Compiled(code, neighbours=8))
    for samples in stream(seed, every):
        teach(rows, samples)
        teach(loops, samples)
    assert_same(rows, loops)


def test_the_streams_hold_what_could_differ() -> None:
    """Alarms of all kinds, stuck values, new normals, other hours: else the test above would prove little."""
    bank = bank_for(5, Compiled(PLAIN, neighbours=8))
    alarmed = np.zeros(SERIES, np.bool_)
    for samples in stream(5, 300.0):
        teach(bank, samples)
        alarmed |= bank.columns["alarm"]
    assert alarmed[bank.columns["binary"]].any()
    assert alarmed[~bank.columns["binary"]].any()
    assert bank.columns["run"].max() > 60
    assert bank.season["day_count"].any()


@settings(max_examples=4, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(seed=st.integers(0, 2**32), turns=st.lists(st.integers(1, 100), min_size=1, max_size=4))
def test_what_one_saved_the_other_goes_on_with(code: Code, seed: int, turns: list[int]) -> None:
    alone, restarted = bank_for(seed, Passes()), bank_for(seed, Passes())
    ends = np.cumsum(turns).tolist()
    for tick, samples in enumerate(stream(seed, 60.0)):
        if tick in ends:
            saved, restarted = restarted.dump(), Bank()
            restarted.load(saved)
            restarted.use(Compiled(code, neighbours=8) if ends.index(tick) % 2 == 0 else Passes())
        teach(alone, samples)
        teach(restarted, samples)
    assert_same(alone, restarted)


def test_another_kernel_may_take_over_at_any_sample(code: Code) -> None:
    alone, mixed = bank_for(3, Passes()), bank_for(3, Passes())
    rng, kernels = np.random.default_rng(1), [Passes(), Compiled(code, neighbours=8)]
    for samples in stream(3, 30.0):
        teach(alone, samples)
        mixed.use(kernels[rng.integers(2)])
        teach(mixed, samples)
    assert_same(alone, mixed)


def test_samples_of_several_blocks_wait_for_each_other(code: Code, monkeypatch: pytest.MonkeyPatch) -> None:
    from cemd.analyze.bank import learning

    whole, cut = bank_for(7, Passes()), bank_for(7, Compiled(code, neighbours=8))
    for samples in stream(7, 60.0):
        teach(whole, samples)
        with monkeypatch.context() as small:
            small.setattr(learning, "BLOCK", 5)
            teach(cut, samples)
    assert_same(whole, cut)


def test_arrays_of_any_make_are_taken_and_nothing_is_compiled_for_them(machine_code: Any) -> None:
    bank = bank_for(4, Compiled(machine_code, neighbours=8))
    rows, at, value, outcome = next(stream(4, 60.0))
    order = np.argsort(rows, kind="stable")
    keeps = np.append(True, rows[order][1:] != rows[order][:-1])
    rows, at, value, outcome = (one[order][keeps] for one in (rows, at, value, outcome))
    for one in (at, value, outcome):
        one.flags.writeable = False
    bank.observe(rows, np.repeat(at, 2)[::2], value, outcome, DETECTOR)
    assert [len(one.signatures) for one in machine_code] == [1, 1]


def test_no_multiplication_is_joined_to_an_addition(machine_code: Any) -> None:
    """Such a step is rounded once, numpy's two are rounded twice."""
    said = "".join(text for one in machine_code for text in one.inspect_asm().values())
    assert re.search(r"\b(v?mulss|fmul)\b", said)
    assert not re.findall(r"\bv?fn?m(?:add|sub|la|ls)\w*", said)


def test_machine_code_is_made_once_and_loaded_from_then_on(tmp_path: Path) -> None:
    pytest.importorskip("numba", reason="the extra `compiled` is not installed")
    (tmp_path / "older").mkdir()
    assert compiled.find(tmp_path) is None
    compiled.make(tmp_path)
    assert [one.name for one in tmp_path.iterdir()] == [compiled.made_of()]
    kernel = compiled.find(tmp_path)
    assert kernel is not None
    code: Any = kernel.code
    assert all(one.stats.cache_hits and not one.stats.cache_misses for one in code)


class Said:
    """Log that keeps the words."""

    def __init__(self) -> None:
        self.events: list[str] = []

    def info(self, event: str, **_: object) -> None:
        self.events.append(event)

    warning = info


def test_where_numba_is_missing_nothing_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiled, "wanted", lambda: False)
    bank, log = bank_for(1, Passes()), Said()
    folder = tmp_path / "compiled"
    machine.speed_up(bank, folder, log)
    asyncio.run(machine.make_for_next_start(folder, log))
    assert log.events == []
    assert list(tmp_path.iterdir()) == []


def test_a_daemon_starts_where_machine_code_is_refused_or_spoilt(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(_: Path) -> None:
        raise OSError("cannot allocate executable memory.")

    monkeypatch.setattr(compiled, "find", refused)
    log = Said()
    machine.speed_up(bank_for(1, Passes()), tmp_path, log)
    assert log.events == ["no_machine_code"]
