"""Nobody watched for a while: the process was down, its machine asleep, or the clock was set ahead.

What was known before is old news by then: it may be over, and the time that passed shows neither that it lasted nor
that it stayed well. So the hold-down and the wait for stability begin anew, and nothing leaves before, also of what was
decided; the deadline moves by the time in which nothing could be confirmed.
"""

from __future__ import annotations

from msgspec.structs import replace

from cemd.model.notice import Communication, CommunicationState
from cemd.report.communications import OPEN_STATES
from cemd.report.state import Moment, ReportState

ABSENT_SECONDS = 120.0
"""A longer pause between two entries is an absence. A daemon at work ticks every few seconds, and a usual restart
takes less."""


def after_absence(state: ReportState, absent_seconds: float, moment: Moment) -> None:
    """Puts off what would be said on grounds of what was measured before the absence."""
    if absent_seconds <= ABSENT_SECONDS:
        return
    for communication in state.communications:
        if communication.state in OPEN_STATES:
            state.communications.put(communication.id, _put_off(state, communication, absent_seconds, moment))


def _put_off(state: ReportState, communication: Communication, absent_seconds: float, moment: Moment) -> Communication:
    """`hold_until` moves beyond `decided_at`: what was decided waits for it too. An end keeps its time to be sent."""
    policy = state.policy_of(communication)
    ends = communication.state is CommunicationState.ENDING
    hold_until = moment.at + (policy.stable_seconds if ends else policy.hold_seconds)
    decided_at = communication.decided_at
    return replace(
        communication,
        hold_until=hold_until,
        decide_by=max(communication.decide_by + absent_seconds, hold_until),
        decided_at=hold_until if ends and decided_at is not None else decided_at,
        clear_since=None if communication.clear_since is None else moment.at,
    )
