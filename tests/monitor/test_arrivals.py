"""Many datagrams a call: what is read so is what Python's own call reads."""

from __future__ import annotations

import contextlib
import errno
import select
import socket
from collections.abc import Iterator

import pytest
from cemd.monitor.probes.engines.arrivals import AT_ONCE, Arrivals, sender_of
from cemd.monitor.probes.engines.sockets import Place
from cemd.monitor.probes.engines.stamps import ANCILLARY_BYTES, SO_TIMESTAMPNS, kernel_stamp
from hypothesis import given, settings
from hypothesis import strategies as st

FAMILIES = pytest.mark.parametrize(
    ("family", "address"), [(socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")], ids=["IPv4", "IPv6"]
)


@contextlib.contextmanager
def pair(family: int = socket.AF_INET, address: str = "127.0.0.1") -> Iterator[tuple[socket.socket, socket.socket]]:
    """A socket that hears with stamps, and one that sends to it."""
    with socket.socket(family, socket.SOCK_DGRAM) as here, socket.socket(family, socket.SOCK_DGRAM) as there:
        here.bind((address, 0))
        here.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        here.setblocking(False)
        there.bind((address, 0))
        there.connect(here.getsockname())
        yield here, there


@FAMILIES
@settings(max_examples=25)
@given(messages=st.lists(st.binary(max_size=900), min_size=1, max_size=20))
def test_what_is_read_together_is_what_is_read_one_by_one(family: int, address: str, messages: list[bytes]) -> None:
    with pair(family, address) as (here, there):
        for message in messages:
            there.send(message)
        peeked, ancillary, _, place = here.recvmsg(1_000, ANCILLARY_BYTES, socket.MSG_PEEK)
        arrivals = Arrivals()
        assert arrivals.take(here.fileno()) == len(messages)
        assert arrivals.data() == messages
        assert peeked == messages[0]
        assert arrivals.stamps()[0] == kernel_stamp(ancillary)
        assert arrivals.stamps() == sorted(arrivals.stamps())
        assert arrivals.senders() == [sender_of(place)] * len(messages)
        assert arrivals.take(here.fileno()) == 0
        assert (arrivals.data(), arrivals.stamps(), arrivals.senders()) == ([], [], [])


def test_memory_of_one_socket_serves_the_next_of_another_family_and_without_stamps() -> None:
    arrivals = Arrivals()
    with pair() as (old, there), pair(socket.AF_INET6, "::1") as (new, beyond):
        there.send(b"old")
        assert arrivals.take(old.fileno()) == 1
        new.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 0)
        beyond.send(b"")
        beyond.send(bytes(65_000))
        assert arrivals.take(new.fileno()) == 2
        assert arrivals.data() == [b"", bytes(65_000)]
        assert arrivals.stamps() == [0, 0]
        assert arrivals.senders() == [sender_of(beyond.getsockname())] * 2


def test_more_than_fit_in_one_call_stay_for_the_next() -> None:
    arrivals, taken = Arrivals(), list[bytes]()
    with pair() as (here, there):
        for number in range(AT_ONCE + 5):
            there.send(bytes((number,)))
        while count := arrivals.take(here.fileno()):
            assert count <= AT_ONCE
            taken += arrivals.data()
    assert taken == [bytes((number,)) for number in range(AT_ONCE + 5)]


def test_closed_port_over_there_is_an_error_once() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as gone:
        gone.bind(("127.0.0.1", 0))
        place = gone.getsockname()
    arrivals = Arrivals()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as here, select.epoll() as ready:
        here.setblocking(False)
        here.connect(place)
        ready.register(here, select.EPOLLIN)
        here.send(b"?")
        assert ready.poll(5.0)
        with pytest.raises(OSError, match="refused") as caught:
            arrivals.take(here.fileno())
        assert caught.value.errno == errno.ECONNREFUSED
        assert arrivals.take(here.fileno()) == 0


@pytest.mark.parametrize("place", [("192.0.2.7", 161), ("2001:db8::7", 161, 0, 0)], ids=["IPv4", "IPv6"])
def test_senders_differ_by_address_and_port(place: Place) -> None:
    other = ("192.0.2.8", 161) if len(place) == 2 else ("2001:db8::8", 161, 0, 0)
    moved: Place = (place[0], 162) if len(place) == 2 else (place[0], 162, 0, 0)
    assert len({sender_of(place), sender_of(other), sender_of(moved)}) == 3
