"""stamp: packets against vectors and an independent implementation; sessions with our own reflector and worse ones."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import signal
import socket
import sys
from pathlib import Path
from typing import Any

import pytest
from cemd.kit.parent import end_with_starter
from cemd.model.quality import Outcome
from cemd.monitor.probes.base import Reason
from cemd.monitor.probes.engines import sender as senders
from cemd.monitor.probes.engines.clock_state import ClockState, clock_state
from cemd.monitor.protocols.stamp_packets import (
    ErrorEstimate,
    answer_packet,
    ntp_of,
    read_answer,
    read_sent,
    sender_packet,
    unix_ns_of,
)
from hypothesis import given
from hypothesis import strategies as st

from tests.monitor import peers
from tests.monitor.peers import complaints, look, tools, value
from tests.monitor.probes.contract import SECRET, Contract
from tests.monitor.probes.reflectors import reflector, way_to
from tests.monitor.probes.test_udp import udp_peer

NEW_YEAR_NS = 1_767_225_600_000_000_000
KEY = b"0123456789abcdef"
FAST = {"packets": 3, "gap_seconds": 0.005, "wait_seconds": 0.5}


async def contract(stack: contextlib.AsyncExitStack, secret_file: str) -> Contract:
    signed = await stack.enter_async_context(reflector(key=SECRET.encode()))
    _, mute = await stack.enter_async_context(udp_peer(lambda _, __: []))
    good = {"host": "127.0.0.1", "port": signed.port, "key_file": secret_file, **FAST}
    return Contract(
        good=good,
        failing={"host": "127.0.0.1", "port": peers.free_port(), "key_file": secret_file, **FAST},
        hanging={"host": "127.0.0.1", "port": mute, "packets": 10, "gap_seconds": 0.005, "wait_seconds": 60.0},
    )


# packets


def test_packets_are_those_of_the_vectors() -> None:
    question = sender_packet(1, ntp_of(NEW_YEAR_NS + 500_000_000), 0x8001, 0)
    assert question == bytes.fromhex("00000001 ed00378080000000 8001 0000") + bytes(28)
    sent = read_sent(question, None)
    assert sent is not None
    answer = answer_packet(
        sent,
        sequence=1,
        received_ns=NEW_YEAR_NS + 625_000_000,
        now_ns=NEW_YEAR_NS + 750_000_000,
        error=0x8001,
        ttl=255,
        rest=b"",
        key=None,
    )
    reflected = "00000001 ed003780c0000000 8001 0000 ed003780a0000000 00000001 ed00378080000000 8001 0000 ff000000"
    assert answer == bytes.fromhex(reflected)
    read = read_answer(answer, None)
    assert read is not None
    assert read.error == ErrorEstimate(True, 2.0**-32)
    round_trip = (NEW_YEAR_NS + 875_000_000 - unix_ns_of(read.sender_stamp)) - (read.sent_ns - read.received_ns)
    assert round_trip == 250_000_000


def test_signed_packets_have_the_size_and_the_places_of_the_rfc() -> None:
    question = sender_packet(7, ntp_of(NEW_YEAR_NS), 0x8001, 9, key=KEY)
    assert (len(question), question[:16], question[24:28]) == (112, b"\0\0\0\x07" + bytes(12), b"\x80\x01\0\x09")
    sent = read_sent(question, KEY)
    assert sent is not None
    answer = answer_packet(
        sent, sequence=3, received_ns=NEW_YEAR_NS, now_ns=NEW_YEAR_NS, error=0x0101, ttl=64, rest=b"pad", key=KEY
    )
    assert len(answer) == 115
    assert (answer[:4], answer[48:52], answer[80], answer[112:]) == (b"\0\0\0\x03", b"\0\0\0\x07", 64, b"pad")
    read = read_answer(answer, KEY)
    assert read is not None
    assert (read.sequence, read.sender_sequence, read.session, read.ttl) == (3, 7, 9, 64)
    assert read_answer(answer, b"another key") is None
    assert read_sent(bytes([question[0] ^ 1]) + question[1:], KEY) is None


@given(st.binary(max_size=200), st.sampled_from([None, KEY]))
def test_no_bytes_make_the_readers_raise(data: bytes, key: bytes | None) -> None:
    sent, answer = read_sent(data, key), read_answer(data, key)
    assert (sent is not None) == (key is None and len(data) >= 14)
    assert (answer is not None) == (key is None and len(data) >= 41)


@given(st.integers(NEW_YEAR_NS, NEW_YEAR_NS + 70 * 365 * 86_400 * 10**9))
def test_stamps_bring_back_the_same_nanosecond(instant: int) -> None:
    assert unix_ns_of(ntp_of(instant)) == instant


@given(st.booleans(), st.floats(1e-9, 100))
def test_error_estimate_never_claims_more_than_it_was_given(synchronised: bool, seconds: float) -> None:
    read = ErrorEstimate.read(ErrorEstimate(synchronised, seconds).packed())
    assert read.synchronised is synchronised
    assert read.seconds == pytest.approx(seconds, rel=0.02, abs=3e-10)


def test_an_independent_implementation_reads_and_writes_the_same_bytes() -> None:
    scapy = pytest.importorskip("scapy.contrib.stamp", reason="the dependency group `oracle` is not installed")
    question = sender_packet(5, ntp_of(NEW_YEAR_NS), 0x8001, 77)
    theirs = scapy.STAMPSessionSenderTestUnauthenticated(question)
    assert (theirs.seq, theirs.ssid, bytes(theirs)) == (5, 77, question)
    assert int(theirs.err_estimate.S) == 1
    sent = read_sent(question, None)
    assert sent is not None
    answer = answer_packet(
        sent, sequence=2, received_ns=NEW_YEAR_NS, now_ns=NEW_YEAR_NS + 1, error=0x0101, ttl=61, rest=b"", key=None
    )
    reflected = scapy.STAMPSessionReflectorTestUnauthenticated(answer)
    assert (reflected.seq, reflected.seq_sender, reflected.ttl_sender, reflected.ssid) == (2, 5, 61, 77)
    assert bytes(reflected) == answer


# sessions


async def test_session_with_our_own_reflector() -> None:
    async with reflector() as far, tools() as made:
        params = {"host": "127.0.0.1", "port": far.port, "packets": 20, "gap_seconds": 0.002, "reflector": "stateful"}
        result = await look(made, "stamp", params)
    assert result.reason is Reason.ANSWERED, result.detail
    for metric in ("loss_ratio", "forward_loss_ratio", "backward_loss_ratio", "duplicate_count", "reordered_ratio"):
        assert value(result, metric) == 0.0
    assert 0.0 < value(result, "round_trip_seconds") < 0.1
    assert far.counters == {"answered": 20}


async def test_session_that_could_send_nothing_before_its_deadline_is_blind_and_not_down() -> None:
    async with reflector() as far, tools() as made:
        params = {"host": "127.0.0.1", "port": far.port, "packets": 1}
        result = await look(made, "stamp", params, seconds=senders.MARGIN_SECONDS / 2)
    assert (result.outcome, result.reason) == (Outcome.BLIND, Reason.PROBER_BUSY)
    assert far.counters == {}


@pytest.mark.parametrize("stateful", [True, False])
async def test_loss_is_told_by_direction_where_the_reflector_counts(stateful: bool) -> None:
    lost_there, lost_back = {3, 4, 11}, {7}
    async with reflector(stateful=stateful) as far, tools() as made:
        fates = (lambda n: [] if n in lost_there else [0.0], lambda n: [] if n in lost_back else [0.0])
        async with way_to(far.port, *fates) as (_, port):
            params = {"host": "127.0.0.1", "port": port, "packets": 20, "gap_seconds": 0.005, "wait_seconds": 0.3}
            if stateful:
                params["reflector"] = "stateful"
            result = await look(made, "stamp", params)
    assert value(result, "loss_ratio") == pytest.approx(4 / 20)
    told = {reading.metric: reading.value for reading in result.readings if "_loss_" in reading.metric}
    assert told == ({"forward_loss_ratio": 3 / 20, "backward_loss_ratio": pytest.approx(1 / 17)} if stateful else {})


async def test_doubles_and_overtaking_are_seen_and_the_reflector_counts_its_own_time_out() -> None:
    async with reflector() as far, tools() as made:

        def back(number: int) -> list[float]:
            return [0.0, 0.0] if number == 2 else [0.04] if number == 5 else [0.0]

        async with way_to(far.port, back=back) as (_, port):
            params = {"host": "127.0.0.1", "port": port, "packets": 12, "gap_seconds": 0.01, "wait_seconds": 0.5}
            result = await look(made, "stamp", params)
    assert value(result, "duplicate_count") == 1.0
    assert value(result, "reordered_ratio") == pytest.approx(1 / 12)
    assert value(result, "round_trip_max_seconds") == pytest.approx(0.04, abs=0.02)


async def test_time_that_the_reflector_holds_a_packet_is_not_in_the_round_trip() -> None:
    def slow(data: bytes, _: int) -> list[bytes]:
        sent = read_sent(data, None)
        assert sent is not None
        now = NEW_YEAR_NS  # a clock of its own, far from ours, and 7 s between its two stamps
        held = now + 7_000_000_000
        return [answer_packet(sent, sequence=0, received_ns=now, now_ns=held, error=0x0001, ttl=9, rest=b"", key=None)]

    async with udp_peer(slow) as (_, port), tools() as made:
        result = await look(made, "stamp", {"host": "127.0.0.1", "port": port, **FAST})
    assert value(result, "round_trip_seconds") == 0.0
    assert "forward_delay_seconds" not in {reading.metric for reading in result.readings}


async def test_delays_of_one_way_are_told_where_both_clocks_are_synchronised(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(senders, "clock_state", lambda: ClockState(True, 1e-4))
    monkeypatch.setattr("cemd.monitor.reflector.clock_state", lambda: ClockState(True, 1e-4))
    async with reflector() as far, tools() as made, way_to(far.port, there=lambda _: [0.03]) as (_, port):
        result = await look(made, "stamp", {"host": "127.0.0.1", "port": port, **FAST})
    assert value(result, "forward_delay_seconds") == pytest.approx(0.03, abs=0.02)
    assert 0.0 <= value(result, "backward_delay_seconds") < 0.02
    assert clock_state().error_seconds > 0


@pytest.mark.parametrize(("told", "synchronised"), [(True, True), (False, False)])
def test_clock_that_may_not_be_asked_is_known_by_the_file_of_timesyncd(
    told: bool, synchronised: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Forbidden:
        def adjtimex(self, _timex: object) -> int:
            return -1

    if told:
        (tmp_path / "synchronized").touch()
    monkeypatch.setattr("cemd.monitor.probes.engines.clock_state._libc", Forbidden)
    monkeypatch.setattr("cemd.monitor.probes.engines.clock_state.TIMESYNCD_SAYS", tmp_path / "synchronized")
    assert clock_state().synchronised is synchronised


def forged(data: bytes, *, stamp: int = 0, sequence: int | None = None) -> bytes:
    sent = read_sent(data, None)
    assert sent is not None
    number = sent.sequence if sequence is None else sequence
    lie = type(sent)(sequence=number, stamp=sent.stamp ^ stamp, error=sent.error, session=sent.session)
    now = NEW_YEAR_NS
    return answer_packet(lie, sequence=0, received_ns=now, now_ns=now, error=1, ttl=1, rest=b"", key=None)


@pytest.mark.parametrize(
    "answers",
    [
        lambda _, __: [b"", b"x" * 40, b"\xff" * 9000],
        lambda data, _: [forged(data, stamp=1)],
        lambda data, _: [forged(data, sequence=4_000_000_000)],
        lambda data, _: [data],
    ],
    ids=["garbage", "wrong stamp", "number never sent", "its own packets"],
)
async def test_lies_are_no_answers(answers: Any) -> None:
    async with udp_peer(answers) as (_, port), tools() as made:
        result = await look(made, "stamp", {"host": "127.0.0.1", "port": port, **FAST, "wait_seconds": 0.2})
    assert (result.outcome, result.reason) == (Outcome.TIMED_OUT, Reason.NO_ANSWER)
    assert value(result, "loss_ratio") == 1.0


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({"packet_bytes": 100, "key_file": "/k"}, "below the 112 of a signed packet"),
        ({"packet_bytes": 43}, "greater than or equal to 44"),
        ({"gap_seconds": 0.0}, "greater than or equal to 0.001"),
        ({"reflector": "maybe"}, "Input should be"),
    ],
)
def test_absurd_parameters_are_refused_at_load(params: dict[str, Any], words: str) -> None:
    assert words in complaints("stamp", {"host": "192.0.2.1", **params})


# the reflector


async def ask(port: int, *packets: bytes, source: int = 0) -> list[bytes]:
    """What comes back within a moment of what was sent from one socket."""
    loop = asyncio.get_running_loop()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as door:
        door.bind(("127.0.0.1", source))
        door.connect(("127.0.0.1", port))
        for packet in packets:
            await loop.sock_sendall(door, packet)
        answers: list[bytes] = []
        try:
            async with asyncio.timeout(0.3):
                while True:
                    answers.append(await loop.sock_recv(door, 9000))
        except TimeoutError:
            return answers


def question(number: int = 0, *, size: int = 44, key: bytes | None = None, session: int = 1) -> bytes:
    return sender_packet(number, ntp_of(NEW_YEAR_NS), 1, session, size=size, key=key)


async def test_reflector_numbers_each_session_apart() -> None:
    async with reflector() as far:
        first = await ask(far.port, question(5), question(6), question(9, session=2))
        again = await ask(far.port, question(0))
    read = [answer for data in first if (answer := read_answer(data, None))]
    assert [(answer.sequence, answer.sender_sequence) for answer in read] == [(0, 5), (1, 6), (0, 9)]
    assert again[0][:4] == bytes(4)
    assert read[0].ttl == 64


async def test_stateless_reflector_hands_our_numbers_back_and_padding_with_them() -> None:
    async with reflector(stateful=False) as far:
        [short, long] = await ask(far.port, question(5)[:14], question(6, size=100)[:44] + b"p" * 56)
    assert len(short) == 44, "TWAMP-Light's shortest question has an answer of 44 octets"
    assert (len(long), long[44:]) == (100, b"p" * 56)
    answer = read_answer(long, None)
    assert answer is not None
    assert answer.sequence == 6


@pytest.mark.parametrize("kind", ["stamp", "voice"])
@pytest.mark.parametrize(
    ("ours", "theirs", "words"),
    [
        ("key", b"another", "silent as well where its key is not that of key_file"),
        (None, b"another", "silent as well where it wants packets to be signed"),
        ("key", None, "what came was not signed with the key of key_file"),
    ],
    ids=["another key", "no key of ours", "no key over there"],
)
async def test_key_that_differs_is_hinted_at_by_silence_and_told_where_it_shows(
    kind: str, ours: str | None, theirs: bytes | None, words: str, tmp_path: Path
) -> None:
    (tmp_path / "key").write_bytes(KEY)
    params: dict[str, Any] = FAST if kind == "stamp" else {"call_seconds": 1}
    params = {**params, "wait_seconds": 0.2} | ({"key_file": str(tmp_path / "key")} if ours else {})
    async with reflector(key=theirs) as far, tools() as made:
        result = await look(made, kind, {"host": "127.0.0.1", "port": far.port, **params})
    assert result.outcome is not Outcome.OK
    assert (result.reason is Reason.NOT_AUTHENTICATED) is (theirs is None)
    assert words in result.detail
    assert value(result, "loss_ratio") == 1.0


async def test_reflector_answers_nobody_it_should_not() -> None:
    async with reflector(allow=(ipaddress.ip_network("192.0.2.0/24"),)) as far:
        assert await ask(far.port, question()) == []
        assert far.counters == {"not_allowed": 1}
    async with reflector(key=KEY) as far:
        assert await ask(far.port, question(), b"x", question(key=b"wrong")) == []
        assert len(await ask(far.port, question(key=KEY))) == 1
        assert far.counters == {"malformed": 1, "not_signed": 2, "answered": 1}
    async with reflector(most_per_second=5) as far:
        assert len(await ask(far.port, *(question(number) for number in range(30)))) <= 10
        assert far.counters["too_many"] >= 20


async def test_one_reflector_answers_both_versions_of_ip() -> None:
    allow = (ipaddress.ip_network("127.0.0.0/8"), ipaddress.ip_network("::1/128"))
    async with reflector(host="::", allow=allow) as far, tools() as made:
        for host in ("127.0.0.1", "::1"):
            result = await look(made, "stamp", {"host": host, "port": far.port, **FAST})
            assert result.reason in {Reason.ANSWERED, Reason.NO_ROUTE}, result.detail
        [answer] = await ask(far.port, question())
    read = read_answer(answer, None)
    assert read is not None
    assert read.ttl == 64


async def test_two_reflectors_never_answer_each_other() -> None:
    async with reflector() as one, reflector() as other:
        assert one.port != other.port
        one._sessions.clear()
        assert one._judged(question(), ("127.0.0.1", one.port)) == ("not_allowed", None)
        assert other._judged(question(), ("127.0.0.1", 862)) == ("not_allowed", None)


async def test_reflector_forgets_the_session_that_was_silent_longest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cemd.monitor.reflector.MOST_SESSIONS", 3)
    async with reflector() as far:
        await ask(far.port, *(question(session=number) for number in range(1, 6)))
        assert [session for _, session in far._sessions] == [3, 4, 5]


async def test_command_answers_until_it_is_told_to_stop(tmp_path: Path) -> None:
    port = peers.free_port()
    words = ["reflect", "--port", str(port), "--allow", "127.0.0.0/8", "--log-json"]
    child = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "cemd",
        *words,
        stderr=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        preexec_fn=end_with_starter,
    )
    try:
        assert child.stderr is not None
        async with asyncio.timeout(30):
            while b"reflector.open" not in (line := await child.stderr.readline()):
                assert line, "it ended before it was open"
        assert len(await ask(port, question())) == 1
    finally:
        child.send_signal(signal.SIGTERM)
        _, said = await child.communicate()
    assert child.returncode == 0
    assert b'"answered": 1' in said
