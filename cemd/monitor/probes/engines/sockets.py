"""Sockets of probes: source address, VRF, traffic class and version of IP, the same words and code in every kind.

A kind that opens sockets takes `SocketParams` as the base of its parameters and opens them here. All that can go wrong
before the first packet is ours and therefore blind: no such source address, no such VRF, no right to enter it. A
network namespace is entered by a thread that opens one socket and ends: the loop's own thread never leaves home.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import errno
import ipaddress
import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, TypeAlias

from pydantic import Field, StringConstraints, model_validator

from cemd.monitor.probes.base import Blind, IpVersion, ProbeParams, Reason
from cemd.monitor.probes.engines.names import LOCAL_TROUBLE, trouble

NAMESPACES = Path("/run/netns")
"""Where `ip netns` keeps its namespaces."""
_CLONE_NEWNET = 0x40000000
_BOTH = socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC

Place: TypeAlias = tuple[str, int] | tuple[str, int, int, int]
"""What socket calls take: (address, port), with flow and zone for IPv6."""
VrfName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$")]


class SocketParams(ProbeParams):
    """How packets leave this host."""

    ip_version: IpVersion = IpVersion.ANY
    """Which addresses of a name are tried; default: any, IPv4 first. The two fail apart, so give each its own probe."""
    source_address: str | None = None
    """Numeric address of this host that packets carry as their source; default: the one that the route gives."""
    vrf: VrfName | None = None
    """Network namespace (of `ip netns`) or VRF device that packets leave by; names are still looked up at home."""
    dscp: Annotated[int, Field(ge=0, le=63)] = 0
    """Traffic class of the packets; default 0: best effort. 46 is voice (EF)."""

    @model_validator(mode="after")
    def _source_fits(self) -> SocketParams:
        if self.source_address is None:
            return self
        try:
            version = str(ipaddress.ip_address(self.source_address).version)
        except ValueError as exc:
            raise ValueError(f"source_address ({self.source_address[:60]!r}) is no numeric address") from exc
        if self.ip_version not in (IpVersion.ANY, version):
            raise ValueError(f"source_address ({self.source_address}) is not of IPv{self.ip_version}, the ip_version")
        return self

    def way(self) -> SocketParams | None:
        """These, where packets leave otherwise than the route says; None: the usual way, which costs less."""
        return self if self.source_address is not None or self.vrf is not None or self.dscp else None

    def version(self) -> IpVersion:
        """The version of IP that is wanted: that of the source address, where one is given."""
        return self.ip_version if self.source_address is None else IpVersion(_version(self.source_address))


def _version(address: str) -> str:
    return "6" if ":" in address else "4"


def family_of(address: str) -> socket.AddressFamily:
    """The family of a numeric address."""
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def place_of(address: str, port: int) -> Place:
    """What socket calls take for a numeric address, with the zone of a link-local one.

    Raises:
        Blind: the zone is no interface of this host.
    """
    if ":" not in address:
        return address, port
    plain, _, zone = address.partition("%")
    if not zone:
        return plain, port, 0, 0
    try:
        return plain, port, 0, int(zone) if zone.isdigit() else socket.if_nametoindex(zone)
    except OSError as exc:
        raise Blind(Reason.NO_ROUTE, f"{zone} is no interface of this host.") from exc


def open_socket(params: SocketParams, family: int, kind: int, protocol: int = 0) -> socket.socket:
    """A socket that leaves as the parameters say: not blocking, bound to the source address, marked with the class.

    Raises:
        Blind: this host cannot open it.
        PermissionError: the kind of socket itself is not permitted; only raw and echo sockets meet this.
    """
    door = _at_home(params, family, kind, protocol)
    try:
        if params.dscp:
            _mark(door, family, params.dscp)
        if params.source_address is not None:
            _bind(door, params.source_address)
    except BaseException:
        door.close()
        raise
    return door


def _at_home(params: SocketParams, family: int, kind: int, protocol: int) -> socket.socket:
    try:
        if params.vrf is None:
            return socket.socket(family, kind | _BOTH, protocol)
        namespace = NAMESPACES / params.vrf
        if namespace.exists():
            return _in_namespace(namespace, family, kind, protocol)
        return _on_device(params.vrf, family, kind, protocol)
    except PermissionError:
        raise
    except OSError as exc:
        reason = LOCAL_TROUBLE.get(exc.errno or 0, Reason.NO_RESOURCES)
        raise Blind(reason, f"no socket can be opened: {exc.strerror}.") from exc


def _in_namespace(namespace: Path, family: int, kind: int, protocol: int) -> socket.socket:
    """A socket of another network namespace. It keeps the namespace it was born in; the thread ends with it."""
    made: list[socket.socket] = []
    failed: list[OSError | Blind] = []

    def enter() -> None:
        try:
            descriptor = os.open(namespace, os.O_RDONLY | os.O_CLOEXEC)
            try:
                if ctypes.CDLL(None, use_errno=True).setns(descriptor, _CLONE_NEWNET) != 0:
                    number = ctypes.get_errno()
                    words = f"the VRF {namespace.name} cannot be entered ({os.strerror(number)}); "
                    remedy = "grant CAP_SYS_ADMIN to the prober, or run an agent inside it (NetworkNamespacePath=)."
                    failed.append(Blind(Reason.NOT_PERMITTED, words + remedy))
                    return
            finally:
                os.close(descriptor)
            made.append(socket.socket(family, kind | _BOTH, protocol))
        except OSError as exc:
            failed.append(exc)

    thread = threading.Thread(target=enter, name=f"vrf:{namespace.name}")
    thread.start()
    thread.join()
    if failed:
        raise failed[0]
    return made[0]


def _on_device(device: str, family: int, kind: int, protocol: int) -> socket.socket:
    door = socket.socket(family, kind | _BOTH, protocol)
    try:
        door.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, device.encode() + b"\0")
    except OSError as exc:
        door.close()
        if exc.errno == errno.ENODEV:
            words = f"this host has neither a network namespace nor a VRF device {device}."
            raise Blind(Reason.VRF_MISSING, words) from exc
        raise Blind(Reason.NOT_PERMITTED, f"the VRF device {device} cannot be used: {exc.strerror}.") from exc
    return door


def _mark(door: socket.socket, family: int, dscp: int) -> None:
    try:
        if family == socket.AF_INET:
            door.setsockopt(socket.IPPROTO_IP, socket.IP_TOS, dscp << 2)
        else:
            door.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_TCLASS, dscp << 2)
    except OSError as exc:
        raise Blind(Reason.NOT_PERMITTED, f"the traffic class cannot be set: {exc.strerror}.") from exc


def _bind(door: socket.socket, source: str) -> None:
    try:
        door.bind(place_of(source, 0))
    except OSError as exc:
        if exc.errno in {errno.EADDRNOTAVAIL, errno.EINVAL}:
            raise Blind(Reason.SOURCE_MISSING, f"{source} is no address of this host there.") from exc
        raise Blind(LOCAL_TROUBLE.get(exc.errno or 0, Reason.NO_RESOURCES), f"{source}: {exc.strerror}.") from exc


@contextlib.contextmanager
def talking_to(whom: str) -> Iterator[None]:
    """What a socket call fails with in here is told as what it means; an end of time passes through.

    Raises:
        Missed: the target refused, hung up, or is unreachable.
        Blind: this host could not try.
    """
    try:
        yield
    except OSError as exc:
        if isinstance(exc, TimeoutError) and exc.errno is None:
            raise
        raise trouble(exc.errno or 0, whom) from exc


async def connect(params: SocketParams, address: str, port: int, kind: int = socket.SOCK_STREAM) -> socket.socket:
    """A socket that is connected to a numeric address; the caller closes it. Cancellation closes it here.

    Raises:
        Missed: the target refused, or is unreachable.
        Blind: this host could not try.
    """
    family = family_of(address)
    try:
        door = open_socket(params, family, kind)
    except PermissionError as exc:
        raise Blind(Reason.NOT_PERMITTED, f"no socket can be opened: {exc.strerror}.") from exc
    try:
        with talking_to(f"connection to {address} port {port}"):
            await _connected(door, place_of(address, port))
    except BaseException:
        door.close()
        raise
    return door


async def readable(door: socket.socket) -> None:
    """Returns when something has arrived, or the socket has failed."""
    loop = asyncio.get_running_loop()
    ready: asyncio.Future[None] = loop.create_future()
    loop.add_reader(door.fileno(), _settle, ready)
    try:
        await ready
    finally:
        loop.remove_reader(door.fileno())


async def _connected(door: socket.socket, place: Place) -> None:
    """As the loop's own `sock_connect`, without its look-up of what is numeric already."""
    try:
        door.connect(place)
        return
    except (BlockingIOError, InterruptedError):
        pass
    loop = asyncio.get_running_loop()
    ready: asyncio.Future[None] = loop.create_future()
    loop.add_writer(door.fileno(), _settle, ready)
    try:
        await ready
    finally:
        loop.remove_writer(door.fileno())
    number = door.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    if number:
        raise OSError(number, os.strerror(number))


def _settle(ready: asyncio.Future[None]) -> None:
    if not ready.done():
        ready.set_result(None)
