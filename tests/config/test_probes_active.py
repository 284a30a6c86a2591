"""Active windows of a probe, in the zone that they name: days, nights past midnight, clock changes."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest
from cemd.config.probes import Active, Weekday
from pydantic import ValidationError

WEEK = (Weekday.MONDAY, Weekday.TUESDAY, Weekday.WEDNESDAY, Weekday.THURSDAY, Weekday.FRIDAY)


def at(text: str, zone: str = "Europe/Berlin") -> float:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp()


@pytest.mark.parametrize(
    ("when", "holds"),
    [
        ("2026-11-27T07:59:59", False),
        ("2026-11-27T08:00:00", True),
        ("2026-11-27T17:59:59", True),
        ("2026-11-27T18:00:00", False),
        ("2026-11-28T12:00:00", False),  # a Saturday
    ],
)
def test_shop_hours(when: str, holds: bool) -> None:
    active = Active(days=WEEK, begin="08:00", end="18:00", zone="Europe/Berlin")
    assert active.holds(at(when)) is holds


@pytest.mark.parametrize(
    ("when", "holds"),
    [
        ("2026-11-27T21:59:59", False),
        ("2026-11-27T22:00:00", True),
        ("2026-11-28T05:59:00", True),  # Saturday morning belongs to Friday's night
        ("2026-11-28T06:00:00", False),
        ("2026-11-28T23:00:00", False),
        ("2026-11-23T03:00:00", False),  # Monday morning belongs to Sunday's
    ],
)
def test_night_that_passes_midnight_belongs_to_the_day_on_which_it_begins(when: str, holds: bool) -> None:
    active = Active(days=WEEK, begin="22:00", end="06:00", zone="Europe/Berlin")
    assert active.holds(at(when)) is holds


def test_windows_follow_the_wall_clock_through_a_change_to_summer_time() -> None:
    active = Active(begin="08:00", end="09:00", zone="Europe/Berlin")
    assert active.holds(at("2026-03-28T08:30:00"))
    assert active.holds(at("2026-03-29T08:30:00"))
    assert not active.holds(at("2026-03-29T08:30:00", "UTC"))


def test_whole_day_is_the_default() -> None:
    active = Active(zone="UTC")
    assert all(active.holds(at(f"2026-11-28T{hour:02}:00:00", "UTC")) for hour in range(24))


@pytest.mark.parametrize("wrong", [{"zone": "Mars/Olympus"}, {"zone": "../etc"}, {"zone": "UTC", "begin": "8:00"}, {}])
def test_absurd_windows_are_refused(wrong: dict[str, str]) -> None:
    with pytest.raises(ValidationError):
        Active.model_validate(wrong)
