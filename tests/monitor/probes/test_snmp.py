"""snmp: a real agent in all its dresses; one of ours that lies, wraps, restarts and babbles."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import socket
import sys
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from cemd.config.probes import Probe
from cemd.model.quality import Outcome
from cemd.monitor.probes import make
from cemd.monitor.probes.attempts import measure
from cemd.monitor.probes.base import Attempt, Reason
from cemd.monitor.probes.engines.snmp_counters import growth
from cemd.monitor.protocols import Malformed
from cemd.monitor.protocols.ber import INTEGER, OCTETS, SEQUENCE, Oid, Reader, integer, oid, sequence, tlv
from cemd.monitor.protocols.snmp import (
    Frame,
    Pdu,
    Security,
    ValueType,
    community_message,
    read_community_message,
    read_frame,
    request_pdu,
    scoped,
    write_frame,
)
from cemd.monitor.protocols.snmp_get import Get, Heads, key_of
from cemd.monitor.protocols.snmp_names import NAMES, parse_oid
from cemd.monitor.protocols.snmp_security import Authentication, local_key
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.conftest import program
from tests.monitor.peers import complaints, look, tools, value
from tests.monitor.probes.contract import SECRET, Contract
from tests.monitor.programs import free_udp_port, started

UPTIME: Oid = (1, 3, 6, 1, 2, 1, 1, 3, 0)
OCTETS_IN: Oid = NAMES["ifHCInOctets"]
DESCRIPTION: Oid = NAMES["ifDescr"]
RATE = {"oid": "ifHCInOctets.1", "metric": "in_bits_per_second", "report": "rate", "scale": 8}
COMMUNITY = SECRET
PASSWORD = "authentic-4711"
SEAL = "sealed-words-4711"
_CONF = f"""
agentaddress udp:127.0.0.1:{{port}}
rocommunity {COMMUNITY} 127.0.0.1
rouser watcher priv
rouser reader auth
sysLocation east-hill
sysContact noc@example.net
sysServices 72
disk / 1%
"""
_USERS = f"""
createUser watcher SHA-256 "{PASSWORD}" AES "{SEAL}"
createUser reader SHA "{PASSWORD}"
"""


@dataclass
class Agent(asyncio.DatagramProtocol):
    """Answers v2c from a table; `twist` may change the answer's bytes, or take them away."""

    table: dict[Oid, tuple[ValueType, int | bytes]] = field(default_factory=dict)
    twist: Callable[[bytes], bytes | None] = lambda data: data
    lose: int = 0
    asked: int = 0
    endless: bool = False

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, addr: Any) -> None:
        self.asked += 1
        if self.asked <= self.lose:
            return
        outer = Reader(data).inside(SEQUENCE)
        outer.number()
        community = outer.content(OCTETS)
        tag, pdu = outer.any()
        request, _, repetitions = pdu.number(), pdu.number(), pdu.number()
        rows = pdu.inside(SEQUENCE)
        names = []
        while rows.more():
            names.append(rows.inside(SEQUENCE).object_id())
        found = (
            self.walk(names[0], repetitions) if tag == Pdu.GET_BULK else [(one, self.table.get(one)) for one in names]
        )
        body = tlv(Pdu.RESPONSE, integer(request), integer(0), integer(0), sequence(map(bound, found)))
        answer = self.twist(community_message(community, body))
        if answer is not None:
            self.transport.sendto(answer, addr)

    def walk(self, start: Oid, most: int) -> list[tuple[Oid, tuple[ValueType, int | bytes] | None]]:
        if self.endless:
            stem, last = (start, 0) if start == OCTETS_IN else (start[:-1], start[-1])
            return [((*stem, last + n), (ValueType.COUNTER64, n)) for n in range(1, most + 1)]
        after = sorted(name for name in self.table if name > start)[:most]
        return [(name, self.table[name]) for name in after] or [(start, (ValueType.END_OF_VIEW, b""))]


def bound(item: tuple[Oid, tuple[ValueType, int | bytes] | None]) -> bytes:
    name, found = item
    kind, what = found or (ValueType.NO_INSTANCE, b"")
    content = what if isinstance(what, bytes) else integer(what)[2:]
    return sequence((oid(name), tlv(kind, content)))


@contextlib.asynccontextmanager
async def agent(**given_: Any) -> AsyncIterator[tuple[Agent, dict[str, Any]]]:
    made = Agent(**given_)
    made.table.setdefault(UPTIME, (ValueType.TICKS, 1000))
    transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(lambda: made, local_addr=("127.0.0.1", 0))
    try:
        yield made, {"host": "127.0.0.1", "port": transport.get_extra_info("sockname")[1], "resend_seconds": 0.2}
    finally:
        transport.close()


