"""What must not leave any more, and what perhaps left already: shared by the workers of all channels."""

from __future__ import annotations

from dataclasses import dataclass, field

from cemd.model.identity import Instant
from cemd.model.notice import NoticeRows, NoticeState, Phase

Mark = tuple[str, Phase, int, int]
Outcome = tuple[NoticeState, str]


def mark_of(rows: NoticeRows, customer: int) -> Mark:
    """What names a row of the outbox."""
    return rows.communication, rows.phase, rows.revision, customer


@dataclass(slots=True)
class Stops:
    """Changed by effects; asked just before each transport."""

    killed: bool = False
    withdrawn: dict[tuple[str, Phase, int], int] = field(default_factory=dict)
    """With the seq of the newest rows by then: those, and older ones. What is handed over later was decided later."""
    perhaps_left: dict[Mark, None] = field(default_factory=dict)
    """Class `safety`: submitted without an answer, and tried again, perhaps by the next worker of the channel."""

    def refusal(self, rows: NoticeRows, at: Instant) -> Outcome | None:
        """The third decision; None when the rows may leave."""
        if self.killed:
            return NoticeState.CANCELLED, "kill_switch"
        if rows.seq <= self.withdrawn.get((rows.communication, rows.phase, rows.revision), -1):
            return NoticeState.CANCELLED, "incident_over"
        if at >= rows.expires_at:
            return NoticeState.EXPIRED, "expired"
        return None

    def unless_left(self, mark: Mark, outcome: Outcome) -> Outcome:
        """An earlier attempt may have left: then nothing else is known."""
        if mark not in self.perhaps_left:
            return outcome
        return NoticeState.UNKNOWN, "refused" if outcome[0] is NoticeState.FAILED else "no_answer"
