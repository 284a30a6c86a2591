"""Every kind that opens sockets leaves as it is told: from a source address, with a class, by a VRF, over IPv4 or IPv6.

What leaves is seen on the wire, by a socket that hears all packets of an interface.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import re
import secrets
import socket
import struct
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from cemd.model.quality import Outcome
from cemd.monitor.probes import KINDS
from cemd.monitor.probes.base import Reason
from cemd.monitor.probes.engines.sockets import SocketParams, open_socket
from cemd.monitor.probes.tools import Tools

from tests.forbidden import forbidden, lacking
from tests.monitor import peers
from tests.monitor.peers import look
from tests.monitor.probes.contract import contract_of
from tests.monitor.relay import Relay

DSCP = 46
_EVERY_PROTOCOL = 0x0003
_ETHERNET_BYTES = 14
_RESET = 4
WITH_SOCKETS = sorted(word for word, kind in KINDS.items() if issubclass(kind.Params, SocketParams))


def test_every_kind_but_that_of_foreign_programs_opens_its_sockets_as_it_is_told() -> None:
    assert set(KINDS) - set(WITH_SOCKETS) == {"command"}


@pytest.fixture(params=WITH_SOCKETS)
def kind(request: pytest.FixtureRequest) -> str:
    word: str = request.param
    return word


@pytest.fixture
def source() -> str:
    """An address of loopback that nobody else uses meanwhile."""
    return f"127.{secrets.randbelow(200) + 50}.{secrets.randbelow(256)}.{secrets.randbelow(250) + 1}"


class Wire:
    """What comes from one IPv4 address over the loopback of a network namespace, while it is open."""

    def __init__(self, source: str, vrf: str | None) -> None:
        self._door = open_socket(SocketParams(vrf=vrf), socket.AF_PACKET, socket.SOCK_RAW)
        program = _from(source)
        with_room = ctypes.create_string_buffer(program, len(program))
        where = struct.pack("HL", len(program) // _INSTRUCTION.size, ctypes.addressof(with_room))
        self._door.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, where)
        self._door.bind(("lo", _EVERY_PROTOCOL))

    def classes(self) -> list[int]:
        """The traffic class of each packet, in their order; but for resets, which the system says of a socket that is
        closed already."""
        found = []
        with contextlib.suppress(BlockingIOError):
            while True:
                packet = self._door.recv(65_535)[_ETHERNET_BYTES:]
                if packet[9] != socket.IPPROTO_TCP or not packet[(packet[0] & 15) * 4 + 13] & _RESET:
                    found.append(packet[1])
        return found

    def close(self) -> None:
        self._door.close()


_SO_ATTACH_FILTER = 26
_INSTRUCTION = struct.Struct("HBBI")


def _from(source: str) -> bytes:
    """A filter of the kernel (BPF) for IPv4 packets from an address: others share this interface."""
    address = int.from_bytes(socket.inet_aton(source), "big")
    steps = ((0x28, 0, 0, 12), (0x15, 0, 3, 0x0800), (0x20, 0, 0, 26), (0x15, 0, 1, address))
    return b"".join(_INSTRUCTION.pack(*step) for step in (*steps, (0x06, 0, 0, 65_535), (0x06, 0, 0, 0)))


@contextlib.contextmanager
def wire(source: str, vrf: str | None = None) -> Iterator[Wire]:
    try:
        heard = Wire(source, vrf)
    except PermissionError:
        lacking("the right to listen to a whole interface (CAP_NET_RAW) is not there")
    try:
        yield heard
    finally:
        heard.close()


async def test_packets_carry_the_source_address_and_the_traffic_class(
    kind: str, tools: Tools, secret_file: str, source: str
) -> None:
    with wire(source) as heard:
        async with contract_of(kind, secret_file) as built:
            result = await look(tools, kind, {**built.good, "source_address": source, "dscp": DSCP})
        seen = heard.classes()
    if kind == "icmp":
        peers.skip_without_echoes(result)
    assert result.outcome is Outcome.OK, result.detail
    assert seen, "no packet left from the source address"
    assert set(seen) == {DSCP << 2}


async def test_packets_leave_by_the_vrf_and_none_at_home(
    kind: str, tools: Tools, secret_file: str, namespace: str, source: str
) -> None:
    """Nobody is there, so nothing good can come of it but for echoes, which every host answers."""
    with wire(source) as home, wire(source, namespace) as inside:
        async with contract_of(kind, secret_file) as built:
            way = {"source_address": source, "dscp": DSCP, "vrf": namespace}
            result = await look(tools, kind, {**built.good, **way}, seconds=1.0)
        seen = inside.classes()
        assert home.classes() == []
    if kind == "icmp":
        peers.skip_without_echoes(result)
        assert result.outcome is Outcome.OK, result.detail
    else:
        assert result.outcome in {Outcome.FAILED, Outcome.TIMED_OUT}, result.detail
    assert seen[:1] == [DSCP << 2]


@pytest.mark.parametrize(
    ("params", "reason"),
    [({"source_address": "192.0.2.55"}, Reason.SOURCE_MISSING), ({"vrf": "no-such-vrf"}, Reason.VRF_MISSING)],
    ids=["source", "vrf"],
)
async def test_way_out_that_this_host_has_not_is_blind_and_not_down(
    kind: str, params: dict[str, Any], reason: Reason, tools: Tools, secret_file: str
) -> None:
    async with contract_of(kind, secret_file) as built:
        result = await look(tools, kind, {**built.good, **params})
    if result.reason is Reason.NOT_PERMITTED and "vrf" in params:
        forbidden("binding a socket to a device, which a VRF is")
    assert (result.outcome, result.reason) == (Outcome.BLIND, reason), result.detail


async def test_the_same_is_measured_over_ipv6_alone(kind: str, tools: Tools, secret_file: str) -> None:
    async with contract_of(kind, secret_file) as built, over_ipv6(built.good) as there:
        result = await look(tools, kind, {**there, "ip_version": "6", "source_address": "::1"})
        other = await look(tools, kind, {**there, "ip_version": "6", "source_address": "2001:db8::77"})
    if kind == "icmp":
        peers.skip_without_echoes(result)
    assert result.outcome is Outcome.OK, result.detail
    assert (other.outcome, other.reason) == (Outcome.BLIND, Reason.SOURCE_MISSING)


@contextlib.asynccontextmanager
async def over_ipv6(params: dict[str, Any]) -> AsyncIterator[dict[str, Any]]:
    """The same towards ports of `::1`, behind which the same peers are, over both transports."""
    text = json.dumps(params)
    ports = {int(found) for found in re.findall(r'(?:localhost:|"port": )(\d+)', text)}
    async with contextlib.AsyncExitStack() as stack:
        for port in ports:
            text = text.replace(str(port), str(await stack.enter_async_context(Relay(port).open("::1"))))
        yield json.loads(text.replace("localhost", "[::1]").replace("127.0.0.1", "::1"))
