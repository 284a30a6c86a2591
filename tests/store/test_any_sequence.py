"""Whatever is committed in whatever order, with kills in between: memory and files agree, and no promise breaks."""

from __future__ import annotations

import itertools
import shutil
import tempfile
from pathlib import Path

import msgspec
from cemd.errors import StoreError
from cemd.model.entry import NoticeOutcomes
from cemd.model.notice import TOLD_STATES, NoticeRows, NoticeState, Phase
from cemd.model.rows import RowChange, Rows
from cemd.store.base import LogGroup, Moment, StateChange
from cemd.store.memory import MemoryStore
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from tests.store.house import House, Killed, MemoryHouse, SqliteHouse, key, notices, outcomes

COMMUNICATIONS = ("com-1", "com-2")
COLUMNS = ("customer", "digest", "phase", "state", "moved_at", "seq")
customers = st.lists(st.integers(0, 12), max_size=5)
inserted = st.builds(
    lambda who, com, digest, phase: notices(
        who, communication=com, digests=[digest * (n + 1) for n in who], phase=Phase(phase)
    ),
    customers,
    st.sampled_from(COMMUNICATIONS),
    st.integers(0, 2),
    st.integers(0, 1),
)
moved = st.builds(
    lambda who, com, state: outcomes(who, [state] * len(who), communication=com),
    customers,
    st.sampled_from(COMMUNICATIONS),
    st.sampled_from(
        [NoticeState.ACCEPTED, NoticeState.FAILED, NoticeState.UNKNOWN, NoticeState.DELIVERED, NoticeState.DUE]
    ),
)
changed_rows = st.lists(
    st.builds(
        RowChange,
        st.sampled_from(["incident", "timer"]),
        st.sampled_from("abcd"),
        st.sampled_from([None, b"{}", b'{"state":"open"}']),
    ),
    max_size=4,
)
struck = st.sampled_from([None, None, None, Moment.BEFORE, Moment.WITHIN, Moment.AFTER])


