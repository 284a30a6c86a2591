"""Defects of the order, of what is remembered, and of staff's alerts (design 3, 4, 8), planted; each must be caught."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from functools import partial

import msgspec
import numpy as np
import pytest
from cemd.analyze.findings import Moment
from cemd.analyze.vantages import Vantages
from cemd.config.configuration import Configuration
from cemd.demo.world.scenario import TrapEntry, TrapKind, When
from cemd.improve import lifecycle
from cemd.improve.desk import Desk
from cemd.improve.orders import Orders
from cemd.improve.records import AttachedFinding
from cemd.loop import core as core_module
from cemd.loop.core import Core
from cemd.model.effect import Effects
from cemd.model.entry import Batch, Command, CommandKind, ConfigEpoch, Entry, Payload, Started, encode_group
from cemd.model.finding import Condition, Finding
from cemd.model.incident import Incident, IncidentState
from cemd.model.notice import NoticeState
from cemd.model.quality import Outcome
from cemd.report import alerts, told, vantage_alerts
from cemd.report.state import ReportState
from cemd.simulation.fakes import Killed
from cemd.simulation.lives import Scene
from cemd.simulation.plan import Plan
from cemd.simulation.run import Make, Simulation
from cemd.store import memory_state
from cemd.store.base import LogGroup

from tests.simulation.planting import Patch, Planted, caught, in_core, says_stale_hints
from tests.simulation.scenes import scene


class SendsBeforeCommit(Core):
    def _finish(self, entry: Entry, effects: Effects, behind: tuple[Entry, ...]) -> None:
        outlet, self._outlet = self._outlet, lambda _entry, _effects: None
        try:
            outlet(entry, effects)
            super()._finish(entry, effects, behind)
        finally:
            self._outlet = outlet


class ForgetsTheTold(Core):
    def recover(self, *, wall: float) -> None:
        super().recover(wall=wall)
        self.state.report.told.clear()


class AcknowledgesBeforeLogging(Core):
    def process(
        self,
        payloads: Sequence[Payload],
        *,
        wall: float,
        monotonic: float,
        logged: Callable[[Sequence[Entry]], None] = lambda _: None,
    ) -> None:
        self.resume()
        entries = self._order.stamp(payloads, wall=wall, monotonic=monotonic)
        logged(entries)
        self.store.log.append(LogGroup(entries[0].seq, entries[-1].seq, encode_group(entries)))
        self._order.accept(entries, wall=wall, monotonic=monotonic)
        self._apply_all(tuple(entries))


class LetsEffectsOutTwice(Core):
    def _finish(self, entry: Entry, effects: Effects, behind: tuple[Entry, ...]) -> None:
        super()._finish(entry, effects, behind)
        self._outlet(entry, effects)


class TakesBlindForFailed(Core):
    def _apply(self, entry: Entry, behind: tuple[Entry, ...]) -> None:
        if isinstance(batch := entry.payload, Batch):
            blind = batch.outcome == Outcome.BLIND
            batch = msgspec.structs.replace(
                batch,
                outcome=np.where(blind, np.uint8(Outcome.FAILED), batch.outcome),
                value=np.where(blind, 0.0, batch.value),
            )
            entry = msgspec.structs.replace(entry, payload=batch)
        super()._apply(entry, behind)


class KnowsNoClockOfBefore(Core):
    def process(
        self,
        payloads: Sequence[Payload],
        *,
        wall: float,
        monotonic: float,
        logged: Callable[[Sequence[Entry]], None] = lambda _: None,
    ) -> None:
        if any(isinstance(one, Started) for one in payloads):
            self._order.accept([], wall=wall, monotonic=monotonic)
        super().process(payloads, wall=wall, monotonic=monotonic, logged=logged)


class SaysFindingsAtOnce(Core):
    def _finish(self, entry: Entry, effects: Effects, behind: tuple[Entry, ...]) -> None:
        if not effects.findings and isinstance(entry.payload, Batch):
            moment = Moment(entry.at, entry.seq, self.state.epoch)
            effects.findings = tuple(self.state.analyze.findings.state_anew(moment))
        super()._finish(entry, effects, behind)


class ForgetsAtAReload(Core):
    def _finish(self, entry: Entry, effects: Effects, behind: tuple[Entry, ...]) -> None:
        if isinstance(entry.payload, ConfigEpoch):
            table = self.state.improve.incidents
            for incident in tuple(table):
                table.delete(incident.id)
            effects.rows.extend(table.take_changes())
        super()._finish(entry, effects, behind)


class DiesOfHolding(Core):
    def _commit(self, entry: Entry, effects: Effects) -> None:
        if isinstance(entry.payload, Command) and entry.payload.kind is CommandKind.HOLD_SENDING:
            raise Killed("poison")
        super()._commit(entry, effects)


class DiesOfItForEver(DiesOfHolding):
    def _set_aside_poison(self, wall: float) -> None:
        del wall


def no_epoch(monkeypatch: Patch) -> None:
    monkeypatch.setattr("cemd.analyze.stage.Moment", lambda at, seq, _epoch: Moment(at, seq, ""))


def obeys_every_asking(monkeypatch: Patch) -> None:
    monkeypatch.setattr("cemd.improve.stage.too_often", lambda *_: "")


def receipts_move_what_is_settled(monkeypatch: Patch) -> None:
    movable = (NoticeState.IN_FLIGHT, NoticeState.UNKNOWN, NoticeState.ACCEPTED, NoticeState.FAILED)
    monkeypatch.setattr(told, "SETTLES", movable)
    monkeypatch.setattr(memory_state, "SETTLES", movable)


def applied_too_far(monkeypatch: Patch) -> None:
    real = core_module._change

    def ahead(entry: Entry, effects: Effects) -> object:
        return dataclasses.replace(real(entry, effects), applied_seq=entry.seq + 7)

    monkeypatch.setattr(core_module, "_change", ahead)


def straight_to_closed(monkeypatch: Patch) -> None:
    def resolved(incident: Incident, at: float) -> Incident:
        return msgspec.structs.replace(incident, state=IncidentState.CLOSED, resolved_at=at, closed_at=at)

    monkeypatch.setattr(lifecycle, "resolved", resolved)


def chance_in_the_core(monkeypatch: Patch) -> None:
    dice = np.random.default_rng()
    monkeypatch.setattr("cemd.improve.assessor.urgency", lambda *_: (float(dice.random()), 5))


def malformed_breaks_it(monkeypatch: Patch) -> None:
    def refuse(self: Orders, *_: object) -> None:
        raise ValueError("not prepared for this")

    monkeypatch.setattr(Orders, "obey", refuse)


def any_configuration(monkeypatch: Patch) -> None:
    real = Configuration.from_document
    monkeypatch.setattr(
        Configuration, "from_document", lambda document: real(document.replace(b'"setings":', b'"settings":', 1))
    )


def no_resolve(monkeypatch: Patch) -> None:
    monkeypatch.setattr(alerts, "stop", lambda rows, row, _: rows.delete(row.id))


def feeds_are_missed_by_the_clock(monkeypatch: Patch) -> None:
    """As if each probe's feed were pushed: nobody asks whether its vantage point measures at all."""

    def by_the_clock(_: Vantages, probers: Mapping[str, int]) -> tuple[np.ndarray, np.ndarray]:
        return np.full(len(probers) + 1, np.inf), np.full(len(probers) + 1, -np.inf)

    monkeypatch.setattr(Vantages, "spoken", by_the_clock)