async def contract(stack: contextlib.AsyncExitStack, secret_file: str) -> Contract:
    table = {(*DESCRIPTION, 1): (ValueType.OCTETS, b"port 1"), (*OCTETS_IN, 1): (ValueType.COUNTER64, 5)}
    _, good = await stack.enter_async_context(agent(table=table))
    _, mute = await stack.enter_async_context(agent(twist=lambda _: None))
    values = {"values": [{"oid": "ifHCInOctets.1", "metric": "octets_total"}], "community_file": secret_file}
    missing = {"values": [{"oid": "ifHCInOctets.9", "metric": "octets_total"}], "community_file": secret_file}
    return Contract(good={**good, **values}, failing={**good, **missing}, hanging={**mute, "values": values["values"]})


# a real agent


@contextlib.asynccontextmanager
async def snmpd(folder: Path) -> AsyncIterator[dict[str, Any]]:
    """Parameters of an agent that answers."""
    path = program("snmpd")
    assert path is not None
    port = free_udp_port()
    conf = folder / "snmpd.conf"
    conf.write_text(_CONF.format(port=port) + _USERS)
    arguments = ("-f", "-Lo", "-I", "-smux", "-C", "-c", str(conf))
    async with started(path, *arguments, env={"SNMP_PERSISTENT_DIR": str(folder)}):
        await answering(port)
        yield {"host": "127.0.0.1", "port": port}


async def answering(port: int) -> None:
    question = community_message(COMMUNITY.encode(), request_pdu(Pdu.GET, 1, [UPTIME]))
    loop = asyncio.get_running_loop()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as door:
        door.connect(("127.0.0.1", port))
        async with asyncio.timeout(60):
            while True:
                try:
                    await loop.sock_sendall(door, question)
                    async with asyncio.timeout(0.1):
                        await loop.sock_recv(door, 65_535)
                        return
                except (TimeoutError, ConnectionRefusedError):
                    await asyncio.sleep(0.05)


@pytest.fixture
def files(tmp_path: Path) -> dict[str, str]:
    texts = {"community": COMMUNITY, "password": PASSWORD, "seal": SEAL}
    for name, text in texts.items():
        (tmp_path / name).write_text(text + "\n")
    return {name: str(tmp_path / name) for name in texts}


@pytest.mark.needs("snmpd")
async def test_real_agent_gives_values_and_tables_over_every_dress(tmp_path: Path, files: dict[str, str]) -> None:
    dresses: list[dict[str, Any]] = [
        {"community_file": files["community"]},
        {"protocol": "v3", "user": sealed(files)},
        {"protocol": "v3", "user": signed(files)},
    ]
    wanted = {
        "values": [{"oid": "sysUpTime.0", "metric": "uptime_seconds", "scale": 0.01}],
        "tables": [{"oid": "ifOperStatus", "metric": "status_code", "label": "interface", "names": "ifDescr"}],
    }
    async with snmpd(tmp_path) as port, tools() as made:
        for dress in dresses:
            result = await look(made, "snmp", {**port, **wanted, **dress})
            assert result.reason is Reason.ANSWERED, result.detail
            assert 0 < value(result, "uptime_seconds") < 60
            rows = {reading.labels: reading.value for reading in result.readings if reading.metric == "status_code"}
            assert rows[("interface", "lo"),] == 1.0


@pytest.mark.needs("snmpd")
@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"password_file": "seal"}, "signature wrong"),
        ({"name": "nobody"}, "does not know the user"),
        ({"authentication": "sha512"}, "signature wrong"),
    ],
)
async def test_wrong_credentials_are_said_by_the_agent(
    tmp_path: Path, files: dict[str, str], change: dict[str, str], words: str
) -> None:
    user = {**signed(files), **{key: files.get(text, text) for key, text in change.items()}}
    async with snmpd(tmp_path) as port, tools() as made:
        result = await look(made, "snmp", {**port, "protocol": "v3", "user": user})
    assert (result.outcome, result.reason) == (Outcome.FAILED, Reason.NOT_AUTHENTICATED)
    assert words in result.detail


