"""dns: asks one server one question by datagram, TCP or TLS, and holds the answer against what it must be.

Plain questions go through the engine of datagrams and are read by our own walk over the answer; dnspython, which would
cost thirty times as much, reads what needs names in records, signatures, or words for people. A datagram that is cut
short is asked for again over TCP.
"""

from __future__ import annotations

import asyncio
import re
from typing import Annotated, ClassVar

import dns.exception
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
import dns.rrset
from pydantic import Field, field_validator, model_validator

from cemd.model.quality import Outcome
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
    Values,
    Way,
)
from cemd.monitor.probes.engines.datagram_errand import Found, GoesOn
from cemd.monitor.probes.engines.dns_comparison import compared, texts_of
from cemd.monitor.probes.engines.dns_engine import Question, aim_at
from cemd.monitor.probes.engines.dns_exchange import Exchange, Transport
from cemd.monitor.probes.engines.dns_wanted import Flag, Wanted
from cemd.monitor.probes.engines.dnssec import Chain, checked_anchor
from cemd.monitor.probes.engines.sockets import SocketParams
from cemd.monitor.probes.tools import Tools
from cemd.monitor.protocols import dns_answer


class DnsParams(SocketParams):
    """A question to one name server, and what its answer must be."""

    server: Host
    """The name server asked; an address is best, so that the probe does not depend on another resolver."""
    port: Port | None = None
    """Where it listens; default: 53, and 853 with `transport: tls`."""
    name: Text
    """The name asked for."""
    type: Text = "A"
    """Record type: A, AAAA, NAPTR, SRV, MX, NS, SOA, TXT and so on."""
    transport: Transport = Transport.UDP
    """`udp` goes over to TCP by itself when the answer is cut short; `tcp` and `tls` (DNS over TLS) from the start."""
    tls_name: Host | None = None
    """Name that the server's certificate must bear; default: `server`."""
    ca_file: Text | None = None
    """Certificate authorities that are trusted with `tls`; default: those of the system."""
    recursion: bool = True
    """Asks for recursion; false for authoritative servers."""
    rcode: Text = "NOERROR"
    """The answer code that is right; NXDOMAIN for a name that must not exist."""
    flags: tuple[Flag, ...] = ()
    """Flags that the answer must bear: `authoritative`, `authenticated`, `recursion_available`."""
    min_answers: Annotated[int, Field(ge=0, le=1000)] | None = None
    """Fewer records of the type than this is a failure; default: 1 where `rcode` is NOERROR, else 0."""
    max_answers: Annotated[int, Field(ge=0, le=1000)] | None = None
    """More records of the type than this is a failure; default: any number is right."""
    answers: tuple[Text, ...] = ()
    """Records that must all be among the answers, as text: `192.0.2.1`, `10 mail.example.org.`."""
    answers_absent: tuple[Text, ...] = ()
    """Records of which none may be among the answers: addresses that were given up, or of a forger."""
    answers_match: tuple[Text, ...] = ()
    """Regular expressions that must each be found in every record of the answer section, and in one at least. A record
    is written as in a zone file, with tabs: `www.example.org.\\t300\\tIN\\tA\\t192.0.2.1`."""
    answers_match_not: tuple[Text, ...] = ()
    """Regular expressions that must be found in no record of the answer section, written in the same way."""
    min_ttl_seconds: Annotated[int, Field(ge=0, le=2_147_483_647)] = 0
    """Answers that may be kept for less than this are a failure; default 0: none is too short."""
    compare_with: Annotated[tuple[Host, ...], Field(max_length=16)] = ()
    """Other servers that are asked the same (same port and transport); a different answer is a failure. Of SOA records
    the serial alone is compared."""
    max_serials_behind: Annotated[int, Field(ge=0, le=1_000_000)] = 0
    """With `type: SOA` and `compare_with`: the server may be so many serials behind the newest (RFC 1982)."""
    dnssec: bool = False
    """Validates the answer, also that a name or type does not exist, by signatures from a trust anchor down, whatever
    the server says; all that is needed is asked of the same server."""
    trust_anchors: tuple[Text, ...] = ()
    """DS records that are trusted, `example.org. DS 12345 13 2 ABCD…`; default: those of the root."""
    signature_days: Annotated[float, Field(ge=0, le=365)] = 0.0
    """With `dnssec`: a signature that ends sooner than this is a failure; default 0: only one that has ended."""
    resend_seconds: Annotated[float, Field(ge=0.05, le=60)] = 1.0
    """A lost datagram is sent again after this time, within the timeout."""

    def hosts(self) -> tuple[tuple[Way, str], ...]:
        others = ((("compare_with", place), host) for place, host in enumerate(self.compare_with))
        return ((("server",), self.server), *others)

    @field_validator("type")
    @classmethod
    def _known_type(cls, word: str) -> str:
        try:
            dns.rdatatype.from_text(word)
        except (dns.rdatatype.UnknownRdatatype, ValueError) as exc:
            raise ValueError(f"{word!r} is no record type") from exc
        return word.upper()

    @field_validator("rcode")
    @classmethod
    def _known_rcode(cls, word: str) -> str:
        try:
            dns.rcode.from_text(word)
        except (dns.rcode.UnknownRcode, ValueError) as exc:
            raise ValueError(f"{word!r} is no answer code") from exc
        return word.upper()

    @field_validator("name")
    @classmethod
    def _is_name(cls, name: str) -> str:
        try:
            dns.name.from_text(name)
        except dns.exception.DNSException as exc:
            raise ValueError(f"{name!r} is no name that DNS can hold") from exc
        return name

    @field_validator("answers_match", "answers_match_not")
    @classmethod
    def _compile(cls, patterns: tuple[str, ...]) -> tuple[str, ...]:
        for pattern in patterns:
            try:
                re.compile(pattern)
            except re.error as exc:
                raise ValueError(f"{pattern[:60]!r} is no regular expression ({exc})") from exc
        return patterns

    @field_validator("trust_anchors")
    @classmethod
    def _are_anchors(cls, texts: tuple[str, ...]) -> tuple[str, ...]:
        for text in texts:
            checked_anchor(text)
        return texts

    @model_validator(mode="after")
    def _fit_together(self) -> DnsParams:
        if self.transport is not Transport.TLS and (self.tls_name or self.ca_file):
            raise ValueError("`tls_name` and `ca_file` need `transport: tls`")
        if not self.dnssec and (self.trust_anchors or self.signature_days):
            raise ValueError("`trust_anchors` and `signature_days` need `dnssec: true`")
        if self.max_serials_behind and not (self.type == "SOA" and self.compare_with):
            raise ValueError("`max_serials_behind` needs `type: SOA` and `compare_with`")
        return self


