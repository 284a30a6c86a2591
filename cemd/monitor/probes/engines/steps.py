"""Typed HTTP steps: what a transaction does, what it expects, what it takes along; shared with its clean-up.

Placeholders `{name}` stand for values taken by earlier steps, for secrets in files, and for `{run}`, an id of the run
that is known before its first step. In a URL a value is percent-encoded; a text that is one placeholder alone becomes
the value itself, so that numbers stay numbers in JSON.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Any
from urllib.parse import quote

import msgspec
from pydantic import Field, StringConstraints, field_validator, model_validator

from cemd.kit.urls import absolute_template
from cemd.monitor.probes.base import Missed, ProbeParams, Reason, Secrets, Text
from cemd.monitor.probes.engines.requests import Answer, Request
from cemd.monitor.probes.engines.seen import broken_words, redirect_words
from cemd.monitor.probes.engines.sockets import SocketParams
from cemd.monitor.probes.engines.web import WebEngine
from cemd.monitor.protocols.conditions import MISSING, decode_json, parse_condition, parse_path

PLACEHOLDER = re.compile(r"\{([a-z][a-z0-9_]*)\}")
StepName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9._-]{0,62}$")]
ValueName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,62}$")]
_METHODS = ("get", "post", "put", "patch", "delete")
_CHANGING = frozenset({"POST", "PUT", "PATCH", "DELETE"})
_MAX_VALUE = 16_384


class HttpCall(ProbeParams):
    """One request: exactly one of `get`, `post`, `put`, `patch`, `delete` with its URL."""

    get: Text | None = None
    """URL that is read."""
    post: Text | None = None
    """URL that is posted to."""
    put: Text | None = None
    """URL that is put to."""
    patch: Text | None = None
    """URL that is changed in part."""
    delete: Text | None = None
    """URL that is deleted."""
    json_body: Any = Field(default=None, alias="json", description="Sent as JSON.")
    body: str | None = None
    """Text sent as it is; not together with `json`."""
    headers: dict[Text, str] = Field(default={}, description="Header fields sent.")
    bearer: Text | None = None
    """Sent as `Authorization: Bearer`; a placeholder, never the token itself."""

    @field_validator(*_METHODS)
    @classmethod
    def _whole_url(cls, url: str | None) -> str | None:
        return url if url is None else absolute_template(url)

    @model_validator(mode="after")
    def _one_of_each(self) -> HttpCall:
        if sum(getattr(self, method) is not None for method in _METHODS) != 1:
            raise ValueError(f"exactly one of {', '.join(_METHODS)} is needed")
        if self.body is not None and self.json_body is not None:
            raise ValueError("`body` and `json` exclude each other; give one")
        return self

    @property
    def method(self) -> str:
        return next(method for method in _METHODS if getattr(self, method) is not None).upper()

    @property
    def url(self) -> str:
        found: str = getattr(self, self.method.lower())
        return found


class Expect(ProbeParams):
    """What the answer of a step must be."""

    status: Annotated[int, Field(ge=100, le=599)] | tuple[Annotated[int, Field(ge=100, le=599)], ...] = ()
    """Statuses that are right; default: every 2xx (in a clean-up also 404 and 410: it is gone already)."""
    json_condition: Text | None = Field(default=None, alias="json", description="Such as `$.state == 'active'`.")
    body_contains: Text | None = None
    """Text that the body must contain."""

    @field_validator("json_condition")
    @classmethod
    def _condition(cls, text: str | None) -> str | None:
        if text is not None:
            parse_condition(text)
        return text


class Wait(ProbeParams):
    """Asks again until a condition on the JSON answer holds."""

    http: HttpCall
    """The request that is sent again and again; it should change nothing."""
    until: Text
    """Such as `$.state == 'active'`."""
    within_seconds: Annotated[float, Field(gt=0, le=3600)]
    """Not true by then: the step failed. The probe's timeout holds besides."""
    every_seconds: Annotated[float, Field(ge=0.05, le=600)] = 1.0
    """Pause between two requests."""

    @field_validator("until")
    @classmethod
    def _condition(cls, text: str) -> str:
        parse_condition(text)
        return text


class Step(ProbeParams):
    """Either `http`, one request, or `wait`, requests until something is so."""

    name: StepName
    """Told in the evidence, and label of the step's seconds."""
    http: HttpCall | None = None
    """One request."""
    wait: Wait | None = None
    """Requests until something is so."""
    expect: Expect = Expect()
    """What the answer must be; a step that waits holds each of its answers against it."""
    take: dict[ValueName, Text] = Field(default={}, description="Values taken out of the JSON answer by path.")
    side_effects: bool | None = None
    """Whether the step changes something over there; default: post, put, patch and delete do."""

    @field_validator("take")
    @classmethod
    def _paths(cls, take: dict[str, str]) -> dict[str, str]:
        for path in take.values():
            parse_path(path)
        return take

    @model_validator(mode="after")
    def _either(self) -> Step:
        if (self.http is None) is (self.wait is None):
            raise ValueError("exactly one of `http` and `wait` is needed")
        return self

    @property
    def call(self) -> HttpCall:
        call = self.http if self.wait is None else self.wait.http
        assert call is not None  # noqa: S101 -- the validator above made sure
        return call

    def changes(self) -> bool:
        """True when something may be left behind."""
        return self.call.method in _CHANGING if self.side_effects is None else self.side_effects

    def placeholders(self) -> set[str]:
        """Names of all values that the step needs."""
        call = self.call
        parts = [call.url, call.json_body, call.body, call.headers, call.bearer]
        return {name for part in parts for name in _names(part)}


