"""The roster: the probes that a prober has at work, made from what the daemon sent; what cannot run here is blind."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from math import inf
from operator import itemgetter
from typing import ClassVar, TypeAlias

import msgspec
from pydantic import ValidationError

from cemd.config.probes import Probe
from cemd.config.targets import Targets
from cemd.config.vantage import WayOut
from cemd.errors import ProbeUnavailable
from cemd.kit.heap import settle
from cemd.kit.tasks import Slices
from cemd.model.identity import stable_hash
from cemd.monitor import wire
from cemd.monitor.plans import Plan
from cemd.monitor.probes import libraries_of, make
from cemd.monitor.probes.base import Attempt, Cancel, Done, Kind, Launching, ProbeParams, Result
from cemd.monitor.probes.engines.errands import AnyErrand, Batching, Landed
from cemd.monitor.probes.tools import Tools


class Unrunnable:
    """Stands for a probe that cannot run here: every run is blind, so that it is `unknown` and not silent."""

    word: ClassVar[str] = "unrunnable"

    Params: ClassVar[type[ProbeParams]] = ProbeParams
    metrics: ClassVar[frozenset[str] | None] = None

    def __init__(self, why: str) -> None:
        self._why = why

    @property
    def target(self) -> str:
        return ""

    @property
    def group(self) -> str:
        return ""

    async def run(self, attempt: Attempt) -> Result:
        del attempt
        raise ProbeUnavailable(self._why)


@dataclass(slots=True)
class Post:
    """One probe at work. `locals` are the numbers of its series on the way to the daemon, by metric and labels."""

    probe: Probe
    kind: Kind
    locals: dict[tuple[str, tuple[tuple[str, str], ...]], int]
    rows: dict[tuple[str, ...], tuple[int, ...]] = field(default_factory=dict)
    """The same for metrics that come together: a whole row at once."""
    failing: bool = False
    unrun_said_at: float = -inf
    """When it was last evidence that a run did not happen, wall clock."""
    source: int = 0
    """Hash of the text that it was made from: what did not change is known by it."""
    launch: Callable[[float, Done], Cancel | None] | None = field(init=False)
    """The quick way to measure, where the kind has one."""
    errand: AnyErrand | None = field(init=False, default=None)
    """The quickest: begun together with others, where the kind can; there once the post is at work."""
    timeout: float = field(init=False)
    always: bool = field(init=False)
    """Whether it has no times at which it does not run."""

    def __post_init__(self) -> None:
        self.launch = self.kind.launch if isinstance(self.kind, Launching) else None
        self.timeout = self.probe.timeout_seconds
        self.always = self.probe.active is None

    def take_up(self) -> None:
        """It goes to work. Posts do so in the order in which their runs come due: what is used together is made
        together, and lies together in memory."""
        self.errand = self.kind.errand() if isinstance(self.kind, Batching) else None
        if self.errand is not None:
            self.errand.owner, self.errand.timeout = self, self.timeout

    def let_go(self) -> None:
        """It has left the set and does not run: breaks the circle of post, kind and errand, which nobody would find."""
        if self.errand is not None:
            self.errand.owner = self.errand.kind = None
        self.launch = self.errand = None


class InOrder:
    """New posts in the order in which their runs come due: their columns, and what they keep, are neighbours then, and
    the processor finds the next of them in its caches. One look costs several times as much where it does not."""

    def __init__(self) -> None:
        self._parts: list[list[tuple[float, int, Post]]] = [[] for _ in range(_PARTS)]

    def add(self, uid: str, post: Post) -> None:
        """One more."""
        phase = stable_hash(uid)
        self._parts[phase * _PARTS >> 64].append((post.probe.every_seconds, phase, post))

    def __iter__(self) -> Iterator[Post]:
        for part in self._parts:
            part.sort(key=itemgetter(0, 1))
            for _, _, post in part:
                yield post


_PARTS = 1_024
"""Each of them is sorted by itself, when its turn comes: all at once would hold the loop."""

Deliver: TypeAlias = Callable[[Post, float, Result], None]
"""Takes the complete result of a run that began at a wall-clock time."""
DeliverGood: TypeAlias = Callable[[Landed], None]
"""Takes runs that went well, as columns; the owners of their errands are posts."""


def one_by_one(deliver: Deliver) -> DeliverGood:
    """For whoever takes no columns."""

    def deliver_good(landed: Landed) -> None:
        for post, at, result in landed.results():
            deliver(post, at, result)

    return deliver_good


class Arriving:
    """A probe set on its way in, piece by piece: its posts by uid, and a sentence for each that cannot run here.

    What did not change keeps its kind, its series and its streak, and is not even read again. Others of the loop have
    their turn in between: what runs goes on being measured while fifty thousand probes are read.
    """

    def __init__(self, before: Mapping[str, Post], tools: Tools, pause: Slices) -> None:
        self.posts: dict[str, Post] = {}
        self.refused: list[str] = []
        self.libraries: set[str] = set()
        """What the new ones load at their first use."""
        self.parts = 0
        """Pieces that have been read."""
        self._before = before
        self._tools = tools
        self._pause = pause
        self._known: dict[int, str] = {}
        self._read = 0

    async def take(self, epoch: str, probes: bytes) -> None:
        """Reads the next piece; others have their turn after it, too, be the piece after it here already.

        Raises:
            WireError: it is no list of probes.
        """
        self._pause.begin()
        if not self.parts:
            await self._look_back()
        try:
            parts = msgspec.json.decode(probes, type=list[msgspec.Raw])
        except msgspec.DecodeError as exc:
            raise wire.WireError(f"the probe set of epoch {epoch} is no list of probes; update this prober.") from exc
        for part in parts:
            self._take_one(bytes(part))
            if self._pause.over():
                await self._pause.rest()
        self.parts += 1
        settle()  # a look through fifty thousand posts would hold the loop for a tenth of a second, again and again
        await self._pause.rest()

    async def _look_back(self) -> None:
        for uid, post in self._before.items():
            self._known[post.source] = uid
            if self._pause.over():
                await self._pause.rest()

    def _take_one(self, text: bytes) -> None:
        source = hash(text)  # of 64 bits and with a secret of this process: no two texts of a set share it
        self._read += 1
        uid = self._known.pop(source, None)  # what is left over in the end is freed at once, and may not be all of them
        uid, post = self._made(text) if uid is None else (uid, self._before[uid])
        if post is not None:
            post.source = source
            self.posts[uid] = post

    def _made(self, text: bytes) -> tuple[str, Post | None]:
        """The post of a probe that is new or changed; None, and a sentence, where this version cannot read it."""
        try:
            probe = Probe.model_validate_json(text)
        except ValidationError as exc:
            words = "; ".join(f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in exc.errors())
            self.refused.append(f"probe {self._read} of the set cannot be read here ({words}).")
            return "", None
        uid = probe.identity()
        post = self._before.get(uid)
        if post is None or post.probe != probe:
            kind, why = _kind(probe, self._tools)
            self.refused += [why] if why else []
            self.libraries.update(libraries_of(kind))
            post = Post(probe, kind, {}, failing=post.failing if post else False)
        return uid, post


def _kind(probe: Probe, tools: Tools) -> tuple[Kind, str]:
    try:
        return make(probe, tools), ""
    except ProbeUnavailable as exc:
        return Unrunnable(str(exc)), str(exc)


def targets_of(frame: wire.Probes) -> Targets:
    """Where the probes of a set may go.

    Raises:
        WireError: this version cannot read it; measuring without it could go where nobody may.
    """
    try:
        return Targets.model_validate_json(frame.targets)
    except ValidationError as exc:
        words = f"`targets` of epoch {frame.epoch} cannot be read here; update this prober."
        raise wire.WireError(words) from exc


def way_out_of(frame: wire.Probes) -> WayOut:
    """What this vantage point watches of its own way out.

    Raises:
        WireError: this version cannot read it; measuring without it could call blind what is down.
    """
    try:
        return WayOut.model_validate_json(frame.way_out)
    except ValidationError as exc:
        words = f"`way_out` of epoch {frame.epoch} cannot be read here; update this prober."
        raise wire.WireError(words) from exc


def plan_of(post: Post) -> Plan:
    """What the schedule knows of it."""
    return Plan(
        uid=post.probe.identity(),
        every_seconds=post.probe.every_seconds,
        kind=post.probe.kind,
        group=post.kind.group,
        light=post.errand is not None,
    )
