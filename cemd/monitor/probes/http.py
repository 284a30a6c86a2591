"""http: one request on a new connection, its phases, and conditions on status, headers, body and JSON."""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Annotated, Any, ClassVar
from urllib.parse import urljoin, urlsplit

import msgspec
from pydantic import Field, field_validator, model_validator

from cemd.model.quality import Outcome
from cemd.monitor.probes.base import (
    Attempt,
    IpVersion,
    Missed,
    ProbeParams,
    Reading,
    Reason,
    Result,
    Secrets,
    Text,
    Way,
    read_secret,
)
from cemd.monitor.probes.conditions import Condition, decode_json, parse_condition
from cemd.monitor.probes.curl import Answer, Request
from cemd.monitor.probes.tools import Tools

_REDIRECTS = frozenset({301, 302, 303, 307, 308})


class Method(StrEnum):
    GET = "GET"
    HEAD = "HEAD"
    POST = "POST"
    PUT = "PUT"
    PATCH = "PATCH"
    DELETE = "DELETE"
    OPTIONS = "OPTIONS"


def checked_url(url: str) -> str:
    """The URL, if it is an absolute one of http or https without a user.

    Raises:
        ValueError: it is not.
    """
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError(f"{shown_url(url)} is no absolute http or https URL")
    if parts.username is not None or parts.password is not None:
        raise ValueError("a URL must not hold user and password; use bearer_file or header_files")
    _ = parts.port  # raises ValueError where it is no number
    return url


