"""What the terminal tells of a run: each change once, and reasons only when they changed."""

from __future__ import annotations

from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest
from cemd.demo.sinks import Mail
from cemd.demo.story import Story
from cemd.demo.verdict import Subjects


class Told:
    """Remembers the lines."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, str]] = []

    def __call__(self, mark: str, words: str) -> None:
        self.lines.append((mark, words.strip()))


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture
def story(told: Told, tmp_path: Path) -> Story:
    return Story(told, Subjects([]), tmp_path)


def communication(state: str, **reasons: int) -> dict[str, Any]:
    return {"id": "com-1", "state": state, "reopened": 0, "services": ["roaming"], "reasons": reasons}


def incident(state: str, what: str) -> dict[str, Any]:
    return {
        "id": "inc-1",
        "state": state,
        "opened_at": {"epoch": 108.0},
        "subject": {"title": "Roaming"},
        "quality": "degraded",
        "cause": {"service": "", "reasons": []},
        "impact": {"customers": 0, "journeys": []},
        "confirmed_at": None,
        "timeline": [{"what": "service roaming is degraded."}, {"what": what}],
    }


def test_reasons_are_told_when_they_change_and_not_with_every_state(story: Story, told: Told) -> None:
    for state in ("telling", "told", "stabilising"):
        story.look([], [communication(state, first_notice=3, no_lawful_basis=1, already_told=0)], [], None)
    story.look([], [communication("ended", first_notice=3, no_lawful_basis=1, over_notice=3)], [], None)
    reasons = [words for mark, words in told.lines if mark == ""]
    assert reasons == [
        "decided for each of them: 3 first notice, 1 no lawful basis",
        "decided for each of them: 3 first notice, 1 no lawful basis, 3 over notice",
    ]
    assert [words.split(":")[1].strip() for mark, words in told.lines if mark == "people"] == [
        "telling", "told", "stabilising", "ended",
    ]  # fmt: skip


def test_the_first_mail_of_each_phase_is_read_out(story: Story, told: Told, tmp_path: Path) -> None:
    message = EmailMessage()
    message["Subject"] = "DemoTelco: Störung (Roaming)"
    message.set_content("Guten Tag,\n\nes stört; wir melden uns.\n", cte="quoted-printable")
    (tmp_path / "sink/mail").mkdir(parents=True)
    (tmp_path / "sink/mail/000001.eml").write_bytes(message.as_bytes())
    mails = [Mail(to=to, subject=message["Subject"], file="000001.eml", at=1.0) for to in ("a@x", "b@x")]
    story.look([], [], mails, None)
    assert [words for mark, words in told.lines if mark == ""] == ["| Guten Tag,", "| es stört; wir melden uns."]


def test_an_incident_that_another_took_in_says_so_once(story: Story, told: Told) -> None:
    for _ in range(2):
        story.look([incident("cancelled", "is part of inc-2: it stands on hlr.")], [], [], 100.0)
    assert [words for _, words in told.lines] == [
        "inc-1 opened 8 s after the fault began: Roaming is degraded",
        "inc-1 is part of inc-2: it stands on hlr.",
    ]
