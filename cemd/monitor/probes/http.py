"""http: one request on a new connection, its phases, and conditions on status, headers, body and JSON."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from functools import partial
from typing import ClassVar
from urllib.parse import urlsplit

import msgspec

from cemd.kit.urls import shown_url
from cemd.model.quality import Outcome
from cemd.monitor.probes.base import (
    Attempt,
    Cancel,
    Done,
    Missed,
    ProbeParams,
    Reading,
    Reason,
    Result,
    Secrets,
    Values,
)
from cemd.monitor.probes.engines.answers import Judge
from cemd.monitor.probes.engines.exchange import Call
from cemd.monitor.probes.engines.http_request import (
    Addresses,
    HttpParams,
    bare_request,
    redirected,
    whole_request,
)
from cemd.monitor.probes.engines.names import is_address
from cemd.monitor.probes.engines.oauth2 import Tokens
from cemd.monitor.probes.engines.requests import REDIRECTS, Answer, Request
from cemd.monitor.probes.engines.stream_batches import Run, StreamErrand
from cemd.monitor.probes.tools import Tools

CERTIFICATE_EVERY_SECONDS = 60.0
"""The end of a certificate is read so often; in between it is counted down: reading it costs a fifth of a handshake."""
_PLAIN = (
    "status_code", "body_bytes", "name_seconds", "connect_seconds", "first_byte_seconds", "response_seconds"
)  # fmt: skip
_SECURE = (*_PLAIN, "tls_seconds", "certificate_expiry_days")


class Http:
    """`status_code`, `body_bytes`, and seconds of each phase: name, connect, tls, first_byte, response (all of it);
    `certificate_expiry_days` where TLS was spoken, `token_seconds` where a token was got."""

    word: ClassVar[str] = "http"
    Params: ClassVar[type[ProbeParams]] = HttpParams
    metrics: ClassVar[frozenset[str] | None] = frozenset(
        {
            "status_code",
            "body_bytes",
            "name_seconds",
            "connect_seconds",
            "first_byte_seconds",
            "response_seconds",
            "tls_seconds",
            "certificate_expiry_days",
            "token_seconds",
            "answered_right_ratio",
        }
    )

    def __init__(self, params: HttpParams, tools: Tools) -> None:
        self._params = params
        self._web = tools.web
        self._streams = tools.streams
        self._names = tools.names
        self._wall = tools.clock.now
        self._judge = Judge(params)
        self._tokens = Tokens(params.oauth2, tools.web, params.ca_file, params) if params.oauth2 else None
        parts = urlsplit(params.url)
        self._host = parts.hostname or ""
        self._secure = parts.scheme == "https"
        self._ends_at: float | None = None
        self._ends_read_at = float("-inf")
        simple = not params.redirects and not params.oauth2 and not params.proxy and is_address(self._host)
        self._simple = simple and not params.secrets_in_files()
        self._bare_request = bare_request(params, wants_headers=self._judge.wants_headers)
        call = Call(self._bare_request, self._host) if self._simple and self._bare_request.plain else None
        self._errand = _Errand(self, self._host, _SECURE if self._secure else _PLAIN, call) if self._simple else None

    @property
    def target(self) -> str:
        return shown_url(self._params.url)

    @property
    def group(self) -> str:
        return urlsplit(self._params.url).netloc

    def errand(self) -> StreamErrand | None:
        """Where the host is an address, and there is nothing to read or to ask for before."""
        return self._errand

    def launch(self, deadline: float, done: Done) -> Cancel | None:
        """The same by itself."""
        return None if self._errand is None else self._streams.single(self._errand, deadline, done)

    def start(self, run: Run, call: Call | None, deadline: float) -> Cancel:
        """Begins one exchange: as a call that is ready, else by libcurl."""
        if call is not None:
            return self._web.begin(call, deadline, partial(self._told, run))
        told = partial(self._told_by_itself, run)
        return self._web.start(self._bare_request, self._host, deadline, told, certificate=self._stale())

    def _told_by_itself(self, run: Run, found: Answer | Exception) -> None:
        self._told(run, found)
        self._streams.hand_over()

    def _told(self, run: Run, found: Answer | Exception) -> None:
        if not isinstance(found, Answer):
            run.failed(found)
            return
        values = self._values(found)
        fault = self._judge.fault(found, self._days_left())
        if fault is None and len(values) == len(run.errand.metrics):
            run.good(found.phases.total, values)
        elif fault is None:  # the end of the certificate could not be read
            readings = Values(_PLAIN, values)
            run.ended(Result(outcome=Outcome.OK, reason=Reason.ANSWERED, readings=readings, seconds=found.phases.total))
        else:
            readings = Values(run.errand.metrics[: len(values)], values)
            run.ended(Result(outcome=Outcome.FAILED, reason=fault[0], detail=fault[1], readings=readings))

    async def run(self, attempt: Attempt) -> Result:
        secrets = Secrets()
        try:
            request = whole_request(self._bare_request, self._params, secrets)
            if self._tokens is None:
                return await self._look(request, attempt, secrets)
            return await self._look_with_token(self._tokens, request, attempt, secrets)
        except Missed as missed:
            missed.detail = secrets.hide(missed.detail)
            raise

    async def _look_with_token(self, tokens: Tokens, request: Request, attempt: Attempt, secrets: Secrets) -> Result:
        for last in (False, True):
            token = await tokens.token(attempt.remaining(), secrets)
            got = tokens.seconds
            headers = {**request.headers, "Authorization": f"Bearer {token}"}
            try:
                result = await self._look(replace(request, headers=headers), attempt, secrets)
            except Missed as missed:
                refused = missed.reason is Reason.STATUS_UNEXPECTED and " 401," in missed.detail
                if refused:
                    tokens.forget()
                if refused and got is None and not last:
                    continue  # the kept token was withdrawn over there: one try with a new one
                raise
            spent = (Reading(metric="token_seconds", value=got),) if got is not None else ()
            return msgspec.structs.replace(result, readings=(*result.readings, *spent))
        raise AssertionError("the second try ends or raises")

    async def _look(self, request: Request, attempt: Attempt, secrets: Secrets) -> Result:
        """Asks one address, any, or each."""
        if self._params.addresses is Addresses.FIRST:
            return await self._one(request, attempt, None, secrets)
        loop = asyncio.get_running_loop()
        began = loop.time()
        found = await self._names.addresses(self._host, attempt.remaining(), self._params.version())
        named = loop.time() - began
        if self._params.addresses is Addresses.ANY:
            return await self._any(request, attempt, found, secrets)
        looks = (self._each(request, attempt, address, secrets) for address in found)
        results = await asyncio.gather(*looks)
        readings = (
            Reading(metric="name_seconds", value=named),
            *(one for result in results for one in result.readings),
        )
        for address, result in zip(found, results, strict=True):
            if result.outcome is not Outcome.OK:
                words = f"{address}, one of {len(found)} addresses: {result.detail}"
                raise Missed(result.reason, words, outcome=result.outcome, readings=readings)
        return Result(outcome=Outcome.OK, reason=Reason.ANSWERED, readings=readings)

    async def _any(self, request: Request, attempt: Attempt, addresses: tuple[str, ...], secrets: Secrets) -> Result:
        for left, address in zip(range(len(addresses), 0, -1), addresses, strict=True):
            share = attempt.remaining() / left  # a dead first address must not use up the time of all others
            try:
                return await self._one(request, attempt, address, secrets, within=share)
            except Missed:
                if left == 1:
                    raise
        raise AssertionError("a name has at least one address")

    async def _each(self, request: Request, attempt: Attempt, address: str, secrets: Secrets) -> Result:
        """The result of one address, its readings labelled with it."""
        try:
            result = await self._one(request, attempt, address, secrets, within=attempt.remaining() * 0.95)
        except Missed as missed:
            result = Result(
                outcome=missed.outcome, reason=missed.reason, detail=missed.detail, readings=missed.readings
            )
        labels = (("address", address),)
        readings = [one for one in result.readings if one.metric != "name_seconds"]
        right = Reading(metric="answered_right_ratio", value=float(result.outcome is Outcome.OK), labels=labels)
        labelled = (Reading(metric=one.metric, value=one.value, labels=labels) for one in readings)
        return msgspec.structs.replace(result, readings=(right, *labelled))

    async def _one(
        self, request: Request, attempt: Attempt, address: str | None, secrets: Secrets, *, within: float | None = None
    ) -> Result:
        within = attempt.remaining() if within is None else within
        answer = await self._web.fetch(request, within, address=address)
        for _ in range(self._params.redirects):
            if answer.status not in REDIRECTS or "location" not in answer.headers:
                break
            request = redirected(request, answer)
            answer = await self._web.fetch(request, attempt.remaining())
        readings = self._readings(answer)
        if (fault := self._judge.fault(answer, self._days_left(), secrets)) is not None:
            raise Missed(*fault, readings=readings)
        return Result(outcome=Outcome.OK, reason=Reason.ANSWERED, readings=readings)

    # The answer.

    def _stale(self) -> bool:
        """Whether the end of the certificate must be read with this request."""
        return self._secure and self._wall() - self._ends_read_at >= CERTIFICATE_EVERY_SECONDS

    def _days_left(self) -> float | None:
        return None if self._ends_at is None else (self._ends_at - self._wall()) / 86_400

    def _readings(self, answer: Answer) -> Values:
        values = self._values(answer)
        return Values(_PLAIN if len(values) == len(_PLAIN) else _SECURE, values)

    def _values(self, answer: Answer) -> tuple[float, ...]:
        """Of `_PLAIN`, or of `_SECURE` where it is known when the certificate ends."""
        if answer.certificate_ends_at is not None:
            self._ends_at, self._ends_read_at = answer.certificate_ends_at, self._wall()
        phases = answer.phases
        plain = (
            float(answer.status), float(len(answer.body)), phases.name, phases.connect, phases.first_byte, phases.total
        )  # fmt: skip
        return plain if self._ends_at is None else (*plain, phases.tls, self._days_left() or 0.0)


class _Errand(StreamErrand):
    """One exchange; `call` where it goes the quick way."""

    __slots__ = ("_call", "_http", "metrics")

    def __init__(self, kind: Http, host: str, metrics: tuple[str, ...], call: Call | None) -> None:
        super().__init__(kind, host)
        self._http, self.metrics, self._call = kind, metrics, call

    def start(self, run: Run, deadline: float) -> Cancel:
        return self._http.start(run, self._call, deadline)
