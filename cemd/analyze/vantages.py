"""Vantage points: which of them are to report, when each was heard last, and which are not heard.

A vantage point is heard when a batch of its prober arrives, however old what it holds: a backlog that comes late is no
silence. Whether one feed of it is silent is asked by what the vantage point itself has measured meanwhile, not by the
clock (`judge.silence`): while nothing at all comes from there, nothing is known of any single feed.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

import msgspec
import numpy as np

from cemd.analyze.columns import Array
from cemd.config.rules import Detector
from cemd.config.topology import Post
from cemd.model.identity import Instant

LEAST_SECONDS = 60.0
"""A vantage point is missed after so long at the earliest: an agent that was started anew, or whose link was broken for
a moment, is back within that, and what it measured meanwhile comes with it."""
NEVER = -math.inf


class Heard(msgspec.Struct, kw_only=True):
    """What is known of one vantage point."""

    expected_since: Instant  # it has had something to measure from then on
    heard_at: Instant | None = None  # when something arrived last; None: nothing ever did
    newest_at: Instant = NEVER  # of its samples
    talks_since: Instant = NEVER  # of its samples, the first after the last break


class Vantages:
    """Those that the configuration has probes for, by name, in the order of names."""

    def __init__(self) -> None:
        self._posts: Mapping[str, Post] = {}
        self._heard: dict[str, Heard] = {}

    def __iter__(self) -> Iterator[str]:
        return iter(self._heard)

    def __contains__(self, name: str) -> bool:
        return name in self._heard

    def configure(self, posts: Mapping[str, Post], at: Instant) -> None:
        """Another configuration: whoever is new is waited for from now on, whoever is gone is forgotten."""
        self._posts = posts
        self._heard = {name: self._heard.get(name) or Heard(expected_since=at) for name in posts}

    def post(self, name: str) -> Post:
        """Raises KeyError where it has nothing to measure."""
        return self._posts[name]

    def heard(self, name: str) -> Heard:
        """Raises KeyError where it has nothing to measure."""
        return self._heard[name]

    def hear(self, name: str, at: Instant) -> None:
        """Something of it arrived now."""
        if (one := self._heard.get(name)) is not None:
            one.heard_at = at

    def see(self, name: str, samples_at: Array, detector: Detector) -> None:
        """It measured at these times, in any order, float64[n] with n at least 1."""
        if (one := self._heard.get(name)) is not None:
            oldest, newest = float(samples_at.min()), float(samples_at.max())
            if oldest - one.newest_at > detector.silence_intervals * self._posts[name].every_seconds:
                one.talks_since = oldest
            one.newest_at = max(one.newest_at, newest)

    def patience(self, name: str, detector: Detector) -> float:
        """Seconds without anything from there that count as silence."""
        return max(LEAST_SECONDS, detector.silence_intervals * self._posts[name].every_seconds)

    def is_silent(self, name: str, at: Instant, detector: Detector, *, awake_at: Instant = NEVER) -> bool:
        """Whether it is not heard; silence is counted from `awake_at` at the earliest.

        Raises:
            KeyError: it has nothing to measure.
        """
        return at - max(silent_since(self._heard[name]), awake_at) > self.patience(name, detector)

    def spoken(self, probers: Mapping[str, int]) -> tuple[Array, Array]:
        """(newest sample, first one after the last break) of each vantage point by its number, float64[n + 1]; the last
        is of none."""
        newest, since = np.full(len(probers) + 1, NEVER), np.full(len(probers) + 1, NEVER)
        for name, one in self._heard.items():
            if (code := probers.get(name)) is not None:
                newest[code], since[code] = one.newest_at, one.talks_since
        return newest, since

    def shift(self, seconds: float) -> None:
        """The clock jumped ahead: nobody was silent meanwhile."""
        for one in self._heard.values():
            one.expected_since += seconds
            one.newest_at += seconds
            one.talks_since += seconds
            if one.heard_at is not None:
                one.heard_at += seconds

    def dump(self) -> dict[str, Heard]:
        return {name: msgspec.structs.replace(one) for name, one in self._heard.items()}

    def load(self, saved: Mapping[str, Heard]) -> None:
        """What was dumped of those that are expected."""
        self._heard |= {name: one for name, one in saved.items() if name in self._heard}


def silent_since(heard: Heard) -> Instant:
    """Since when nothing has come: as long as anything was expected."""
    return heard.expected_since if heard.heard_at is None else heard.heard_at