def part_of_an_incident(monkeypatch: Patch) -> None:
    """A silent vantage point is taken for evidence of whatever is hurt."""
    real = Desk._support

    def support(self: Desk, findings: Sequence[AttachedFinding]) -> dict[str, None]:
        live = self.state.live()
        for one in self.state.attached(""):
            if live and one.finding.condition is Condition.SILENCE:
                self.state.attach(msgspec.structs.replace(one, incident=live[0].id))
        return real(self, findings)

    monkeypatch.setattr(Desk, "_support", support)


def nobody_is_missed(monkeypatch: Patch) -> None:
    monkeypatch.setattr(Vantages, "is_silent", lambda *_, **__: False)


def nobody_hears_that_it_is_back(monkeypatch: Patch) -> None:
    def forget(state: ReportState, finding: Finding, *_: object) -> None:
        state.silent.delete(finding.id)

    monkeypatch.setattr(vantage_alerts, "_end", forget)


def test_a_core_that_takes_blind_for_failed_is_caught_in_a_whole_scenario() -> None:
    """Nothing goes wrong here but that the vantage point at home is blind for a while."""
    shipped = scene()
    trap = TrapEntry(
        name="home-is-blind",
        kind=TrapKind.BLIND_VANTAGE,
        vantage="home",
        when=When(at_hour=0.25),
        lasts_minutes=[20.0, 20.0],
    )
    scenario = shipped.scenario.model_copy(update={"faults": [], "traps": [trap]})
    blind = Scene(scenario, shipped.rules, shipped.kinds)
    plan = Plan(seed=2, days=0.06, only=("event.0",))
    assert Simulation(plan, build=blind).run().broken is None
    broken = Simulation(plan, make=TakesBlindForFailed, build=blind).run().broken
    assert broken is not None
    assert broken.promise == "blindness_never_hurts"


