"""Pushed data: judged part by part, answered when logged, told to come back when not; no bytes disturb the loop."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
import structlog
from cemd.config.catalogue import Domain, Service, Site, Touchpoint, TouchpointChannel
from cemd.config.configuration import Configuration
from cemd.config.names import Names
from cemd.errors import Refused, StoreError
from cemd.kit.clock import ManualClock
from cemd.model.measurement import SeriesKey
from cemd.monitor.intake import Push, SeriesBook, Taker, parse_push
from cemd.monitor.intake.complaints import MOST_KEPT
from cemd.monitor.intake.samples import MAX_BODY, Fault
from cemd.monitor.metrics import MonitorMetrics, monitor_metrics
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry

from tests.monitor.daemon_side import MemoryLog

NOW = 1_700_000_000.0


def judged(*items: Any, raw: bytes | None = None) -> Any:
    return parse_push(json.dumps(list(items)).encode() if raw is None else raw, source="http:core", now=NOW)


def sample(**fields: Any) -> dict[str, Any]:
    return {"metric": "sessions_count", "value": 4.0, **fields}


def test_one_object_or_a_list_becomes_columns() -> None:
    one = judged(raw=json.dumps(sample(labels={"node": "smf-1", "area": "east"}, at=NOW - 5)).encode())
    assert [(key.probe, key.metric, key.labels) for key in one.keys] == [
        ("http:core", "sessions_count", (("area", "east"), ("node", "smf-1")))
    ]
    assert (one.at, one.value, one.outcome) == ([NOW - 5], [4.0], [0])
    many = judged(sample(value=True), sample(at="2023-11-14T22:13:20Z"), sample(outcome="timed_out"))
    assert many.value == [1.0, 4.0, 4.0]
    assert many.at == [NOW, NOW, NOW]
    assert many.outcome == [0, 0, 2]


@pytest.mark.parametrize(
    ("item", "fault"),
    [
        (sample(value="4"), Fault.MALFORMED),
        ({"value": 1}, Fault.MALFORMED),
        (sample(at="yesterday"), Fault.MALFORMED),
        (sample(at="2023-11-14T22:13:20"), Fault.MALFORMED),
        (sample(at=NOW + 3600), Fault.FUTURE),
        (sample(at=NOW * 1000), Fault.FUTURE),
        (sample(at=5.0), Fault.TOO_OLD),
        (sample(metric="Round-Trip"), Fault.BAD_NAME),
        (sample(metric="x" * 200), Fault.BAD_NAME),
        (sample(labels={"BAD NAME": "x"}), Fault.BAD_NAME),
        (sample(labels={"node": "a\nb"}), Fault.BAD_NAME),
        (sample(labels={f"l{number}": "x" for number in range(40)}), Fault.BAD_NAME),
        (sample(labels={"who": "anna@example.org"}), Fault.PERSONAL),
        (sample(target="+491550000001"), Fault.BAD_NAME),
        (sample(labels={"who": "tel +491550000001"}), Fault.PERSONAL),
        (sample(outcome="splendid"), Fault.BAD_VALUE),
        (sample(timestamp=NOW), Fault.UNKNOWN_KEY),
        (sample(**{"anna@example.org": 1}), Fault.UNKNOWN_KEY),
    ],
)
def test_what_is_wrong_is_refused_by_name_and_the_rest_is_taken(item: dict[str, Any], fault: Fault) -> None:
    result = judged(sample(), item, sample())
    assert len(result) == 2
    assert dict(result.refused) == {fault: 1}
    assert result.example
    assert "anna" not in result.example


def test_each_fault_is_told_by_its_own_example() -> None:
    result = judged(sample(metric="Round-Trip"), sample(at=NOW * 1000), sample(labels={"who": "anna@example.org"}))
    assert result.examples.keys() == {Fault.BAD_NAME, Fault.FUTURE, Fault.PERSONAL}
    assert "future" in result.examples[Fault.FUTURE]
    assert "address of a person" in result.examples[Fault.PERSONAL]


@pytest.mark.parametrize(
    ("item", "why"),
    [
        ({"value": 1}, "measurement 1: it lacks metric."),
        ({}, "measurement 1: it lacks metric and value."),
        (7, "measurement 1: it is no whole JSON object."),
        (sample(value="4"), "measurement 1: a value has the wrong type."),
        (
            sample(label={"node": "x"}),
            'measurement 1: unknown key "label" (did you mean "labels"?); the keys are metric, value, at, ',
        ),
        (sample(**{"tag\u202eged\n": 1}), r"measurement 1: unknown key 'tag\u202eged\n'; the keys are"),
        (sample(metric="Round-Trip"), "measurement 1: metric and label names are small letters"),
    ],
    ids=["no metric", "nothing", "no object", "type", "slip", "unprintable", "name"],
)
def test_what_is_wrong_is_said_of_its_place_in_the_message(item: Any, why: str) -> None:
    (said,) = judged(sample(), item).examples.values()
    assert said.startswith(why)


def test_a_fault_before_it_moves_nobodys_place() -> None:
    result = judged({"bad": 1}, sample(), sample(metric="Round-Trip"))
    assert result.examples[Fault.BAD_NAME].startswith("measurement 2: ")


def test_a_single_object_is_judged_as_one_of_a_list() -> None:
    assert judged(raw=b' {"metric": "a_count", "value": 1, "ts": 5}').example.startswith(
        'measurement 0: unknown key "ts"'
    )
    assert "neither a JSON object" in judged(raw=b"7").example


NAMES = Names(
    Configuration(
        services=[Service(name="web-shop", function="selling", domain=Domain.IT, platform="any")],
        sites=[Site(name="east")],
        touchpoints=[Touchpoint(name="app", channel=TouchpointChannel.APP)],
    )
)


@pytest.mark.parametrize(
    ("labels", "strange"),
    [
        ({"service": "web-shop", "site": "east", "touchpoint": "app", "node": "n7"}, None),
        ({"service": "web-shp", "site": "eest"}, ("service", "web-shp")),
        ({"service": "web-shop", "site": "eest"}, ("site", "eest")),
        ({"service": "web-shop", "touchpoint": "ap"}, ("touchpoint", "ap")),
        ({"site": "eest"}, None),
    ],
    ids=["known", "service", "site", "touchpoint", "of no service"],
)
def test_a_label_that_the_catalogue_does_not_know_loses_nothing_and_is_counted(
    labels: dict[str, str], strange: tuple[str, str] | None
) -> None:
    pushed = parse_push(json.dumps(sample(labels=labels)).encode(), source="http:core", now=NOW, names=NAMES)
    assert (len(pushed), pushed.refused.total()) == (1, 0)
    assert dict(pushed.strangers) == ({strange: 1} if strange else {})


@pytest.mark.parametrize("value", ["NaN", "1e999", "-1e999", "Infinity"])
def test_numbers_that_are_none_are_refused(value: str) -> None:
    result = judged(raw=f'[{{"metric": "a_count", "value": {value}}}, {{"metric": "a_count", "value": 1}}]'.encode())
    assert len(result) <= 1
    assert sum(result.refused.values()) >= 1


def test_bodies_and_lists_without_end_are_refused() -> None:
    assert dict(judged(raw=b" " * (MAX_BODY + 1)).refused) == {Fault.TOO_LARGE: 1}
    assert dict(judged(raw=b"[" * 100_000).refused) == {Fault.MALFORMED: 1}
    many = judged(*[sample()] * 20_050)
    assert len(many) == 20_000
    assert many.refused[Fault.TOO_LARGE] == 1


@given(st.binary(max_size=400))
def test_no_bytes_make_the_judge_raise(body: bytes) -> None:
    assert len(parse_push(body, source="mqtt:x", now=NOW)) <= 1 or body.startswith(b"[")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["metric", "value", "at", "labels", "target", "outcome", "x"]), inner, max_size=5
        )
    ),
    max_leaves=12,
)


@given(JSON)
def test_no_json_makes_the_judge_raise_and_what_it_takes_is_sane(document: Any) -> None:
    result = parse_push(json.dumps(document).encode(), source="mqtt:x", now=NOW)
    assert len(result.keys) == len(result.at) == len(result.value) == len(result.outcome)
    assert all(at <= NOW + 300 for at in result.at)


class Scene:
    def __init__(self, max_series: int = 100) -> None:
        self.log = MemoryLog()
        self.registry = CollectorRegistry()
        self.metrics: MonitorMetrics = monitor_metrics(self.registry)
        self.book = SeriesBook(self.log.catalogue, self.log.submit, max_series=max_series)
        clock = ManualClock(now=NOW)
        self.taker = Taker(
            self.book, self.log.submit, clock=clock, metrics=self.metrics, log=structlog.get_logger("test")
        )
        self.push = Push(self.taker, ["core"])

    def counted(self, name: str, **labels: str) -> float:
        return self.registry.get_sample_value(name, labels) or 0.0


@pytest.fixture
def scene() -> Iterator[Scene]:
    made = Scene()
    yield made
    made.book.close()


async def test_push_is_answered_when_it_is_in_the_log(scene: Scene) -> None:
    answer = await scene.push.accept("core", json.dumps([sample(), sample(metric="other_count")]).encode())
    assert (answer.status, answer.accepted, answer.refused) == (202, 2, 0)
    [batch] = scene.log.batches("http:core")
    assert batch.number == 0
    assert len(batch.series) == 2
    assert scene.counted("cemd_monitor_samples_total", door="http") == 2


@pytest.mark.parametrize(
    ("name", "body", "status"),
    [
        ("nobody", b"[]", 404),
        ("core", b"{", 400),
        ("core", b"[]", 400),
        ("core", json.dumps([sample(value="x")]).encode(), 400),
        ("core", b" " * (MAX_BODY + 1), 413),
    ],
)
async def test_push_that_holds_nothing_usable_says_why(name: str, body: bytes, status: int, scene: Scene) -> None:
    answer = await scene.push.accept(name, body)
    assert (answer.status, answer.accepted) == (status, 0)
    assert answer.message
    assert scene.log.payloads == []


async def test_a_slip_in_a_label_is_answered_counted_and_stands_until_the_catalogue_knows_it(scene: Scene) -> None:
    scene.taker.know(NAMES)
    slip = sample(labels={"service": "web-shp"})
    answer = await scene.push.accept("core", json.dumps([slip, sample(labels={"service": "web-shop"})]).encode())
    assert (answer.status, answer.accepted, answer.refused, answer.unjudged) == (202, 2, 0, 1)
    assert answer.message.startswith(
        'label service: the catalogue does not know "web-shp" (did you mean "web-shop"?); it is kept, but nobody'
    )
    assert len(scene.log.batches("http:core")[0].series) == 2
    counted = {"door": "http", "reason": "unknown_service"}
    assert scene.counted("cemd_monitor_samples_unjudged_total", **counted) == 1
    await scene.push.accept("core", json.dumps(slip).encode())
    (said,) = scene.taker.complaints.standing(NOW)
    assert (said.source, said.times, said.kept, said.since) == ("http:core", 2, True, NOW)
    scene.taker.know(NAMES)  # a reload; whoever still sends it is told of again
    assert scene.taker.complaints.standing(NOW) == ()


async def test_what_is_refused_stands_for_an_hour_after_it_was_last_sent(scene: Scene) -> None:
    await scene.push.accept("core", json.dumps([sample(timestamp=1), sample(timestamp=2)]).encode())
    (said,) = scene.taker.complaints.standing(NOW + 3599)
    assert (said.source, said.key, said.times, said.kept) == ("http:core", "unknown_key", 2, False)
    assert said.fact.startswith('measurement 0: unknown key "timestamp"')
    assert scene.taker.complaints.standing(NOW + 3600) == ()


async def test_a_push_without_a_valid_token_is_counted_said_once_and_stands_for_whoever_looks(scene: Scene) -> None:
    with structlog.testing.capture_logs() as said:
        for _ in range(3):
            scene.push.refuse_token("core", given=True)
        for number in range(100):  # names that somebody makes up
            scene.push.refuse_token(f"x{number}", given=False)
    unnamed, named = scene.taker.complaints.standing(NOW)
    assert (named.source, named.times) == ("http:core", 3)
    assert named.fact == "somebody pushes with a token that is not valid"
    assert "listen.push_token_file" in named.remedy
    assert (unnamed.source, unnamed.times) == ("http", 100)
    assert unnamed.fact == "somebody pushes to a source that intake.http does not have without a token"
    assert scene.counted("cemd_monitor_pushes_unauthorized_total", door="http") == 103
    assert [line["source"] for line in said if line["event"] == "intake.token_refused"] == ["http:core", "http"]


async def test_a_sender_that_makes_up_names_fills_no_memory(scene: Scene) -> None:
    scene.taker.know(NAMES)
    for round_ in range(4):
        made_up = [sample(labels={"service": f"s{round_}-{number}"}) for number in range(100)]
        await scene.push.accept("core", json.dumps(made_up).encode())
    assert len(scene.taker.complaints.standing(NOW)) == MOST_KEPT
    assert scene.counted("cemd_monitor_samples_unjudged_total", door="http", reason="unknown_service") == 400


async def test_overload_and_a_broken_store_say_come_back_and_log_nothing(scene: Scene) -> None:
    body = json.dumps(sample()).encode()
    scene.log.refusing = True
    busy = await scene.push.accept("core", body)
    assert (busy.status, busy.accepted, busy.reasons) == (429, 0, {"overloaded": 1})
    scene.log.refusing = False
    assert (await scene.push.accept("core", body)).status == 202

    def broken(*_: object) -> Any:
        raise StoreError("state.db: the disk is full; free some space.")

    scene.book._catalogue = broken
    answer = await scene.push.accept("core", json.dumps(sample(metric="new_count")).encode())
    assert answer.status == 503
    assert "disk is full" in answer.message
    assert (await scene.push.accept("core", body)).status == 202


async def test_series_over_the_limit_are_refused_counted_and_allowed_after_a_reload() -> None:
    scene = Scene(max_series=2)
    body = json.dumps([sample(metric=f"m{number}_count") for number in range(5)]).encode()
    answer = await scene.push.accept("core", body)
    assert (answer.status, answer.accepted, answer.reasons) == (202, 2, {"max_series": 3})
    assert scene.counted("cemd_monitor_samples_refused_total", door="http", reason="max_series") == 3
    scene.book.allow(5)
    assert (await scene.push.accept("core", body)).accepted == 5
    scene.book.close()


async def test_names_are_logged_before_their_samples_even_when_the_log_refused_once(scene: Scene) -> None:
    real = scene.log.submit
    failures = [True]

    async def once(payload: Any) -> int:
        if failures and type(payload).__name__ == "SeriesAdded":
            failures.pop()
            from cemd.errors import Refused

            raise Refused("stopping.")
        return await real(payload)

    scene.book._submit = once
    body = json.dumps(sample()).encode()
    assert (await scene.push.accept("core", body)).status == 429
    assert (await scene.push.accept("core", body)).status == 202
    assert [type(payload).__name__ for payload in scene.log.payloads] == ["SeriesAdded", "Batch"]


def test_answer_of_the_judge_is_plain_json() -> None:
    assert msgspec.json.encode({str(fault): 1 for fault in Fault})


async def test_a_long_message_is_judged_and_numbered_beside_the_event_loop(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads: list[bool] = []

    def noted(*args: Any, **more: Any) -> Any:
        threads.append(threading.current_thread() is threading.main_thread())
        return parse_push(*args, **more)

    monkeypatch.setattr("cemd.monitor.intake.push.parse_push", noted)
    many = [sample(labels={"node": f"n{number}"}) for number in range(5_000)]
    answer = await scene.push.accept("core", json.dumps(many).encode())
    assert (answer.status, answer.accepted) == (202, 100)  # the limit of series holds there too
    await scene.push.accept("core", json.dumps(sample()).encode())
    assert threads == [False, True]


async def test_messages_that_came_together_are_told_together(scene: Scene) -> None:
    bad, good = json.dumps(sample(value="4")).encode(), json.dumps(sample()).encode()
    pushed = await scene.taker.judge("mqtt:core", good, bad, b"{", good)
    assert len(pushed) == 2
    assert pushed.refused == {Fault.MALFORMED: 2}


async def test_a_closed_book_refuses_what_it_does_not_know_and_still_tells_what_it_does() -> None:
    log = MemoryLog()
    book = SeriesBook(log.catalogue, log.submit, max_series=100)
    known, other = SeriesKey(probe="p", metric="known"), SeriesKey(probe="p", metric="other")
    numbers = await book.numbers("prober:home", [known])
    book.close()
    assert await book.numbers("prober:home", [known]) == numbers
    with pytest.raises(Refused, match="stopping"):
        await book.numbers("prober:home", [other])