class Stores(RuleBasedStateMachine):
    """Does the same to both stores."""

    @initialize()
    def build(self) -> None:
        self.directory = Path(tempfile.mkdtemp())
        self.houses: tuple[House, ...] = (MemoryHouse(), SqliteHouse(self.directory / "state"))
        self.seq = 0
        self.told: set[tuple[str, int, int]] = set()
        self.settled: dict[tuple[str, int, int], int] = {}

    def teardown(self) -> None:
        for house in self.houses:
            house.close()
        shutil.rmtree(self.directory)

    @rule(
        rows=changed_rows,
        rows_of_outbox=st.lists(inserted, max_size=2),
        again=st.lists(inserted, max_size=1),
        moves=st.lists(moved, max_size=2),
        orphaned=st.lists(st.sampled_from(COMMUNICATIONS), max_size=1),
        strike=struck,
    )
    def commit(
        self,
        rows: list[RowChange],
        rows_of_outbox: list[NoticeRows],
        again: list[NoticeRows],
        moves: list[NoticeOutcomes],
        orphaned: list[str],
        strike: Moment | None,
    ) -> None:
        change = StateChange(
            applied_seq=self.seq + 1,
            at=float(self.seq),
            rows=rows,
            notices=rows_of_outbox,
            again=[one for one in again if len(set(one.customer.tolist())) == len(one.customer)],
            outcomes=moves,
            orphaned=orphaned,
        )
        answers = set()
        for house in self.houses:
            house.strike.at = None if strike is None else ("state.commit", strike)
            try:
                house.store.state.commit(change)
                answers.add("done")
            except StoreError:
                answers.add("refused")
            except Killed:
                house.reopen()
                answers.add("killed")
            house.strike.at = None
        assert len(answers) == 1
        self.seq = self.houses[0].store.state.applied_seq()

    @rule(entries=st.integers(1, 3), strike=struck)
    def append(self, entries: int, strike: Moment | None) -> None:
        for house in self.houses:
            first = house.store.log.last_seq() + 1
            house.strike.at = None if strike is None else ("log.append", strike)
            try:
                house.store.log.append(LogGroup(first, first + entries - 1, b"x" * entries))
            except Killed:
                house.reopen()
            house.strike.at = None

    @rule(upto=st.integers(0, 20))
    def trim(self, upto: int) -> None:
        for house in self.houses:
            house.store.log.trim(upto)

    @rule(probes=st.lists(st.sampled_from("abcdef"), max_size=4), most=st.integers(0, 5), strike=struck)
    def resolve(self, probes: list[str], most: int, strike: Moment | None) -> None:
        found = []
        for house in self.houses:
            house.strike.at = None if strike is None else ("series.resolve", strike)
            try:
                found.append(house.store.series.resolve("prober", [key(probe) for probe in probes], most))
            except Killed:
                house.reopen()
            house.strike.at = None
        assert not found or found[0] == found[1]

    @rule()
    def reopen(self) -> None:
        for house in self.houses:
            house.reopen()

    @invariant()
    def both_remember_the_same(self) -> None:
        seen = []
        for house in self.houses:
            state = house.store.state
            outbox = [state.outbox(name) for name in COMMUNICATIONS]
            seen.append(
                (
                    state.applied_seq(),
                    [list(state.rows(table)) for table in ("incident", "timer")],
                    [[getattr(box, name).tolist() for name in COLUMNS] for box in outbox],
                    state.in_flight(),
                    house.store.log.last_seq(),
                    list(house.store.log.read(0)),
                    house.store.series.all(),
                )
            )
        assert seen[0] == seen[1]

    @invariant()
    def the_log_has_no_gap(self) -> None:
        groups = list(self.houses[1].store.log.read(0))
        assert all(one.last + 1 == two.first for one, two in itertools.pairwise(groups))

    @invariant()
    def nobody_is_told_twice_and_nobody_told_is_forgotten(self) -> None:
        for name in COMMUNICATIONS:
            box = self.houses[1].store.state.outbox(name)
            places = list(zip(box.customer.tolist(), box.phase.tolist(), strict=True))
            assert len(set(places)) == len(places)
            addressed = [(p, d) for p, d in zip(box.phase.tolist(), box.digest.tolist(), strict=True) if d]
            assert len(set(addressed)) == len(addressed)
            for (customer, phase), state in zip(places, box.state.tolist(), strict=True):
                if state in TOLD_STATES:
                    self.told.add((name, customer, phase))
                if state in (NoticeState.ACCEPTED, NoticeState.DELIVERED, NoticeState.FAILED):
                    assert self.settled.setdefault((name, customer, phase), state) == state
            assert {place for place in self.told if place[0] == name} <= {(name, *place) for place in places}


TestAnySequence = Stores.TestCase
TestAnySequence.settings = settings(max_examples=25, stateful_step_count=20)


class Record(msgspec.Struct, frozen=True):
    state: int


@given(
    steps=st.lists(
        st.one_of(
            st.tuples(st.just("put"), st.sampled_from("abc"), st.integers(0, 3)),
            st.tuples(st.just("delete"), st.sampled_from("abc"), st.just(0)),
            st.tuples(st.just("commit"), st.just(""), st.just(0)),
        )
    )
)
def test_loaded_rows_stand_in_the_order_that_was_lived(steps: list[tuple[str, str, int]]) -> None:
    state = MemoryStore().state
    lived = Rows("timer", Record)
    for seq, (step, name, value) in enumerate([*steps, ("commit", "", 0)], 1):
        match step:
            case "put":
                lived.put(name, Record(value))
            case "delete":
                lived.delete(name)
            case _:
                state.commit(StateChange(applied_seq=seq, at=0.0, rows=lived.take_changes()))
    loaded = Rows("timer", Record)
    loaded.load(state.rows("timer"))
    assert list(loaded) == list(lived)
