"""Open findings are known by their condition, in the order of their beginning, and what ended is told once."""

from __future__ import annotations

import random

import pytest
from cemd.analyze.findings import Moment, OpenFindings, Said
from cemd.model.finding import Condition, Evidence
from cemd.model.quality import Quality
from cemd.model.subject import Subject, SubjectKind

SAID = Said(quality=Quality.AT_RISK, subject=Subject(kind=SubjectKind.SERVICE, name="crm"), evidence=Evidence())


@pytest.mark.parametrize("seed", range(5))
def test_conditions_know_what_is_open_of_them_in_order(seed: int) -> None:
    chance, held = random.Random(seed), OpenFindings()
    expected: dict[tuple[Condition, str], str] = {}  # ids, in the order of their beginning
    for turn in range(200):
        now, condition, key = Moment(float(turn), turn, "e"), chance.choice(tuple(Condition)), str(chance.randrange(9))
        if (condition, key) not in expected:
            expected[condition, key] = held.begin(condition, key, SAID, now).id
        elif chance.random() < 0.5:
            held.change(condition, key, now, quality=Quality.DOWN, evidence=Evidence())
        else:
            held.end(condition, key, now)
            assert held.take_ended() == {expected.pop((condition, key)): key}
        if turn == 100:
            saved, held = held.dump(), OpenFindings()
            held.load(saved)
        assert [one.id for one in held] == list(expected.values())
        for each in Condition:
            mine = {key: number for (known, key), number in expected.items() if known is each}
            assert held.keys(each) == list(mine)
            assert [one.id for one in held.of(each)] == list(mine.values())
    assert not held.take_ended()