def _names(part: Any) -> Iterator[str]:
    match part:
        case str():
            yield from PLACEHOLDER.findall(part)
        case dict():
            for key, value in part.items():
                yield from _names(key)
                yield from _names(value)
        case list():
            for value in part:
                yield from _names(value)
        case _:
            pass


def request_of(call: HttpCall, values: Mapping[str, Any], *, ca_file: str | None, way: SocketParams) -> Request:
    """The request with its values put in.

    Raises:
        KeyError: a value is not known (yet).
    """
    headers = {name: _one_line(str(filled(text, values))) for name, text in call.headers.items()}
    if call.bearer is not None:
        headers["Authorization"] = f"Bearer {_one_line(str(filled(call.bearer, values)))}"
    body = None if call.body is None else str(filled(call.body, values)).encode()
    if call.json_body is not None:
        body = msgspec.json.encode(filled(call.json_body, values))
        headers.setdefault("Content-Type", "application/json")
    url = PLACEHOLDER.sub(lambda found: quote(str(values[found[1]]), safe=""), call.url)
    return Request(
        url=url,
        method=call.method,
        headers=headers,
        body=body,
        ca_file=ca_file,
        ip_version=way.version(),
        way=way.way(),
    )


def filled(part: Any, values: Mapping[str, Any]) -> Any:
    """A copy with every placeholder replaced.

    Raises:
        KeyError: a value is not known.
    """
    match part:
        case str():
            alone = PLACEHOLDER.fullmatch(part)
            if alone is not None:
                return values[alone[1]]
            return PLACEHOLDER.sub(lambda found: str(values[found[1]]), part)
        case dict():
            return {filled(key, values): filled(value, values) for key, value in part.items()}
        case list():
            return [filled(value, values) for value in part]
        case _:
            return part


def _one_line(text: str) -> str:
    if "\r" in text or "\n" in text:
        raise Missed(Reason.ANSWER_UNEXPECTED, "a value holds a line end and cannot stand in a header.")
    return text


async def perform(
    engine: WebEngine,
    step: Step,
    values: Mapping[str, Any],
    within_seconds: float,
    *,
    ca_file: str | None,
    way: SocketParams,
) -> Answer:
    """Sends the request of a step once, by this way out.

    Raises:
        Missed, Blind: as `WebEngine.fetch`.
        KeyError: a value is not known.
    """
    request = request_of(step.call, values, ca_file=ca_file, way=way)
    return await engine.fetch(request, within_seconds)


def right_status(step: Step, status: int, otherwise: frozenset[int] = frozenset()) -> bool:
    """Whether a status is one that the step expects; `otherwise` joins the default of 2xx."""
    wanted = step.expect.status
    if isinstance(wanted, int):
        return status == wanted
    return status in wanted if wanted else 200 <= status < 300 or status in otherwise


def judge(step: Step, answer: Answer, secrets: Secrets) -> None:
    """Holds an answer against what the step expects; what it says shows none of the secrets.

    Raises:
        Missed: it is something else.
    """
    if not right_status(step, answer.status):
        wanted = step.expect.status or "2xx"
        raise Missed(
            Reason.STATUS_UNEXPECTED, f"answered {answer.status}, not {wanted}{redirect_words(answer, secrets)}."
        )
    text = step.expect.body_contains
    if text is not None and text.encode() not in answer.body:
        raise Missed(Reason.ANSWER_UNEXPECTED, f"the body does not contain {text!r}.")
    if step.expect.json_condition is not None:
        condition, document = parse_condition(step.expect.json_condition), decode_json(answer.body)
        if not condition.holds(document):
            raise Missed(Reason.ANSWER_UNEXPECTED, f"{broken_words(condition, document, secrets)}.")


def taken(step: Step, answer: Answer) -> dict[str, Any]:
    """Values that the step takes out of its answer.

    Raises:
        Missed: a path leads nowhere, or to something that is no text, number or truth value.
    """
    if not step.take:
        return {}
    document = decode_json(answer.body)
    values = {}
    for name, path in step.take.items():
        value = MISSING if document is MISSING else parse_path(path).find(document)
        if not isinstance(value, str | int | float | bool) or len(str(value)) > _MAX_VALUE:
            raise Missed(Reason.ANSWER_UNEXPECTED, f"{path} leads to nothing that can be taken as {name}.")
        values[name] = value
    return values
