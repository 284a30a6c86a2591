"""One touchpoint at one site as a whole: are its indicators together as they always were?

Each look (two a window) is a vector of the indicators' values, placed between `worst` (0) and `best` (1). Its
distance is that from the mean of the remembered looks in units of their joint spread (Mahalanobis), with a floor of
one hundredth of the way from worst to best, so that a constant indicator neither divides by zero nor shouts at its
first digit. How far is too far is said by the tail of its own past (`tail`). What is beyond it is not remembered. It
says nothing before `learn_looks`, and nothing of what is better than usual.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import msgspec
import numpy as np

from cemd.analyze.columns import Array
from cemd.analyze.models.tail import limit
from cemd.config.detection import Multivariate
from cemd.model.identity import Instant

BLOCK = 8
LEAST = 5.0
"""Joint spreads that are never too far; where all is constant, five hundredths of the way from worst to best."""
PEAKS = 128
FEWEST_PEAKS = 32
FLOOR = 0.01
"""Of the way from worst to best: a spread below it is measurement."""
MOST_MEMBERS = 32
"""Indicators of one model, in the order of the rules: 256 looks cannot tell the joint spread of more."""
PENDING = 64
MOST_DOUBT = 3
WEEK_SECONDS = 604_800.0


class _Saved(msgspec.Struct, frozen=True, kw_only=True):
    head: int
    peak: float
    in_block: int
    peaks_head: int
    beyond: int
    within: int
    said: bool
    kept: bool
    doubts: int
    since: float
    next_at: float
    distance: float
    pending_head: int
    members: tuple[str, ...]
    looks: bytes
    peaks: bytes
    pending: bytes


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the newest look says."""

    distance: float
    limit: float
    usual: float
    leading: tuple[int, ...]  # places of the members that lead away beyond the limit, the most first


