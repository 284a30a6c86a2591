"""snmp: asks an agent for values and columns of tables; counters become rates per second, over wraps and restarts.

v2c and v3 share everything but how a question is dressed (`snmp_session`). The agent's uptime is asked together with
counters: where it fell, the agent began anew and a lower counter is a reset, else it is a wrap. A rate needs two runs.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, ClassVar

from pydantic import Field, StringConstraints, field_validator, model_validator

from cemd.model.quality import Outcome
from cemd.monitor.probes.attempts import result_of
from cemd.monitor.probes.base import (
    Attempt,
    Blind,
    Cancel,
    Done,
    Host,
    Missed,
    Port,
    ProbeParams,
    Reading,
    Reason,
    Result,
    Text,
    Way,
    read_secret,
)
from cemd.monitor.probes.engines.datagram_errand import Found, GoesOn
from cemd.monitor.probes.engines.snmp_counters import UPTIME, Counters, Now, number_of, uptime_of
from cemd.monitor.probes.engines.snmp_errand import Asking, aim_at, wish
from cemd.monitor.probes.engines.snmp_questions import AT_ONCE, TOO_BIG, Questions, found_of, titled
from cemd.monitor.probes.engines.snmp_session import Community, Line, Session, User, UserSession
from cemd.monitor.probes.engines.sockets import SocketParams, connect, talking_to
from cemd.monitor.probes.tools import Tools
from cemd.monitor.protocols import Malformed
from cemd.monitor.protocols.ber import Oid
from cemd.monitor.protocols.snmp import (
    MISSING,
    Bound,
    Pdu,
    ValueType,
    read_community_message,
)
from cemd.monitor.protocols.snmp_layout import Numbers
from cemd.monitor.protocols.snmp_names import parse_oid
from cemd.monitor.protocols.snmp_security import Authentication, Privacy

Metric = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,99}$")]


class Protocol(StrEnum):
    V2C = "v2c"
    V3 = "v3"


class Report(StrEnum):
    """What becomes of a number."""

    VALUE = "value"
    RATE = "rate"


class SnmpUser(ProbeParams):
    """Who asks, in v3."""

    name: Text
    """The user's name, as the agent knows it."""
    authentication: Authentication | None = None
    """Hash under which messages are signed; default: they are not. `sha256` is today's choice."""
    password_file: Text | None = None
    """File that holds the password of the signature."""
    privacy: Privacy | None = None
    """Cipher under which content is sealed; default: it is in clear."""
    privacy_password_file: Text | None = None
    """File that holds the password of the seal; default: the one of the signature."""
    context: Annotated[str, StringConstraints(max_length=32)] = ""
    """Name of the context that is asked in, such as that of a VRF or VLAN; default: the agent's own. Many
    agents are silent about one that they do not have."""

    @model_validator(mode="after")
    def _complete(self) -> SnmpUser:
        if (self.authentication is None) != (self.password_file is None):
            raise ValueError("authentication and password_file belong together: give both or none")
        if self.privacy is not None and self.authentication is None:
            raise ValueError("privacy needs authentication as well: the protocol seals only what is signed")
        return self


class SnmpValue(ProbeParams):
    """One value of the agent."""

    oid: Text
    """Its object identifier: `1.3.6.1.2.1.1.3.0`, or a name with its instance: `ifHCInOctets.3`."""
    metric: Metric
    """Name of the series, with its unit: `load_ratio`, `inbound_bits_per_second`."""
    report: Report = Report.VALUE
    """`rate`: how much it grows in a second, for counters. Default: the value itself."""
    scale: float = 1.0
    """The number is multiplied by this: 8 makes bits of octets, 0.01 makes seconds of ticks."""
    at_least: float | None = None
    """A lower result (after scaling) is a failure. Default: none."""
    at_most: float | None = None
    """A higher result (after scaling) is a failure. Default: none."""


