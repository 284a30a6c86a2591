"""How many notices a channel has in hand: what a kill -9 may leave without an outcome."""

from __future__ import annotations

from typing import Any

from cemd.report.channels.window import LARGEST, SMALLEST, Window

from tests.report.servers import MailSink, mail_server
from tests.report.test_edge import Living, living


def test_a_quick_channel_soon_has_as_many_in_hand_as_its_pace_allows() -> None:
    window = Window(per_second=50.0)
    turns = 0
    while window.size < 200:
        turns += 1
        for _ in range(window.size):
            window.waited(0.1)
    assert turns <= 4  # it doubles
    window.waited(0.1)
    assert window.size == 200
    wide = Window(per_second=100_000.0)
    for _ in range(2 * LARGEST):
        wide.waited(0.1)
    assert wide.size == LARGEST


def test_a_slow_channel_is_handed_less_and_never_nothing() -> None:
    window = Window(per_second=1_000.0)
    for _ in range(500):
        window.waited(0.1)
    wide = window.size
    for _ in range(wide):
        window.waited(1.5)
    assert window.size == wide  # neither quick nor slow
    for _ in range(2 * wide):
        window.waited(5.0)
    assert window.size == SMALLEST


class SlowSink(MailSink):
    """Every mail takes it a second of the house's clock."""

    house: Living | None = None
    most = 0

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802 -- the library's name
        assert self.house is not None
        self.house.clock.advance(1.0)
        told = self.house.world.state.told_of(self.house.world.communication.id)
        self.most = max(self.most, told.states().get("in_flight", 0))
        return await super().handle_DATA(server, session, envelope)


async def test_of_a_slow_mail_server_few_notices_are_in_flight() -> None:
    handler = SlowSink()
    async with mail_server(handler) as port, living(port, n=300).open() as house:
        handler.house = house
        house.world.hurt()
        await house.pass_time(350)
        await house.until(lambda: len(handler.mails) == 300)
    # in hand, or settled and not told yet: so many would be left without an outcome; a window of its pace holds all
    assert handler.most <= 150