def hold_sending(make: Make) -> Simulation:
    """A life in which nothing happens but one command."""
    life = Simulation(Plan(seed=1, days=0.02, only=()), make=make)
    life.at(life.begin + 307.3, partial(life.say, CommandKind.HOLD_SENDING))
    return life


def test_a_core_that_tries_again_what_killed_it_twice_is_caught() -> None:
    report = hold_sending(DiesOfHolding).run()
    assert report.broken is None
    assert report.starts == 3
    broken = hold_sending(DiesOfItForEver).run().broken
    assert broken is not None
    assert broken.promise == "an_entry_that_kills_twice_is_set_aside"


PLANTED = (
    Planted(in_core(SendsBeforeCommit), "rows_before_effects"),
    Planted(in_core(ForgetsTheTold), "loaded_equals_lived"),
    Planted(in_core(AcknowledgesBeforeLogging), "acknowledged_is_never_lost"),
    Planted(in_core(KnowsNoClockOfBefore), "a_clock_set_while_down_is_said"),
    Planted(in_core(LetsEffectsOutTwice), "order_never_goes_back"),
    Planted(in_core(SaysFindingsAtOnce), "findings_arise_at_ticks"),
    Planted(no_epoch, "everything_carries_its_evidence"),
    Planted(in_core(ForgetsAtAReload), "a_reload_forgets_nothing"),
    Planted(receipts_move_what_is_settled, "a_settled_notice_stays_settled"),
    Planted(applied_too_far, "applied_seq_never_goes_back"),
    Planted(straight_to_closed, "incidents_follow_the_published_transitions"),
    Planted(chance_in_the_core, "replay_decides_the_same"),
    Planted(malformed_breaks_it, "the_core_never_fails"),
    Planted(any_configuration, "a_refused_reload_changes_nothing"),
    Planted(obeys_every_asking, "runs_asked_for_are_bounded"),
    Planted(feeds_are_missed_by_the_clock, "a_silent_vantage_point_silences_no_service"),
    Planted(part_of_an_incident, "a_silent_vantage_point_silences_no_service"),
    Planted(nobody_is_missed, "a_vantage_point_that_is_not_heard_is_said"),
    Planted(nobody_hears_that_it_is_back, "a_firing_that_was_sent_gets_its_resolve"),
    Planted(no_resolve, "a_firing_that_was_sent_gets_its_resolve"),
)


@says_stale_hints
@pytest.mark.parametrize("planted", PLANTED, ids=str)
def test_a_planted_defect_is_caught(planted: Planted, monkeypatch: Patch) -> None:
    caught(planted, monkeypatch)