class Dns:
    """`response_seconds` until the whole answer is there, `answer_count` records of the type asked for;
    `disagreeing_count` servers of `compare_with`, `serial_behind_count` of an SOA among them, `signature_expiry_days`
    of the signature that ends first."""

    word: ClassVar[str] = "dns"
    Params: ClassVar[type[ProbeParams]] = DnsParams
    metrics: ClassVar[frozenset[str] | None] = frozenset(
        {"response_seconds", "answer_count", "signature_expiry_days", "disagreeing_count", "serial_behind_count"}
    )

    def __init__(self, params: DnsParams, tools: Tools) -> None:
        self._params = params
        self._tools = tools
        self._type = int(dns.rdatatype.from_text(params.type))
        self._port = params.port or (853 if params.transport is Transport.TLS else 53)
        self._wanted = Wanted(params)
        self._exchange = Exchange(
            self, tools, params, self._port, params.transport, params.tls_name or params.server, params.ca_file
        )
        self._exchange.recursion, self._exchange.signatures = params.recursion, params.dnssec
        self._exchange.resend_seconds = params.resend_seconds
        self._query = self._exchange.query(params.name, self._type)
        plain = not (params.dnssec or params.compare_with) and self._wanted.seen_in_bytes
        self._simple = plain and params.transport is Transport.UDP

    @property
    def target(self) -> str:
        return f"{self._params.name}@{self._params.server}"

    @property
    def group(self) -> str:
        return f"{self._params.server}:{self._port}"

    # The quick way.

    def errand(self) -> Question | None:
        """A plain question by datagram."""
        if not self._simple:
            return None
        params = self._params
        aim = aim_at(self._tools.datagrams, params, self._port)
        resend = params.resend_seconds
        return Question(self, params.server, params.version(), aim, resend, self._query, self._answered)

    def launch(self, deadline: float, done: Done) -> Cancel | None:
        question = self.errand()
        if question is None or question.named is not None:
            return None
        return self._tools.datagrams.single(question, deadline, done)

    def _answered(self, question: Question, data: bytes, seconds: float, began: float) -> Found:
        seen = dns_answer.read(data, self._query.end, self._type)
        if seen is None:
            return self._broken(seconds)
        if seen.flags & dns_answer.TRUNCATED:
            question.ending = asyncio.ensure_future(self._over_tcp_instead(question, began)).cancel
            return GoesOn.ELSEWHERE
        if self._wanted.fault(seen) is None:
            return question.good(data, len(seen.records))
        return self._judged(seen, seconds)

    async def _over_tcp_instead(self, question: Question, began: float) -> None:
        """The second half of a quick attempt whose datagram was cut short."""
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout_at(began + question.timeout):
                data = await self._exchange.by_stream(question.address, self._query)
            seen = dns_answer.read(data, self._query.end, self._type)
            seconds = loop.time() - began
            result = self._broken(seconds) if seen is None else self._judged(seen, seconds)
        except TimeoutError:
            late = "the datagram was cut short, and TCP did not answer before the deadline."
            result = Result(outcome=Outcome.TIMED_OUT, reason=Reason.NO_ANSWER, detail=late)
        except Missed as missed:
            result = Result(outcome=missed.outcome, reason=missed.reason, detail=missed.detail)
        except Blind as blind:
            result = Result(outcome=Outcome.BLIND, reason=blind.reason, detail=str(blind))
        self._tools.datagrams.conclude(question, result)

    @staticmethod
    def _broken(seconds: float) -> Result:
        words = "the answer is malformed."
        return Result(outcome=Outcome.FAILED, reason=Reason.PROTOCOL_BROKEN, detail=words, seconds=seconds)

    def _judged(self, seen: dns_answer.Seen, seconds: float) -> Result:
        readings = Values(Question.metrics, (seconds, float(len(seen.records))))
        fault = self._wanted.fault(seen)
        if fault is None:
            return Result(outcome=Outcome.OK, reason=Reason.ANSWERED, readings=readings, seconds=seconds)
        return Result(outcome=Outcome.FAILED, reason=fault[0], detail=fault[1], readings=readings, seconds=seconds)

    # The thorough way.

    async def run(self, attempt: Attempt) -> Result:
        loop = asyncio.get_running_loop()
        server = await self._tools.names.address(self._params.server, attempt.remaining(), self._params.version())
        began = loop.time()
        others = [asyncio.ensure_future(self._other(host, attempt)) for host in self._params.compare_with]
        try:
            answer, data = await self._exchange.ask(server, self._params.name, self._type, attempt.deadline)
            seconds = loop.time() - began
            result = self._judge(answer, data, seconds)
            if self._params.dnssec:
                result = await self._validated(result, answer, server, attempt)
            if not others:
                return result
            said = zip(self._params.compare_with, await asyncio.gather(*others), strict=True)
            return compared(result, answer, said, self._params)
        finally:
            for other in others:
                other.cancel()
            await asyncio.gather(*others, return_exceptions=True)

    def _judge(self, answer: dns.message.Message, data: bytes, seconds: float) -> Result:
        seen = dns_answer.read(data, self._query.end, self._type)
        if seen is None:
            raise Missed(Reason.PROTOCOL_BROKEN, "the answer is malformed.")
        records = texts_of(answer, self._type)
        readings = Values(Question.metrics, (seconds, float(len(records))))
        fault = self._wanted.fault(seen._replace(rcode=int(answer.rcode()))) or self._wanted.fault_of(answer, records)
        if fault is not None:
            raise Missed(*fault, readings=readings)
        return Result(outcome=Outcome.OK, reason=Reason.ANSWERED, readings=readings)

    async def _validated(self, result: Result, answer: dns.message.Message, server: str, attempt: Attempt) -> Result:
        async def ask(name: dns.name.Name, kind: dns.rdatatype.RdataType) -> dns.message.Message:
            return (await self._exchange.ask(server, name.to_text(), int(kind), attempt.deadline))[0]

        chain = Chain(ask, self._params.trust_anchors, self._tools.clock.now())
        name = dns.name.from_text(self._params.name)
        try:
            ends_at = await chain.validate(answer, name, dns.rdatatype.RdataType(self._type))
        except Missed as missed:
            missed.readings = result.readings
            raise
        days = (ends_at - self._tools.clock.now()) / 86_400
        readings = (*result.readings, Reading(metric="signature_expiry_days", value=days))
        if days < self._params.signature_days:
            words = f"a signature ends in {days:.1f} days; at least {self._params.signature_days:g} are wanted."
            raise Missed(Reason.SIGNATURE_INVALID, words, readings=readings)
        return Result(outcome=Outcome.OK, reason=Reason.ANSWERED, readings=readings)

    async def _other(self, host: str, attempt: Attempt) -> dns.message.Message | Missed:
        """What another server says; one that does not say anything disagrees as well."""
        try:
            address = await self._tools.names.address(host, attempt.remaining(), self._params.version())
            within = attempt.deadline - attempt.remaining() * 0.1
            async with asyncio.timeout_at(within):
                return (await self._exchange.ask(address, self._params.name, self._type, within))[0]
        except Missed as missed:
            return missed
        except TimeoutError:
            return Missed(Reason.NO_ANSWER, "no answer")