@pytest.mark.needs("snmpd")
@pytest.mark.parametrize("change", [{"privacy_password_file": "community"}, {"privacy": "aes256"}])
async def test_silence_behind_a_discovery_says_that_the_seal_differs(
    tmp_path: Path, files: dict[str, str], change: dict[str, str]
) -> None:
    """snmpd drops what it cannot open without a word."""
    user = {**sealed(files), **{key: files.get(text, text) for key, text in change.items()}}
    async with tools() as made:
        async with snmpd(tmp_path) as port:
            probe = Probe(
                name="p",
                kind="snmp",
                service="s",
                every_seconds=30.0,
                timeout_seconds=5.0,
                params={**port, "protocol": "v3", "user": user},
            )
            kind = make(probe, made)
            results = [await measure(kind, attempt(0.5)) for _ in range(2)]
        gone = await measure(kind, attempt(0.5))
    for result in results:
        assert (result.outcome, result.reason) == (Outcome.TIMED_OUT, Reason.NO_ANSWER)
        assert "says that it is there, and then nothing" in result.detail
        assert "privacy_password_file" in result.detail
    assert "says that it is there" not in gone.detail


@pytest.mark.needs("snmpd")
async def test_engine_that_restarts_is_discovered_anew(tmp_path: Path, files: dict[str, str]) -> None:
    async with tools() as made:
        (tmp_path / "a").mkdir()
        async with snmpd(tmp_path / "a") as port:
            probe = Probe(
                name="p",
                kind="snmp",
                service="s",
                every_seconds=30.0,
                timeout_seconds=5.0,
                params={**port, "protocol": "v3", "user": sealed(files)},
            )
            kind = make(probe, made)
            assert (await measure(kind, attempt())).outcome is Outcome.OK
            assert kind._session._engine is not None  # type: ignore[attr-defined]
            kind._session._engine.boots -= 1  # type: ignore[attr-defined]  # as if it had begun anew since
            assert (await measure(kind, attempt())).outcome is Outcome.OK
            kind._session._engine.id = b"\x80another"  # type: ignore[attr-defined]
            assert (await measure(kind, attempt())).outcome is Outcome.OK


def attempt(seconds: float = 5.0) -> Attempt:
    import structlog

    deadline = asyncio.get_running_loop().time() + seconds
    return Attempt(probe="p", deadline=deadline, run="r", log=structlog.get_logger("test"))


def signed(files: dict[str, str]) -> dict[str, Any]:
    return {"name": "reader", "authentication": "sha1", "password_file": files["password"]}


def sealed(files: dict[str, str]) -> dict[str, Any]:
    dress = {"name": "watcher", "authentication": "sha256", "password_file": files["password"]}
    return {**dress, "privacy": "aes128", "privacy_password_file": files["seal"]}


# rates


async def rates(changes: list[tuple[int, ValueType, int]]) -> list[float | None]:
    """What the probe says of a counter after each of these (uptime in ticks, type, value)."""
    async with agent() as (made, port), tools() as lent:
        probe = Probe(
            name="p",
            kind="snmp",
            service="s",
            every_seconds=30.0,
            timeout_seconds=5.0,
            params={**port, "values": [RATE]},
        )
        kind = make(probe, lent)
        said: list[float | None] = []
        for uptime, sort, counter in changes:
            made.table[UPTIME] = (ValueType.TICKS, uptime)
            made.table[(*OCTETS_IN, 1)] = (sort, counter)
            result = await measure(kind, attempt())
            assert result.outcome is Outcome.OK, result.detail
            said.append(next((r.value for r in result.readings if r.metric == "in_bits_per_second"), None))
    return said


async def test_rate_needs_two_runs_and_a_restart_begins_anew() -> None:
    c64 = ValueType.COUNTER64
    said = await rates([(100, c64, 1000), (200, c64, 3000), (5, c64, 10), (105, c64, 30)])
    assert [one is not None for one in said] == [False, True, False, True]
    assert said[1] is not None
    assert said[3] is not None
    assert said[1] > 0
    assert said[3] > 0


async def test_rate_that_is_still_to_come_is_told() -> None:
    table = {(*OCTETS_IN, 1): (ValueType.COUNTER64, 5), (*DESCRIPTION, 1): (ValueType.OCTETS, b"port 1")}
    column = {"oid": "ifHCInOctets", "metric": "port_bits_per_second", "report": "rate"}
    async with agent(table=table) as (_, port), tools() as lent:
        for asked in ({"values": [RATE]}, {"values": [RATE], "tables": [column]}):
            result = await look(lent, "snmp", {**port, **asked})
            assert result.outcome is Outcome.OK
            assert result.detail.startswith("in_bits_per_second")
            assert ("port_bits_per_second" in result.detail) == ("tables" in asked)
            assert "second run" in result.detail


