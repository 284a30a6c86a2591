"""Questions of DNS as errands: prepared bytes of which only the random id changes, answers matched by id and question.

An answer that is byte for byte the last one that was read through and found good is as good; only its id differs.
Nothing here knows more of DNS than the header and where a question ends.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, lru_cache
from operator import itemgetter
from typing import TypeAlias

from cemd.monitor.probes.base import IpVersion, Kind
from cemd.monitor.probes.engines.datagram_errand import Aim, Errand, Found
from cemd.monitor.probes.engines.datagrams import Datagrams
from cemd.monitor.probes.engines.lines import Connected, Destination, Shared, place_as_heard
from cemd.monitor.probes.engines.sockets import SocketParams, family_of, place_of


class Query:
    """A message to send, whose first two bytes are replaced by a random id; made once a probe."""

    __slots__ = ("end", "lowered", "question", "tail")

    def __init__(self, wire: bytes) -> None:
        self.tail = wire[2:]
        self.end = question_end(wire)
        self.question = wire[12 : self.end]
        self.lowered = self.question.lower()


query_of = lru_cache(maxsize=4096)(Query)
"""The one of these bytes: what many servers are asked stays near."""


class Question(Errand):
    """`judge` is asked about each answer to the question that is not the same as the last good one."""

    __slots__ = ("_judge", "_known", "_query", "_values")

    metrics = ("response_seconds", "answer_count")

    def __init__(
        self, kind: Kind, server: str, version: IpVersion, aim: Aim, resend: float, query: Query, judge: Judge
    ) -> None:
        super().__init__(kind, server, version, aim, resend, (b"", query.tail))
        self._query, self._judge = query, judge
        self._known: bytes | None = None
        self._values: tuple[float, ...] = ()

    def take(self, data: bytes, seconds: float, began: float, sent_ns: int) -> Found:  # noqa: ARG002 -- as all take it
        if data[2:] == self._known:
            return self._values
        if len(data) < 12 or not answers(data, self._query):
            return None
        return self._judge(self, data, seconds, began)

    def good(self, data: bytes, count: int) -> tuple[float, ...]:
        """Keeps a good answer of so many records: the next one that equals it is as good."""
        self._known, self._values = data[2:], _counted(count)
        return self._values


Judge: TypeAlias = Callable[[Question, bytes, float, float], Found]


@cache
def _counted(count: int) -> tuple[float, ...]:
    """One object for all questions: what many share stays near."""
    return (float(count),)


FEW = 8
"""So many who ask one server share a socket with those who ask others: one of its own would be opened for each of its
questions where they come seldom. More of them get one."""


def aim_at(datagrams: Datagrams, way: SocketParams, port: int) -> Aim:
    """What leads to name servers by their numeric addresses."""

    def aim(server: str) -> Destination:
        here = ("dns", way.source_address, way.vrf, way.dscp)
        datagrams.aims[(*here, server, port)] += 1
        if datagrams.aims[(*here, server, port)] > FEW:
            return datagrams.line((*here, server, port), lambda: _own_line(datagrams, way, server, port)).to
        family = family_of(server)
        line = datagrams.line((*here, family), lambda: Shared(way, family, datagrams.short_keys, _key_of))
        return line.to(place_as_heard(server, port))

    return aim


def _own_line(datagrams: Datagrams, way: SocketParams, server: str, port: int) -> Connected:
    return Connected(way, place_of(server, port), datagrams.short_keys, _key_of, f"name server {server}")


_key_of = itemgetter(slice(2))


def answers(data: bytes, query: Query) -> bool:
    """Whether a message of at least 12 bytes is an answer (QR, opcode 0) to exactly this question."""
    if data[2] & 0xF8 != 0x80 or data[4] or data[5] != 1:
        return False
    question = data[12 : query.end]
    return question == query.question or question.lower() == query.lowered


def question_end(wire: bytes) -> int:
    """Where the one question of our own query ends."""
    place = 12
    while wire[place]:
        place += wire[place] + 1
    return place + 5
