"""Many datagrams a call: what leaves as blocks arrives as the datagrams that it was made of."""

from __future__ import annotations

import socket

from cemd.monitor.probes.engines.departures import MOST_BYTES, cut, send_block
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.monitor.test_arrivals import FAMILIES, pair


@FAMILIES
@settings(max_examples=25, deadline=None)
@given(messages=st.lists(st.binary(min_size=1, max_size=60), min_size=1, max_size=16))
def test_blocks_arrive_as_the_datagrams_that_they_were_made_of(
    family: int, address: str, messages: list[bytes]
) -> None:
    with pair(family, address) as (here, there), socket.socket(family, socket.SOCK_DGRAM) as free:
        for sender, place in ((there, None), (free, here.getsockname())):
            for block in cut(list(map(len, messages))):
                parts = [messages[number] for number in block]
                send_block(sender, b"".join(parts), len(parts[0]), place)
                assert [here.recv(1_000) for _ in parts] == parts


@given(st.lists(st.sampled_from((40, 41, 90, MOST_BYTES, MOST_BYTES + 1, 9_000)), max_size=16))
def test_each_datagram_is_in_one_block_whose_others_are_of_one_size(sizes: list[int]) -> None:
    blocks = cut(sizes)
    assert sorted(number for block in blocks for number in block) == list(range(len(sizes)))
    for first, *others in blocks:
        assert sizes[first] <= MOST_BYTES or not others
        assert all(sizes[number] == sizes[first] for number in others[:-1])
        assert all(sizes[number] <= sizes[first] for number in others[-1:])
    assert len(blocks) <= len(set(sizes)) + sum(size > MOST_BYTES for size in sizes)
