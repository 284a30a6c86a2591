"""The core over a store in memory: what is acknowledged is safe, what is committed goes out, poison is set aside."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from cemd.config.catalogue import Domain, Service
from cemd.config.configuration import Configuration, hash_of
from cemd.config.probes import Probe
from cemd.config.rules import Indicator, Objective, Score, Selector, Summary
from cemd.config.topology import Topology
from cemd.errors import StoreError, UnwritableChange
from cemd.loop.core import Core
from cemd.model.customers import CustomerFlag
from cemd.model.effect import Effects
from cemd.model.entry import (
    Batch,
    Command,
    CommandKind,
    ConfigEpoch,
    Contact,
    ContactKind,
    Entry,
    Payload,
    SeriesAdded,
    Tick,
)
from cemd.model.incident import Incident
from cemd.model.measurement import SUCCESS, Series, SeriesKey
from cemd.model.quality import Dimension
from cemd.store.base import Faults, Moment, no_faults
from cemd.store.memory import MemoryStore

from tests.report.world import people

START = 1_790_000_000.0
CONFIGURATION = Configuration(
    services=[Service(name="web", function="portal", domain=Domain.IT, platform="nginx", sold=True)],
    probes=[
        Probe(name=name, kind="tcp", service="web", every_seconds=10.0, timeout_seconds=2.0)
        for name in ("web-a", "web-b")
    ],
    indicators=[
        Indicator(
            name="web-up",
            of=Selector(service="web", metric=SUCCESS),
            summary=Summary.RATIO,
            window_seconds=60.0,
            dimension=Dimension.RELIABILITY,
            score=Score(worst=0.5, best=1.0),
            objective=Objective(at_least=0.9, for_seconds=20.0, clear_for_seconds=20.0),
            source="test",
        )
    ],
)
SERIES = tuple(
    Series(id=serial, key=SeriesKey(probe=name, metric=SUCCESS), source="prober:home")  # type: ignore[arg-type]
    for serial, name in enumerate(("web-a", "web-b"))
)


class Killed(BaseException):
    """The process ends here."""


class Life:
    """One core after another over one store; every life begins as a process does."""

    def __init__(self, faults: Faults = no_faults) -> None:
        self.memory = MemoryStore(faults)
        self.now = START
        self.batches = 0
        self.logged: list[int] = []
        self.effects: list[tuple[int, Effects]] = []
        self.core = self.born()

    def born(self) -> Core:
        self.memory.restart()
        self.core = Core(self.memory.store(), lambda entry, effects: self.effects.append((entry.seq, effects)))
        self.core.start(version="test", wall=self.now, monotonic=self.now)
        return self.core

    def take(self, *payloads: Payload) -> None:
        self.core.process(payloads, wall=self.now, monotonic=self.now, logged=self._logged)

    def _logged(self, entries: Sequence[Entry]) -> None:
        self.logged += [entry.seq for entry in entries]

    def set_up(self) -> None:
        document = CONFIGURATION.document()
        self.take(ConfigEpoch(hash=hash_of(document), author="test", document=document), SeriesAdded(series=SERIES))

    def live(self, seconds: int, *, success: float) -> None:
        for _ in range(0, seconds, 10):
            self.now += 10.0
            self.batches += 1
            batch = Batch(
                source="prober:home",
                number=self.batches,
                series=np.array([0, 1]),
                at=np.array([self.now, self.now]),
                value=np.array([success, success]),
                outcome=np.zeros(2, np.uint8),
            )
            self.take(batch, Tick())

    def incidents(self) -> list[Incident]:
        return list(self.core.state.improve.incidents)


def test_topology_that_was_made_beside_the_core_counts_for_its_own_epoch_alone() -> None:
    core = Core(MemoryStore().store(), lambda _entry, _effects: None)
    core.start(version="test", wall=START, monotonic=0.0)
    given = Topology(CONFIGURATION)
    document = CONFIGURATION.document()
    core.expect("another", given)
    core.process([ConfigEpoch(hash="one", author="test", document=document)], wall=START + 1, monotonic=1.0)
    assert core.state.topology is not given
    core.process([ConfigEpoch(hash="another", author="test", document=document)], wall=START + 2, monotonic=2.0)
    assert core.state.topology is not given, "what was expected and did not come next is forgotten"
    core.expect("third", given)
    core.process([ConfigEpoch(hash="third", author="test", document=document)], wall=START + 3, monotonic=3.0)
    assert core.state.topology is given


def test_an_outage_becomes_one_incident_and_survives_a_restart_as_it_was() -> None:
    life = Life()
    life.set_up()
    life.live(300, success=1.0)
    assert life.incidents() == []
    life.live(120, success=0.0)
    before = life.incidents()
    assert len(before) == 1
    assert before[0].cause.service == "web"
    life.born()
    assert [incident.id for incident in life.incidents()] == [before[0].id]
    life.live(120, success=0.0)
    assert len(life.incidents()) == 1
    assert life.incidents()[0].opened_at == before[0].opened_at


def test_a_state_that_was_recovered_goes_on_like_one_that_lived_through() -> None:
    steady, broken = Life(), Life()
    for life in (steady, broken):
        life.set_up()
        life.live(300, success=1.0)
        life.live(50, success=0.0)
    broken.core.save_snapshot()
    broken.live(20, success=0.0)
    steady.live(20, success=0.0)
    broken.born()
    steady.take()  # the other took a Started entry
    for life in (steady, broken):
        life.live(200, success=0.0)
    assert [i.opened_at for i in broken.incidents()] == [i.opened_at for i in steady.incidents()]
    assert [i.impact for i in broken.incidents()] == [i.impact for i in steady.incidents()]


def test_what_cannot_be_logged_is_not_acknowledged_and_leaves_no_gap() -> None:
    full = False

    def disk(operation: str, moment: Moment) -> None:
        if full and operation == "log.append" and moment is Moment.WITHIN:
            raise StoreError("samples.db: the disk is full; make room.")

    life = Life(disk)
    full = True
    with pytest.raises(StoreError):
        life.take(Tick())
    assert life.logged == []
    full = False
    life.take(Tick())
    assert life.logged == [2]  # 1 is `Started`


def test_a_commit_that_fails_is_tried_again_before_anything_else() -> None:
    full = False

    def disk(operation: str, moment: Moment) -> None:
        if full and operation == "state.commit" and moment is Moment.BEFORE:
            raise StoreError("state.db: the disk is full; make room.")

    life = Life(disk)
    life.set_up()
    life.live(300, success=1.0)
    full = True
    with pytest.raises(StoreError):
        life.live(120, success=0.0)
    assert _stalled(life)
    assert not any(effects.rows for _, effects in life.effects if any(r.table == "incident" for r in effects.rows))
    full = False
    life.core.resume()
    assert not _stalled(life)
    rows = dict(life.memory.state.rows("incident"))
    assert set(rows) == {incident.id for incident in life.incidents()}


def test_an_entry_in_progress_at_two_crashes_in_a_row_is_set_aside() -> None:
    life = Life()
    life.set_up()
    poison = life.core.state.seq + 1
    life.now += 1.0

    def kill(_: Entry, __: Effects) -> None:
        raise Killed

    for _ in range(2):
        life.core._outlet = kill
        life.memory.progress.begin(poison)  # as a crash within `step` would leave it
        if life.core.state.seq < poison:
            with pytest.raises(Killed):
                life.take(Tick())
        life.memory.progress.begin(poison)
        life.born()
    assert life.core.set_aside == (poison,)
    assert poison in life.memory.state.quarantined()


def test_core_time_goes_on_after_an_entry_in_quarantine_though_the_clock_was_put_back() -> None:
    poison = 0

    def disk(operation: str, moment: Moment) -> None:
        if operation == "state.commit" and moment is Moment.BEFORE and life.core.state.seq == poison:
            raise Killed

    life = Life(disk)
    life.set_up()
    poison = life.core.state.seq + 1
    life.now += 30.0
    given = life.now
    with pytest.raises(Killed):
        life.take(Tick())
    life.now -= 3600.0
    with pytest.raises(Killed):
        life.born()
    life.born()
    assert life.core.set_aside == (poison,)
    assert life.core.state.at >= given


@pytest.mark.parametrize(
    ("asked", "flag"),
    [(ContactKind.UNSUBSCRIBED, CustomerFlag.UNSUBSCRIBED), (ContactKind.ERASED, CustomerFlag.ERASED)],
)
def test_who_asked_not_to_be_told_is_not_told_though_the_entry_is_set_aside(
    asked: ContactKind, flag: CustomerFlag
) -> None:
    life = Life()
    life.set_up()
    life.take(people(3))
    poison = life.core.state.seq + 1

    def kill(_: Entry, __: Effects) -> None:
        raise Killed

    for _ in range(2):
        life.core._outlet = kill
        if life.core.state.seq < poison:
            with pytest.raises(Killed):
                life.take(Contact(kind=asked, customer=1))
        life.memory.progress.begin(poison)  # as a crash within `step` would leave it
        life.born()
    assert life.core.set_aside == (poison,)
    assert life.core.state.customers["flags"].tolist() == [1, 1 | flag, 1]
    life.core.save_snapshot()
    life.born()
    assert life.core.state.customers["flags"].tolist() == [1, 1 | flag, 1]


def test_the_log_is_trimmed_only_below_what_a_start_needs() -> None:
    life = Life()
    life.set_up()
    for _ in range(5):
        life.live(600, success=1.0)
        life.core.save_snapshot()
    before = life.core.state.at
    life.born()
    assert life.core.state.at >= before
    assert life.core.replayed == 0


def _stalled(life: Life) -> bool:
    return life.core.stalled


def test_a_disk_that_is_full_at_two_starts_sets_no_entry_aside() -> None:
    full = False

    def disk(operation: str, moment: Moment) -> None:
        if full and operation == "state.commit" and moment is Moment.BEFORE:
            raise StoreError("state.db: the disk is full; make room.")

    life = Life(disk)
    life.set_up()
    life.live(300, success=1.0)
    full = True
    with pytest.raises(StoreError):
        life.live(120, success=0.0)
    for _ in range(3):
        with pytest.raises(StoreError):
            life.born()
    full = False
    life.born()
    assert life.core.set_aside == ()
    assert life.memory.state.quarantined() == set()
    assert len(life.incidents()) == 1


def test_an_entry_whose_rows_can_never_be_written_is_set_aside_at_last() -> None:
    poison = 0

    def disk(operation: str, moment: Moment) -> None:
        if operation == "state.commit" and moment is Moment.BEFORE and life.core.state.seq == poison:
            raise UnwritableChange("state.db: a row stands there already; a fault of cemd.")

    life = Life(disk)
    life.set_up()
    poison = life.core.state.seq + 1
    life.now += 1.0
    with pytest.raises(UnwritableChange):
        life.take(Command(kind=CommandKind.KILL, actor="test"))
    with pytest.raises(UnwritableChange):
        life.born()
    life.born()
    assert life.core.set_aside == (poison,)


def test_what_was_logged_is_applied_when_even_the_note_of_progress_cannot_be_written() -> None:
    life = Life()
    life.set_up()
    progress = life.memory.progress
    begin, times = progress.begin, 0

    def refuse(seq: int) -> None:
        nonlocal times
        times += 1
        if times == 2:
            raise StoreError("progress: cannot be written (no space left on device); free space on the disk.")
        begin(seq)

    progress.begin = refuse  # type: ignore[method-assign]
    life.now += 1.0
    kill = Command(kind=CommandKind.KILL, actor="test")
    with pytest.raises(StoreError):
        life.take(Tick(), kill, Tick())
    assert life.logged[-3:] == [life.core.state.seq + place for place in range(3)]
    assert _stalled(life)
    life.core.resume()
    assert not _stalled(life)
    assert life.core.state.report.sending.killed
    assert life.core.state.seq == life.logged[-1]