async def test_one_counter_under_several_metrics_has_a_rate_in_each() -> None:
    octets = {"oid": "ifHCInOctets.1", "metric": "in_bytes_per_second", "report": "rate"}
    column = {"oid": "ifHCInOctets", "metric": "port_bytes_per_second", "report": "rate"}
    async with agent() as (made, port), tools() as lent:
        params = {**port, "values": [RATE, octets], "tables": [column]}
        probe = Probe(name="p", kind="snmp", service="s", every_seconds=30.0, timeout_seconds=5.0, params=params)
        kind = make(probe, lent)
        for uptime, counter in ((100, 1_000), (200, 9_000)):
            made.table[UPTIME] = (ValueType.TICKS, uptime)
            made.table[(*OCTETS_IN, 1)] = (ValueType.COUNTER64, counter)
            result = await measure(kind, attempt())
            await asyncio.sleep(0.05)
    bits, octets_said, of_port = (value(result, f"{word}_per_second") for word in ("in_bits", "in_bytes", "port_bytes"))
    assert bits == pytest.approx(8 * octets_said)
    assert of_port == pytest.approx(octets_said, rel=0.5)


async def test_counter_of_32_bits_wraps() -> None:
    c32 = ValueType.COUNTER32
    said = await rates([(100, c32, (1 << 32) - 100), (200, c32, 100)])
    assert said[1] is not None
    assert said[1] > 0


@pytest.mark.parametrize(
    ("before", "now", "kind", "restarted", "grown"),
    [
        (10, 30, ValueType.COUNTER32, False, 20),
        ((1 << 32) - 1, 4, ValueType.COUNTER32, False, 5),
        ((1 << 64) - 1, 4, ValueType.COUNTER64, False, 5),
        (1_000_000, 4, ValueType.COUNTER64, False, None),
        ((1 << 32) - 1, 4, ValueType.COUNTER32, True, None),
        (30, 10, ValueType.GAUGE32, False, -20),
    ],
    ids=["grew", "wrap32", "wrap64", "reset64", "restart", "gauge"],
)
def test_growth(before: int, now: int, kind: ValueType, restarted: bool, grown: int | None) -> None:
    assert growth(before, now, kind, restarted=restarted) == grown


# a simulated agent: another's code says how counters wrap


_WRAP_SECONDS = 8.0
_LOW, _HIGH = int(2**32 / _WRAP_SECONDS), int(2**64 / _WRAP_SECONDS)
_SIMULATED = f"""\
1.3.6.1.2.1.1.3.0|67:numeric|initial=5000,rate=100
1.3.6.1.2.1.2.2.1.2.1|4|lo
1.3.6.1.2.1.2.2.1.2.2|4|eth0
1.3.6.1.2.1.2.2.1.10.1|65:numeric|rate={_LOW},max={2**32},wrap=1
1.3.6.1.2.1.2.2.1.10.2|65|77
1.3.6.1.2.1.31.1.1.1.6.1|70:numeric|rate={_HIGH},max={2**64},wrap=1
"""
"""Each counter comes round every eight seconds: in its own arithmetic, which we have no part in."""


@contextlib.asynccontextmanager
async def simulated(folder: Path) -> AsyncIterator[dict[str, Any]]:
    """Parameters of an agent of snmpsim."""
    path = shutil.which("snmpsim-command-responder", path=f"{Path(sys.executable).parent}:{os.environ.get('PATH', '')}")
    if path is None:
        pytest.skip("the dependency group `oracle` is not installed")
    (folder / "data").mkdir()
    (folder / "data" / f"{COMMUNITY}.snmprec").write_text(_SIMULATED)
    port = free_udp_port()
    user = ("--v3-user=watcher", f"--v3-auth-key={PASSWORD}", f"--v3-priv-key={SEAL}")
    arguments = (f"--data-dir={folder}/data", f"--cache-dir={folder}/cache", f"--agent-udpv4-endpoint=127.0.0.1:{port}")
    dress = ("--v3-auth-proto=SHA256", "--v3-priv-proto=AES", f"--v3-context-name={COMMUNITY}")
    root = ("--process-user=root", "--process-group=root") if os.geteuid() == 0 else ()
    async with started(path, *arguments, *user, *dress, *root, "--logging-method=null"):
        await answering(port)
        yield {"host": "127.0.0.1", "port": port}


