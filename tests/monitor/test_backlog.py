"""What the prober owes the daemon: in order, again after a loss, bounded, and honest about what it gave up."""

from __future__ import annotations

import math
from array import array
from pathlib import Path

from cemd.model.measurement import SeriesKey
from cemd.model.quality import Outcome
from cemd.monitor import wire
from cemd.monitor.backlog import SAMPLE_BYTES, WINDOW, Backlog, Numbers
from cemd.monitor.wire import MAX_SAMPLES
from hypothesis import given
from hypothesis import strategies as st


def backlog(folder: Path, samples: int = 1_000_000) -> Backlog:
    return Backlog(Numbers(folder / "number", 1_700_000_000.0), most_bytes=samples * SAMPLE_BYTES)


def key(name: str, metric: str = "success") -> SeriesKey:
    return SeriesKey(probe=name, metric=metric)


def sent(owed: Backlog) -> list[wire.Measured]:
    return [frame for frame in owed.to_send() if isinstance(frame, wire.Measured)]


def test_numbers_only_grow_through_restarts_and_a_clock_put_back(tmp_path: Path) -> None:
    taken = []
    for wall in (1_700_000_000.0, 1_600_000_000.0, 1_700_000_000.5, 0.0):
        numbers = Numbers(tmp_path / "number", wall)
        taken += [numbers.take() for _ in range(3)]
    assert taken == sorted(set(taken))
    (tmp_path / "number").write_text("damaged")
    assert Numbers(tmp_path / "number", 1_800_000_000.0).take() > taken[-1]


def test_names_go_before_the_batches_that_use_them_and_again_after_a_reconnect(tmp_path: Path) -> None:
    owed = backlog(tmp_path)
    owed.add(owed.local(key("a"), important=False), 1.0, 1.0, Outcome.OK)
    owed.cut()
    first = list(owed.to_send())
    assert [type(frame).__name__ for frame in first] == ["Declare", "Measured"]
    assert list(owed.to_send()) == []
    owed.reconnected()
    assert list(owed.to_send()) == first
    [batch] = [frame for frame in first if isinstance(frame, wire.Measured)]
    owed.acknowledged(batch.number)
    assert owed.unacknowledged() == 0


def test_only_a_window_of_batches_is_under_way(tmp_path: Path) -> None:
    owed = backlog(tmp_path)
    local = owed.local(key("a"), important=False)
    for number in range(3 * WINDOW):
        owed.add(local, float(number), 1.0, Outcome.OK)
        owed.cut()
    batches = sent(owed)
    assert len(batches) == WINDOW
    assert sent(owed) == []
    owed.acknowledged(batches[4].number)
    assert len(sent(owed)) == 5


def test_no_mixture_of_runs_makes_a_batch_that_the_daemon_refuses(tmp_path: Path) -> None:
    """A batch that is too long ends the connection, and would end the next one too."""
    owed = backlog(tmp_path)
    locals_ = [owed.local(key("a", f"m{number}"), important=False) for number in range(200)]
    row = array("i", locals_).tobytes()
    for _ in range(MAX_SAMPLES - 1):
        owed.add(locals_[0], 1.0, math.nan, Outcome.BLIND)
    owed.add_rows([row] * 250, [2.0] * 250, [(1.0,) * 200] * 250, Outcome.OK)
    owed.cut()
    lengths = [len(wire.columns(frame)[0]) for frame in sent(owed)]
    assert max(lengths) <= MAX_SAMPLES
    assert sum(lengths) == MAX_SAMPLES - 1 + 250 * 200


def test_what_was_given_up_of_very_many_probes_is_told_in_batches_that_the_daemon_takes(tmp_path: Path) -> None:
    probes = MAX_SAMPLES + 7
    owed = backlog(tmp_path, samples=2 * probes)
    locals_ = [owed.local(key(f"p{number}"), important=False) for number in range(probes)]
    for at in (1.0, 2.0, 3.0):
        for local in locals_:
            owed.add(local, at, 1.0, Outcome.OK)
    owed.cut()
    assert owed.shed_total >= probes
    told = 0
    for _ in range(4):
        for frame in sent(owed):
            told += int((wire.columns(frame)[3] == Outcome.BLIND).sum())
        owed.acknowledged(owed.last_number)
        owed.cut()
    assert told == probes


def test_pressure_takes_our_own_polls_first_and_tells_them_as_blind(tmp_path: Path) -> None:
    owed = backlog(tmp_path, samples=20)
    plain, moment = owed.local(key("plain"), important=False), owed.local(key("moment"), important=True)
    for number in range(30):
        owed.add(plain, float(number), 1.0, Outcome.OK)
        if number % 3 == 0:
            owed.add(moment, float(number), 1.0, Outcome.OK)
        owed.cut()
    assert owed.shed_total > 0
    rows = drain(owed)
    owed.cut()
    rows += drain(owed)
    assert [at for local, at, _, _ in rows if local == moment] == [float(number) for number in range(0, 30, 3)]
    blind = [(at, value) for local, at, value, outcome in rows if local == plain and outcome == Outcome.BLIND]
    assert len(blind) == 1
    assert math.isnan(blind[0][1])


def drain(owed: Backlog) -> list[tuple[int, float, float, int]]:
    rows: list[tuple[int, float, float, int]] = []
    while batches := sent(owed):
        for batch in batches:
            series, at, value, outcome = wire.columns(batch)
            rows += zip(series.tolist(), at.tolist(), value.tolist(), outcome.tolist(), strict=True)
            owed.acknowledged(batch.number)
    return rows


@given(st.lists(st.sampled_from(["add", "cut", "send", "ack", "lose"]), max_size=60))
def test_no_order_of_events_loses_or_changes_what_was_sent(tmp_path_factory: object, events: list[str]) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        owed = backlog(Path(folder), samples=12)
        local = owed.local(key("a", "round_trip_seconds"), important=False)
        seen: dict[int, wire.Measured] = {}
        number = 0
        for event in events:
            match event:
                case "add":
                    number += 1
                    owed.add(local, float(number), float(number), Outcome.OK)
                case "cut":
                    owed.cut()
                case "send":
                    for batch in sent(owed):
                        assert seen.setdefault(batch.number, batch) == batch
                case "ack":
                    if seen:
                        owed.acknowledged(max(seen))
                case _:
                    owed.reconnected()
        assert list(seen) == sorted(seen)


def test_samples_of_a_batch_keep_the_order_in_which_they_came_whichever_way_they_came(tmp_path: Path) -> None:
    owed = backlog(tmp_path)
    a, b, c = (owed.local(key(name), important=False) for name in "abc")
    row = array("i", (a, b)).tobytes()
    owed.add(c, 1.0, 10.0, Outcome.FAILED)
    owed.add_rows([row, array("i", (c,)).tobytes()], [2.0, 3.0], [(20.0, 21.0), (30.0,)], Outcome.OK)
    owed.add_row((b, c), 4.0, (40.0, math.inf), Outcome.TIMED_OUT)
    owed.add_rows([row], [5.0], [(50.0, 51.0)], Outcome.OK)
    owed.cut()
    assert drain(owed) == [
        (c, 1.0, 10.0, Outcome.FAILED),
        (a, 2.0, 20.0, Outcome.OK),
        (b, 2.0, 21.0, Outcome.OK),
        (c, 3.0, 30.0, Outcome.OK),
        (b, 4.0, 40.0, Outcome.TIMED_OUT),
        (c, 4.0, math.inf, Outcome.TIMED_OUT),
        (a, 5.0, 50.0, Outcome.OK),
        (b, 5.0, 51.0, Outcome.OK),
    ]
