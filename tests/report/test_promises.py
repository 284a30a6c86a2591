"""For any sequence of events, commands, dispatches, outcomes and restarts: the promises to customers hold.

The checks look at what a customer could notice (rows handed to an edge) and at decisions, never at how report works.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
from cemd.model.customers import ChannelKind, CustomerFlag
from cemd.model.entry import CommandKind, ContactKind
from cemd.model.notice import CommunicationState, NoticeRows, NoticeState, Phase, Reason
from cemd.report.entitled import standing
from cemd.report.state import ReportState
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.report.world import World, configuration, people, policy

N = 6
CAPS = [{"most": 4, "window_seconds": 86_400.0}]
QUIET = {"start": "22:00", "end": "08:00"}
OUTCOMES = (
    NoticeState.ACCEPTED, NoticeState.DELIVERED, NoticeState.FAILED, NoticeState.EXPIRED, NoticeState.CANCELLED,
    NoticeState.UNKNOWN, NoticeState.DUE, NoticeState.DUE,
)  # fmt: skip

common = st.one_of(
    st.tuples(st.just("run"), st.sampled_from([60, 400, 700, 700, 4000, 30_000])),
    st.tuples(st.just("wait"), st.sampled_from([10, 60, 300, 700, 4000, 20_000])),
    st.tuples(st.just("clear"), st.none()),
    st.tuples(st.just("relapse"), st.none()),
    st.tuples(st.just("take"), st.integers(1, 4)),
    st.tuples(st.just("outcome"), st.sampled_from(OUTCOMES)),
    st.tuples(st.just("late"), st.none()),
    st.tuples(st.just("restart"), st.none()),
)
rare = st.one_of(
    st.tuples(st.just("hurt"), st.tuples(st.booleans(), st.sampled_from(["east", ""]))),
    st.tuples(st.just("resolve"), st.none()),
    st.tuples(st.just("kill"), st.none()),
    st.tuples(st.just("unkill"), st.none()),
    st.tuples(st.just("hold"), st.none()),
    st.tuples(st.just("release"), st.booleans()),
    st.tuples(st.just("decline"), st.none()),
    st.tuples(st.just("contact"), st.tuples(st.sampled_from(list(ContactKind)), st.integers(0, N - 1))),
    st.tuples(st.just("reload"), st.sampled_from(["live", "shadow", "gone"])),
)
steps = st.one_of(common, common, common, rare)
beginnings = st.sampled_from(
    [
        [],
        [("hurt", (True, "east")), ("run", 400)],
        [("hurt", (True, "east")), ("wait", 350), ("take", 2)],
        [("hurt", (True, "east")), ("run", 400), ("clear", None), ("run", 700)],
        [("hurt", (True, "east")), ("run", 400), ("clear", None), ("wait", 650), ("take", 2), ("relapse", None)],
        [("hurt", (True, "east")), ("run", 400), ("clear", None), ("run", 700), ("relapse", None), ("run", 60)],
    ]
)


class Checked(World):
    """A world that remembers what it must never see."""

    def __init__(self, mode: str, quiet: bool, caps: bool, ceiling: int) -> None:
        changes: dict[str, Any] = {"mode": mode, "ceiling": ceiling}
        if quiet:
            changes["quiet_hours"] = QUIET
        if caps:
            changes["caps"] = CAPS
        self.rule = policy(**changes)
        mail, both = 1 << ChannelKind.EMAIL, (1 << ChannelKind.EMAIL) | (1 << ChannelKind.WEBHOOK)
        load = people(
            N,
            channels=[mail, mail, both, both, 0, mail],
            digest_email=[1, 2, 3, 3, 0, 6],
            digest_webhook=[0, 0, 30, 40, 0, 0],
            preferred=[255, 255, 255, ChannelKind.WEBHOOK, 255, 255],
            zone=[0, 1, 2, 3, 0, 1],
            flags=[0, 0, 0, 0, 0, int(CustomerFlag.MACHINE)],
        )
        super().__init__(configuration([self.rule]), load)
        self.flying: list[NoticeRows] = []
        self.returned: list[NoticeRows] = []

    def obey(self, step: tuple[str, Any]) -> None:
        match step:
            case ("wait", seconds):
                self.tick(seconds)
            case ("run", seconds):
                self.run(seconds, step=seconds / 5)
            case ("hurt", (confirmed, site)):
                self.hurt(confirmed=confirmed, site=site)
            case ("clear", _) if self.incident:
                self.clear()
            case ("relapse", _) if self.incident:
                self.relapse()
            case ("resolve", _) if self.incident and self.incident.clear_since:
                self.resolve()
            case ("take", capacity):
                for channel in ("mail", "hook"):
                    before = len(self.rows)
                    self.take(channel, capacity, None)
                    self.flying.extend(self.rows[before:])
            case ("outcome", state) if self.flying:
                rows = self.flying.pop(0)
                self.outcome(rows, state)
                if state is NoticeState.DUE:
                    self.returned.append(rows)
            case ("late", _) if self.returned:  # said twice, perhaps after it went out again
                self.outcome(self.returned[-1], NoticeState.DUE)
            case ("kill" | "unkill" as word, _):
                self.command(CommandKind(word))
            case ("hold", _):
                self.command(CommandKind.HOLD_SENDING)
            case ("release", everything):
                for one in () if everything else self.state.communications:
                    self.command(CommandKind.RELEASE, one.id)
                if everything:
                    self.command(CommandKind.RELEASE)
            case ("decline", _):
                for one in self.state.communications:
                    self.command(CommandKind.DECLINE, one.id)
            case ("restart", _):
                self.flying.clear()
                lived = snapshot(self.state)
                self.restart_and_compare(lived)
            case ("contact", (kind, customer)):
                self.contact(kind, customer)
            case ("reload", word):
                rules = [] if word == "gone" else [{**self.rule, "mode": word}]
                self.reload(configuration(rules))
            case _:
                pass

    def restart_and_compare(self, lived: object) -> None:
        loaded = ReportState()
        loaded.restore(self.store)
        assert snapshot(loaded) == lived
        self.restart()

    def finish(self) -> None:
        """Everything calms down: nothing is held back any more, every edge works, time passes."""
        self.command(CommandKind.UNKILL)
        self.command(CommandKind.RELEASE)
        for incident in self.state.incidents:
            self.incident = incident
            if incident.clear_since is None:
                self.clear()
        for _ in range(60):
            self.tick(3600)
            for channel in ("mail", "hook"):
                self.take(channel, 100)


def snapshot(state: ReportState) -> object:
    """Rows and worked-out sets, comparable."""
    told = {
        name: {
            key: {each: sorted(members) for each, members in sets.by_state.items() if members}
            for key, sets in told.sets.items()
            if any(sets.by_state.values())
        }
        for name, told in state.told.items()
    }
    tables = {table.table: {str(key): row for key, row in enumerate(table)} for table in state.tables()}
    numbers = np.arange(N, dtype=np.uint32)
    at = max((c.opened_at for c in state.communications), default=0.0)
    counts = state.ledger.count(numbers, 10.0**9, at).tolist()
    return {name: sets for name, sets in told.items() if sets}, tables, counts


def check_never_twice(world: Checked) -> None:
    """One notice for one communication, phase and revision; one per address too. What surely did not leave counts
    not: each handing over that came back is taken off."""
    back = Counter(
        (rows.communication, customer, rows.phase.name.lower(), rows.revision)
        for rows in world.returned
        for customer in rows.customer.tolist()
    )
    assert max((Counter(world.sent) - back).values(), default=1) == 1
    handed = Counter((*key, digest) for rows in world.rows for key, digest in addressed(rows))
    handed.subtract((*key, digest) for rows in world.returned for key, digest in addressed(rows))
    assert max(handed.values(), default=1) <= 1


def addressed(rows: NoticeRows) -> Iterator[tuple[tuple[str, Phase, int], int]]:
    """The addresses that rows went to, by communication, phase and revision."""
    for digest in filter(None, rows.digest.tolist()):
        yield (rows.communication, rows.phase, rows.revision), digest


def check_nothing_stays_due(world: Checked) -> None:
    assert not any(sets.of(NoticeState.DUE) for told in world.state.told.values() for sets in told.sets.values())


def check_one_end_each(world: Checked) -> None:
    """Who was told has one end in that revision: a row of "over" or a named reason, never both, never none."""
    for one in world.state.communications:
        assert one.state in (CommunicationState.ENDED, CommunicationState.DECLINED), one
        told = world.state.told_of(one.id)
        over = told.rows(Phase.OVER, one.revision)
        numbers, reasons = standing(world.state, one, Phase.OVER, one.revision)
        named = set(numbers[(reasons != Reason.OVER_NOTICE) & (reasons != Reason.QUIET_HOURS)].tolist())
        assert not named & set(over)
        beginnings = told.told(Phase.FIRST, one.revision) | told.told(Phase.CORRECTION, one.revision)
        if one.mode == "live":
            assert set(beginnings) <= named | set(over)


def check_no_end_without_beginning(world: Checked) -> None:
    begun: set[tuple[str, int]] = set()
    for communication, customer, phase, _ in world.sent:
        if phase == "first":
            begun.add((communication, customer))
        else:
            assert (communication, customer) in begun


def check_no_second_first_in_an_episode(world: Checked) -> None:
    for one in world.state.communications:
        told = world.state.told_of(one.id)
        for revision in range(one.chain + 1, one.revision + 1):
            before = set().union(*(told.told(Phase.FIRST, each) for each in range(one.chain, revision)))
            assert not before & set(told.rows(Phase.FIRST, revision))


def check_ends_only_what_arrived(world: Checked, rows: NoticeRows) -> None:
    """An end leaves for those whose beginning is settled, or so old that its answer will not come any more."""
    if rows.phase is not Phase.OVER:
        return
    told = world.state.told_of(rows.communication)
    begun = (told.told(phase, revision) for phase, revision in told.sets if phase is not Phase.OVER)
    assert set(rows.customer.tolist()) <= set().union(*begun)  # what came back told nobody
    for (phase, _), sets in told.sets.items():
        if phase in (Phase.FIRST, Phase.CORRECTION) and set(sets.of(NoticeState.IN_FLIGHT)) & set(
            rows.customer.tolist()
        ):
            assert rows.at > sets.last_at + 7200


def check_caps_in_every_window(world: Checked) -> None:
    """The slot of the end was reserved with the first, so that the cap holds for all phases together."""
    if not world.rule.get("caps"):
        return
    for customer in range(N):
        mine = [rows for rows in world.rows if customer in rows.customer]
        at = sorted({(rows.communication, rows.phase, rows.revision): rows.at for rows in mine}.values())
        for since in at:
            assert sum(since <= each < since + 86_400 for each in at) <= 4


def check_nobody_is_woken(world: Checked) -> None:
    """In the customer's zone, else the site's (Berlin here), it is never between 22:00 and 08:00."""
    if not world.rule.get("quiet_hours"):
        return
    zones = ["Europe/Berlin", "Europe/Berlin", "America/New_York", "Asia/Tokyo"]
    for rows in world.rows:
        for customer in rows.customer.tolist():
            hour = datetime.fromtimestamp(rows.at, ZoneInfo(zones[customer])).hour
            assert 8 <= hour < 22


def check_nobody_who_must_not(world: Checked) -> None:
    assert not {customer for _, customer, _, _ in world.sent} & {4, 5}  # no channel; a machine


@settings(max_examples=120)
@given(
    st.sampled_from(["live", "live", "shadow"]), st.booleans(), st.booleans(), st.sampled_from([2, 100, 100]),
    beginnings, st.lists(steps, max_size=30),
)  # fmt: skip
def test_promises_hold_for_any_sequence(
    mode: str, quiet: bool, caps: bool, ceiling: int, beginning: list[Any], sequence: list[Any]
) -> None:
    world = Checked(mode, quiet, caps, ceiling)
    for step in (*beginning, *sequence):
        killed = world.state.sending.killed
        sent = len(world.sent)
        rows = len(world.rows)
        world.obey(step)
        for each in world.rows[rows:]:
            check_ends_only_what_arrived(world, each)
        if killed and world.state.sending.killed:
            assert len(world.sent) == sent
    world.finish()
    check_never_twice(world)
    check_nothing_stays_due(world)
    check_one_end_each(world)
    check_no_end_without_beginning(world)
    check_no_second_first_in_an_episode(world)
    check_caps_in_every_window(world)
    check_nobody_is_woken(world)
    check_nobody_who_must_not(world)
    if mode == "shadow":
        assert world.sent == []
