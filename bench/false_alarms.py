"""Does the stated false-alarm rate hold? Episodes of the bank on normal telecom-like series of eight kinds, seeded.

    python -m bench.false_alarms [--rate 0.02] [--series 400] [--weeks 20] [--every 300] [--seed 7] [--together]

Each kind: so many series of so many weeks; counted are the alarms that open after the first `--skip-weeks` (before that
the bank has not seen a week yet: those are printed apart). The ratio is measured to stated. Each kind has a bank of its
own, or all share one (`--together`), where what comes true of one kind corrects others like it as well.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator

import numpy as np
from cemd.analyze.bank.bank import Bank
from cemd.analyze.bank.learning import WEEK_SECONDS
from cemd.analyze.columns import Array
from cemd.config.rules import Detector

START = 1_767_571_200.0  # a Monday, 0:00 UTC
CHUNK = 500
Make = Callable[[np.random.Generator, Array, int], Iterator[Array]]


def by_chunk(make: Callable[[np.random.Generator, Array, int], Array]) -> Make:
    """A kind without memory: values (ticks, series) for the hours of a chunk."""

    def chunks(rng: np.random.Generator, hours: Array, series: int) -> Iterator[Array]:
        for start in range(0, len(hours), CHUNK):
            yield make(rng, hours[start : start + CHUNK], series)

    return chunks


def day_shape(hours: Array) -> Array:
    """Busy hours of a network: low at night, two humps, weekends at seven tenths, with a soft change by night."""
    of_day = hours % 24
    shape = 1.0 + 0.7 * np.sin((of_day - 9) / 24 * 2 * np.pi) + 0.25 * np.sin((of_day - 4) / 12 * 2 * np.pi)
    weekend = np.interp(hours % 168, [0, 3, 117, 123, 165, 168], [0.5, 0, 0, 1, 1, 0.5])
    return np.asarray(shape * (1 - 0.3 * weekend))[:, None]


def traffic(rng: np.random.Generator, hours: Array, series: int) -> Array:
    shape = day_shape(hours)
    return 1e7 * shape * rng.lognormal(0, 0.1, (len(hours), series))


def latency(rng: np.random.Generator, hours: Array, series: int) -> Array:
    return 0.02 * (1 + 0.2 * day_shape(hours)) + rng.lognormal(-5, 0.6, (len(hours), series))


def hourly_peak(rng: np.random.Generator, hours: Array, series: int) -> Array:
    """A job of five minutes in every hour."""
    peak = (hours % 1 < 5 / 60 - 1e-9)[:, None] * 30.0
    return rng.normal(10, 1, (len(hours), series)) + peak


def attempts(rng: np.random.Generator, hours: Array, series: int) -> Array:
    return rng.poisson(40 * day_shape(hours), (len(hours), series)) * 1.0


def loss(rng: np.random.Generator, hours: Array, series: int) -> Array:
    """Mostly none; one sample in a hundred loses some."""
    return (rng.random((len(hours), series)) < 0.01) * rng.integers(1, 6, (len(hours), series)) / 10


def heavy(rng: np.random.Generator, hours: Array, series: int) -> Array:
    return 100 + rng.standard_t(2, (len(hours), series))


def two_valued(rng: np.random.Generator, hours: Array, series: int) -> Array:
    return (rng.random((len(hours), series)) > 0.02) * 1.0


def red(coefficient: float) -> Make:
    """Noise that hangs together (autoregressive), on a level."""

    def chunks(rng: np.random.Generator, hours: Array, series: int) -> Iterator[Array]:
        state = rng.normal(0, 1, series)
        keep = np.sqrt(1 - coefficient**2)
        for start in range(0, len(hours), CHUNK):
            noise = rng.normal(0, keep, (len(hours[start : start + CHUNK]), series))
            for one in noise:
                state = state * coefficient + one
                one[:] = state
            yield 50 + 4 * noise

    return chunks


KINDS: dict[str, Make] = {
    "traffic, day and week": by_chunk(traffic),
    "latency, log-normal": by_chunk(latency),
    "red noise, AR 0.9": red(0.9),
    "red noise, AR 0.5": red(0.5),
    "peak of 5 min an hour": by_chunk(hourly_peak),
    "attempts, Poisson": by_chunk(attempts),
    "loss, mostly none": by_chunk(loss),
    "heavy tail, Student t2": by_chunk(heavy),
    "success, 0 or 1": by_chunk(two_valued),
}


Alarms = tuple[Array, Array]
"""Tick and series of each alarm that opened."""


def alarms(values: Iterator[Array], binary: Array, every: float, detector: Detector) -> Alarms:
    """A bank of its own for these series; `binary` says which hold only 0 and 1."""
    bank = Bank()
    bank.add(binary)
    series = len(binary)
    rows, outcome, at = np.arange(series), np.zeros(series, np.uint8), START
    ticks: list[int] = []
    found: list[int] = []
    tick = 0
    for chunk in values:
        for value in chunk:
            at += every
            bank.observe(rows, np.full(series, at), value, outcome, detector)
            bank.realised.judge(at)
            opened = bank.turned()[0].tolist()
            ticks += [tick] * len(opened)
            found += opened
            tick += 1
    return np.array(ticks, np.intp), np.array(found, np.intp)


def apart(given: argparse.Namespace, hours: Array, detector: Detector) -> Iterator[tuple[str, Array]]:
    """Each kind in a bank of its own: (kind, tick of each alarm)."""
    for name, make in KINDS.items():
        if given.kind in name:
            values = make(np.random.default_rng(given.seed), hours, given.series)
            yield name, alarms(values, np.full(given.series, "success" in name), given.every, detector)[0]


def together(given: argparse.Namespace, hours: Array, detector: Detector) -> Iterator[tuple[str, Array]]:
    """All kinds in one bank, as in an operator's."""
    parts = [make(np.random.default_rng(given.seed), hours, given.series) for make in KINDS.values()]
    binary = np.repeat(["success" in name for name in KINDS], given.series)
    values = (np.concatenate(chunks, axis=1) for chunks in zip(*parts, strict=True))
    at, row = alarms(values, binary, given.every, detector)
    for number, name in enumerate(KINDS):
        yield name, at[row // given.series == number]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rate", type=float, default=0.02)
    parser.add_argument("--series", type=int, default=400)
    parser.add_argument("--weeks", type=float, default=20)
    parser.add_argument("--skip-weeks", type=float, default=2)
    parser.add_argument("--every", type=float, default=300)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--kind", default="")
    parser.add_argument("--together", action="store_true")
    given = parser.parse_args()
    detector = Detector(false_alarms_per_series_week=given.rate)
    ticks, skip = int(given.weeks * WEEK_SECONDS / given.every), int(given.skip_weeks * WEEK_SECONDS / given.every)
    stated = given.rate * given.series * (ticks - skip) * given.every / WEEK_SECONDS
    hours = np.arange(ticks) * given.every / 3600.0
    for name, at in (together if given.together else apart)(given, hours, detector):
        counted = int((at >= skip).sum())
        first = int((at < skip).sum())
        print(f"{name:26s} {counted:6d} / {stated:6.1f} stated = {counted / stated:5.2f}   before: {first}", flush=True)


if __name__ == "__main__":
    main()