class TouchpointModel:
    """State and arithmetic of one model; `members` are keys of indicator instances, in a fixed order."""

    def __init__(self, members: tuple[str, ...], learn_looks: int) -> None:
        self.members = members
        self.looks: Array = np.zeros((learn_looks, len(members)))
        self.head = 0
        self.peaks: Array = np.zeros(PEAKS)
        self.peaks_head = 0
        self.peak, self.in_block = 0.0, 0
        self.pending: Array = np.zeros((PENDING, len(members)))
        self.pending_head = 0
        self.beyond = self.within = 0
        self.said = self.kept = False
        self.doubts = 0
        self.since: Instant = 0.0
        self.next_at: Instant = -np.inf
        self.distance = 0.0  # of the newest look
        self.verdict: Verdict | None = None  # of the look of this tick; for words only
        self._fit: tuple[int, Array, Array] | None = None
        self._far: tuple[tuple[int, float], tuple[float, float]] | None = None

    @property
    def ready(self) -> bool:
        return self.head >= len(self.looks) and self.peaks_head >= FEWEST_PEAKS

    def look(self, now: Instant, x: Array, pace: float, rules: Multivariate) -> None:
        """Judges one vector and learns from it, unless it is beyond the limit."""
        if self.head < 2 * len(self.members) + BLOCK:
            self._remember(x)
            return
        distance, part, off = self._distance(x)
        chance = min(rules.false_alarms_per_touchpoint_week / 2.0**self.doubts * BLOCK * pace / WEEK_SECONDS, 0.1)
        far, usual = self._limits(chance)
        far = max(far, LEAST)
        leading = _leading(part, off) if distance > far else ()
        self.distance, self.verdict = distance, Verdict(distance, far, usual, leading)
        is_beyond = self.ready and distance > far and bool(leading)
        self._move(now, is_beyond=is_beyond, is_within=distance <= usual, rules=rules)
        if self.said or is_beyond:
            self.pending[self.pending_head % PENDING] = x
            self.pending_head += 1
            if self.said and not self.kept and now - self.since >= rules.relearn_after_seconds:
                self.accept()
            return
        self.pending_head = 0
        self._note_peak(distance)
        self._remember(x)

    def _move(self, now: Instant, *, is_beyond: bool, is_within: bool, rules: Multivariate) -> None:
        self.beyond = self.beyond + 1 if is_beyond else 0
        self.within = self.within + 1 if is_within else 0
        if not self.said and self.beyond == 1:
            self.since = now
        if not self.said and self.beyond >= rules.hold_looks:
            self.said = True
        elif self.said and self.within >= rules.clear_looks:
            self.said = self.kept = False

    def _limits(self, chance: float) -> tuple[float, float]:
        """What the tail says, worked out once a block."""
        if self.peaks_head < FEWEST_PEAKS:
            return np.inf, np.inf
        stamp = (self.peaks_head, chance)
        if self._far is None or self._far[0] != stamp:
            self._far = (stamp, limit(self.peaks[: min(self.peaks_head, PEAKS)], chance))
        return self._far[1]

    def _note_peak(self, distance: float) -> None:
        self.peak = max(self.peak, distance)
        self.in_block += 1
        if self.in_block == BLOCK:
            self.peaks[self.peaks_head % PEAKS] = self.peak
            self.peaks_head += 1
            self.peak, self.in_block = 0.0, 0

    def _remember(self, x: Array) -> None:
        self.looks[self.head % len(self.looks)] = x
        self.head += 1

    def _distance(self, x: Array) -> tuple[float, Array, Array]:
        """(how far the vector is, each member's part of its square, how far each member is off)."""
        mean, inverse = self._fitted()
        off = x - mean
        part = off * (inverse @ off)
        return math.sqrt(max(float(part.sum()), 0.0)), part, off

    def _fitted(self) -> tuple[Array, Array]:
        """Mean and inverse of the joint spread, worked out once a block of looks."""
        stamp = self.head // BLOCK
        if self._fit is None or self._fit[0] != stamp:
            held = self.head // BLOCK * BLOCK  # of whole blocks only, so that a restored model fits the same looks
            places = np.arange(max(0, held - len(self.looks) + BLOCK), held) % len(self.looks)
            self._fit = (stamp, *fitted(self.looks[places]))
        return self._fit[1:]

    def accept(self) -> None:
        """What is now is normal: the remembered looks move by as far as the newest ones lie away."""
        held = min(self.pending_head, PENDING)
        if held:
            known = min(self.head, len(self.looks))
            self.looks[:known] += self.pending[:held].mean(axis=0) - self.looks[:known].mean(axis=0)
        self.said = self.kept = False
        self.beyond = self.within = self.pending_head = 0
        self._fit = None

    def keep(self) -> None:
        """A person said true: never learnt as the new normal."""
        self.kept = True

    def doubt(self) -> None:
        """A person said false: half the stated rate from now on, down to an eighth; what it saw is remembered."""
        self.doubts = min(self.doubts + 1, MOST_DOUBT)
        for place in range(min(self.pending_head, PENDING)):
            self._remember(self.pending[place])
        self._note_peak(self.distance)
        self.said = self.kept = False
        self.beyond = self.within = self.pending_head = 0
        self._fit = None

    def shift(self, seconds: float) -> None:
        self.since += seconds

    def dump(self) -> bytes:
        return msgspec.msgpack.encode(
            _Saved(
                head=self.head,
                peak=self.peak,
                in_block=self.in_block,
                peaks_head=self.peaks_head,
                beyond=self.beyond,
                within=self.within,
                said=self.said,
                kept=self.kept,
                doubts=self.doubts,
                since=self.since,
                next_at=self.next_at,
                distance=self.distance,
                pending_head=self.pending_head,
                members=self.members,
                looks=self.looks.tobytes(),
                peaks=self.peaks.tobytes(),
                pending=self.pending.tobytes(),
            )
        )

    @staticmethod
    def load(body: bytes) -> TouchpointModel:
        saved = msgspec.msgpack.decode(body, type=_Saved)
        width = len(saved.members)
        model = TouchpointModel(saved.members, len(saved.looks) // 8 // max(width, 1))
        for name in ("head", "peak", "in_block", "peaks_head", "beyond", "within", "said", "kept", "doubts"):
            setattr(model, name, getattr(saved, name))
        model.since, model.next_at, model.pending_head = saved.since, saved.next_at, saved.pending_head
        model.distance = saved.distance
        model.looks = np.frombuffer(saved.looks, "<f8").reshape(-1, width).copy()
        model.peaks = np.frombuffer(saved.peaks, "<f8").copy()
        model.pending = np.frombuffer(saved.pending, "<f8").reshape(-1, width).copy()
        return model


def _leading(part: Array, off: Array) -> tuple[int, ...]:
    """Places of the members that lead away, the most first; none where the first of them leads to the better."""
    order = np.argsort(-part, kind="stable")
    leading = tuple(place for place in order.tolist()[:5] if off[place] < 0 and part[place] > 0)
    return leading if off[order[0]] < 0 else ()


def fitted(looks: Array) -> tuple[Array, Array]:
    """Mean of the looks and the inverse of their covariance, shrunk toward its diagonal by members over looks."""
    count, width = looks.shape
    mean = looks.mean(axis=0)
    off = looks - mean
    spread = off.T @ off / max(count - 1, 1)
    share = width / (width + count)
    spread *= 1.0 - share
    spread[np.diag_indices(width)] /= 1.0 - share
    spread[np.diag_indices(width)] += FLOOR * FLOOR
    return mean, np.linalg.inv(spread)


def members_of(places: Mapping[str, tuple[str, str]]) -> dict[tuple[str, str], tuple[str, ...]]:
    """Models that there should be: (touchpoint, site) -> keys of its indicators; at least two make a whole.

    Args:
        places: (touchpoint, site) of each indicator instance that is measured at a touchpoint, by key.
    """
    groups: dict[tuple[str, str], list[str]] = {}
    for key, place in places.items():
        groups.setdefault(place, []).append(key)
    return {place: tuple(keys[:MOST_MEMBERS]) for place, keys in groups.items() if len(keys) > 1}