@pytest.mark.parametrize("protocol", ["v2c", "v3"])
async def test_counters_that_another_s_agent_lets_wrap_keep_their_rates(
    protocol: str, tmp_path: Path, files: dict[str, str]
) -> None:
    dress: dict[str, Any] = {"community_file": files["community"]}
    if protocol == "v3":
        dress = {"protocol": "v3", "user": {**sealed(files), "context": COMMUNITY}}
    values = [
        {"oid": "ifInOctets.1", "metric": "low_total"},
        {"oid": "ifInOctets.1", "metric": "low_per_second", "report": "rate"},
        {"oid": "ifHCInOctets.1", "metric": "high_total"},
        {"oid": "ifHCInOctets.1", "metric": "high_per_second", "report": "rate"},
    ]
    tables = [{"oid": "ifInOctets", "metric": "octets_total", "label": "interface", "names": "ifDescr"}]
    async with simulated(tmp_path) as port, tools() as lent:
        params = {**port, **dress, "values": values, "tables": tables}
        kind = make(
            Probe(name="p", kind="snmp", service="s", every_seconds=30.0, timeout_seconds=5.0, params=params), lent
        )
        loop = asyncio.get_running_loop()
        end, wrapped, before = loop.time() + 4 * _WRAP_SECONDS, set[str](), dict[str, float]()
        while wrapped < {"low", "high"} and loop.time() < end:
            result = await measure(kind, attempt())
            assert result.outcome is Outcome.OK, result.detail
            names = {dict(one.labels)["interface"] for one in result.readings if one.metric == "octets_total"}
            assert names == {"lo", "eth0"}
            for word, rate in (("low", _LOW), ("high", _HIGH)):
                total = value(result, f"{word}_total")
                if total < before.get(word, 0.0):
                    assert value(result, f"{word}_per_second") == pytest.approx(rate, rel=0.2)
                    wrapped.add(word)
                before[word] = total
            await asyncio.sleep(1.0)
    assert wrapped == {"low", "high"}


class _OfNoContext(asyncio.DatagramProtocol):
    """An agent of v3 that reports what RFC 3413 asks for; snmpd and snmpsim keep silent instead."""

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, addr: Any) -> None:
        asked, _ = read_frame(data)
        statistics = (
            (1, 3, 6, 1, 6, 3, 12, 1, 5, 0) if b"vrf-7" in asked.payload else (1, 3, 6, 1, 6, 3, 15, 1, 1, 4, 0)
        )
        rows = sequence([bound((statistics, (ValueType.COUNTER32, 1)))])
        pdu = tlv(Pdu.REPORT, integer(0), integer(0), integer(0), rows)
        security = Security(engine=b"an-engine", boots=1, time=1)
        frame = Frame(message=asked.message, signed=False, sealed=False, security=security, payload=scoped(b"", pdu))
        self.transport.sendto(write_frame(frame), addr)


async def test_context_that_the_agent_does_not_have_is_no_fault_of_the_password() -> None:
    transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(_OfNoContext, local_addr=("127.0.0.1", 0))
    port = {"host": "127.0.0.1", "port": transport.get_extra_info("sockname")[1], "protocol": "v3"}
    async with tools() as made:
        result = await look(made, "snmp", {**port, "user": {"name": "w", "context": "vrf-7"}, "values": [RATE]})
    transport.close()
    assert (result.outcome, result.reason) == (Outcome.FAILED, Reason.ANSWER_UNEXPECTED)
    assert "context" in result.detail


# agents that misbehave


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"values": [RATE]}, "do not know the community."),
        ({"tables": [{"oid": "ifHCInOctets", "metric": "octets_total"}]}, "do not know the community."),
        ({"values": [RATE], "protocol": "v3", "user": {"name": "w", "context": "vrf-7"}}, "the context 'vrf-7'."),
        (
            {"values": [RATE], "protocol": "v3", "user": {"name": "w"}},
            "silent as well where they do not know the user.",
        ),
    ],
)
async def test_silence_of_an_agent_says_what_it_may_mean(asked: dict[str, Any], words: str) -> None:
    async with agent(twist=lambda _: None) as (_, port), tools() as made:
        result = await look(made, "snmp", {**port, **asked}, seconds=0.3)
    assert (result.outcome, result.reason) == (Outcome.TIMED_OUT, Reason.NO_ANSWER)
    assert result.detail.endswith(words)


