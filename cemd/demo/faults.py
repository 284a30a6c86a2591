"""The time line of labelled faults: what will be broken when. Truth lives here; the daemon has to find it out.

The first fault fits into two minutes with everything that follows from it; longer runs add more, each after the
all-clear of the one before had time to leave.
"""

from __future__ import annotations

from cemd.demo.conditions import Fault, Mode

FIRST_AFTER_SECONDS = 12.0
"""Long enough for every indicator to have its samples."""
NEEDS_SECONDS = 100.0
"""From when cemd watches until the all-clear of the first fault has left, with some air."""
APART_SECONDS = 140.0

TIME_LINE: tuple[Fault, ...] = (
    Fault(name="subscriber register down", service="hlr", mode=Mode.OUTAGE, lasts_seconds=35.0),
    Fault(name="bank slow", service="payment-gateway", mode=Mode.LATENCY, amount=3.0, lasts_seconds=45.0),
    Fault(name="access network west cut", service="access-west", mode=Mode.OUTAGE, lasts_seconds=70.0),
    Fault(name="charging fails", service="charging", mode=Mode.ERRORS, amount=1.0, lasts_seconds=45.0),
)


def time_line(seconds: float | None) -> tuple[Fault, ...]:
    """The faults that a run of so many seconds has time for, with their begins; without an end only the first."""
    fitting = [
        _begins(fault, FIRST_AFTER_SECONDS + place * APART_SECONDS)
        for place, fault in enumerate(TIME_LINE)
        if place == 0 or (seconds is not None and place * APART_SECONDS + NEEDS_SECONDS + 10 <= seconds)
    ]
    return tuple(fitting)


def _begins(fault: Fault, after_seconds: float) -> Fault:
    return Fault(
        name=fault.name,
        service=fault.service,
        mode=fault.mode,
        amount=fault.amount,
        site=fault.site,
        application=fault.application,
        begins_after_seconds=after_seconds,
        lasts_seconds=fault.lasts_seconds,
    )
