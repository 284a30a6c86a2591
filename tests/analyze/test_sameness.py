"""Properties: results do not depend on how batches were cut, and a restart at any point changes no decision."""

from __future__ import annotations

import itertools

import numpy as np
from cemd.analyze import stage
from cemd.analyze.columns import Array
from cemd.model.entry import Batch
from cemd.model.finding import Finding
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.analyze.world import World, configuration, delay_indicator, series, success_indicator

Samples = tuple[Array, Array, Array, Array]
KNOWN = [
    series(0, "pay-web", "success"),
    series(1, "pay-web", "total_seconds"),
    series(2, "core-ping", "success"),
    series(3, "core-ping", "total_seconds"),
]


def stream(seed: int, ticks: int) -> list[Samples]:
    """Per tick: samples in any order, with repeats, late and blind ones, missing values and outages."""
    rng = np.random.default_rng(seed)
    columns = []
    for tick in range(ticks):
        n = int(rng.integers(0, 12))
        which = rng.integers(0, 4, n)
        broken = (tick // 25) % 3 == 2
        ok = (rng.random(n) < (0.1 if broken else 0.99)) * 1.0
        value = np.where(which % 2 == 0, ok, rng.lognormal(-1.5 + 3 * broken, 0.4, n))
        value[rng.random(n) < 0.02] = np.nan
        outcome = np.where(rng.random(n) < 0.02, 3, 0).astype(np.uint8)
        lag = np.where(rng.random(n) < 0.05, rng.uniform(0, 500, n), rng.uniform(0, 5, n))
        columns.append((np.array([KNOWN[one].id for one in which], np.int64), lag, value, outcome))
    return columns


def feed(world: World, columns: Samples, cuts: list[int]) -> None:
    ids, lag, value, outcome = columns
    edges = [0, *sorted({min(cut, len(ids)) for cut in cuts}), len(ids)]
    for start, end in itertools.pairwise(edges):
        part = slice(start, end)
        number = next(world.numbers)
        at = world.now - lag[part]
        world.give(Batch(source="s", number=number, series=ids[part], at=at, value=value[part], outcome=outcome[part]))


def make() -> World:
    return World(configuration(indicators=[success_indicator(), delay_indicator()]), KNOWN)


def state_of(world: World) -> dict[str, object]:
    state = world.state
    return {
        "bank": state.bank.dump(),
        "attention": state.attention.dump(),
        "indicators": state.indicators.dump(),
        "marks": state.watermarks.tobytes(),
        "late": state.late_samples,
    }


def said(found: list[Finding]) -> list[tuple[object, ...]]:
    return [(one.condition, one.phase, one.quality, str(one.subject), one.at, one.evidence) for one in found]


@settings(max_examples=8)
@given(seed=st.integers(0, 2**32), cuts=st.lists(st.lists(st.integers(0, 12), max_size=4), min_size=80, max_size=80))
def test_results_do_not_depend_on_how_batches_were_cut(seed: int, cuts: list[list[int]]) -> None:
    whole, cut = make(), make()
    for columns, places in zip(stream(seed, 80), cuts, strict=True):
        for world, edges in ((whole, []), (cut, places)):
            world.now += 5.0
            feed(world, columns, edges)
            world.tick()
    assert state_of(whole) == state_of(cut)
    assert said(whole.found) == said(cut.found)


@settings(max_examples=6)
@given(seed=st.integers(0, 2**32), at=st.integers(0, 119))
def test_a_restart_at_any_point_changes_no_decision(seed: int, at: int) -> None:
    through, restarted = make(), make()
    for tick, columns in enumerate(stream(seed, 120)):
        for world in (through, restarted):
            world.now += 5.0
            feed(world, columns, [])
            world.tick()
        if tick == at:
            blocks = stage.snapshot(restarted.state)
            restarted.state = stage.AnalyzeState()
            stage.restore(restarted.state, blocks, restarted.topology)
    assert through.found == restarted.found
    assert state_of(through) == state_of(restarted)
    assert stage.view(through.state, through.topology) == stage.view(restarted.state, restarted.topology)
