"""What a person has to mend: said with its places, briefly, and as long as it is so."""

from __future__ import annotations

import pytest
from cemd.daemon.mending import MOST_FAULTS_SHOWN, Mending, of_alerts, of_channel, of_pushed, of_vantages
from cemd.errors import CemdError, ConfigError, Fault
from cemd.model.finding import Condition, Evidence, Finding, FindingPhase
from cemd.model.notice import Alert
from cemd.model.quality import Quality
from cemd.model.subject import Subject, SubjectKind
from cemd.monitor.intake import Complaint
from cemd.report.channels.health import Failing
from cemd.web.house import ToMend


def fault(line: int) -> Fault:
    return Fault("probes/shop.yaml", line, 5, 'unknown key "urll"', 'did you mean "url"')


def test_each_fault_of_a_refused_reload_has_its_place_and_remedy() -> None:
    mending = Mending()
    mending.refuse_reload(ConfigError([fault(9), fault(4)]), 100.0)
    said = [(one.place, one.fact, one.remedy, one.since) for one in mending.all()]
    assert said == [
        ("probes/shop.yaml:4:5", 'unknown key "urll"', 'did you mean "url"', 100.0),
        ("probes/shop.yaml:9:5", 'unknown key "urll"', 'did you mean "url"', 100.0),
    ]


def test_of_very_many_faults_a_few_are_shown_and_the_others_counted() -> None:
    mending = Mending()
    mending.refuse_reload(ConfigError([fault(line) for line in range(1, 401)]), 100.0)
    *_, last = shown = mending.all()
    assert len(shown) == MOST_FAULTS_SHOWN + 1
    assert (last.fact, last.remedy) == ("395 other faults of the files", "`cemd check` prints all")


def test_a_reload_that_could_not_be_read_says_why() -> None:
    mending = Mending()
    mending.refuse_reload(CemdError("reading the files lasted longer than 1800 s; look at the disk."), 100.0)
    (said,) = mending.all()
    assert (said.place, said.fact) == ("reload", "reading the files lasted longer than 1800 s; look at the disk")


def test_a_channel_says_why_nothing_leaves_by_it() -> None:
    said = of_channel(Failing(channel="noc", why="channel 'noc': 127.0.0.1:9 cannot be reached.", since=50.0))
    assert (said.place, said.since) == ("channel noc", 50.0)
    assert said.fact == "the last message did not leave: 127.0.0.1:9 cannot be reached"


@pytest.mark.parametrize(("times", "fact"), [(1, "bad"), (2_000, "bad (2,000 times)")])
def test_what_is_pushed_in_vain_is_said_with_how_often(times: int, fact: str) -> None:
    complaint = Complaint(
        source="http:counters", key="k", fact="bad", remedy="r", kept=False, since=5.0, last_at=9.0, times=times
    )
    said = of_pushed(complaint)
    assert (said.what, said.place, said.fact, said.since) == ("Pushed data is refused", "http:counters", fact, 5.0)


def test_staff_who_were_not_told_are_known_from_the_rows_where_the_channel_was_not_tried_again() -> None:
    def alert(number: int, channel: str, failure: str) -> Alert:
        return Alert(
            id=f"a-{number}", trace="t", route="r", channel=channel, incident=f"inc-{number}", firing=True,
            failure=failure, due_at=9.0, starts_at=float(number),
        )  # fmt: skip

    alerts = [alert(1, "noc", "channel 'noc': it answers 404."), alert(2, "noc", "channel 'noc': it answers 404.")]
    alerts += [alert(3, "mail", ""), alert(4, "chat", "channel 'chat': gone.")]
    (said,) = of_alerts(alerts, [Failing(channel="chat", why="channel 'chat': gone.", since=1.0)])
    assert (said.place, said.since) == ("channel noc", 1.0)
    assert said.fact == "staff were not told of inc-1, inc-2: it answers 404"


def test_a_vantage_point_that_is_not_heard_is_said_with_since_when_and_how_it_is_started() -> None:
    def silence(kind: SubjectKind, name: str) -> Finding:
        return Finding(
            id=f"fnd-{name}", trace="t", condition=Condition.SILENCE, phase=FindingPhase.BEGAN, quality=Quality.UNKNOWN,
            subject=Subject(kind=kind, name=name), began_at=160.0, at=160.0, seq=1, epoch="e",
            evidence=Evidence(since=100.0, note="nothing ever came from it"),
        )  # fmt: skip

    found = [
        silence(SubjectKind.VANTAGE, "south"),
        silence(SubjectKind.VANTAGE, "hq"),
        silence(SubjectKind.SERVICE, "x"),
    ]
    south, home = of_vantages(found, "hq")
    assert (south.place, south.fact, south.since) == ("vantage point south", "nothing ever came from it", 100.0)
    assert "`cemd agent --vantage south` starts it" in south.remedy
    assert "`cemd explain fnd-south`" in south.remedy
    assert "`cemd run`" in home.remedy


def test_only_the_newest_refusal_stands_and_a_reload_that_is_taken_ends_it() -> None:
    other = ToMend(what="Pushed data is refused", place="http:counters", fact="a", remedy="b", since=1.0)
    mending = Mending(lambda: (other,))
    mending.refuse_reload(ConfigError([fault(4)]), 100.0)
    mending.refuse_reload(ConfigError([fault(7)]), 200.0)
    assert [one.place for one in mending.all()] == ["probes/shop.yaml:7:5", "http:counters"]
    assert mending.reload_refused
    mending.take_reload()
    assert mending.all() == (other,)
    assert not mending.reload_refused
