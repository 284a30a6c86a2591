"""The core: logs, acknowledges, steps, commits, and only then lets effects out. Synchronous; one thread drives it.

The daemon, replay and simulation drive this same class. What can fail is the store: an append that fails leaves nothing
behind; a commit that fails is kept and tried again before anything else happens, so that memory and rows never part.
An error of `step` itself is a bug: it rises, the process ends and is started anew; an entry that does so twice in a row
is set aside.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from cemd.config.topology import Topology
from cemd.errors import StoreError, UnwritableChange
from cemd.improve.watch import Watch
from cemd.loop import snapshot
from cemd.loop.order import Order
from cemd.loop.stages import Laps, Stage, no_laps
from cemd.loop.state import Expected, State
from cemd.loop.step import catch_up, honour, step
from cemd.model.effect import Effects
from cemd.model.entry import Batch, Entry, Payload, Started, decode_group, encode_group
from cemd.model.measurement import Samples
from cemd.store.base import LogGroup, StateChange, Store

CRASHES_TO_QUARANTINE = 2


Outlet = Callable[[Entry, Effects], None]
"""Takes the effects of an entry, after they are committed. Must not wait and must not raise."""


@dataclass(frozen=True, slots=True)
class _Unfinished:
    """An entry that was stepped but could not be committed yet, and those of its group that wait behind it."""

    entry: Entry
    effects: Effects
    behind: tuple[Entry, ...]


class Core:
    """One order, one state. `start` must be called first, once."""

    def __init__(self, store: Store, outlet: Outlet, laps: Laps = no_laps) -> None:
        self.store = store
        self._laps = laps
        self.state = State()
        self.replayed = 0
        self.set_aside: tuple[int, ...] = ()  # entries that this start put into quarantine
        self._outlet = outlet
        self._order = Order(0, 0.0)
        self._quarantined: set[int] = set()
        self._unfinished: _Unfinished | None = None
        self._left: tuple[Entry, ...] = ()  # logged, but not stepped: the store refused before
        self._saved_customers = -1
        self._snapshot_seq = 0

    def start(self, *, version: str, wall: float, monotonic: float) -> None:
        """`recover`, then a `Started` entry.

        Raises:
            StoreError: as `recover`; or the disk is full, and `process` a `Started` of your own when it is not.
        """
        self.recover(wall=wall)
        self.process([Started(version=version)], wall=wall, monotonic=monotonic)

    def recover(self, *, wall: float) -> None:
        """Restores analyze from its snapshot, improve and report from their rows, then replays the log.

        Entries up to `applied_seq` are replayed without effects: those are rows already. Later ones were logged but
        not carried out, and are carried out now. The next entry should be a `Started`.

        Raises:
            StoreError: a file is damaged, locked, or newer than this program.
        """
        self._set_aside_poison(wall)
        self._snapshot_seq = snapshot.restore(self.state, self.store.snapshots, self.store.state)
        applied = self.store.state.applied_seq()
        given = 0.0
        for group in self.store.log.read(0):
            entries = decode_group(group.blob)
            self._replay(entries, applied)
            given = entries[-1].at  # time that was given away, also to an entry that is in quarantine now
        self.store.progress.rest()
        self._saved_customers = self.state.customers.version if self.replayed == 0 else -1
        newest = max(given, self.state.at)
        ahead = max(0.0, self.state.analyze.even_at - newest)
        self._order = Order(max(self.store.log.last_seq(), self.state.seq), newest, ahead_seconds=ahead)

    def process(
        self,
        payloads: Sequence[Payload],
        *,
        wall: float,
        monotonic: float,
        logged: Callable[[Sequence[Entry]], None] = lambda _: None,
    ) -> None:
        """Takes a group of payloads through log, acknowledgement, step, commit and outlet.

        Args:
            payloads: In the order in which they came.
            wall: Now, seconds since 1970 (UTC).
            monotonic: Now by a clock that cannot be set.
            logged: Called when the entries are safe and before they are applied: acknowledge here.

        Raises:
            StoreError: before `logged`: nothing happened, submit again. After it: the entries are safe; call
                `resume` until it returns.
        """
        self.resume()
        entries = self._order.stamp(payloads, wall=wall, monotonic=monotonic)
        if entries:
            self._laps(None)
            self.store.log.append(LogGroup(entries[0].seq, entries[-1].seq, encode_group(entries)))
            self._laps(Stage.LOG)
        self._order.accept(entries, wall=wall, monotonic=monotonic)
        logged(entries)
        self._apply_all(tuple(entries))

    def resume(self) -> None:
        """Finishes what the store left unfinished when it refused: a commit, or entries that wait for their step.

        Raises:
            StoreError: the store still refuses.
        """
        if self._unfinished is not None:
            unfinished = self._unfinished
            self._finish(unfinished.entry, unfinished.effects, unfinished.behind)
            self._apply_all(unfinished.behind)
        elif self._left:
            self._apply_all(self._left)

    def expect(self, epoch: str, topology: Topology) -> None:
        """The next `ConfigEpoch` of this hash needs not be read: this is what its document says. May be called beside
        the core's thread, and takes some of the work from it."""
        watch = Watch(topology)
        watch.fingerprints()
        self.state.expected = Expected(epoch, topology, watch)

    @property
    def stalled(self) -> bool:
        """True while a commit or a step of what is logged is outstanding."""
        return self._unfinished is not None or bool(self._left)

    def save_snapshot(self) -> None:
        """Writes analyze, configuration and (when changed) customers; trims the log to the snapshot before this one.

        Raises:
            StoreError: nothing was saved; the log keeps everything that is needed.
        """
        if self.stalled:
            return
        changed = self.state.customers.version != self._saved_customers
        blocks = snapshot.blocks(self.state, with_customers=changed)
        self.store.snapshots.save(self.state.seq, self.state.at, blocks)
        self._saved_customers = self.state.customers.version
        open_from = self.store.samples.oldest_open()
        self.store.log.trim(self._snapshot_seq if open_from is None else min(self._snapshot_seq, open_from - 1))
        self._snapshot_seq = self.state.seq

    def _apply_all(self, entries: tuple[Entry, ...]) -> None:
        for place, entry in enumerate(entries):
            self._apply(entry, entries[place + 1 :])
        self.store.progress.rest()

    def _apply(self, entry: Entry, behind: tuple[Entry, ...]) -> None:
        if entry.seq in self._quarantined:
            honour(self.state, entry)
            return
        self._left = (entry, *behind)
        self.store.progress.begin(entry.seq)
        self._laps(None)
        _, effects = step(self.state, entry, self._laps)
        self._left = ()
        self._finish(entry, effects, behind)

    def _finish(self, entry: Entry, effects: Effects, behind: tuple[Entry, ...]) -> None:
        self._unfinished = _Unfinished(entry, effects, behind)
        if effects.must_commit():
            self._commit(entry, effects)
        self._unfinished = None
        self._remember_samples(entry)
        self._outlet(entry, effects)

    def _commit(self, entry: Entry, effects: Effects) -> None:
        self._laps(None)
        try:
            self.store.state.commit(_change(entry, effects))
            self._laps(Stage.COMMIT)
        except UnwritableChange:
            raise
        except StoreError:
            self.store.progress.rest()  # a disk that is full at two starts must not set a good entry aside
            raise

    def _remember_samples(self, entry: Entry) -> None:
        if isinstance(entry.payload, Batch):
            batch = entry.payload
            samples = Samples(series=batch.series, at=batch.at, value=batch.value, outcome=batch.outcome)
            self.store.samples.add(samples, entry.seq)

    def _replay(self, entries: Iterable[Entry], applied: int) -> None:
        for entry in entries:
            if entry.seq <= self._snapshot_seq:
                self._remember_samples(entry)
                continue
            self.replayed += 1
            if entry.seq > applied:
                self._apply(entry, ())
            elif entry.seq in self._quarantined:
                honour(self.state, entry)
            else:
                self.store.progress.begin(entry.seq)
                catch_up(self.state, entry)
                self._remember_samples(entry)

    def _set_aside_poison(self, wall: float) -> None:
        seq, crashes = self.store.progress.crashed_at()
        if seq and crashes >= CRASHES_TO_QUARANTINE:
            blob = self._blob_of(seq)
            self.store.state.quarantine(seq, wall, blob, f"in progress at {crashes} crashes in a row")
            self.set_aside = (seq,)
        self._quarantined = self.store.state.quarantined()

    def _blob_of(self, seq: int) -> bytes:
        for group in self.store.log.read(seq - 1):
            for entry in decode_group(group.blob):
                if entry.seq == seq:
                    return encode_group([entry])
        raise StoreError(f"samples.db: entry {seq} crashed the core but is not in the log; restore samples.db.")


def _change(entry: Entry, effects: Effects) -> StateChange:
    return StateChange(
        applied_seq=entry.seq,
        at=entry.at,
        rows=effects.rows,
        notices=effects.notices,
        again=effects.again,
        outcomes=effects.outcomes,
        orphaned=effects.orphaned,
    )
