"""No secret, mail address or phone number leaves in a log line, and no flood either."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
import structlog
from cemd.kit.clock import ManualClock
from cemd.kit.logs import SaidOnce, redact, redact_text, set_up_logs


@pytest.fixture
def lines() -> Iterator[io.StringIO]:
    handlers, level = list(logging.getLogger().handlers), logging.getLogger().level
    stream = io.StringIO()
    yield stream
    structlog.reset_defaults()
    logging.getLogger().handlers[:] = handlers
    logging.getLogger().setLevel(level)


def read(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


@pytest.mark.parametrize(
    "text",
    [
        "Authorization: Bearer abc.def-ghi",
        "https://anna:open-sesame@host/path",
        "callback?token=open-sesame&x=1",
        "told anna@example.org at noon",
        "sms to +491550000001 sent",
        "sms to 491550000001 sent",
        '{"password": "open-sesame"}',
    ],
)
def test_secrets_and_addresses_are_hidden_in_texts(text: str) -> None:
    hidden = redact_text(text)
    assert "[hidden]" in hidden
    for part in ("open-sesame", "anna@example.org", "491550000001", "abc.def-ghi", "anna:"):
        assert part not in hidden


@pytest.mark.parametrize(
    "text", ["took 0.1234567890123 s", "192.0.2.1:8480 refused", "seq 123456789", "2026-11-21T10:11:12Z"]
)
def test_figures_and_network_addresses_stay(text: str) -> None:
    assert redact_text(text) == text


def test_nested_values_are_walked() -> None:
    tree = {"a": [{"password": "x1"}, ("bearer tok123456", {"msisdn": 4915})], "n": 5}
    shown = json.dumps(redact(tree))
    assert "x1" not in shown
    assert "tok123456" not in shown
    assert "4915" not in shown
    assert redact(tree)["n"] == 5


def test_traceback_never_shows_local_variables(lines: io.StringIO) -> None:
    set_up_logs(stream=lines)

    def broken(pin: str) -> int:
        return int(pin[:1])

    try:
        broken("hush-hush")
    except ValueError:
        structlog.get_logger("cemd.test").exception("failed")
    assert "hush-hush" not in lines.getvalue().replace('broken(\\"hush-hush\\")', "")
    assert read(lines)[0]["exception"][0]["exc_type"] == "ValueError"
    assert read(lines)[0]["logger"] == "cemd.test"


def test_lines_over_the_limit_are_counted_and_told(lines: io.StringIO) -> None:
    clock = ManualClock()
    limit = set_up_logs(stream=lines, lines_per_second=3, clock=clock)
    log = structlog.get_logger("cemd.test")
    for number in range(10):
        log.info("line", number=number)
    clock.advance(1.0)
    log.info("after")
    shown = read(lines)
    assert [line["event"] for line in shown] == ["line", "line", "line", "after"]
    assert shown[-1]["lines_not_shown"] == 7
    assert limit.dropped_total == 7


def test_libraries_walk_through_the_same_chain(lines: io.StringIO) -> None:
    set_up_logs(stream=lines)
    logging.getLogger("some.library").warning("password=%s", "open-sesame")
    assert "open-sesame" not in lines.getvalue()
    assert read(lines)[0]["logger"] == "some.library"


def test_gone_and_back_are_each_said_once(lines: io.StringIO) -> None:
    set_up_logs(stream=lines)
    said = SaidOnce(structlog.get_logger("cemd.test"), most=2)
    for _ in range(5):
        said.gone("broker", "broker_gone")
    said.back("broker", "broker_back")
    assert not said.back("broker", "broker_back")
    assert [line["event"] for line in read(lines)] == ["broker_gone", "broker_back"]
    assert read(lines)[1]["failed_times"] == 5
    assert [said.gone(name, "gone") for name in ("a", "b", "c")] == [True, True, False]
