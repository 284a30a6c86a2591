"""A large operator is told of groups, the strongest first, and of no more than there is room for in a shift."""

from __future__ import annotations

import numpy as np
from cemd.analyze.bank.bank import Bank
from cemd.analyze.bank.warnings import MOST, Warned, Warnings
from cemd.analyze.columns import Array
from cemd.config.rules import Detector

T0 = 1_780_000_000.0
SERVICES, MEMBERS = 40, 20
SIZE = SERVICES * MEMBERS
DETECTOR = Detector(false_alarms_per_series_week=0.1)


class Operator:
    def __init__(self, sites: int = 0) -> None:
        self.bank, self.warnings, self.at = Bank(), Warnings(), T0
        self.bank.add(np.zeros(SIZE, np.bool_))
        place(self.warnings, sites)
        self.rng = np.random.default_rng(1)
        self.said: list[tuple[float, Warned]] = []
        self.ended: list[tuple[int, int]] = []

    def live(self, ticks: int, moved: Array | slice = slice(0, 0), by: float = 0.0) -> None:
        rows, outcome = np.arange(SIZE), np.zeros(SIZE, np.uint8)
        for _ in range(ticks):
            self.at += 300.0
            value = self.rng.normal(10, 1, SIZE)
            value[moved] += by
            self.bank.observe(rows, np.full(SIZE, self.at), value, outcome, DETECTOR)
            opened, ended = self.bank.turned()
            self.warnings.waiting |= dict.fromkeys(opened.tolist())
            for row in ended.tolist():
                self.warnings.waiting.pop(row, None)
            said, over = self.warnings.tick(self.bank, self.at, DETECTOR)
            self.said += [(self.at, one) for one in said]
            self.ended += over


def place(warnings: Warnings, sites: int = 0) -> None:
    """Services of neighbours; each has a series or two at every site, if there are sites."""
    names = np.repeat([f"service-{number}" for number in range(SERVICES)], MEMBERS).tolist()
    warnings.groups[0].place(names)
    warnings.groups[1].place([f"site-{row % sites}" if sites else "" for row in range(SIZE)])


def test_series_of_one_service_make_one_warning() -> None:
    operator = Operator()
    operator.live(1200)
    before = len(operator.said)
    operator.live(12, moved=slice(100, 115), by=8.0)
    new = [one for _, one in operator.said[before:]]
    assert [(one.kind, one.number) for one in new] == [(0, 5)]
    assert set(new[0].rows.tolist()) <= set(range(100, 120))
    operator.live(200)
    assert (0, 5) in operator.ended


def test_a_service_that_is_down_does_not_hide_a_site_with_which_it_shares_a_few_series() -> None:
    operator = Operator(sites=10)
    operator.live(1200)
    before = len(operator.said)
    service, site = np.arange(100, 120), np.arange(3, SIZE, 10)
    operator.live(6, moved=service, by=8.0)
    operator.live(6, moved=np.union1d(service, site), by=8.0)
    assert [(one.kind, one.number) for _, one in operator.said[before:]] == [(0, 5), (1, 3)]
    assert not np.isin(operator.said[-1][1].rows, service).any()


def test_a_site_that_is_down_speaks_for_the_services_there() -> None:
    operator = Operator(sites=10)
    operator.live(1200)
    before = len(operator.said)
    operator.live(12, moved=np.arange(3, SIZE, 10), by=8.0)
    assert [(one.kind, one.number) for _, one in operator.said[before:]] == [(1, 3)]


def test_what_opens_in_a_disturbance_that_was_said_waits_for_no_turn_of_its_own() -> None:
    operator = Operator()
    operator.live(1200)
    operator.live(12, moved=slice(100, 120), by=8.0)
    assert (0, 5) in operator.warnings.open
    assert operator.bank.columns["alarm"][100:120].any()
    assert not set(range(100, 120)) & set(operator.warnings.waiting)


def test_a_shift_hears_of_no_more_than_ten() -> None:
    operator = Operator()
    operator.live(1200)
    operator.live(40, moved=slice(0, SIZE, 2), by=8.0)
    times = np.array([at for at, _ in operator.said])
    assert len(times) > 0
    assert max(int(((times > at - 28_800.0) & (times <= at)).sum()) for at in times) <= MOST


def test_a_restart_changes_no_warning() -> None:
    through, again = Operator(), Operator()
    for operator in (through, again):
        operator.live(600)
        if operator is again:
            body, held = operator.warnings.dump(), operator.bank.dump()
            operator.warnings, operator.bank = Warnings(), Bank()
            operator.bank.load(held)
            operator.warnings.load(body)
            place(operator.warnings)
        operator.live(30, moved=slice(40, 58), by=7.0)
    assert through.warnings.dump() == again.warnings.dump()
    assert through.bank.dump() == again.bank.dump()
