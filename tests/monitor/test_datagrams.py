"""Datagrams by the batch: what leaves together, what comes back as columns, and what is told one by one."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
from collections.abc import AsyncIterator
from itertools import pairwise
from math import inf
from typing import Any

import pytest
from cemd.config.probes import Probe
from cemd.config.targets import Targets
from cemd.model.quality import Outcome
from cemd.monitor.probes import make
from cemd.monitor.probes.base import Reason, Result
from cemd.monitor.probes.engines import lines
from cemd.monitor.probes.engines.datagram_errand import Errand
from cemd.monitor.probes.engines.departures import send_block
from cemd.monitor.probes.engines.dns_engine import FEW
from cemd.monitor.probes.engines.errands import AnyErrand, Batching, Landed
from cemd.monitor.probes.ntp import Question
from cemd.monitor.probes.tools import Tools
from cemd.monitor.protocols.snmp import ValueType

from tests.monitor import peers
from tests.monitor.peers import name_server, tools
from tests.monitor.probes.test_dns import descriptors
from tests.monitor.probes.test_ntp import server as time_server
from tests.monitor.probes.test_snmp import UPTIME, agent
from tests.monitor.probes.test_udp import udp_peer

RECORDS = {("shop.example.", "A"): ["192.0.2.7", "192.0.2.8"], ("app.example.", "A"): ["192.0.2.9"]}


class Book:
    """Sends batches and writes down what became of them, by slot."""

    def __init__(self, made: Tools, timeout: float = 2.0) -> None:
        self.made, self.timeout = made, timeout
        made.datagrams.landing = self
        self.rows: dict[int, list[tuple[float, ...]]] = {}
        self.results: dict[int, Result] = {}
        self.batches: list[int] = []
        self.said = asyncio.Event()

    def landed(self, landed: Landed) -> None:
        self.batches.append(len(landed.slots))
        for slot, its, (_, at, result) in zip(landed.slots, landed.values, landed.results(), strict=True):
            assert at == 1_000.0
            assert [reading.value for reading in result.readings] == list(its)
            self.rows.setdefault(slot, []).append(its)
        self.said.set()

    def ended(self, slot: int, errand: AnyErrand, at: float, seconds: float, result: Result) -> None:
        assert (errand.timeout, at) == (self.timeout, 1_000.0)
        assert seconds >= 0.0
        self.results[slot] = result
        self.said.set()

    def errand(self, kind: str = "dns", **params: Any) -> Errand:
        """An errand of a probe with these parameters."""
        probe = Probe(name="p", kind=kind, service="s", every_seconds=60.0, timeout_seconds=self.timeout, params=params)
        found = make(probe, self.made)
        assert isinstance(found, Batching)
        errand = found.errand()
        assert isinstance(errand, Errand)
        errand.timeout = self.timeout
        return errand

    def send(self, *errands: Errand) -> None:
        self.made.datagrams.begin(errands, range(len(errands)), asyncio.get_running_loop().time(), 1_000.0)

    async def heard(self, count: int, *, seconds: float = 10.0) -> None:
        """Returns when so many runs are over."""
        async with asyncio.timeout(seconds):
            while sum(map(len, self.rows.values())) + len(self.results) < count:
                self.said.clear()
                await self.said.wait()


@contextlib.asynccontextmanager
async def book(seconds: float = 2.0) -> AsyncIterator[Book]:
    async with tools() as made:
        yield Book(made, seconds)


async def test_many_questions_leave_together_and_their_answers_are_rows_of_columns() -> None:
    async with name_server(RECORDS) as (server, port), book(seconds=30.0) as one:
        params: dict[str, Any] = {"server": "127.0.0.1", "port": port, "name": "shop.example", "resend_seconds": 25.0}
        questions = [one.errand(**params) for _ in range(100)]
        one.send(*questions)
        await one.heard(100, seconds=40.0)
    assert server.asked == 100
    assert one.results == {}
    for rows in one.rows.values():
        [(success, duration, response, count)] = rows
        assert (success, count) == (1.0, 2.0)
        assert 0.0 < response == duration < 30.0
    assert max(one.batches) > 1, "answers that came together were handed on one by one"


def many_ask(one: Book, port: int) -> None:
    """So many that the server at this port gets a socket of its own."""
    for _ in range(FEW):
        one.errand(server="127.0.0.1", port=port, name="shop.example")


@pytest.fixture
def blocks(monkeypatch: pytest.MonkeyPatch) -> list[list[int]]:
    """The sizes of the datagrams of each block that was tried."""
    tried: list[list[int]] = []

    def noted(door: socket.socket, block: bytes, size: int, place: Any) -> None:
        tried.append([len(block[start : start + size]) for start in range(0, len(block), size)])
        send_block(door, block, size, place)

    monkeypatch.setattr(lines, "send_block", noted)
    return tried


async def test_questions_of_one_moment_to_one_server_leave_as_blocks_be_they_of_several_sizes(
    blocks: list[list[int]],
) -> None:
    async with name_server(RECORDS) as (server, port), book(seconds=30.0) as one:
        names = ["shop.example"] * 5 + ["app.example"] + ["shop.example"] * 20 + ["app.example"] * 6
        many_ask(one, port)
        one.send(*(one.errand(server="127.0.0.1", port=port, name=name) for name in names))
        await one.heard(len(names), seconds=40.0)
    assert (server.asked, one.results) == (len(names), {})
    assert [rows[0][3] for _, rows in sorted(one.rows.items())] == [1.0 + (name[0] == "s") for name in names]
    assert list(map(len, blocks)) == [16, 11, 5], "a shorter one may end a block"
    assert [size for block in blocks for size in block].count(blocks[0][0]) == names.count("shop.example")


async def test_agents_that_are_asked_by_one_socket_get_blocks_of_their_own(blocks: list[list[int]]) -> None:
    values = [{"oid": "1.3.6.1.2.1.1.3.0", "metric": "uptime_seconds"}]
    async with agent() as (_, here), agent() as (_, there), book() as one:
        one.send(*(one.errand("snmp", **where, values=values) for where in (here, there, here, there, here)))
        await one.heard(5)
    assert (sorted(map(len, blocks)), one.results) == ([2, 3], {})


async def test_where_the_system_cannot_send_blocks_each_question_leaves_by_itself_and_none_is_lost(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tried = []

    def refused(door: socket.socket, block: bytes, size: int, place: Any) -> None:
        del door, size, place
        tried.append(block)
        raise OSError(errno.EIO, "no checksums here")

    monkeypatch.setattr(lines, "send_block", refused)
    async with name_server(RECORDS) as (server, port), book() as one:
        many_ask(one, port)
        questions = [one.errand(server="127.0.0.1", port=port, name="shop.example") for _ in range(20)]
        for turn in range(2):
            one.send(*questions)
            await one.heard(20 * (turn + 1))
    assert (server.asked, one.results) == (40, {})
    assert len(tried) == 1, "a line that refused one block is not given another"


async def test_block_that_found_no_room_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    full = [True, True]

    def crowded(door: socket.socket, block: bytes, size: int, place: Any) -> None:
        if full:
            full.pop()
            raise BlockingIOError(errno.EAGAIN, "no room")
        send_block(door, block, size, place)

    monkeypatch.setattr(lines, "send_block", crowded)
    async with name_server(RECORDS) as (server, port), book(seconds=5.0) as one:
        names = ["shop.example"] * 4 + ["app.example"] * 4
        here: dict[str, Any] = {"server": "127.0.0.1", "port": port, "resend_seconds": 0.2}
        one.send(*(one.errand(**here, name=name) for name in names))
        await one.heard(len(names))
    assert (server.asked, one.results, full) == (len(names), {}, [])


async def test_refusal_of_what_went_before_does_not_touch_the_block_that_hears_of_it() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as late:
        late.bind(("127.0.0.1", 0))
        port: int = late.getsockname()[1]
    async with book() as one:
        many_ask(one, port)
        first, *others = [one.errand(server="127.0.0.1", port=port, name="shop.example") for _ in range(4)]
        one.send(first)  # the system knows by now that nobody listens there
        transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
            lambda: peers.NameServer(RECORDS), local_addr=("127.0.0.1", port)
        )
        one.made.datagrams.begin(others, range(1, 4), asyncio.get_running_loop().time(), 1_000.0)
        await one.heard(4)
        transport.close()
    assert {slot: result.reason for slot, result in one.results.items()} == {0: Reason.REFUSED}
    assert sorted(one.rows) == [1, 2, 3]


async def test_all_of_a_block_are_refused_where_the_system_says_so_once() -> None:
    values = [{"oid": "1.3.6.1.2.1.1.3.0", "metric": "uptime_seconds"}]
    async with agent() as (_, here), book(seconds=5.0) as one:
        closed = {**here, "port": peers.free_port(), "resend_seconds": 30.0}
        where = (closed, closed, here, closed, closed)
        one.send(*(one.errand("snmp", **place, values=values) for place in where))
        await one.heard(5, seconds=3.0)
    assert {slot: result.reason for slot, result in one.results.items()} == dict.fromkeys((0, 1, 3, 4), Reason.REFUSED)
    assert list(one.rows) == [2]


async def test_answer_that_changed_is_read_again_and_held_against_what_it_must_be() -> None:
    records = {("shop.example.", "A"): ["192.0.2.7"]}
    async with name_server(records) as (_, port), book() as one:
        question = one.errand(server="127.0.0.1", port=port, name="shop.example", answers=["192.0.2.7"])
        for turn in range(3):
            one.send(question)
            await one.heard(turn + 1)
        records["shop.example.", "A"] = ["192.0.2.66"]
        one.send(question)
        await one.heard(4)
        records["shop.example.", "A"] = ["192.0.2.7"]
        assert one.results.pop(0).reason is Reason.ANSWER_UNEXPECTED
        one.send(question)
        await one.heard(4)
    assert [row[3] for row in one.rows[0]] == [1.0] * 4
    assert one.results == {}


async def test_each_of_a_batch_is_told_its_own_end() -> None:
    async with (
        name_server(RECORDS) as (_, port),
        name_server(RECORDS) as (mute, mute_port),
        book(seconds=0.3) as one,
    ):
        mute.mode = "mute"
        here: dict[str, Any] = {"server": "127.0.0.1", "port": port}
        one.send(
            one.errand(**here, name="shop.example"),
            one.errand(**here, name="nobody.example"),
            one.errand(server="127.0.0.1", port=mute_port, name="shop.example"),
            one.errand(server="127.0.0.1", port=peers.free_port(), name="shop.example"),
            one.errand(server="192.0.2.1", name="shop.example", source_address="192.0.2.77"),
            one.errand(server="169.254.1.1", name="shop.example"),
        )
        await one.heard(6)
    assert list(one.rows) == [0]
    assert {slot: (result.outcome, result.reason) for slot, result in one.results.items()} == {
        1: (Outcome.FAILED, Reason.STATUS_UNEXPECTED),
        2: (Outcome.TIMED_OUT, Reason.NO_ANSWER),
        3: (Outcome.FAILED, Reason.REFUSED),
        4: (Outcome.BLIND, Reason.SOURCE_MISSING),
        5: (Outcome.BLIND, Reason.TARGET_NOT_ALLOWED),
    }


async def test_cut_answers_of_a_batch_go_over_tcp_and_lost_ones_are_asked_for_again() -> None:
    async with name_server(RECORDS) as (server, port), book() as one:
        question = one.errand(server="127.0.0.1", port=port, name="shop.example", resend_seconds=0.5)
        server.mode = "lose first"
        one.send(question)
        await one.heard(1)
        server.mode = "truncate"
        one.send(question)
        await one.heard(2)
    assert server.asked >= 3
    assert one.rows[0][0][1] >= 0.25, "the time of an answer counts from the first question"
    assert one.results[0].outcome is Outcome.OK
    assert [reading.value for reading in one.results[0].readings][1] == 2.0


async def test_what_was_given_up_is_told_nobody() -> None:
    async with name_server(RECORDS) as (server, port), book(seconds=0.2) as one:
        server.mode = "mute"
        one.send(*(one.errand(server="127.0.0.1", port=port, name="shop.example") for _ in range(3)))
        assert sorted(one.made.datagrams.give_up()) == [0, 1, 2]
        assert one.made.datagrams.give_up() == []
        await asyncio.sleep(0.4)
    assert one.rows == {}
    assert one.results == {}


async def test_source_port_changes_after_so_many_questions_and_none_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines, "ROTATE_QUESTIONS", 5)
    ports = set()
    received = peers.NameServer.datagram_received

    def noted(server: peers.NameServer, data: bytes, addr: Any) -> None:
        ports.add(addr[1])
        received(server, data, addr)

    monkeypatch.setattr(peers.NameServer, "datagram_received", noted)
    async with name_server(RECORDS) as (_, port), book() as one:
        questions = [one.errand(server="127.0.0.1", port=port, name="app.example") for _ in range(5)]
        for turn in range(4):
            one.send(*questions)
            await one.heard(5 * (turn + 1))
    assert len(ports) == 4


async def test_name_servers_that_few_ask_share_one_socket_and_each_is_told_its_own_end() -> None:
    async with name_server(RECORDS) as (_, here), name_server(RECORDS) as (forger, there), book(seconds=0.5) as one:
        forger.mode = "forge"
        closed = peers.free_port()
        before = descriptors()
        where = (here, closed, there, here, closed, there)
        one.send(*(one.errand(server="127.0.0.1", port=port, name="shop.example") for port in where))
        await one.heard(6)
        assert descriptors() <= before + 1
        many_ask(one, here)
        one.send(one.errand(server="127.0.0.1", port=here, name="shop.example"))
        await one.heard(7)
        assert descriptors() <= before + 2
    assert {slot: [row[3] for row in rows] for slot, rows in one.rows.items()} == {0: [2.0, 2.0], 3: [2.0]}
    reasons = {slot: result.reason for slot, result in one.results.items()}
    assert reasons == {1: Reason.REFUSED, 4: Reason.REFUSED, 2: Reason.NO_ANSWER, 5: Reason.NO_ANSWER}


async def test_agents_share_one_socket_and_only_the_one_whose_port_is_closed_is_refused() -> None:
    table = {UPTIME: (ValueType.TICKS, 4711)}
    values = [{"oid": "1.3.6.1.2.1.1.3.0", "metric": "uptime_seconds", "scale": 0.01}]
    async with agent(table=table) as (_, here), agent(table=table) as (_, there), book() as one:
        closed = {**here, "port": peers.free_port()}
        before = descriptors()
        one.send(*(one.errand("snmp", **where, values=values) for where in (here, closed, there, here, closed, there)))
        await one.heard(6)
        assert descriptors() <= before + 1
    assert {slot: rows[0][3] for slot, rows in one.rows.items()} == dict.fromkeys((0, 2, 3, 5), 47.11)
    assert {slot: result.reason for slot, result in one.results.items()} == {1: Reason.REFUSED, 4: Reason.REFUSED}


@pytest.mark.parametrize("kind", ["dns", "snmp", "ntp"])
async def test_host_by_its_name_is_looked_up_once_while_its_time_to_live_lasts(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    addresses = {("far.example.", "A"): ["127.0.0.1"]}
    async with contextlib.AsyncExitStack() as stack:
        names, names_port = await stack.enter_async_context(name_server(addresses))
        _, server_port = await stack.enter_async_context(name_server(RECORDS))
        _, agent_at = await stack.enter_async_context(agent())
        _, time_port = await stack.enter_async_context(udp_peer(time_server()))
        made = await stack.enter_async_context(tools(nameservers=[f"127.0.0.1:{names_port}"]))
        one = Book(made)
        asks = {
            "dns": {"server": "far.example", "port": server_port, "name": "shop.example"},
            "snmp": {**agent_at, "host": "far.example"},
            "ntp": {"host": "far.example", "port": time_port},
        }
        errand = one.errand(kind, **asks[kind])
        one.send(errand)
        await one.heard(1)
        assert one.results.pop(0).reason is Reason.ANSWERED, "the first run looks the name up and tells its own end"
        looked_up = names.asked
        for turn in range(3):
            one.send(errand)
            await one.heard(turn + 1)
        assert (names.asked, len(one.rows[0]), one.results) == (looked_up, 3, {})
        assert looked_up > 0
        monkeypatch.setattr(made.names, "_kept", {})
        addresses["far.example.", "A"] = ["127.0.0.77"]
        made.names._resolver = None  # c-ares keeps answers of its own
        one.send(errand)
        await one.heard(4)
        assert one.results[0].reason in (Reason.REFUSED, Reason.NO_ANSWER), "it goes where the name leads now"
        assert names.asked > looked_up


async def test_name_without_an_address_is_told_and_run_that_is_given_up_while_it_is_looked_up_is_not() -> None:
    async with name_server({}) as (names, port), tools(nameservers=[f"127.0.0.1:{port}"]) as made:
        one = Book(made)
        errand = one.errand("dns", server="gone.example", name="shop.example")
        one.send(errand)
        await one.heard(1)
        assert one.results.pop(0).reason is Reason.NAME_NOT_FOUND
        names.mode = "mute"
        made.names._resolver = None
        one.send(errand)
        await asyncio.sleep(0.05)
        assert made.datagrams.give_up() == [0]
        await asyncio.sleep(0.05)
        assert (one.rows, one.results) == ({}, {})


async def test_name_whose_address_is_not_allowed_is_asked_nothing() -> None:
    addresses = {("in.example.", "A"): ["127.0.0.1"], ("out.example.", "A"): ["169.254.3.3"]}
    async with (
        name_server(addresses) as (_, port),
        name_server(RECORDS) as (asked, server),
        tools(nameservers=[f"127.0.0.1:{port}"]) as made,
    ):
        one = Book(made)
        here: dict[str, Any] = {"port": server, "name": "shop.example"}
        one.send(one.errand(**here, server="out.example"), errand := one.errand(**here, server="in.example"))
        await one.heard(2)
        made.names.allow(Targets())
        one.made.datagrams.begin([errand], [2], asyncio.get_running_loop().time(), 1_000.0)
        await one.heard(3)
    reasons = {slot: result.reason for slot, result in one.results.items()}
    assert reasons == {0: Reason.TARGET_NOT_ALLOWED, 1: Reason.ANSWERED, 2: Reason.TARGET_NOT_ALLOWED}
    assert asked.asked == 1


async def test_time_servers_are_asked_by_the_batch_and_each_question_that_is_asked_again_counts_by_itself() -> None:
    says = time_server()
    async with (
        udp_peer(lambda data, count: says(data, count) if count else []) as (loses, lossy),
        udp_peer(says) as (_, good),
        udp_peer(time_server(leap=3, stratum=16)) as (_, lost),
        book(seconds=5.0) as one,
    ):
        places: dict[str, Any] = {"host": "127.0.0.1", "resend_seconds": 1.0}
        one.send(*(one.errand("ntp", **places, port=port) for port in (good, lossy, lost)))
        await one.heard(3)
        assert len({data[40:48] for data in loses.heard}) == len(loses.heard) == 2
    assert sorted(one.rows) == [0, 1]
    for rows in one.rows.values():
        [(success, duration, response, offset, round_trip, stratum, *_)] = rows
        assert (success, stratum) == (1.0, 2.0)
        assert 0.0 <= round_trip <= response == duration < 0.9, "what was lost before is no part of it"
        assert abs(offset) < 0.5
    assert one.results[2].reason is Reason.SERVER_UNSYNCHRONISED
    assert {reading.metric for reading in one.results[2].readings} == set(Question.metrics)


async def test_time_that_was_set_meanwhile_makes_a_question_of_time_blind() -> None:
    async with udp_peer(time_server()) as (_, port), book() as one:
        one.made.datagrams._stepped_at = inf
        one.send(one.errand("ntp", host="127.0.0.1", port=port))
        await one.heard(1)
    assert (one.results[0].outcome, one.results[0].reason) == (Outcome.BLIND, Reason.CLOCK_STEPPED)


async def test_answer_of_somebody_else_is_none_though_its_number_is_right() -> None:
    answers: list[bytes] = []
    async with agent(twist=answers.append) as (_, where), book(seconds=0.4) as one:
        one.send(one.errand("snmp", **where))
        while not answers:
            await asyncio.sleep(0.01)
        [door] = one.made.datagrams._doors
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
            stranger.sendto(answers[0], ("127.0.0.1", door._socket.getsockname()[1]))
        await one.heard(1)
    assert one.results[0].reason is Reason.NO_ANSWER


async def test_numbers_of_questions_are_not_guessed_from_the_ones_before() -> None:
    short, long = lines.Keys(2), lines.Keys(4, 0x7F)
    shorts = [int.from_bytes(short.one(), "big") for _ in range(10_000)]
    longs = [int.from_bytes(long.one(), "big") for _ in range(10_000)]
    assert len(set(shorts)) > 9_000
    assert len(set(longs)) > 9_990
    assert max(shorts) > 65_000
    assert 1 << 24 <= min(longs) < max(longs) < 1 << 31, "four bytes, as a positive integer in the fewest is written"
    assert len({(after - before) % (1 << 16) for before, after in pairwise(shorts)}) > 8_000
