"""What doors were sent lately that they refused, or that nobody judges: said to whoever looks, not only to the sender.

Over MQTT there is no answer, and the log says a thing once; so each source, fault and name is kept here until it was
not sent for an hour. What is kept is bounded, and holds nothing of what was pushed but the strange name itself.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

from cemd.model.identity import Instant

STANDS_SECONDS = 3600.0
"""A slip that was not made again for so long is taken for mended."""
MOST_KEPT = 50
"""The oldest give way: a sender that makes up names would fill the memory, and the page."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Complaint:
    """One slip of one source. `judged`: False where the data is kept and nobody judges it, else it was refused."""

    source: str
    key: str  # a fault, or the label and name that no file knows
    fact: str
    remedy: str
    kept: bool
    since: Instant
    last_at: Instant
    times: int


class Complaints:
    """Written on the event loop, where measurements are taken; `standing` may be asked by other threads as well."""

    def __init__(self) -> None:
        self._by_key: OrderedDict[tuple[str, str], Complaint] = OrderedDict()

    def known(self, source: str, key: str) -> Complaint | None:
        return self._by_key.get((source, key))

    def note(self, source: str, key: str, *, fact: str, remedy: str, kept: bool, times: int, now: Instant) -> None:
        """Counts a slip, in the words of the newest."""
        before = self._by_key.pop((source, key), None)
        since, times = (before.since, before.times + times) if before and _stands(before, now) else (now, times)
        self._by_key[source, key] = Complaint(
            source=source, key=key, fact=fact, remedy=remedy, kept=kept, since=since, last_at=now, times=times
        )
        while len(self._by_key) > MOST_KEPT:
            self._by_key.popitem(last=False)

    def standing(self, now: Instant) -> tuple[Complaint, ...]:
        """Those that were made within the last hour, in the order in which they began."""
        kept = list(self._by_key.values())  # at one go: the loop may note another meanwhile
        found = [one for one in kept if _stands(one, now)]
        return tuple(sorted(found, key=lambda one: (one.since, one.source, one.key)))

    def forget_kept(self) -> None:
        """The catalogue changed: what it knows now is no slip any more, and what it does not know is said again."""
        self._by_key = OrderedDict((key, one) for key, one in self._by_key.items() if not one.kept)


def _stands(one: Complaint, now: Instant) -> bool:
    return now - one.last_at < STANDS_SECONDS
