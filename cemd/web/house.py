"""The doors that the daemon hands to the web. Nothing else of the house is visible from here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from prometheus_client import CollectorRegistry

from cemd.model.entry import Command
from cemd.model.identity import Instant, SeriesId
from cemd.model.measurement import Attempt, Samples
from cemd.model.view import Views


@dataclass(frozen=True, slots=True, kw_only=True)
class PushAnswer:
    """What became of pushed measurements. `status` is an HTTP status: 200 logged, 400 malformed, 404 no such source,
    413 too large, 429 or 503 come back later."""

    status: int
    accepted: int
    refused: int
    message: str = ""
    unjudged: int = 0
    """Of those that were accepted: nobody judges them, since a label names what the catalogue does not know."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ToMend:
    """Something that a person has to mend while cemd goes on: where, what is wrong, what to do. `what` is the sentence,
    without its full stop, that heads all of a kind: what it means for whoever relies on cemd."""

    what: str
    place: str
    fact: str
    remedy: str
    since: Instant


@dataclass(frozen=True, slots=True, kw_only=True)
class WhoRuns:
    """Who would run a probe now. `probe` is its uid; `active` is false outside of its times."""

    probe: str
    probers: int
    active: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class RunAsked:
    """A run that somebody asked for; `reason` says why it was not made, else ""."""

    at: Instant
    actor: str
    note: str
    reason: str


class House(Protocol):
    """All calls come from the event loop; none may hold it."""

    @property
    def operator(self) -> str:
        """Name of the operator, as people should read it."""

    @property
    def zone(self) -> str:
        """IANA zone in which instants are written."""

    @property
    def registry(self) -> CollectorRegistry:
        """The daemon's own metrics."""

    def views(self) -> Views | None:
        """The newest snapshot; None before the first tick."""

    def alive(self) -> bool:
        """False when the process should be started anew."""

    def ready(self) -> list[str]:
        """Why the daemon is not ready, one sentence each; empty: it is."""

    def to_mend(self) -> tuple[ToMend, ...]:
        """What a person has to mend while cemd works on; empty: nothing that it knows of."""

    def token(self) -> bytes | None:
        """What pushed data and commands must carry as a bearer token; None: loopback only, no token needed."""

    async def failures(self, probe: str) -> tuple[Attempt, ...]:
        """Attempts of a probe that failed, as far as they are remembered; the newest first."""

    async def who_runs(self, name: str) -> WhoRuns | None:
        """Of the probe with this uid or name; None: the files have none."""

    async def runs_asked(self, probe: str) -> tuple[RunAsked, ...]:
        """The latest runs of a probe that people asked for, and what was refused; the newest first."""

    async def run_refused(self, seq: int) -> str:
        """Why the run that was asked for as this entry is not made, once that is decided; "" where it is."""

    async def command(self, command: Command) -> int:
        """Seq of the command once it is logged."""

    async def history(self, series: SeriesId, since: Instant, until: Instant) -> Samples:
        """Samples of one series with since <= at < until, by time."""

    async def explain(self, record: str) -> dict[str, Any] | None:
        """The chain behind a record, ready for JSON; None: nobody knows this id."""

    def push_refused(self, source: str, *, given: bool) -> None:
        """Somebody pushed to this source without a valid token; `given`: there was one. What was sent as a token never
        comes this far, nor does the address that it came from."""

    async def push(self, source: str, body: bytes) -> PushAnswer:
        """Takes pushed measurements (JSON); answers only when they are logged or refused."""
