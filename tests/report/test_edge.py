"""The edge end to end: entries through the real stage, mail through a real server on loopback."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, ClassVar

import msgspec
import pytest
from cemd.config.configuration import Configuration
from cemd.config.topology import Topology
from cemd.kit.clock import ManualClock
from cemd.model.customers import ChannelKind
from cemd.model.effect import Effects
from cemd.model.entry import AlertOutcome, CommandKind, DispatchRequest, NoticeOutcomes, Payload
from cemd.model.notice import Alert, AlertState, CommunicationState
from cemd.report.channels import KINDS, Kind, Message
from cemd.report.channels.attempt import Attempt
from cemd.report.channels.email import Email
from cemd.report.channels.webhook import Webhook
from cemd.report.edge import Edge
from cemd.report.metrics import ReportMetrics
from cemd.store.memory import MemoryKeys
from prometheus_client import CollectorRegistry

from tests.report.servers import MailSink, late_server, mail_server, silent_server
from tests.report.world import NOON, World, configuration, people


class Living:
    """A world whose effects go to a real edge; time moves by hand."""

    def __init__(self, world: World, keys: MemoryKeys) -> None:
        self.world = world
        self.keys = keys
        self.clock = ManualClock(now=NOON)
        self.edge: Edge | None = None
        self.heard: list[Payload] = []
        self.kinds: Mapping[str, type[Kind]] = {**KINDS, "webhook": Webhook}
        enter = world.enter

        def entered(payload: Payload, *events: Any, **options: Any) -> Any:
            effects = enter(payload, *events, **options)
            if self.edge is not None:
                self.edge.take(effects)
            return effects

        world.enter = entered  # type: ignore[method-assign]

    async def submit(self, payload: Payload) -> None:
        self.heard.append(payload)
        self.world.enter(payload)

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Living]:
        metrics = ReportMetrics.build(CollectorRegistry())
        async with Edge(
            self.world.topology.configuration,
            keys=self.keys,
            submit=self.submit,
            metrics=metrics,
            clock=self.clock,
            kinds=self.kinds,
        ) as edge:
            self.edge = edge
            yield self
        self.edge = None

    async def pass_time(self, seconds: float, step: float = 50.0) -> None:
        for _ in range(int(seconds / step)):
            self.clock.advance(step)
            self.world.tick(step)
            await asyncio.sleep(0)

    async def until(self, true: Any) -> None:
        async with asyncio.timeout(60):
            while not true():
                self.clock.advance(0.1)
                self.world.tick(0.1)
                await asyncio.sleep(0.02)


def living(
    port: int,
    n: int = 5,
    timeout: float = 5.0,
    *,
    zone: list[int] | None = None,
    site: list[int] | None = None,
    **params: Any,
) -> Living:
    where = {"zone": zone or [0] * n, "site": site or [0] * n}
    document = configuration().model_dump(mode="json")
    for channel in document["channels"]:
        if channel["kind"] == "email":
            channel["params"] = {"host": "127.0.0.1", "port": port, "encryption": "none",
                                 "sender": "DemoTelco <care@demo.example>", **params}  # fmt: skip
            channel["per_second"] = 1000.0
            channel["timeout_seconds"] = timeout
        if channel["name"] == "hook":
            channel["params"] = {"url": "http://127.0.0.1:9/", "secret_file": "/nowhere"}

    world = World(Configuration.from_document(msgspec.json.encode(document)), people(n, **where))
    keys = MemoryKeys()
    numbers = keys.numbers([f"ref-{i}" for i in range(n)])
    keys.put_addresses(numbers.tolist(), ChannelKind.EMAIL, [f"person{i}@example.org" for i in range(n)])
    return Living(world, keys)


async def test_from_incident_to_mail_and_the_all_clear() -> None:
    handler = MailSink()
    async with mail_server(handler) as port, living(port).open() as house:
        house.world.hurt()
        await house.pass_time(350)
        await house.until(lambda: house.world.communication.state is CommunicationState.TOLD)
        await house.until(lambda: len(handler.mails) == 5)
        assert sorted(mail["To"] for mail in handler.mails) == [f"person{i}@example.org" for i in range(5)]
        assert handler.mails[0]["Subject"] == "Mobile data is disturbed"
        assert handler.mails[0]["Message-ID"].endswith("@demo.example>")
        house.world.clear()
        await house.pass_time(700)
        await house.until(lambda: len(handler.mails) == 10)
        await house.until(lambda: house.world.communication.state is CommunicationState.ENDED)
    states = house.world.state.told_of(house.world.communication.id).states()
    assert states == {"accepted": 10}


async def test_times_in_a_mail_are_of_the_zone_of_who_reads_it() -> None:
    handler = MailSink()
    own_zone, site = (
        [0, 2, 3, 0],
        [0, 0, 0, 2],
    )  # the site's, New York, Tokyo, that of a site around
    async with mail_server(handler) as port:
        house = living(port, n=4, zone=own_zone, site=site)
        async with house.open():
            house.world.hurt(site="")
            await house.pass_time(350)
            await house.until(lambda: len(handler.mails) == 4)
    said = {mail["To"]: str(mail.get_payload()).split(" Mobile")[0] for mail in handler.mails}
    assert [said[f"person{i}@example.org"] for i in range(4)] == [
        "Since 13:00 CET",
        "Since 07:00 EST",
        "Since 21:00 JST",
        "Since 13:00 CET",
    ]


async def test_refused_recipient_is_failed_and_owed_no_end() -> None:
    handler = MailSink()
    handler.refuse = {"person2@example.org": "550 nobody here"}
    async with mail_server(handler) as port, living(port).open() as house:
        house.world.hurt()
        await house.pass_time(350)
        await house.until(lambda: len(handler.mails) == 4)
        await house.until(lambda: any(isinstance(p, NoticeOutcomes) and p.reason == "refused" for p in house.heard))
        house.world.clear()
        await house.pass_time(700)
        await house.until(lambda: house.world.communication.state is CommunicationState.ENDED)
        await house.until(lambda: len(handler.mails) == 8)
    assert 2 not in house.world.told("over")


async def test_kill_switch_stops_what_was_not_yet_sent() -> None:
    handler, opened = MailSink(), asyncio.Event()
    async with (
        mail_server(handler) as behind,
        late_server(behind, opened) as (port, came),
        living(port).open() as house,
    ):
        house.world.hurt()
        await house.pass_time(350)
        await house.until(lambda: len(came) > 0)  # nobody is let in yet: every try surely did not leave
        house.world.command(CommandKind.KILL)
        opened.set()
        await house.until(lambda: "in_flight" not in states(house))
    outcomes = [p for p in house.heard if isinstance(p, NoticeOutcomes)]
    assert {p.reason for p in outcomes} <= {"kill_switch", "did_not_leave", ""}
    assert len(handler.mails) <= 4  # who was being tried when it was switched


async def test_what_went_back_does_not_leave_while_the_kill_switch_is_on() -> None:
    house, handler = living(9), MailSink()
    async with mail_server(handler) as port, house.open():
        house.world.hurt()
        await house.pass_time(350)
        await house.until(lambda: states(house) == {"due": 5})
        house.world.command(CommandKind.KILL)
        assert house.edge is not None
        house.edge.configure(with_mail(house, port=port))
        await house.pass_time(600)
        assert handler.mails == []
        house.world.command(CommandKind.UNKILL)
        await house.until(lambda: states(house) == {"accepted": 5})
    assert len(handler.mails) == 5


async def test_lost_answer_is_unknown_and_never_sent_again() -> None:
    handler = MailSink()
    handler.hang_in_data.clear()
    async with mail_server(handler) as port, living(port, n=1, timeout=0.3).open() as house:
        house.world.hurt()
        await house.pass_time(350)
        await house.until(lambda: any(isinstance(p, NoticeOutcomes) for p in house.heard))
        handler.hang_in_data.set()
        await house.pass_time(500)
    assert len(handler.mails) == 1
    assert house.world.state.told_of(house.world.communication.id).states() == {"unknown": 1}


async def test_mail_that_waited_longer_than_its_deadline_for_a_slow_server_is_sent() -> None:
    handler = MailSink()
    handler.answer_seconds = 0.2
    async with mail_server(handler) as port, living(port, n=12, timeout=1.0, connections=1).open() as house:
        house.world.hurt()
        await house.pass_time(350)
        await house.until(lambda: len(handler.mails) == 12 and "in_flight" not in states(house))
    assert states(house) == {"accepted": 12}
    assert len({mail["To"] for mail in handler.mails}) == len(handler.mails) == 12


async def test_server_that_lets_nobody_in_for_a_while_makes_no_mail_unknown() -> None:
    handler, opened = MailSink(), asyncio.Event()
    async with (
        mail_server(handler) as behind,
        late_server(behind, opened) as (port, came),
        living(port, n=4, timeout=1.0, connections=1).open() as house,
    ):
        house.world.hurt()
        await house.pass_time(350)
        await house.until(lambda: len(came) > 4)  # each was tried, one after another, and one is tried again
        assert "unknown" not in states(house)
        opened.set()
        await house.until(lambda: states(house) == {"accepted": 4})
    assert len(handler.mails) == 4


async def test_mail_that_waits_for_a_connection_is_stopped_by_the_kill_switch() -> None:
    handler = MailSink()
    handler.hang_in_data.clear()
    async with mail_server(handler) as port, living(port, timeout=30.0, connections=1).open() as house:
        house.world.hurt()
        await house.pass_time(350)
        await house.until(lambda: len(handler.mails) == 1)
        house.world.command(CommandKind.KILL)
        handler.hang_in_data.set()
        await house.until(lambda: "in_flight" not in states(house))
    assert states(house) == {"accepted": 1, "cancelled": 4}
    assert len(handler.mails) == 1


def moved_to(house: Living, port: int) -> None:
    """The next daemon reads another file of channels."""
    house.world.topology = Topology(with_mail(house, port=port))


async def test_clean_stop_while_nobody_gets_in_keeps_every_mail_for_the_next_start(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("cemd.report.edge.GRACE_SECONDS", 0.2)
    handler, shut = MailSink(), asyncio.Event()
    async with mail_server(handler) as behind:
        async with late_server(behind, shut) as (port, came):
            house = living(port, n=30, timeout=30.0, connections=2)
            async with house.open():
                house.world.hurt()
                await house.pass_time(350)
                await house.until(lambda: len(came) == 2)
                assert states(house) == {"in_flight": 20}  # the window; two are being tried
        house.world.restart(after_seconds=30)
        assert states(house) == {"due": 20}
        moved_to(house, behind)
        async with house.open():
            await house.until(lambda: states(house) == {"accepted": 30})
    assert sorted(mail["To"] for mail in handler.mails) == sorted(f"person{i}@example.org" for i in range(30))


async def test_kill_while_the_mail_server_is_down_makes_no_mail_unknown() -> None:
    handler = MailSink()
    house = living(9, n=30)  # nobody listens there
    async with house.open():
        house.world.hurt()
        await house.pass_time(350)
        await house.until(lambda: states(house).keys() == {"due"})  # the window; a few more are asked for by and by
        kept = house.edge
        house.edge = None  # whatever the process still says reaches nobody
        house.world.restart(after_seconds=30)
        house.edge = kept
    assert "unknown" not in states(house)
    async with mail_server(handler) as port:
        moved_to(house, port)
        async with house.open():
            await house.until(lambda: states(house) == {"accepted": 30})
    assert len({mail["To"] for mail in handler.mails}) == len(handler.mails) == 30


async def test_after_three_attempts_in_vain_nothing_waits_in_the_window_of_a_channel() -> None:
    handler, shut = MailSink(), asyncio.Event()
    async with (
        mail_server(handler) as behind,
        late_server(behind, shut) as (port, came),
        living(port, n=20, timeout=0.5, connections=1).open() as house,
    ):
        house.world.hurt()
        await house.pass_time(350)
        await house.until(lambda: states(house).get("due", 0) >= 18)
        assert len(came) <= 5


async def test_clean_stop_leaves_unknown_only_what_was_being_submitted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cemd.report.edge.GRACE_SECONDS", 0.2)
    slow, handler = MailSink(), MailSink()
    slow.hang_in_data.clear()
    async with mail_server(slow) as first:
        house = living(first, n=12, timeout=30.0, connections=1)
        async with house.open():
            house.world.hurt()
            await house.pass_time(350)
            await house.until(lambda: len(slow.mails) == 1)
        slow.hang_in_data.set()
    house.world.restart(after_seconds=30)
    assert states(house) == {"unknown": 1, "due": 11}
    async with mail_server(handler) as second:
        moved_to(house, second)
        async with house.open():
            await house.until(lambda: states(house) == {"unknown": 1, "accepted": 11})
    assert len({mail["To"] for mail in (*slow.mails, *handler.mails)}) == len(slow.mails) + len(handler.mails) == 12


async def test_who_came_back_and_is_well_when_the_server_is_hears_neither_beginning_nor_end() -> None:
    handler = MailSink()
    house = living(9, n=3)
    async with house.open():
        house.world.hurt()
        await house.pass_time(350)
        await house.until(lambda: states(house) == {"due": 3})
    house.world.restart(after_seconds=30)
    house.world.clear()
    async with mail_server(handler) as port:
        moved_to(house, port)
        async with house.open():
            await house.pass_time(1500)
            await house.until(lambda: house.world.communication.state is CommunicationState.ENDED)
    assert handler.mails == []
    assert states(house) == {"cancelled": 3}


async def test_a_channel_that_gives_out_is_asked_for_few_and_is_back_at_once_when_it_works() -> None:
    house, handler = living(9, n=200), MailSink()
    async with house.open():
        house.world.hurt()
        await house.pass_time(350)
        await house.until(lambda: states(house).get("due", 0) >= 20)
        asked = len([p for p in house.heard if isinstance(p, DispatchRequest)])
        await house.until(lambda: len([p for p in house.heard if isinstance(p, DispatchRequest)]) > asked)
        assert [p.capacity for p in house.heard if isinstance(p, DispatchRequest)][-1] == 2
        async with mail_server(handler) as port:
            assert house.edge is not None
            house.edge.configure(with_mail(house, port=port))
            await house.until(lambda: states(house) == {"accepted": 200})
    assert len({mail["To"] for mail in handler.mails}) == len(handler.mails) == 200


async def test_what_was_decided_after_a_short_pause_of_the_problem_leaves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cemd.report.channels.window.SMALLEST", 2)
    handler = MailSink()
    async with mail_server(handler) as port, living(port, n=6, connections=1).open() as house:
        house.world.hurt()
        await house.pass_time(300)
        house.world.tick(10)
        house.world.clear()
        house.world.relapse()
        await house.until(lambda: "in_flight" not in states(house) and len(handler.mails) >= 4)
        await house.until(lambda: house.world.communication.state is CommunicationState.TOLD)
    assert states(house).get("cancelled", 0) <= 2  # what was in hand when it was over


async def test_dead_mail_server_delays_no_other_channel() -> None:
    taken: list[str] = []

    class Recorder(Webhook):
        """Keeps what it is given."""

        async def send(self, message: Message, attempt: Attempt) -> None:
            attempt.begins()
            taken.append(message.to)

    async with silent_server() as port:
        house = living(port, n=4, timeout=5.0)
        house.world.customers.columns["channels"][2:4] = 1 << ChannelKind.WEBHOOK
        house.world.customers.columns["digest_webhook"][2:4] = [8, 9]
        house.keys.put_addresses([2, 3], ChannelKind.WEBHOOK, ["https://a.example", "https://b.example"])
        house.kinds = {**KINDS, "webhook": Recorder}
        async with house.open():
            house.world.hurt()
            await house.pass_time(350)
            await house.until(lambda: len(taken) == 2)
            house.world.command(CommandKind.KILL)
    assert sorted(taken) == ["https://a.example", "https://b.example"]


def with_mail(house: Living, **changes: Any) -> Configuration:
    """The configuration with another file of channels: `mail` changed, or gone when nothing is given."""
    document = house.world.topology.configuration.model_dump(mode="json")
    others = [one for one in document["channels"] if one["kind"] != "email"]
    (mail,) = (one for one in document["channels"] if one["kind"] == "email")
    mail["params"].update(changes)
    document["channels"] = [mail, *others] if changes else others
    return Configuration.from_document(msgspec.json.encode(document))


def failing(house: Living) -> dict[str, str]:
    assert house.edge is not None
    return {one.channel: one.why for one in house.edge.failing()}


def states(house: Living) -> dict[str, int]:
    return house.world.state.told_of(house.world.communication.id).states()


async def test_mail_that_was_tried_in_vain_goes_on_when_its_channel_is_mended_and_loaded_anew() -> None:
    handler, house = MailSink(), living(9)  # nobody listens there
    async with mail_server(handler) as port, house.open():
        house.world.hurt()
        await house.pass_time(350)
        await house.until(lambda: states(house) == {"due": 5})
        assert house.edge is not None
        await house.until(lambda: "mail" in failing(house))
        assert "127.0.0.1:9 cannot be reached" in failing(house)["mail"]
        house.edge.configure(with_mail(house, port=port))
        await house.until(lambda: states(house) == {"accepted": 5})
        assert "mail" not in failing(house)
    assert sorted(mail["To"] for mail in handler.mails) == [f"person{i}@example.org" for i in range(5)]


async def test_mail_that_is_being_submitted_when_its_channel_changes_is_alone_unknown() -> None:
    slow, handler = MailSink(), MailSink()
    slow.hang_in_data.clear()
    async with mail_server(slow) as first, mail_server(handler) as second, living(first, timeout=0.5).open() as house:
        house.world.hurt()
        await house.pass_time(350)
        await house.until(lambda: len(slow.mails) > 0)
        assert house.edge is not None
        house.edge.configure(with_mail(house, port=second))
        await house.until(lambda: "in_flight" not in states(house))
        slow.hang_in_data.set()
    begun = {mail["To"] for mail in slow.mails}
    assert states(house) == {
        name: count for name, count in (("unknown", len(begun)), ("accepted", 5 - len(begun))) if count
    }
    assert sorted([*begun, *(mail["To"] for mail in handler.mails)]) == [f"person{i}@example.org" for i in range(5)]


async def test_mail_in_hand_is_cancelled_when_its_channel_is_gone() -> None:
    handler, opened = MailSink(), asyncio.Event()
    async with (
        mail_server(handler) as behind,
        late_server(behind, opened) as (port, came),
        living(port, connections=1).open() as house,
    ):
        house.world.hurt()
        await house.pass_time(350)
        await house.until(lambda: len(came) > 0)
        assert house.edge is not None
        house.edge.configure(with_mail(house))
        await house.until(lambda: states(house) == {"cancelled": 4, "in_flight": 1})
        opened.set()
        await house.until(lambda: states(house) == {"cancelled": 4, "accepted": 1})
    assert len(handler.mails) == 1


async def test_outcome_that_was_being_handed_over_when_its_channel_was_removed_is_handed_over_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("cemd.report.edge.GRACE_SECONDS", 0.0)
    handler, cut_off = MailSink(), asyncio.Event()

    class Busy(Living):
        """Takes no outcome until the one that hands it over was cut off."""

        async def submit(self, payload: Payload) -> None:
            if isinstance(payload, NoticeOutcomes) and not cut_off.is_set():
                try:
                    await asyncio.Event().wait()
                finally:
                    cut_off.set()
            await super().submit(payload)

    async with mail_server(handler) as port:
        plain = living(port, n=1, timeout=1.0)
        house = Busy(plain.world, plain.keys)
        async with house.open():
            house.world.hurt()
            await house.pass_time(350)
            await house.until(lambda: len(handler.mails) == 1)
            await asyncio.sleep(0.5)  # a flush is under way
            assert house.edge is not None
            house.edge.configure(with_mail(house))
            await house.until(cut_off.is_set)
            await house.until(lambda: "in_flight" not in states(house))
    assert states(house) == {"accepted": 1}


async def test_mail_that_only_waited_for_its_server_when_its_worker_ended_goes_on_with_the_channel_as_it_is_now(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("cemd.report.edge.GRACE_SECONDS", 0.0)

    class Stuck(Email):
        """Reaches no server at port 9, and never gives up."""

        async def send(self, message: Message, attempt: Attempt) -> None:
            if self._params.port == 9:
                await asyncio.Event().wait()
            await super().send(message, attempt)

    handler, house = MailSink(), living(9, timeout=1.0)
    house.kinds = {**KINDS, "email": Stuck}
    async with mail_server(handler) as port, house.open():
        house.world.hurt()
        await house.pass_time(350)
        await house.until(lambda: states(house) == {"in_flight": 5})
        await asyncio.sleep(0.1)  # as many as there are connections are being sent
        assert house.edge is not None
        house.edge.configure(with_mail(house, port=port))
        await house.until(lambda: "in_flight" not in states(house))
    assert states(house) == {"accepted": 5}
    assert len(handler.mails) == 5


class Desk(Webhook):
    """Takes an alert only while it is open."""

    opened = True
    taken: ClassVar[list[tuple[str, str]]] = []
    asked: ClassVar[list[str]] = []

    async def alert(self, alert: Alert, attempt: Attempt) -> None:
        self.asked.append(alert.incident)
        attempt.begins()
        if self._params.url.endswith("/shut"):
            await asyncio.Event().wait()
        self.taken.append((alert.incident, self._params.url))


def with_desk(house: Living, url: str) -> Configuration:
    document = house.world.topology.configuration.model_dump(mode="json")
    for channel in document["channels"]:
        if channel["to"] == "staff":
            channel["params"] = {"url": url, "secret_file": "/nowhere"}
            channel["timeout_seconds"] = 0.2
    return Configuration.from_document(msgspec.json.encode(document))


def alert_to(channel: str, incident: str) -> Alert:
    return Alert(id=f"noc/{channel}/{incident}", trace="t", route="noc", channel=channel, incident=incident,
                 firing=True, due_at=0.0, summary="s", revision=1)  # fmt: skip


@pytest.fixture
def desk() -> type[Desk]:
    Desk.taken.clear()
    Desk.asked.clear()
    return Desk


async def test_alerts_that_wait_in_a_channel_are_sent_by_what_it_is_now(
    monkeypatch: pytest.MonkeyPatch, desk: type[Desk]
) -> None:
    monkeypatch.setattr("cemd.report.edge.GRACE_SECONDS", 0.0)
    heard: list[Payload] = []

    async def submit(payload: Payload) -> None:
        heard.append(payload)

    house = living(9)
    first, second = (with_desk(house, f"http://127.0.0.1:9/{word}") for word in ("shut", "open"))
    staff = "desk"
    metrics = ReportMetrics.build(CollectorRegistry())
    async with Edge(first, keys=house.keys, submit=submit, metrics=metrics, kinds={**KINDS, "webhook": desk}) as edge:
        edge.take(Effects(alerts=[alert_to(staff, f"inc-{n}") for n in range(3)]))
        await house.until(lambda: desk.asked == ["inc-0"])
        edge.configure(second)
        await house.until(lambda: len(desk.taken) == 2)
        await house.until(lambda: len(heard) == 3)
    assert [incident for incident, _ in desk.taken] == ["inc-1", "inc-2"]
    outcomes = {one.alert: one for one in heard if isinstance(one, AlertOutcome)}
    assert [outcomes[f"noc/{staff}/inc-{n}"].sent for n in range(3)] == [False, True, True]
    assert outcomes[f"noc/{staff}/inc-0"].unknown  # it was cut off while it was submitted


async def test_expired_notice_is_not_sent_any_more() -> None:
    handler, opened = MailSink(), asyncio.Event()
    async with (
        mail_server(handler) as behind,
        late_server(behind, opened) as (port, came),
        living(port, n=2, timeout=30.0, connections=1).open() as house,
    ):
        house.world.hurt()
        await house.pass_time(350)
        await house.until(lambda: len(came) == 1)
        house.clock.advance(7300)
        opened.set()
        await house.until(lambda: "in_flight" not in states(house))
    assert states(house) == {"accepted": 1, "expired": 1}
    assert len(handler.mails) == 1


async def test_fault_in_a_channel_stays_there_and_is_unknown() -> None:
    class Broken(Email):
        """Breaks."""

        async def send(self, message: Message, attempt: Attempt) -> None:
            attempt.begins()
            raise RuntimeError(message.id)

    house = living(9, n=2)
    house.kinds = {**KINDS, "email": Broken}
    async with house.open():
        house.world.hurt()
        await house.pass_time(350)
        await house.until(lambda: sum(len(p.customer) for p in house.heard if isinstance(p, NoticeOutcomes)) == 2)
    assert house.world.state.told_of(house.world.communication.id).states() == {"unknown": 2}


async def test_alert_to_a_channel_that_does_not_work_is_answered() -> None:
    house = living(9)  # the webhook `desk` has no url
    async with house.open():
        house.world.hurt()
        await house.until(lambda: any(isinstance(p, AlertOutcome) for p in house.heard))
        assert "desk" in failing(house)
        assert "mail" not in failing(house)  # nothing had to leave by it so far
    (row,) = house.world.state.alerts
    assert row.state is AlertState.FAILED
    assert "does not work here" in row.failure