async def test_lost_question_is_asked_again() -> None:
    async with agent(lose=2) as (made, port), tools() as lent:
        result = await look(lent, "snmp", port)
    assert result.outcome is Outcome.OK
    assert made.asked == 3


async def test_limits_and_missing_values_are_faults_with_the_values_that_were_there() -> None:
    table = {(*OCTETS_IN, 1): (ValueType.GAUGE32, 95), (*DESCRIPTION, 1): (ValueType.OCTETS, b"words")}
    wanted = [
        {"oid": "ifHCInOctets.1", "metric": "load_ratio", "scale": 0.01, "at_most": 0.9},
        {"oid": "ifHCInOctets.2", "metric": "load_ratio"},
        {"oid": "ifDescr.1", "metric": "load_ratio"},
    ]
    async with agent(table=table) as (_, port), tools() as lent:
        result = await look(lent, "snmp", {**port, "values": wanted})
    assert (result.outcome, result.reason) == (Outcome.FAILED, Reason.ANSWER_UNEXPECTED)
    assert value(result, "load_ratio") == pytest.approx(0.95)
    for words in ("ifHCInOctets.1 is 0.95, at most 0.9", "ifHCInOctets.2 is missing", "ifDescr.1 is no number"):
        assert words in result.detail


async def test_table_that_never_ends_is_cut() -> None:
    async with agent(endless=True) as (_, port), tools() as lent:
        wanted = {"tables": [{"oid": "ifHCInOctets", "metric": "octets_total"}], "max_rows": 50}
        result = await look(lent, "snmp", {**port, **wanted})
    assert (result.outcome, result.reason) == (Outcome.FAILED, Reason.ANSWER_TOO_LARGE)


async def test_answer_to_another_question_is_waited_past() -> None:
    def other(data: bytes) -> bytes:
        answer = read_community_message(data)
        body = tlv(Pdu.RESPONSE, integer(answer.request + 1), integer(0), integer(0), sequence(()))
        return community_message(b"public", body)

    async with agent(twist=other) as (_, port), tools() as lent:
        result = await look(lent, "snmp", port, seconds=0.4)
    assert result.outcome is Outcome.TIMED_OUT


async def test_agent_that_answers_for_other_objects_is_found_out() -> None:
    def swap(data: bytes) -> bytes:
        answer = read_community_message(data)
        rows = sequence((sequence((oid((1, 3, 6, 1, 9)), integer(1))),))
        return community_message(b"public", tlv(Pdu.RESPONSE, integer(answer.request), integer(0), integer(0), rows))

    async with agent(twist=swap) as (_, port), tools() as lent:
        result = await look(lent, "snmp", port)
    assert (result.outcome, result.reason) == (Outcome.FAILED, Reason.PROTOCOL_BROKEN)


async def test_agent_whose_answer_would_be_too_large_is_asked_in_pieces() -> None:
    table = {(*OCTETS_IN, row): (ValueType.COUNTER64, row) for row in range(1, 9)}

    def small(data: bytes) -> bytes:
        answer = read_community_message(data)
        if len(answer.bindings) <= 2:
            return data
        return community_message(
            b"public", tlv(Pdu.RESPONSE, integer(answer.request), integer(1), integer(0), sequence(()))
        )

    wanted = [{"oid": f"ifHCInOctets.{row}", "metric": f"octets_{row}"} for row in range(1, 9)]
    async with agent(table=table, twist=small) as (_, port), tools() as lent:
        result = await look(lent, "snmp", {**port, "values": wanted})
    assert result.reason is Reason.ANSWERED, result.detail
    assert [value(result, f"octets_{row}") for row in range(1, 9)] == [float(row) for row in range(1, 9)]


async def test_error_of_the_agent_is_named() -> None:
    def general(data: bytes) -> bytes:
        answer = read_community_message(data)
        return community_message(
            b"public", tlv(Pdu.RESPONSE, integer(answer.request), integer(5), integer(1), sequence(()))
        )

    async with agent(twist=general) as (_, port), tools() as lent:
        result = await look(lent, "snmp", port)
    assert (result.outcome, result.reason) == (Outcome.FAILED, Reason.STATUS_UNEXPECTED)
    assert "genErr" in result.detail


# messages

NUMBERS = st.lists(
    st.one_of(
        st.tuples(st.just(ValueType.INTEGER), st.integers(-(1 << 31), (1 << 31) - 1)),
        st.tuples(st.just(ValueType.COUNTER32), st.integers(0, (1 << 32) - 1)),
        st.tuples(st.just(ValueType.COUNTER64), st.integers(0, (1 << 64) - 1)),
    ),
    min_size=1,
    max_size=12,
)


