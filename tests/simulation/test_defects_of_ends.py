"""Defects of deadlines, ends and honest delivery (design 9.2, 9.6, 9.7, 9.10), planted; each must be caught."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
from cemd.loop.core import Core
from cemd.model.effect import Effects
from cemd.model.entry import Entry, NoticeOutcomes
from cemd.model.notice import NoticeState
from cemd.report import choosing, communications, dispatch, stage, told
from cemd.report import state as report_state
from cemd.report.state import Moment, ReportState
from cemd.simulation import servers
from cemd.store import memory_state
from pyroaring import BitMap

from tests.simulation.planting import Patch, Planted, caught, in_core, says_stale_hints


class KeepsTheKillSwitchToItself(Core):
    def _finish(self, entry: Entry, effects: Effects, behind: tuple[Entry, ...]) -> None:
        effects.stopped = None
        super()._finish(entry, effects, behind)


class HandsNoticesOverTwice(Core):
    def _finish(self, entry: Entry, effects: Effects, behind: tuple[Entry, ...]) -> None:
        outlet = self._outlet

        def twice(entry: Entry, effects: Effects) -> None:
            effects.notices = [*effects.notices, *effects.notices]
            outlet(entry, effects)

        self._outlet = twice
        try:
            super()._finish(entry, effects, behind)
        finally:
            self._outlet = outlet


def no_end(monkeypatch: Patch) -> None:
    def ended(_state: object, communication: object, moment: object) -> object:
        return msgspec.structs.replace(
            communication, state=communications.State.ENDED, ended_at=moment.at  # type: ignore[attr-defined, type-var]
        )  # fmt: skip

    monkeypatch.setattr(communications, "_ending", ended)


def end_at_once(monkeypatch: Patch) -> None:
    real = communications._stabilising

    def hasty(state: object, communication: object, moment: object, *, hurting: bool) -> object:
        early = msgspec.structs.replace(communication, clear_since=1.0)  # type: ignore[type-var]
        return real(state, early if not hurting else communication, moment, hurting=hurting)  # type: ignore[arg-type]

    monkeypatch.setattr(communications, "_stabilising", hasty)


def undecided(monkeypatch: Patch) -> None:
    monkeypatch.setattr(communications, "_holding", lambda _state, communication, _moment, **_: communication)


def sent_again_after_a_start(monkeypatch: Patch) -> None:
    real = ReportState.restore

    def restore(self: ReportState, store: object) -> None:
        real(self, store)  # type: ignore[arg-type]
        self.unfinished = [
            flight
            for one in self.communications
            for flight in report_state._unfinished(one.id, store.outbox(one.id))  # type: ignore[attr-defined]
        ]

    monkeypatch.setattr(ReportState, "restore", restore)


def the_told_are_anybody(monkeypatch: Patch) -> None:
    monkeypatch.setattr(choosing, "_required", lambda *_: None)
    monkeypatch.setattr(choosing, "owed", lambda *_: BitMap(range(20)))


def told_firsts_are_forgotten(monkeypatch: Patch) -> None:
    monkeypatch.setattr(choosing, "_already", lambda *_: BitMap())


def what_was_accepted_becomes_unknown(monkeypatch: Patch) -> None:
    def orphan(self: memory_state._Outbox, at: float) -> None:
        del at
        lost = (NoticeState.IN_FLIGHT, NoticeState.ACCEPTED, NoticeState.DELIVERED)
        self.state = [int(NoticeState.UNKNOWN) if each in lost else each for each in self.state]

    monkeypatch.setattr(memory_state._Outbox, "orphan", orphan)


def servers_fail(monkeypatch: Patch, *, for_seconds: float) -> None:
    """Often, so that a short life has much that did not leave."""
    monkeypatch.setattr(servers, "UP_SECONDS", (20.0, 300.0))
    monkeypatch.setattr(servers, "DOWN_SECONDS", (for_seconds,))


def due_becomes_unknown(monkeypatch: Patch) -> None:
    """A start takes what surely did not leave for what may have left."""
    servers_fail(monkeypatch, for_seconds=900.0)
    monkeypatch.setattr(told.Told, "orphan", lambda self: any(self.states()))

    def orphan(self: memory_state._Outbox, at: float) -> None:
        del at
        lost = (NoticeState.IN_FLIGHT, NoticeState.DUE)
        self.state = [int(NoticeState.UNKNOWN) if each in lost else each for each in self.state]

    monkeypatch.setattr(memory_state._Outbox, "orphan", orphan)


def a_lost_answer_is_taken_for_a_refusal(monkeypatch: Patch) -> None:
    """What may have left goes out again."""
    real = dispatch.settle

    def settle(state: ReportState, outcomes: NoticeOutcomes, moment: Moment) -> None:
        sets = state.told_of(outcomes.communication).at(outcomes.phase, outcomes.revision)
        lost = outcomes.customer[outcomes.state == NoticeState.UNKNOWN]
        due = np.full(len(lost), NoticeState.DUE, np.uint8)
        for seq in dict.fromkeys(each.seq for each in sets.handed):
            real(state, msgspec.structs.replace(outcomes, customer=lost, state=due, seq=seq), moment)
        real(state, outcomes, moment)

    monkeypatch.setattr(stage, "settle", settle)


def due_is_never_dropped(monkeypatch: Patch) -> None:
    """What is over by then stays due for ever."""
    servers_fail(monkeypatch, for_seconds=900.0)
    monkeypatch.setattr(communications, "drop_unsent", lambda *_: None)
    monkeypatch.setattr(communications, "has_unsent", lambda *_: False)


PLANTED = (
    Planted(no_end, "everyone_told_hears_one_end"),
    Planted(end_at_once, "over_only_after_it_was_stable"),
    Planted(undecided, "decided_by_the_deadline"),
    Planted(the_told_are_anybody, "over_only_to_the_told"),
    Planted(told_firsts_are_forgotten, "no_second_first"),
    Planted(sent_again_after_a_start, "nothing_leaves_before_its_row"),
    Planted(what_was_accepted_becomes_unknown, "unknown_is_bounded_by_what_was_in_flight"),
    Planted(due_becomes_unknown, "what_did_not_leave_stays_due"),
    Planted(a_lost_answer_is_taken_for_a_refusal, "only_what_did_not_leave_goes_out_again"),
    Planted(due_is_never_dropped, "nothing_stays_due"),
    Planted(in_core(HandsNoticesOverTwice), "informational_is_submitted_at_most_once"),
    Planted(in_core(KeepsTheKillSwitchToItself), "nothing_leaves_after_the_kill_switch"),
)


@says_stale_hints
@pytest.mark.parametrize("planted", PLANTED, ids=str)
def test_a_planted_defect_is_caught(planted: Planted, monkeypatch: Patch) -> None:
    caught(planted, monkeypatch)
