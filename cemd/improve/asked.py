"""Runs that people ask for beside the schedule: how many are made, and what is said of those beyond.

A prober never gives up a run that was asked for, so they are bounded here, where every way to ask comes past: a script
that asks in a loop would be a schedule of its own, which nobody has counted. Pure; the answer stands in the row.
"""

from __future__ import annotations

from collections.abc import Iterable
from math import ceil
from typing import Final

from cemd.improve.records import AskedRun
from cemd.model.identity import Instant

WINDOW_SECONDS: Final = 60.0
MOST_OF_ONE, MOST_OF_ALL = 10, 60
"""So many runs of one probe, and of all, are made within the window: more than a person looks at."""


def too_often(runs: Iterable[AskedRun], probe: str, at: Instant) -> str:
    """Why no further run of this probe is made now, with the remedy; "" where it is."""
    made = sorted((run.at, run.probe) for run in runs if not run.reason and run.at > at - WINDOW_SECONDS)
    of_it = [when for when, other in made if other == probe]
    for times, most, of_what in ((of_it, MOST_OF_ONE, "of it"), ([when for when, _ in made], MOST_OF_ALL, "of all")):
        if len(times) >= most:
            wait = max(1, ceil(times[-most] + WINDOW_SECONDS - at))
            return (
                f"{most} runs {of_what} were asked for within a minute; ask again in {wait} s, "
                "and give what is to run often a shorter `every_seconds`."
            )
    return ""
