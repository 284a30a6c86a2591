"""Quiet hours: over midnight, at the change of the clocks, and for whoever has no zone."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from cemd.config.rules import QuietHours
from cemd.report.quiet import quiet_until, zone_or

BERLIN = ZoneInfo("Europe/Berlin")
NIGHT = QuietHours(start="22:00", end="08:00")


def instant(text: str, zone: ZoneInfo = BERLIN) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=zone).timestamp()


@pytest.mark.parametrize(
    ("at", "until"),
    [
        ("2026-05-05T21:59:59", None),
        ("2026-05-05T22:00:00", "2026-05-06T08:00:00"),
        ("2026-05-06T00:00:00", "2026-05-06T08:00:00"),
        ("2026-05-06T07:59:59", "2026-05-06T08:00:00"),
        ("2026-05-06T08:00:00", None),
        ("2026-03-28T23:00:00", "2026-03-29T08:00:00"),
        ("2026-10-24T23:00:00", "2026-10-25T08:00:00"),
    ],
    ids=["before", "start", "midnight", "last second", "end", "clocks forward", "clocks back"],
)
def test_window_over_midnight(at: str, until: str | None) -> None:
    assert quiet_until(NIGHT, BERLIN, instant(at)) == (instant(until) if until else None)


def test_window_is_as_long_as_the_wall_clock_says() -> None:
    since = instant("2026-03-28T22:00:00")
    until = quiet_until(NIGHT, BERLIN, since)
    assert until is not None
    assert until - since == 9 * 3600  # one hour of that night does not exist


def test_end_in_the_hour_that_occurs_twice_lies_ahead() -> None:
    hours = QuietHours(start="01:00", end="02:30")
    at = datetime(2026, 10, 25, 1, 15, tzinfo=UTC).timestamp()  # 02:15 for the second time
    until = quiet_until(hours, BERLIN, at)
    assert until is not None
    assert until > at


def test_no_window_where_start_and_end_are_equal() -> None:
    assert quiet_until(QuietHours(start="08:00", end="08:00"), BERLIN, instant("2026-05-05T08:00:00")) is None


def test_wrong_zone_falls_back_and_stops_nothing() -> None:
    assert zone_or("Mars/Base", "Europe/Berlin").key == "Europe/Berlin"
    assert zone_or("", "").key == "UTC"