class SnmpColumn(SnmpValue):
    """One column of a table: a series for each row. `oid` is that of the column: `ifHCInOctets`."""

    label: Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,39}$")] = "row"
    """Name of the label that tells the rows apart."""
    names: Text | None = None
    """Column that holds the rows' names, such as `ifName`; default: the row's own index."""
    rows: tuple[Text, ...] = ()
    """Names of the rows that are kept; each must be there. Default: all."""


class SnmpParams(SocketParams):
    """An agent, and what to ask it."""

    host: Host
    """Name or address of the agent."""
    port: Port = 161
    """Where it listens."""
    protocol: Protocol = Protocol.V2C
    """`v2c`, with a community in clear, or `v3`, with a user."""
    community_file: Text | None = None
    """File that holds the community of v2c; default: the word `public`."""
    user: SnmpUser | None = None
    """Who asks, in v3."""
    values: Annotated[tuple[SnmpValue, ...], Field(max_length=150)] = ()
    """Single values."""
    tables: Annotated[tuple[SnmpColumn, ...], Field(max_length=20)] = ()
    """Columns of tables."""
    names: dict[str, Text] = Field(default_factory=dict)
    """Own names for object identifiers, for what this house's equipment has of its own."""
    max_rows: Annotated[int, Field(ge=1, le=5_000)] = 200
    """A table with more rows is a failure: an agent that never stops must not fill memory."""
    resend_seconds: Annotated[float, Field(ge=0.05, le=60)] = 1.0
    """A question without answer is sent again after this time, within the timeout."""

    @field_validator("names")
    @classmethod
    def _known(cls, names: dict[str, str]) -> dict[str, str]:
        for oid in names.values():
            parse_oid(oid)
        return names

    @model_validator(mode="after")
    def _fits(self) -> SnmpParams:
        own = self.own_names()
        for one in (*self.values, *self.tables):
            parse_oid(one.oid, own)
        for column in self.tables:
            if column.names is not None:
                parse_oid(column.names, own)
        if (self.protocol is Protocol.V3) != (self.user is not None):
            raise ValueError("user belongs to protocol v3, and v3 needs it")
        if self.protocol is Protocol.V3 and self.community_file is not None:
            raise ValueError("community_file belongs to protocol v2c")
        return self

    def own_names(self) -> dict[str, Oid]:
        """Own names with their identifiers."""
        return {name: parse_oid(oid) for name, oid in self.names.items()}

    def hosts(self) -> tuple[tuple[Way, str], ...]:
        return ((("host",), self.host),)


