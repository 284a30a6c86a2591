"""The moments at which promises are asked, and what is known then."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from cemd.improve.lifecycle import OVER
from cemd.loop.core import Core
from cemd.model.effect import Effects
from cemd.model.entry import Entry
from cemd.model.identity import Instant
from cemd.model.incident import Incident
from cemd.model.notice import NoticeRows, NoticeState
from cemd.simulation.book import Book

Sentences = Iterator[str]
"""One for each way in which a promise is broken now."""
Promise = Callable[..., Sentences]
"""Takes the book and a moment."""
NEVER_TOLD = (NoticeState.FAILED, NoticeState.CANCELLED, NoticeState.EXPIRED)
"""Rows that reached nobody."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stepped:
    """An entry was applied and committed; its effects are about to leave."""

    entry: Entry
    effects: Effects
    core: Core


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """Notices became rows in flight."""

    rows: NoticeRows
    core: Core


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """One message leaves for good."""

    rows: NoticeRows
    index: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Born:
    """A new process begins, and has loaded nothing yet. `seq`: the entry in progress at so many `deaths` in a row."""

    seq: int
    deaths: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Restarted:
    """A new process has loaded everything, and has not taken an entry yet. `lived` is the state of the one before,
    where it died between two entries."""

    core: Core
    lived: dict[str, object] | None
    loaded: dict[str, object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Begun:
    """A new process has taken its first entries, at this wall time."""

    core: Core
    wall: Instant


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """Long after the last fault: everything had time to end. `replayed` and `lived` are rows and outbox."""

    core: Core
    lived: dict[str, object]
    replayed: dict[str, object] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Reloaded:
    """A damaged configuration was offered."""

    accepted: bool
    before: str  # epoch
    after: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed:
    """The core raised what is no refusal of the store."""

    error: str


def incidents_behind(book: Book, now: Written) -> list[Incident]:
    """The incidents behind a communication, as improve has them now."""
    known = now.core.state.improve.incidents
    names = book.communications[now.rows.communication].incidents
    return [incident for name in names if (incident := known.get(name)) is not None]


def is_hurting(incident: Incident) -> bool:
    """True while an incident is neither clear nor over."""
    return incident.clear_since is None and incident.state not in OVER
