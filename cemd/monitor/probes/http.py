"""http: one request on a new connection, its phases, and conditions on status, headers, body and JSON."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from enum import StrEnum
from functools import partial
from typing import Annotated, Any, ClassVar
from urllib.parse import urljoin, urlsplit

import msgspec
from pydantic import Field, field_validator, model_validator

from cemd.kit.urls import checked_url, shown_url
from cemd.model.quality import Outcome
from cemd.monitor.probes.base import (
    Attempt,
    Blind,
    Cancel,
    Done,
    Missed,
    ProbeParams,
    Reading,
    Reason,
    Result,
    Secrets,
    Text,
    Values,
    Way,
    read_secret,
)
from cemd.monitor.probes.engines.answers import AnswerParams, Judge
from cemd.monitor.probes.engines.dialogue import Hex
from cemd.monitor.probes.engines.exchange import Call
from cemd.monitor.probes.engines.names import is_address
from cemd.monitor.probes.engines.oauth2 import Oauth2, Tokens
from cemd.monitor.probes.engines.requests import Answer, ClientCertificate, Proxy, Request
from cemd.monitor.probes.engines.sockets import SocketParams
from cemd.monitor.probes.engines.stream_batches import Run, StreamErrand
from cemd.monitor.probes.tools import Tools

_REDIRECTS = frozenset({301, 302, 303, 307, 308})
CERTIFICATE_EVERY_SECONDS = 60.0
"""The end of a certificate is read so often; in between it is counted down: reading it costs a fifth of a handshake."""
_PLAIN = (
    "status_code", "body_bytes", "name_seconds", "connect_seconds", "first_byte_seconds", "response_seconds"
)  # fmt: skip
_SECURE = (*_PLAIN, "tls_seconds", "certificate_expiry_days")


class Method(StrEnum):
    GET = "GET"
    HEAD = "HEAD"
    POST = "POST"
    PUT = "PUT"
    PATCH = "PATCH"
    DELETE = "DELETE"
    OPTIONS = "OPTIONS"


class Addresses(StrEnum):
    """Which addresses of a name are asked."""

    FIRST = "first"
    ANY = "any"
    EACH = "each"


class HttpParams(SocketParams, AnswerParams):
    """A request and what its answer must be."""

    url: Text
    """Absolute URL of http or https, without user and password."""
    method: Method = Method.GET
    """Of the request."""
    headers: dict[Text, str] = Field(default={}, description="Header fields sent; never secrets.")
    header_files: dict[Text, Text] = Field(default={}, description="Header fields whose values stand in files.")
    bearer_file: Text | None = None
    """File with the token sent as `Authorization: Bearer`."""
    oauth2: Oauth2 | None = None
    """Client credentials with which a token is got first; it is kept until shortly before its end."""
    json_body: Any = Field(default=None, alias="json", description="Sent as JSON.")
    body: str | None = None
    """Text sent as it is; not together with `json`."""
    body_hex: Hex | None = None
    """Bytes that are sent, as hexadecimal digits: for what is no text."""
    redirects: Annotated[int, Field(ge=0, le=10)] = 0
    """So many redirects are followed, each as a request of its own; default: none, the redirect is the answer."""
    ca_file: Text | None = None
    """Certificate authorities that are trusted; default: those of the system."""
    client_certificate_file: Text | None = None
    """Certificate in PEM that is shown to the server (mutual TLS); needs `client_key_file`."""
    client_key_file: Text | None = None
    """Key of the client certificate in PEM, without a passphrase."""
    proxy: Text | None = None
    """`http://host:port` that the request goes through; default: none, also where the environment names one."""
    proxy_login_file: Text | None = None
    """File with `user:password` for the proxy."""
    addresses: Addresses = Addresses.FIRST
    """`first` address of the name alone, or `any` (in turn until one is right), or `each` (all must be right, figures
    apart by the label `address`)."""
    post_quantum: bool = False
    """Offers the key exchange X25519MLKEM768 first, as browsers do: shows whether something on the way trips over it. A
    handshake costs the prober a tenth more."""
    http2: bool = False
    """Offers HTTP/2 under TLS, and speaks it from the first byte without TLS; default: HTTP/1.1."""

    def hosts(self) -> tuple[tuple[Way, str], ...]:
        named = {"url": self.url, "proxy": self.proxy, "oauth2": self.oauth2.token_url if self.oauth2 else None}
        ways: dict[str, Way] = {"oauth2": ("oauth2", "token_url")}
        return tuple((ways.get(key, (key,)), urlsplit(url).hostname or "") for key, url in named.items() if url)

    @field_validator("url")
    @classmethod
    def _url(cls, url: str) -> str:
        return checked_url(url)

    @field_validator("proxy")
    @classmethod
    def _proxy_url(cls, url: str | None) -> str | None:
        if url is not None and urlsplit(checked_url(url)).scheme != "http":
            raise ValueError("the proxy must be an http:// URL; TLS to the target goes through it by CONNECT")
        return url

    @model_validator(mode="after")
    def _fit_together(self) -> HttpParams:
        if sum(one is not None for one in (self.body, self.body_hex, self.json_body)) > 1:
            raise ValueError("`body`, `body_hex` and `json` exclude each other; give one")
        if (self.client_certificate_file is None) is not (self.client_key_file is None):
            raise ValueError("`client_certificate_file` and `client_key_file` belong together; give both")
        if self.bearer_file is not None and self.oauth2 is not None:
            raise ValueError("`bearer_file` and `oauth2` exclude each other; give one")
        if self.proxy is not None and (self.addresses is not Addresses.FIRST):
            raise ValueError("with a `proxy` the addresses of the name are the proxy's choice; leave out `addresses`")
        if self.proxy_login_file is not None and self.proxy is None:
            raise ValueError("`proxy_login_file` needs a `proxy`")
        if self.require_http2 and not self.http2:
            raise ValueError("`require_http2` needs `http2: true`")
        return self


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
        self._tokens = Tokens(params.oauth2, tools.web, params.ca_file) if params.oauth2 else None
        parts = urlsplit(params.url)
        self._host = parts.hostname or ""
        self._secure = parts.scheme == "https"
        self._ends_at: float | None = None
        self._ends_read_at = float("-inf")
        simple = not params.redirects and not params.oauth2 and not params.proxy and is_address(self._host)
        self._simple = simple and not self._secrets_in_files()
        self._bare_request = self._bare()
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
            request = self._request(secrets)
            if self._tokens is None:
                return await self._look(request, attempt)
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
                result = await self._look(replace(request, headers=headers), attempt)
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

    async def _look(self, request: Request, attempt: Attempt) -> Result:
        """Asks one address, any, or each."""
        if self._params.addresses is Addresses.FIRST:
            return await self._one(request, attempt, None)
        loop = asyncio.get_running_loop()
        began = loop.time()
        found = await self._names.addresses(self._host, attempt.remaining(), self._params.version())
        named = loop.time() - began
        if self._params.addresses is Addresses.ANY:
            return await self._any(request, attempt, found)
        looks = (self._each(request, attempt, address) for address in found)
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

    async def _any(self, request: Request, attempt: Attempt, addresses: tuple[str, ...]) -> Result:
        for left, address in zip(range(len(addresses), 0, -1), addresses, strict=True):
            share = attempt.remaining() / left  # a dead first address must not use up the time of all others
            try:
                return await self._one(request, attempt, address, within=share)
            except Missed:
                if left == 1:
                    raise
        raise AssertionError("a name has at least one address")

    async def _each(self, request: Request, attempt: Attempt, address: str) -> Result:
        """The result of one address, its readings labelled with it."""
        try:
            result = await self._one(request, attempt, address, within=attempt.remaining() * 0.95)
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
        self, request: Request, attempt: Attempt, address: str | None, *, within: float | None = None
    ) -> Result:
        within = attempt.remaining() if within is None else within
        answer = await self._web.fetch(request, within, address=address)
        for _ in range(self._params.redirects):
            if answer.status not in _REDIRECTS or "location" not in answer.headers:
                break
            request = _redirected(request, answer)
            answer = await self._web.fetch(request, attempt.remaining())
        readings = self._readings(answer)
        if (fault := self._judge.fault(answer, self._days_left())) is not None:
            raise Missed(*fault, readings=readings)
        return Result(outcome=Outcome.OK, reason=Reason.ANSWERED, readings=readings)

    # The request.

    def _secrets_in_files(self) -> bool:
        params = self._params
        return bool(params.header_files or params.bearer_file or params.proxy_login_file)

    def _bare(self) -> Request:
        """The request without what stands in files."""
        params = self._params
        headers = dict(params.headers)
        body = params.body.encode() if params.body is not None else None
        if params.body_hex is not None:
            body = bytes.fromhex(params.body_hex)
        if params.json_body is not None:
            body = msgspec.json.encode(params.json_body)
            headers.setdefault("Content-Type", "application/json")
        client = None
        if params.client_certificate_file and params.client_key_file:
            client = ClientCertificate(certificate=params.client_certificate_file, key=params.client_key_file)
        leaves_specially = params.source_address or params.vrf or params.dscp
        return Request(
            url=params.url,
            method=params.method,
            headers=headers,
            body=body,
            ca_file=params.ca_file,
            ip_version=params.version(),
            max_body_bytes=params.max_body_bytes,
            http2=params.http2,
            post_quantum=params.post_quantum,
            client=client,
            proxy=Proxy(url=params.proxy) if params.proxy else None,
            way=params if leaves_specially else None,
            wants_headers=bool(params.redirects or self._judge.wants_headers),
        )

    def _request(self, secrets: Secrets) -> Request:
        params = self._params
        request = self._bare_request
        for path in (params.client_certificate_file, params.client_key_file):
            if path is not None:
                read_secret(path)  # says which file it is that cannot be read
        if not self._secrets_in_files():
            return request
        headers = dict(request.headers)
        for name, path in params.header_files.items():
            headers[name] = self._secret(path, secrets)
        if params.bearer_file:
            headers["Authorization"] = f"Bearer {self._secret(params.bearer_file, secrets)}"
        proxy = request.proxy
        if proxy is not None and params.proxy_login_file:
            proxy = replace(proxy, login=self._secret(params.proxy_login_file, secrets))
        return replace(request, headers=headers, proxy=proxy)

    @staticmethod
    def _secret(path: str, secrets: Secrets) -> str:
        text = read_secret(path)
        if not text.isprintable():
            raise Blind(Reason.FILE_UNREADABLE, f"secret file {path} holds more than one line, or control characters.")
        secrets.texts.append(text)
        return text

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


def _redirected(request: Request, answer: Answer) -> Request:
    """The next request; secrets, bodies and our certificate do not follow to another place."""
    url = urljoin(request.url, answer.headers["location"])
    try:
        checked_url(url)
    except ValueError as exc:
        raise Missed(Reason.ANSWER_UNEXPECTED, f"is redirected to a place that cannot be asked: {exc}.") from exc
    before, after = urlsplit(request.url), urlsplit(url)
    same_place = (before.scheme, before.netloc) == (after.scheme, after.netloc)
    keeps_method = answer.status in {307, 308} or request.method in {"GET", "HEAD"}
    return replace(
        request,
        url=url,
        method=request.method if keeps_method else "GET",
        headers=request.headers if same_place else {},
        body=request.body if keeps_method and same_place else None,
        client=request.client if same_place else None,
    )