class Snmp:
    """`response_seconds` until the first answer; then the values and rates that were asked for."""

    word: ClassVar[str] = "snmp"
    Params: ClassVar[type[ProbeParams]] = SnmpParams
    metrics: ClassVar[frozenset[str] | None] = None  # its parameters name them

    def __init__(self, params: SnmpParams, tools: Tools) -> None:
        self._params = params
        self._names, self._datagrams, self._log = tools.names, tools.datagrams, tools.log
        own = params.own_names()
        self._values = [(parse_oid(one.oid, own), one) for one in params.values]
        self._columns = [
            (parse_oid(one.oid, own), parse_oid(one.names, own) if one.names else None, one) for one in params.tables
        ]
        rates = any(one.report is Report.RATE for one in (*params.values, *params.tables))
        self._asked = [*([UPTIME] if rates or not self._values else ()), *(oid for oid, _ in self._values)]
        bounded = any(one.at_least is not None or one.at_most is not None for one in params.values)
        self._plain = None if rates or bounded else tuple(one.scale for one in params.values)
        """Scales, where every number that the agent gives is a reading as it is."""
        self._session: Session | None = None
        self._counters = Counters()

    @property
    def silence(self) -> str:
        """What silence may mean: this protocol drops much without a word."""
        user, session = self._params.user, self._session
        if user is None:
            return "no answer before the deadline; many agents are silent as well where they do not know the community."
        asked = f" or the context {user.context!r}" if user.context else ""
        if user.privacy is not None and isinstance(session, UserSession) and session.left_alone:
            differs = "privacy_password_file (else password_file) or privacy is not what the agent has for this user"
            also = f", or where it does not know the context {user.context!r}" if user.context else ""
            return f"the agent says that it is there, and then nothing: so do agents where {differs}{also}."
        wrong = "find a password or cipher wrong, or " if user.authentication else ""
        unknown = f"where they {wrong}do not know the user{asked}"
        return f"no answer before the deadline; many agents are silent as well {unknown}."

    @property
    def target(self) -> str:
        return f"{self._params.host}:{self._params.port}"

    @property
    def group(self) -> str:
        return self.target

    # The quick way.

    def errand(self) -> Asking | None:
        """Single values of v2c in one question."""
        params = self._params
        if params.user is not None or self._columns or len(self._asked) > AT_ONCE:
            return None
        if "%" in params.host:
            return None  # the system writes zones in words of its own
        try:
            community = self._community()
        except Blind:
            return None  # each run says so
        aim = aim_at(self._datagrams, params, params.port)
        metrics = tuple(one.metric for _, one in self._values)
        wanted = wish(community, tuple(self._asked), metrics, self._plain)
        return Asking(self, params.host, params.version(), aim, params.resend_seconds, wanted, self._answered)

    def launch(self, deadline: float, done: Done) -> Cancel | None:
        asking = self.errand()
        if asking is None or asking.named is not None:
            return None
        return self._datagrams.single(asking, deadline, done)

    def _answered(self, asking: Asking, found: Numbers | None, data: bytes, seconds: float, began: float) -> Found:
        if found is None:
            return self._read_through(asking, data, seconds, began)
        types, numbers = found
        bindings = map(Bound, self._asked, map(ValueType, types), numbers)
        return self._judged({bound.oid: bound for bound in bindings}, seconds, began + seconds)

    def _read_through(self, asking: Asking, data: bytes, seconds: float, began: float) -> Found:
        """An answer of another shape: a refusal, what is missing or no number, or nothing of ours."""
        try:
            answer = read_community_message(data)
        except (Malformed, RecursionError):
            return None
        if answer.pdu is not Pdu.RESPONSE:
            return None
        if answer.error == TOO_BIG and len(self._asked) > 1:
            asking.ending = asyncio.ensure_future(self._in_pieces(asking, began)).cancel
            return GoesOn.ELSEWHERE
        try:
            return self._judged(found_of(answer, self._asked), seconds, began + seconds)
        except Missed as missed:
            return result_of(missed, self, self.target, self._log)

    def _judged(self, found: Mapping[Oid, Bound], seconds: float, at: float) -> Found:
        readings, faults = list[Reading](), list[str]()
        now = Now(at, uptime_of(found))
        for oid, one in self._values:
            self._take(one, found[oid], now, (), readings, faults)
        if not faults and len(readings) == len(self._values):
            return tuple(reading.value for reading in readings)
        readings.insert(0, Reading(metric="response_seconds", value=seconds))
        if faults:
            raise Missed(Reason.ANSWER_UNEXPECTED, f"{'; '.join(faults[:5])}.", readings=tuple(readings))
        return self._good(readings, seconds)

    async def _in_pieces(self, asking: Asking, began: float) -> None:
        """The second half of a quick attempt whose answer would have been too large for the agent."""
        try:
            async with asyncio.timeout_at(began + asking.timeout):
                result = await self._thoroughly(asking.address)
        except Exception as exc:  # noqa: BLE001 -- as in `measure`: told as a result, since nobody waits for a raise
            result = result_of(exc, self, self.target, self._log)
        self._datagrams.conclude(asking, result)

    # The thorough way.

    async def run(self, attempt: Attempt) -> Result:
        address = await self._names.address(self._params.host, attempt.remaining(), self._params.version())
        return await self._thoroughly(address)

    async def _thoroughly(self, address: str) -> Result:
        params = self._params
        session = self._session = self._session or self._make_session()
        with talking_to(self.target), await connect(params, address, params.port, socket.SOCK_DGRAM) as door:
            return await self._measure(Questions(session, Line(door, params.resend_seconds)))

    def _community(self) -> bytes:
        file = self._params.community_file
        return read_secret(file).encode() if file else b"public"

    def _make_session(self) -> Session:
        params = self._params
        if params.user is None:
            return Community(self._community())
        user = params.user
        password = read_secret(user.password_file).encode() if user.password_file else b""
        sealing = read_secret(user.privacy_password_file).encode() if user.privacy_password_file else password
        return UserSession(
            User(
                name=user.name.encode(),
                authentication=user.authentication,
                password=password,
                privacy=user.privacy,
                privacy_password=sealing,
                context=user.context.encode(),
            )
        )

    async def _measure(self, questions: Questions) -> Result:
        loop = asyncio.get_running_loop()
        began = loop.time()
        found = await questions.get(self._asked)
        readings = [Reading(metric="response_seconds", value=loop.time() - began)]
        now = Now(loop.time(), uptime_of(found))
        faults: list[str] = []
        for oid, one in self._values:
            self._take(one, found[oid], now, (), readings, faults)
        for column, names, one in self._columns:
            rows = await questions.column(column, self._params.max_rows)
            titles = await questions.column(names, self._params.max_rows) if names else {}
            now = Now(loop.time(), now.uptime)
            self._take_column(one, titled(rows, titles), now, readings, faults)
        if faults:
            words = f"{'; '.join(faults[:5])}."
            raise Missed(Reason.ANSWER_UNEXPECTED, words, readings=tuple(readings))
        return self._good(readings, 0.0)

    def _good(self, readings: list[Reading], seconds: float) -> Result:
        """All was there; which rates are still to come is told, or who looks for them finds nothing."""
        known = {reading.metric for reading in readings}
        rates = (one.metric for one in (*self._params.values, *self._params.tables) if one.report is Report.RATE)
        waited_for = ", ".join(dict.fromkeys(metric for metric in rates if metric not in known))
        words = f"{waited_for}: a rate is known from the second run on." if waited_for else ""
        return Result(
            outcome=Outcome.OK, reason=Reason.ANSWERED, readings=tuple(readings), detail=words, seconds=seconds
        )

    def _take_column(
        self, one: SnmpColumn, rows: Mapping[str, Bound], now: Now, readings: list[Reading], faults: list[str]
    ) -> None:
        faults += [f"{one.oid} has no row {name!r}" for name in one.rows if name not in rows]
        for name, bound in rows.items():
            if not one.rows or name in one.rows:
                self._take(one, bound, now, ((one.label, name),), readings, faults)

    def _take(
        self,
        one: SnmpValue,
        bound: Bound,
        now: Now,
        labels: tuple[tuple[str, str], ...],
        readings: list[Reading],
        faults: list[str],
    ) -> None:
        """One value becomes a reading, or a fault, or nothing yet: a rate needs two runs."""
        name = " ".join((one.oid, *(row for _, row in labels)))
        number = number_of(bound)
        if number is None:
            faults.append(f"{name} is {'missing' if bound.type in MISSING else 'no number'}")
            return
        value: float | None = number
        if one.report is Report.RATE:
            value = self._counters.rate(one.metric, bound, now)
        if value is None:
            return
        value *= one.scale
        readings.append(Reading(metric=one.metric, value=value, labels=labels))
        if one.at_least is not None and value < one.at_least:
            faults.append(f"{name} is {value:g}, at least {one.at_least:g} is due")
        if one.at_most is not None and value > one.at_most:
            faults.append(f"{name} is {value:g}, at most {one.at_most:g} is due")