def answer_of(found: list[tuple[ValueType, int]], *, community: bytes, request: int = 1 << 24) -> tuple[Get, bytes]:
    """A prepared question for columns of one table, and an agent's answer to it."""
    names = [(*OCTETS_IN, row) for row in range(len(found))]
    body = sequence(map(bound, zip(names, found, strict=True)))
    pdu = tlv(Pdu.RESPONSE, integer(request), integer(0), integer(0), body)
    return Get(community, tuple(names)), community_message(community, pdu)


@given(NUMBERS, st.binary(min_size=1, max_size=140), st.integers(1 << 24, (1 << 31) - 1))
def test_quick_reader_sees_what_the_thorough_one_sees(
    found: list[tuple[ValueType, int]], community: bytes, request: int
) -> None:
    get, data = answer_of(found, community=community[:127], request=request)
    answer = read_community_message(data)
    types, numbers = get.numbers(data) or (b"", [])
    assert key_of(data) == answer.request.to_bytes(4, "big")
    assert list(zip(types, numbers, strict=True)) == [(one.type, one.value) for one in answer.bindings] == found
    before, after = get.message
    question = before + key_of(data) + after
    assert key_of(question) == key_of(data)
    assert question == community_message(
        community[:127], request_pdu(Pdu.GET, request, [one.oid for one in answer.bindings])
    )


