"""Questions to one agent in one attempt: values in groups, columns of tables in steps, and what must not come back."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Final

from cemd.monitor.probes.base import Missed, Reason
from cemd.monitor.probes.engines.snmp_session import Line, Session
from cemd.monitor.protocols.ber import Oid
from cemd.monitor.protocols.snmp import ERRORS, MISSING, Answer, Bound, Pdu

TOO_BIG: Final = 1
AT_ONCE: Final = 20
"""Names in one question: an answer of twenty counters fits a datagram of 1,472 bytes."""


class Questions:
    """Asks one agent in one attempt: values in groups, columns in steps."""

    def __init__(self, session: Session, line: Line) -> None:
        self._ask = partial(session.ask, line)

    async def get(self, oids: Sequence[Oid]) -> dict[Oid, Bound]:
        """Each of these names with what the agent has for it.

        Raises:
            Missed: it refused, or left one out.
        """
        found: dict[Oid, Bound] = {}
        for group in _groups(oids):
            found |= await self._get(group)
        return found

    async def _get(self, oids: Sequence[Oid]) -> dict[Oid, Bound]:
        answer = await self._ask(Pdu.GET, oids)
        if answer.error == TOO_BIG and len(oids) > 1:
            half = len(oids) // 2
            return {**await self._get(oids[:half]), **await self._get(oids[half:])}
        return found_of(answer, oids)

    async def column(self, column: Oid, most: int) -> dict[Oid, Bound]:
        """The column's rows by index, in the agent's order.

        Raises:
            Missed: the agent refused, does not move on, or has more rows than are taken.
        """
        rows: dict[Oid, Bound] = {}
        last = column
        while True:
            answer = await self._ask(Pdu.GET_BULK, [last], repetitions=AT_ONCE)
            _refuse_errors(answer)
            for bound in answer.bindings:
                if bound.type in MISSING or bound.oid[: len(column)] != column:
                    return rows
                if bound.oid <= last:
                    raise Missed(Reason.PROTOCOL_BROKEN, "the agent does not move on within a table.")
                if len(rows) >= most:
                    raise Missed(Reason.ANSWER_TOO_LARGE, f"a table has more than {most} rows (max_rows).")
                last = bound.oid
                rows[last[len(column) :]] = bound
            if not answer.bindings:
                return rows


def found_of(answer: Answer, oids: Sequence[Oid]) -> dict[Oid, Bound]:
    """What an answer has for each of these names.

    Raises:
        Missed: the agent refused, or answered for others.
    """
    _refuse_errors(answer)
    found = {bound.oid: bound for bound in answer.bindings}
    if set(found) != set(oids):
        raise Missed(Reason.PROTOCOL_BROKEN, "the agent answered for other objects than it was asked for.")
    return found


def titled(rows: Mapping[Oid, Bound], titles: Mapping[Oid, Bound]) -> dict[str, Bound]:
    """Rows by name; a row without one keeps its index, and so does the second of two with the same name."""
    named: dict[str, Bound] = {}
    for index, bound in rows.items():
        plain = ".".join(map(str, index))
        title = titles[index].value if index in titles else None
        text = title.decode(errors="replace").strip("\0 ")[:80] if isinstance(title, bytes) else ""
        printable = text if text and text.isprintable() else plain
        named[plain if printable in named else printable] = bound
    return named


def _groups(oids: Sequence[Oid]) -> Iterator[Sequence[Oid]]:
    for start in range(0, len(oids), AT_ONCE):
        yield oids[start : start + AT_ONCE]


def _refuse_errors(answer: Answer) -> None:
    if answer.error:
        words = ERRORS.get(answer.error, str(answer.error))
        raise Missed(Reason.STATUS_UNEXPECTED, f"the agent answered {words} (object {answer.index} of the question).")
