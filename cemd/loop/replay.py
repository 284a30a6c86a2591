"""Replay: runs the past through a rule set again, and says which findings and incidents would have come.

Exact where it can be: the log's entries go through `step` as they did, from the newest snapshot before the time asked
about, or from the first entry ever. What is older than the log is known as samples only; it is given by event time, in
ticks, after a warm-up in which baselines and windows learn and nothing is counted. What leaves `step` is looked at and
thrown away: no row is written, nothing is sent.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import msgspec
import numpy as np

from cemd.config.configuration import Configuration
from cemd.config.topology import Topology
from cemd.errors import StoreError
from cemd.loop import snapshot
from cemd.loop.state import State
from cemd.loop.step import step
from cemd.model.entry import (
    Batch,
    ClockStepped,
    Command,
    ConfigEpoch,
    Entry,
    Payload,
    SeriesAdded,
    Started,
    Tick,
    decode_group,
)
from cemd.model.finding import Condition, Evidence, Finding, FindingPhase
from cemd.model.identity import Instant
from cemd.model.incident import Incident
from cemd.model.measurement import Samples
from cemd.model.quality import Quality
from cemd.model.subject import Subject
from cemd.store.base import Log, SampleStore, SeriesCatalogue, Snapshots, StateStore

TICK_SECONDS = 5.0
"""Least distance of two ticks that are made from samples: findings come up to so much later than they did."""
SLICE_SECONDS = 3600.0
"""Samples that are in memory at once."""
FIRST_SEQ = -(2**48)
"""Entries that are made from samples come before all that were logged."""
DAY = 86_400.0
TIMES_ASKED = 12.0
"""What is judged is then a small part of what the baselines that judge it were learnt from."""
REPLAYED = (Batch, SeriesAdded, Tick, ClockStepped, Started, Command, ConfigEpoch)


class PastView(Protocol):
    """What a replay reads."""

    @property
    def log(self) -> Log: ...
    @property
    def snapshots(self) -> Snapshots: ...
    @property
    def samples(self) -> SampleStore: ...
    @property
    def state(self) -> StateStore: ...
    @property
    def series(self) -> SeriesCatalogue: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """From when to when, and how long before it to begin where only samples are left."""

    since: Instant
    until: Instant
    warm_up_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Episode:
    """One finding from its beginning to its end; `ended_at` None: still open at the end."""

    id: str
    condition: Condition
    subject: Subject
    indicator: str
    touchpoint: str
    probe: str
    quality: Quality  # the last that was said
    began_at: Instant
    ended_at: Instant | None
    evidence: Evidence

    @property
    def about(self) -> tuple[str, ...]:
        """What makes two episodes of two rule sets the same."""
        return (self.condition, str(self.subject), self.indicator, self.touchpoint)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What one rule set would have found."""

    episodes: tuple[Episode, ...]
    incidents: tuple[Incident, ...]  # opened within the time
    exact: bool  # all of it from the log, with the baselines that were
    exact_from: Instant | None  # entries of the log from here on; None: none of it
    begins_at: Instant  # lived through from here on
    entries: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is lived through: from when, and whether all of it stands in the log."""

    begins_at: Instant
    exact: bool


Progress = Callable[[Plan, Instant], None]


def usual_warm_up(asked_seconds: float, rules: Configuration) -> float:
    """How long before the time asked samples are lived through where nothing else is wished, in seconds.

    Long enough that every window, and every budget's, is full; that each series has twice the samples after which it is
    judged, at the slowest probe's pace; and twelve times as long as what is judged. A day at most: what takes longer
    (the course of a week, a month's budget) is never learnt in a replay.
    """
    windows = [one.window_seconds + (one.objective.for_seconds if one.objective else 0.0) for one in rules.indicators]
    budgets = [one.objective.budget for one in rules.indicators if one.objective and one.objective.budget]
    windows += [rate.long_seconds for budget in budgets for rate in budget.burn_rates]
    slowest = max((probe.every_seconds for probe in rules.probes), default=0.0)
    learning = 2.0 * rules.detector.learn_samples * slowest
    return min(DAY, max(TIMES_ASKED * asked_seconds, learning, *windows, 0.0))


def replay(past: PastView, asked: Asked, rules: Configuration | None, progress: Progress) -> Outcome:
    """Lives through the past.

    Args:
        past: What is stored.
        asked: The time.
        rules: Another configuration in the place of all that were in effect; None: as it was.
        progress: Told what is lived through, and the time that was reached, now and then.

    Raises:
        StoreError: what is stored cannot be read, or does not reach back so far.
    """
    return _Run(past, asked, rules, progress).live()


class _Run:
    def __init__(self, past: PastView, asked: Asked, rules: Configuration | None, progress: Progress) -> None:
        self.past = past
        self.asked = asked
        self.rules = rules
        self.progress = progress
        self.state = State()
        self.plan = Plan(begins_at=asked.since, exact=False)
        self.episodes: dict[str, Episode] = {}
        self.incidents: dict[str, Incident] = {}
        self.entries = 0

    def live(self) -> Outcome:
        first = self._first_logged()
        if first is None and not self.past.series.all():
            raise StoreError("samples.db, state.db: nothing was measured here yet; there is nothing to replay.")
        seq = snapshot.restore_past(self.state, self.past.snapshots)
        exact = bool(seq) and self.state.at <= self.asked.since
        if not exact:
            self.state, seq = State(), 0
            exact = first is not None and first.seq == 1
        for finding in self.state.analyze.findings:
            self._note(finding)
        if self.rules is not None:
            self._take_rules(self.rules, "other")
        if exact:
            self.plan = Plan(begins_at=self.state.at if seq or first is None else first.at, exact=True)
        else:
            self._live_through_samples(first.at if first is not None else np.inf)
        for entry in self._logged(seq):
            self._give(entry)
        return self._outcome(exact, first.at if first is not None else None)

    def _take_rules(self, rules: Configuration, epoch: str) -> None:
        """Without an entry: analyze notices another topology at the next one."""
        self.state.topology, self.state.epoch = Topology(rules), epoch
        for wing in (self.state.analyze, self.state.improve, self.state.report):
            wing.epoch = epoch

    def _first_logged(self) -> Entry | None:
        for group in self.past.log.read(0):
            return decode_group(group.blob)[0]
        return None

    def _logged(self, after: int) -> Iterator[Entry]:
        """Entries of the log up to the end of the time."""
        expected: int | None = after + 1 if after else None
        for group in self.past.log.read(after):
            for entry in decode_group(group.blob):
                if entry.seq <= after:
                    continue
                if expected is not None and entry.seq != expected:
                    raise StoreError("samples.db: the log was trimmed while it was read; replay it again.")
                expected = entry.seq + 1
                if entry.at > self.asked.until:
                    return
                if isinstance(entry.payload, REPLAYED):
                    yield entry

    def _give(self, entry: Entry) -> None:
        if isinstance(entry.payload, ConfigEpoch) and self.rules is not None:
            return
        entry = _not_before(entry, max(entry.at, self.state.at))
        _, effects = step(self.state, entry)
        self.entries += 1
        for finding in effects.findings:
            self._note(finding)
        for row in effects.rows:
            if row.table == "incident" and row.body is not None:
                incident = msgspec.json.decode(row.body, type=Incident)
                self.incidents[incident.id] = incident
        if isinstance(entry.payload, Tick):
            self.progress(self.plan, entry.at)

    def _note(self, finding: Finding) -> None:
        known = self.episodes.get(finding.id)
        if known is None and finding.phase is FindingPhase.ENDED:
            return  # it began before all that is replayed
        self.episodes[finding.id] = Episode(
            id=finding.id,
            condition=finding.condition,
            subject=finding.subject,
            indicator=finding.indicator,
            touchpoint=finding.touchpoint,
            probe=finding.probe,
            quality=finding.quality,
            began_at=finding.began_at,
            ended_at=finding.at if finding.phase is FindingPhase.ENDED else None,
            evidence=finding.evidence,
        )

    def _live_through_samples(self, until: Instant) -> None:
        """Everything before the log, by event time; from the first sample on, for before it nothing can be learnt."""
        start = self.asked.since - self.asked.warm_up_seconds
        until = min(until, self.asked.until)
        epochs = self._epochs() if self.rules is None else []
        self.state.seq = FIRST_SEQ
        every = self._tick_seconds(epochs)
        start = math.floor(start / every) * every
        begun = False
        for begin in np.arange(start, until, SLICE_SECONDS).tolist():
            end, at = min(begin + SLICE_SECONDS, until), begin
            samples = self._slice(begin, end)
            if not begun:
                if not samples.at.size:
                    continue
                at += math.floor((samples.at[0] - begin) / every) * every
                begun = True
                self._begin(epochs, at)
            for tick in np.arange(at + every, end + every / 2, every).tolist():
                self._take_epochs(epochs, tick)
                self._enter_samples(samples, tick - every, tick)
                self._enter(Tick(), tick)
        if not begun:  # the log reaches back further than was asked for, or there are no samples
            self._begin(epochs, until)

    def _begin(self, epochs: list[tuple[Instant, str, Configuration]], at: Instant) -> None:
        """The configuration and the series of the time at which it begins."""
        self.plan = Plan(begins_at=at, exact=False)
        self._take_epochs(epochs, at)
        self._enter(SeriesAdded(series=tuple(self.past.series.all())), at)

    def _epochs(self) -> list[tuple[Instant, str, Configuration]]:
        """Configurations by when they took effect; the first one holds before it, too."""
        found = []
        for name, _, at in self.past.state.epochs():
            document = self.past.state.epoch(name)
            if document is not None:
                found.append((at, name, Configuration.from_document(document)))
        if not found:
            raise StoreError("state.db: no configuration was accepted here yet; there is nothing to replay.")
        return [(-np.inf, *found[0][1:]), *found[1:]]

    def _take_epochs(self, epochs: list[tuple[Instant, str, Configuration]], at: Instant) -> None:
        due = [one for one in epochs if one[0] <= at]
        if due and due[-1][1] != self.state.epoch:
            self._take_rules(due[-1][2], due[-1][1])

    def _tick_seconds(self, epochs: list[tuple[Instant, str, Configuration]]) -> float:
        rules = self.rules or epochs[-1][2]
        return max(rules.settings.tick_seconds, TICK_SECONDS)

    def _slice(self, begin: Instant, end: Instant) -> Samples:
        """Samples of all series within a slice, by time; of equal times, in order of the series."""
        parts = [self.past.samples.history(one.id, begin, end) for one in self.past.series.all()]
        at = np.concatenate([part.at for part in parts])
        order = np.argsort(at, kind="stable")
        return Samples(
            series=np.concatenate([part.series for part in parts])[order],
            at=at[order],
            value=np.concatenate([part.value for part in parts])[order],
            outcome=np.concatenate([part.outcome for part in parts])[order],
        )

    def _enter_samples(self, samples: Samples, begin: Instant, end: Instant) -> None:
        part = slice(*np.searchsorted(samples.at, [begin, end]).tolist())
        if part.stop > part.start:
            columns = {name: getattr(samples, name)[part] for name in ("series", "at", "value", "outcome")}
            self._enter(Batch(source="history", number=0, **columns), end)

    def _enter(self, payload: Payload, at: Instant) -> None:
        self._give(Entry(seq=self.state.seq + 1, at=at, payload=payload))

    def _outcome(self, exact: bool, first: Instant | None) -> Outcome:
        since, until = self.asked.since, self.asked.until
        episodes = [one for one in self.episodes.values() if one.ended_at is None or one.ended_at >= since]
        reached = first is not None and first <= until
        return Outcome(
            episodes=tuple(sorted(episodes, key=lambda one: (one.began_at, one.about, one.id))),
            incidents=tuple(one for one in self.incidents.values() if since <= one.opened_at <= until),
            exact=exact,
            exact_from=(since if exact else first) if reached or exact else None,
            begins_at=self.plan.begins_at,
            entries=self.entries,
        )


def _not_before(entry: Entry, at: Instant) -> Entry:
    """The entry at a time that does not go back."""
    return entry if entry.at == at else msgspec.structs.replace(entry, at=at)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """One episode under both rule sets."""

    before: Episode
    after: Episode


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    came: tuple[Episode, ...]
    gone: tuple[Episode, ...]
    same: tuple[Pair, ...]


def compare(before: Sequence[Episode], after: Sequence[Episode]) -> Comparison:
    """What came and what would have gone: episodes about the same thing that overlap in time are the same."""
    left = list(before)
    came: list[Episode] = []
    same: list[Pair] = []
    for one in after:
        match = next((other for other in left if other.about == one.about and _overlap(other, one)), None)
        if match is None:
            came.append(one)
        else:
            left.remove(match)
            same.append(Pair(before=match, after=one))
    return Comparison(came=tuple(came), gone=tuple(left), same=tuple(same))


def _overlap(one: Episode, other: Episode) -> bool:
    def end(episode: Episode) -> float:
        return np.inf if episode.ended_at is None else episode.ended_at

    return one.began_at <= end(other) and other.began_at <= end(one)