def shown_url(url: str) -> str:
    """The URL without user, query and fragment: what may stand in labels and logs."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return "that"
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


class HttpParams(ProbeParams):
    """A request and what its answer must be."""

    url: Text
    """Absolute URL of http or https, without user and password."""
    method: Method = Method.GET
    """Of the request."""
    headers: dict[Text, str] = Field(default={}, description="Header fields sent; never secrets.")
    header_files: dict[Text, Text] = Field(default={}, description="Header fields whose values stand in files.")
    bearer_file: Text | None = None
    """File with the token sent as `Authorization: Bearer`."""
    json_body: Any = Field(default=None, alias="json", description="Sent as JSON.")
    body: str | None = None
    """Text sent as it is; not together with `json`."""
    status: tuple[Annotated[int, Field(ge=100, le=599)], ...] = ()
    """Statuses that are right; default: every 2xx."""
    header_contains: dict[Text, Text] = Field(default={}, description="Header fields that must contain these texts.")
    body_contains: Text | None = None
    """Text that the body must contain."""
    body_matches: Text | None = None
    """Regular expression that must be found in the body."""
    json_condition: Text | None = None
    """Such as `$.state == 'up' and $.queue.depth < 100`."""
    max_body_bytes: Annotated[int, Field(ge=0, le=67_108_864)] = 1_048_576
    """A longer answer is a failure and is not read further."""
    redirects: Annotated[int, Field(ge=0, le=10)] = 0
    """So many redirects are followed, each as a request of its own; default: none, the redirect is the answer."""
    ca_file: Text | None = None
    """Certificate authorities that are trusted; default: those of the system."""
    certificate_days: Annotated[float, Field(ge=0, le=3650)] = 0.0
    """A certificate that ends sooner than this is a failure; default 0: only one that has ended."""
    ip_version: IpVersion = IpVersion.ANY
    """Which addresses of the name are tried; default: any, IPv4 first."""
    http2: bool = False
    """Offers HTTP/2 under TLS."""

    def hosts(self) -> tuple[tuple[Way, str], ...]:
        return ((("url",), urlsplit(self.url).hostname or ""),)

    @field_validator("url")
    @classmethod
    def _url(cls, url: str) -> str:
        return checked_url(url)

    @field_validator("body_matches")
    @classmethod
    def _compiles(cls, pattern: str | None) -> str | None:
        if pattern is not None:
            try:
                re.compile(pattern)
            except re.error as exc:
                raise ValueError(f"is no regular expression ({exc})") from exc
        return pattern

    @field_validator("json_condition")
    @classmethod
    def _condition(cls, text: str | None) -> str | None:
        if text is not None:
            parse_condition(text)
        return text

    @model_validator(mode="after")
    def _one_body(self) -> HttpParams:
        if self.body is not None and self.json_body is not None:
            raise ValueError("`body` and `json` exclude each other; give one")
        return self


class Http:
    """`status_code`, `body_bytes`, and seconds of each phase: name, connect, tls, first_byte, response (all of it);
    `certificate_expiry_days` where TLS was spoken."""

    word: ClassVar[str] = "http"
    Params: ClassVar[type[ProbeParams]] = HttpParams

    def __init__(self, params: HttpParams, tools: Tools) -> None:
        self._params = params
        self._curl = tools.curl
        self._matches = re.compile(params.body_matches.encode()) if params.body_matches else None
        self._condition: Condition | None = parse_condition(params.json_condition) if params.json_condition else None

    @property
    def target(self) -> str:
        return shown_url(self._params.url)

    @property
    def group(self) -> str:
        return urlsplit(self._params.url).netloc

    async def run(self, attempt: Attempt) -> Result:
        secrets = Secrets()
        request = self._request(secrets)
        try:
            answer = await self._curl.fetch(request, attempt.remaining())
            for _ in range(self._params.redirects):
                if answer.status not in _REDIRECTS or "location" not in answer.headers:
                    break
                request = _redirected(request, answer)
                answer = await self._curl.fetch(request, attempt.remaining())
            readings = self._readings(answer)
            self._judge(answer, readings)
        except Missed as missed:
            missed.detail = secrets.hide(missed.detail)
            raise
        return Result(outcome=Outcome.OK, reason=Reason.ANSWERED, readings=readings)

    def _request(self, secrets: Secrets) -> Request:
        params = self._params
        headers = dict(params.headers)
        for name, path in params.header_files.items():
            headers[name] = read_secret(path)
            secrets.texts.append(headers[name])
        if params.bearer_file:
            token = read_secret(params.bearer_file)
            secrets.texts.append(token)
            headers["Authorization"] = f"Bearer {token}"
        body = params.body.encode() if params.body is not None else None
        if params.json_body is not None:
            body = msgspec.json.encode(params.json_body)
            headers.setdefault("Content-Type", "application/json")
        return Request(
            url=params.url,
            method=params.method,
            headers=headers,
            body=body,
            ca_file=params.ca_file,
            ip_version=params.ip_version,
            max_body_bytes=params.max_body_bytes,
            http2=params.http2,
        )

    def _readings(self, answer: Answer) -> tuple[Reading, ...]:
        phases = answer.phases
        values = {
            "status_code": float(answer.status),
            "body_bytes": float(len(answer.body)),
            "name_seconds": phases.name,
            "connect_seconds": phases.connect,
            "first_byte_seconds": phases.first_byte,
            "response_seconds": phases.total,
        }
        if answer.certificate_expiry_days is not None:
            values["tls_seconds"] = phases.tls
            values["certificate_expiry_days"] = answer.certificate_expiry_days
        return tuple(Reading(metric=metric, value=value) for metric, value in values.items())

    def _judge(self, answer: Answer, readings: tuple[Reading, ...]) -> None:
        params = self._params
        fits = answer.status in params.status if params.status else 200 <= answer.status < 300
        if not fits:
            wanted = ", ".join(map(str, params.status)) or "2xx"
            words = f"answered {answer.status}, not {wanted}."
            raise Missed(Reason.STATUS_UNEXPECTED, words, readings=readings)
        for name, text in params.header_contains.items():
            if text not in answer.headers.get(name.lower(), ""):
                raise Missed(Reason.ANSWER_UNEXPECTED, f"header {name} does not contain {text!r}.", readings=readings)
        if params.body_contains is not None and params.body_contains.encode() not in answer.body:
            words = f"the body does not contain {params.body_contains!r}."
            raise Missed(Reason.ANSWER_UNEXPECTED, words, readings=readings)
        if self._matches is not None and not self._matches.search(answer.body):
            words = f"the body does not match {params.body_matches!r}."
            raise Missed(Reason.ANSWER_UNEXPECTED, words, readings=readings)
        if self._condition is not None and not self._condition.holds(decode_json(answer.body)):
            raise Missed(Reason.ANSWER_UNEXPECTED, f"{params.json_condition} does not hold.", readings=readings)
        days = answer.certificate_expiry_days
        if days is not None and days < params.certificate_days:
            words = f"the certificate ends in {days:.1f} days; at least {params.certificate_days:g} are wanted."
            raise Missed(Reason.CERTIFICATE_INVALID, words, readings=readings)


def _redirected(request: Request, answer: Answer) -> Request:
    """The next request; secrets and bodies do not follow to another place."""
    url = urljoin(request.url, answer.headers["location"])
    try:
        checked_url(url)
    except ValueError as exc:
        raise Missed(Reason.ANSWER_UNEXPECTED, f"is redirected to a place that cannot be asked: {exc}.") from exc
    before, after = urlsplit(request.url), urlsplit(url)
    same_place = (before.scheme, before.netloc) == (after.scheme, after.netloc)
    keeps_method = answer.status in {307, 308} or request.method in {"GET", "HEAD"}
    return Request(
        url=url,
        method=request.method if keeps_method else "GET",
        headers=request.headers if same_place else {},
        body=request.body if keeps_method and same_place else None,
        ca_file=request.ca_file,
        ip_version=request.ip_version,
        max_body_bytes=request.max_body_bytes,
        http2=request.http2,
    )
