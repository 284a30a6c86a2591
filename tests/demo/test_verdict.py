"""The verdict can fail: each thing that may go wrong is said, and a story that was right has nothing to say."""

from __future__ import annotations

from typing import Any

import pytest
from cemd.demo.conditions import Fault, Mode
from cemd.demo.faults import TIME_LINE, time_line
from cemd.demo.sinks import Mail
from cemd.demo.verdict import PATIENCE_SECONDS, FaultRecord, Subjects, judge, problems_of

TEXTS = {
    "first_subject": "{{ operator }}: disturbance ({{ service }})",
    "over_subject": "{{ operator }}: the disturbance is over ({{ service }})",
    "correction_subject": "{{ operator }}: not over yet ({{ service }})",
}
SUBJECTS = Subjects([{"texts": {"en": TEXTS}}])
HURT = ("a@x.invalid", "b@x.invalid")


def record() -> FaultRecord:
    fault = Fault(name="register down", service="hlr", mode=Mode.OUTAGE)
    return FaultRecord(fault=fault, expected=frozenset(HURT), began_at=100.0, ended_at=140.0)


def incident(name: str = "inc-1", *, cause: str = "hlr", state: str = "resolved", at: float = 108.0) -> dict[str, Any]:
    return {"id": name, "state": state, "opened_at": {"epoch": at}, "cause": {"service": cause}}


def mail(to: str, words: str, at: float = 125.0) -> Mail:
    return Mail(to=to, subject=f"DemoTelco: {words} (Roaming)", file="1.eml", at=at)


RIGHT = [mail(to, words) for words in ("disturbance", "the disturbance is over") for to in HURT]


def said(incidents: list[dict[str, Any]], mails: list[Mail]) -> str:
    return " ".join(problems_of(judge([record()], incidents, mails, SUBJECTS), mails))


def test_a_story_that_was_right_has_no_problem() -> None:
    assert said([incident()], RIGHT) == ""
    (judgement,) = judge([record()], [incident()], RIGHT, SUBJECTS)
    assert judgement.is_settled
    assert judgement.document()["seconds_to_incident"] == 8.0


@pytest.mark.parametrize(
    ("incidents", "mails", "words"),
    [
        ([], RIGHT, "no incident was opened"),
        ([incident(cause="")], RIGHT, "says undetermined"),
        ([incident(cause="crm")], RIGHT, "says crm"),
        ([incident(), incident("inc-2", cause="crm")], RIGHT, "one fault made 2 incidents"),
        ([incident()], RIGHT[:3], "1 of 2 who had to be told got no over notice"),
        ([incident()], RIGHT[1:], "1 of 2 who had to be told got no first notice"),
        ([incident()], [*RIGHT, mail("c@x.invalid", "disturbance")], "1 people who were not hurt got a first notice"),
        ([incident()], [*RIGHT, RIGHT[0]], "1 people got more than one first notice"),
        ([incident()], [*RIGHT, mail(HURT[0], "not over yet")], "1 mails were of kind correction"),
        ([incident()], [*RIGHT, mail(HURT[0], "spring sale")], "1 mails were of kind other"),
        ([incident()], [*RIGHT, mail(HURT[0], "disturbance", at=50.0)], "came before anything was broken"),
    ],
    ids=[
        "unfound",
        "unnamed",
        "wrong-cause",
        "split",
        "no-end",
        "untold",
        "stranger",
        "twice",
        "correction",
        "spam",
        "early",
    ],
)
def test_what_is_wrong_is_said(incidents: list[dict[str, Any]], mails: list[Mail], words: str) -> None:
    assert words in said(incidents, mails)


def test_who_heard_of_nothing_is_owed_no_end_and_a_slow_machine_is_named() -> None:
    first_alone = [RIGHT[0], RIGHT[2]]  # the first of the two hears both, the other nothing
    assert said([incident()], first_alone) == f"{record().fault.name}: 1 of 2 who had to be told got no first notice."
    late = record()
    late.began_at = (late.ended_at or 0.0) - late.fault.lasts_seconds - PATIENCE_SECONDS
    (judgement,) = judge([late], [], first_alone, SUBJECTS)
    assert "this machine was too slow: it was mended while they still waited" in judgement.problems[-1]


def test_an_incident_that_became_part_of_another_does_not_count() -> None:
    assert said([incident(), incident("inc-2", cause="", state="cancelled")], RIGHT) == ""


def test_without_any_fault_nothing_was_proved() -> None:
    assert problems_of([], []) == ["no fault began; the run was too short."]


def test_two_minutes_have_one_fault_and_longer_runs_have_more() -> None:
    assert [fault.service for fault in time_line(120)] == ["hlr"]
    assert [fault.service for fault in time_line(None)] == ["hlr"]
    faults = time_line(3600)
    assert len(faults) == len(TIME_LINE)
    ends = [fault.begins_after_seconds + fault.lasts_seconds for fault in faults]
    assert all(end < later.begins_after_seconds for end, later in zip(ends, faults[1:], strict=False))


def test_a_fault_is_mended_when_its_time_is_over_and_waits_bearably_for_its_first_notices() -> None:
    begun = FaultRecord(fault=record().fault, expected=frozenset(HURT), began_at=100.0)
    lasts = begun.fault.lasts_seconds
    assert not begun.is_due_to_end(100.0 + lasts - 1.0, all_told=True)
    assert begun.is_due_to_end(100.0 + lasts, all_told=True)
    assert not begun.is_due_to_end(100.0 + lasts + PATIENCE_SECONDS - 1.0, all_told=False)
    assert begun.is_due_to_end(100.0 + lasts + PATIENCE_SECONDS, all_told=False)
    assert [one.all_told for one in judge([record()], [incident()], RIGHT[:1], SUBJECTS)] == [False]
    assert [one.all_told for one in judge([record()], [incident()], RIGHT[:2], SUBJECTS)] == [True]
