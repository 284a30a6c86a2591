"""dns: answers that are wrong, forged, cut short or missing."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset
import pytest
from cemd.model.quality import Outcome
from cemd.monitor.probes.base import Reason
from cemd.monitor.probes.engines.dns_engine import Query, answers
from cemd.monitor.protocols import dns_answer, dns_query
from hypothesis import given
from hypothesis import strategies as st

from tests.monitor import peers
from tests.monitor.peers import complaints, look, name_server, tools, value
from tests.monitor.probes.contract import Contract

RECORDS = {
    ("shop.example.", "A"): ["192.0.2.7", "192.0.2.8"],
    ("shop.example.", "MX"): ["10 mail.example."],
}


async def contract(stack: contextlib.AsyncExitStack, _secret_file: str) -> Contract:
    _, port = await stack.enter_async_context(name_server(RECORDS))
    mute, mute_port = await stack.enter_async_context(name_server(RECORDS))
    mute.mode = "mute"
    asked = {"server": "127.0.0.1", "port": port}
    return Contract(
        good={**asked, "name": "shop.example"},
        failing={**asked, "name": "nobody.example"},
        hanging={"server": "127.0.0.1", "port": mute_port, "name": "shop.example"},
    )


@pytest.mark.parametrize(
    ("params", "reason"),
    [
        ({"name": "shop.example"}, Reason.ANSWERED),
        ({"name": "shop.example", "answers": ["192.0.2.8"]}, Reason.ANSWERED),
        ({"name": "shop.example", "answers": ["192.0.2.9"]}, Reason.ANSWER_UNEXPECTED),
        ({"name": "shop.example", "min_answers": 3}, Reason.ANSWER_UNEXPECTED),
        ({"name": "shop.example", "type": "MX", "answers": ["10 mail.example."]}, Reason.ANSWERED),
        ({"name": "gone.example"}, Reason.STATUS_UNEXPECTED),
        ({"name": "gone.example", "rcode": "NXDOMAIN"}, Reason.ANSWERED),
        ({"name": "shop.example", "transport": "tcp"}, Reason.ANSWERED),
    ],
)
async def test_answers_are_held_against_what_they_must_be(params: dict[str, Any], reason: Reason) -> None:
    async with name_server(RECORDS) as (_, port), tools() as made:
        result = await look(made, "dns", {"server": "127.0.0.1", "port": port, **params})
    assert result.reason is reason, result.detail
    assert value(result, "response_seconds") > 0


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({"answers_match": [r"^shop\.example\.\t\d+\tIN\tA\t192\.0\.2\."]}, ""),
        ({"answers_match": ["192", r"\.7$"]}, "the record 'shop.example. 60 IN A 192.0.2.8' does not match '\\\\.7$'."),
        ({"answers_match_not": [r"127\.0\.0\.1", "AAAA"]}, ""),
        (
            {"answers_match_not": [r"\.8$"]},
            "the record 'shop.example. 60 IN A 192.0.2.8' matches '\\\\.8$' and must not.",
        ),
        ({"name": "gone.example", "rcode": "NXDOMAIN", "answers_match": ["x"]}, "the answer holds no record; one that"),
        ({"name": "gone.example", "rcode": "NXDOMAIN", "answers_match_not": ["x"]}, ""),
        ({"transport": "tcp", "answers_match": ["nothing of it"]}, "does not match 'nothing of it'."),
    ],
)
async def test_every_record_is_held_against_regular_expressions(params: dict[str, Any], words: str) -> None:
    async with name_server(RECORDS) as (_, port), tools() as made:
        result = await look(made, "dns", {"server": "127.0.0.1", "port": port, "name": "shop.example", **params})
    assert result.reason is (Reason.ANSWER_UNEXPECTED if words else Reason.ANSWERED), result.detail
    assert words in result.detail
    assert value(result, "response_seconds") > 0


def test_regular_expression_that_is_none_is_refused() -> None:
    assert "'(' is no regular expression" in complaints(
        "dns", {"server": "192.0.2.1", "name": "a", "answers_match": ["("]}
    )


@pytest.mark.parametrize(
    ("mode", "outcome"),
    [
        ("truncate", Outcome.OK),
        ("lose first", Outcome.OK),
        ("mute", Outcome.TIMED_OUT),
        ("garbage", Outcome.TIMED_OUT),
        ("number", Outcome.TIMED_OUT),  # of the question, and no more
        ("forge", Outcome.TIMED_OUT),
    ],
)
async def test_cut_answers_go_over_tcp_and_noise_is_no_answer(mode: str, outcome: Outcome) -> None:
    async with name_server(RECORDS) as (server, port), tools() as made:
        server.mode = mode
        params = {"server": "127.0.0.1", "port": port, "name": "shop.example", "resend_seconds": 0.1}
        result = await look(made, "dns", params, seconds=0.5)
    assert result.outcome is outcome
    if outcome is Outcome.OK:
        assert value(result, "answer_count") == 2.0
    if mode in {"mute", "garbage"}:
        assert server.asked >= 3


async def test_no_name_server_at_all_is_refused_quickly() -> None:
    port = peers.free_port()
    async with tools() as made:
        params = {"server": "127.0.0.1", "port": port, "name": "shop.example"}
        result = await look(made, "dns", params)
    assert (result.outcome, result.reason) == (Outcome.FAILED, Reason.REFUSED)
    assert result.detail == f"question to 127.0.0.1 port {port}: ECONNREFUSED."
    assert value(result, "duration_seconds") < 1.0


# What comes from outside is read by our own walk over the bytes; dnspython is its oracle.

QUERY = dns.message.make_query("shop.example", "A")
WIRE = QUERY.to_wire()
RECORD_TEXTS = st.sampled_from(
    [
        ("A", "192.0.2.1"),
        ("A", "192.0.2.2"),
        ("AAAA", "2001:db8::1"),
        ("MX", "10 mail.shop.example."),
        ("TXT", '"words"'),
    ]
)


@given(st.binary(max_size=200))
def test_no_bytes_make_the_reader_raise(data: bytes) -> None:
    whole = WIRE[:2] + b"\x81\x80" + WIRE[4:] + data
    for message in (whole, whole[:6] + data[:2].ljust(2, b"\xff") + whole[8:]):
        seen = dns_answer.read(message, len(WIRE), dns.rdatatype.A)
        assert seen is None or len(seen.records) <= 0xFFFF


@given(st.lists(RECORD_TEXTS, max_size=6), st.integers(0, 5), st.integers(0, 86_400), st.data())
def test_reader_sees_what_dnspython_sees_and_a_cut_message_is_none(
    records: list[tuple[str, str]], rcode: int, ttl: int, data: st.DataObject
) -> None:
    answer = dns.message.make_response(QUERY)
    answer.set_rcode(dns.rcode.Rcode(rcode))
    for word, text in dict.fromkeys(records):
        answer.answer.append(dns.rrset.from_text("shop.example.", ttl, "IN", word, text))
    message = answer.to_wire()
    seen = dns_answer.read(message, len(WIRE), dns.rdatatype.A)
    assert seen is not None
    wanted = [ipaddress.ip_address(text).packed for word, text in dict.fromkeys(records) if word == "A"]
    assert sorted(seen.records) == sorted(wanted)
    assert seen.rcode == rcode
    assert seen.least_ttl == (ttl if wanted else -1)
    last = max((len(message) - 1, len(WIRE)))
    cut = message[: data.draw(st.integers(len(WIRE), last))]
    assert not records or dns_answer.read(cut, len(WIRE), dns.rdatatype.A) is None


@pytest.mark.parametrize(
    "spoil",
    [
        lambda wire: wire[:2] + b"\x01" + wire[3:],  # a query, no answer
        lambda wire: wire[:2] + b"\xa8" + wire[3:],  # another opcode
        lambda wire: wire[:4] + b"\0\2" + wire[6:],  # two questions
        lambda wire: wire[:13] + b"X" + wire[14:],  # another question
    ],
)
def test_answer_to_something_else_is_none_of_ours(spoil: Callable[[bytes], bytes]) -> None:
    right = WIRE[:2] + b"\x81" + WIRE[3:]
    assert answers(right.replace(b"shop", b"sHoP"), Query(WIRE))
    assert not answers(spoil(right), Query(WIRE))


@pytest.mark.parametrize("recursion", [True, False])
@pytest.mark.parametrize("signatures", [True, False])
@pytest.mark.parametrize(
    "name", ["shop.example", "a.b.c.", ".", "Ünïcode.example", r"esc\.aped.example", "x" * 63 + ".example"]
)
def test_question_is_what_dnspython_would_ask(name: str, signatures: bool, recursion: bool) -> None:
    query = dns.message.make_query(name, "MX", use_edns=0, payload=1232, want_dnssec=signatures, id=0)
    if not recursion:
        query.flags &= ~dns.flags.RD
    if signatures:
        query.flags |= dns.flags.CD
    assert dns_query.message(name, 15, recursion=recursion, signatures=signatures) == query.to_wire()


def descriptors() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


async def test_one_socket_serves_many_and_goes_when_its_time_is_over() -> None:
    async with name_server(RECORDS) as (server, port), tools() as made:
        params = {"server": "127.0.0.1", "port": port, "name": "shop.example", "resend_seconds": 25.0}
        before = descriptors()
        results = await asyncio.gather(*(look(made, "dns", params) for _ in range(200)))
        assert {result.outcome for result in results} == {Outcome.OK}
        assert server.asked == 200
        assert descriptors() <= before + 2