@settings(max_examples=400)
@given(NUMBERS, st.data())
def test_quick_reader_takes_nothing_that_the_thorough_one_would_not(
    found: list[tuple[ValueType, int]], data: st.DataObject
) -> None:
    get, whole = answer_of(found, community=b"public")
    spoilt = bytearray(whole)
    spoilt[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    message = bytes(spoilt[: data.draw(st.integers(0, len(whole)))]) if data.draw(st.booleans()) else bytes(spoilt)
    if not key_of(message):
        return
    seen = get.numbers(message)
    if seen is not None:
        answer = read_community_message(message)
        assert list(zip(*seen, strict=True)) == [(one.type, one.value) for one in answer.bindings]


@settings(max_examples=300)
@given(NUMBERS, st.data())
def test_reader_that_has_seen_answers_sees_what_one_that_has_seen_none_sees(
    found: list[tuple[ValueType, int]], data: st.DataObject
) -> None:
    get, whole = answer_of(found, community=b"public")
    get.numbers(whole)
    changed = [
        (kind, data.draw(st.integers(-(1 << 31) if kind is ValueType.INTEGER else 0, (1 << 31) - 1)))
        if data.draw(st.booleans())
        else (kind, number)
        for kind, number in found
    ]
    later = bytearray(
        answer_of(changed, community=b"public", request=data.draw(st.integers(1 << 24, (1 << 31) - 1)))[1]
    )
    if data.draw(st.booleans()):
        later[data.draw(st.integers(0, len(later) - 1))] = data.draw(st.integers(0, 255))
    message = bytes(later)
    if key_of(message):
        fresh, _ = answer_of(found, community=b"public")
        assert get.numbers(message) == fresh.numbers(message) == get.numbers(message)


@given(st.lists(st.binary(min_size=0, max_size=9), min_size=1, max_size=12), st.data())
def test_values_of_any_width_are_read_as_they_stand_there(widths: list[bytes], data: st.DataObject) -> None:
    """Nine octets whose first is not zero, and more octets than a number needs, come from no honest agent."""
    values = [value or b"\0" for value in widths]
    names = tuple((*OCTETS_IN, row) for row in range(len(values)))
    rows = sequence(
        sequence((oid(name), bytes((ValueType.COUNTER64, len(value))) + value))
        for name, value in zip(names, values, strict=True)
    )
    whole = community_message(b"public", tlv(Pdu.RESPONSE, integer(1 << 24), integer(0), integer(0), rows))
    wanted = [int.from_bytes(value, "big", signed=True) for value in values]
    get = Get(b"public", names)
    for _ in range(2):
        assert get.numbers(whole) == (bytes((ValueType.COUNTER64,)) * len(values), wanted)


def test_layouts_that_are_kept_stay_few() -> None:
    get = Get(b"public", tuple((*OCTETS_IN, row) for row in range(12)))
    numbers = [1 << 7 * step for step in range(9)]
    for turn in range(400):
        found = [(ValueType.COUNTER64, numbers[(turn * (row + 1)) % 9]) for row in range(12)]
        _, whole = answer_of(found, community=b"public")
        assert get.numbers(whole) == (bytes((ValueType.COUNTER64,)) * 12, [number for _, number in found])
    assert get.kept() <= 512


@given(
    st.lists(st.tuples(NUMBERS, st.binary(min_size=1, max_size=127)), min_size=1, max_size=4), st.binary(max_size=60)
)
def test_number_is_found_by_what_stands_before_it_as_it_is_by_reading(
    answers: list[tuple[list[tuple[ValueType, int]], bytes]], noise: bytes
) -> None:
    heads = Heads()
    messages = [answer_of(found, community=community)[1] for found, community in answers]
    for message in (*messages, noise, *messages, *(one[:20] + noise for one in messages), *messages):
        found = heads.key_of(message)
        assert found == key_of(message) or len(found) < 4


@pytest.mark.parametrize("length", range(45))
def test_message_that_ends_anywhere_has_its_number_or_none(length: int) -> None:
    _, whole = answer_of([(ValueType.INTEGER, 7)], community=b"public")
    assert key_of(whole[:length]) in (b"", key_of(whole)[: max(0, length - 17)])


@given(st.binary(max_size=60))
def test_no_bytes_make_the_quick_reader_raise(data: bytes) -> None:
    get, whole = answer_of([(ValueType.INTEGER, 7)], community=b"public")
    for message in (data, whole[:13] + data, whole[:25] + data, whole[: len(whole) - 8] + data):
        if key_of(message):
            get.numbers(message)


@given(st.binary(max_size=300))
def test_no_bytes_make_a_reader_raise_anything_but_malformed(data: bytes) -> None:
    for read in (read_community_message, read_frame):
        with contextlib.suppress(Malformed):
            read(data)


@given(st.integers(0, 300), st.integers(0, 255))
def test_damaged_answers_are_malformed_or_answers(place: int, byte: int) -> None:
    rows = sequence((sequence((oid(UPTIME), tlv(ValueType.TICKS, integer(1000)[2:]))),))
    whole = bytearray(community_message(b"public", tlv(Pdu.RESPONSE, integer(7), integer(0), integer(0), rows)))
    whole[place % len(whole)] = byte
    with contextlib.suppress(Malformed):
        read_community_message(bytes(whole))
    with contextlib.suppress(Malformed):
        read_community_message(bytes(whole[: place % len(whole)]))


@given(st.lists(st.integers(0, 0xFFFFFFFF), min_size=1, max_size=40), st.integers(0, 2), st.integers(0, 39))
def test_identifiers_survive_the_way(rest: list[int], first: int, second: int) -> None:
    name = (first, second, *rest)
    assert Reader(oid(name)).object_id() == name


@given(st.integers(-(1 << 63), (1 << 63) - 1))
def test_integers_survive_the_way(number: int) -> None:
    encoded = integer(number)
    assert encoded[0] == INTEGER
    assert Reader(encoded).number() == number


def test_keys_are_those_of_the_standard() -> None:
    """Source: RFC 3414, appendix A.3."""
    engine = bytes.fromhex("000000000000000000000002")
    assert local_key(Authentication.MD5, b"maplesyrup", engine).hex() == "526f5eed9fcce26f8964c2930787d82b"
    assert local_key(Authentication.SHA1, b"maplesyrup", engine).hex() == "6695febc9288e36282235fc7151f128497b38f3f"


# names and parameters


def test_names_are_known_with_their_instances() -> None:
    assert parse_oid("sysUpTime.0") == UPTIME
    assert parse_oid(".1.3.6.1.2.1.1.3.0") == UPTIME
    assert parse_oid("cellTraffic.4", {"cellTraffic": (1, 3, 6, 1, 4, 1, 99999, 2)})[-2:] == (2, 4)


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({"values": [{"oid": "ifNothing.1", "metric": "x_total"}]}, "'ifNothing' is no known object"),
        ({"values": [{"oid": "1.3.x", "metric": "x_total"}]}, "is no object identifier"),
        ({"protocol": "v3"}, "v3 needs it"),
        ({"protocol": "v3", "user": {"name": "u", "privacy": "aes128"}}, "privacy needs authentication"),
        ({"protocol": "v3", "user": {"name": "u", "authentication": "md5"}}, "belong together"),
    ],
)
def test_absurd_parameters_are_refused_with_a_remedy(params: dict[str, Any], words: str) -> None:
    assert words in complaints("snmp", {"host": "192.0.2.1", **params})
