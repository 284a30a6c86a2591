"""What an HTTP answer must be: conditions on status, header fields, body, JSON and certificate, parsed at load."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import Field, field_validator

from cemd.monitor.probes.base import ProbeParams, Reason, Secrets, Text
from cemd.monitor.probes.engines.requests import Answer
from cemd.monitor.probes.engines.seen import broken_words, field_words, redirect_words
from cemd.monitor.protocols.conditions import decode_json, parse_condition

_HTTP2 = 3  # libcurl's number for it
_NO_SECRETS = Secrets()


class AnswerParams(ProbeParams):
    """Conditions on an answer; all that are given must hold."""

    status: tuple[Annotated[int, Field(ge=100, le=599)], ...] = ()
    """Statuses that are right; default: every 2xx."""
    header_contains: dict[Text, Text] = Field(default={}, description="Header fields that must contain these texts.")
    header_matches: dict[Text, Text] = Field(
        default={}, description="Header fields in which these regular expressions must be found."
    )
    header_absent: tuple[Text, ...] = ()
    """Header fields that the answer must not have, such as `X-Debug`."""
    body_contains: Text | None = None
    """Text that the body must contain."""
    body_absent: Text | None = None
    """Text that the body must not contain, such as a maintenance page's."""
    body_matches: Text | None = None
    """Regular expression that must be found in the body."""
    body_matches_not: Text | None = None
    """Regular expression that must not be found in the body."""
    json_condition: Text | None = None
    """Such as `$.state == 'up' and $.queue.depth < 100`."""
    min_body_bytes: Annotated[int, Field(ge=0, le=67_108_864)] = 0
    """A shorter body is a failure; default 0: none is short."""
    max_body_bytes: Annotated[int, Field(ge=0, le=67_108_864)] = 1_048_576
    """A longer answer is a failure and is not read further."""
    certificate_days: Annotated[float, Field(ge=0, le=3650)] = 0.0
    """A certificate that ends sooner than this is a failure; default 0: only one that has ended."""
    require_http2: bool = False
    """An answer by HTTP/1.1 is a failure."""

    @field_validator("body_matches", "body_matches_not")
    @classmethod
    def _compiles(cls, pattern: str | None) -> str | None:
        if pattern is not None:
            _checked(pattern)
        return pattern

    @field_validator("header_matches")
    @classmethod
    def _all_compile(cls, patterns: dict[str, str]) -> dict[str, str]:
        for pattern in patterns.values():
            _checked(pattern)
        return patterns

    @field_validator("json_condition")
    @classmethod
    def _condition(cls, text: str | None) -> str | None:
        if text is not None:
            parse_condition(text)
        return text


def _checked(pattern: str) -> None:
    try:
        re.compile(pattern)
    except re.error as exc:
        raise ValueError(f"{pattern[:60]!r} is no regular expression ({exc})") from exc


class Judge:
    """Holds answers against the conditions of one probe."""

    def __init__(self, params: AnswerParams) -> None:
        self._params = params
        self._matches = re.compile(params.body_matches.encode()) if params.body_matches else None
        self._matches_not = re.compile(params.body_matches_not.encode()) if params.body_matches_not else None
        self._headers = {name.lower(): re.compile(pattern) for name, pattern in params.header_matches.items()}
        self._condition = parse_condition(params.json_condition) if params.json_condition else None
        self.wants_headers = bool(params.header_contains or params.header_matches or params.header_absent)
        asked_for = AnswerParams.model_fields.keys() - {"max_body_bytes"}
        self._asks_nothing = all(
            getattr(params, name) == AnswerParams.model_fields[name].get_default(call_default_factory=True)
            for name in asked_for
        )
        """Whether any 2xx is right, as of most probes: their parameters then need not be touched."""

    def fault(
        self, answer: Answer, days_left: float | None, secrets: Secrets = _NO_SECRETS
    ) -> tuple[Reason, str] | None:
        """The first condition that does not hold, with its reason and what was found instead, without the secrets that
        were sent; None when the answer is right."""
        if self._asks_nothing and 200 <= answer.status < 300 and (days_left is None or days_left >= 0.0):
            return None
        params = self._params
        right = answer.status in params.status if params.status else 200 <= answer.status < 300
        if not right:
            wanted = ", ".join(map(str, params.status)) or "2xx"
            return Reason.STATUS_UNEXPECTED, f"answered {answer.status}, not {wanted}{redirect_words(answer, secrets)}."
        if params.require_http2 and answer.http_version != _HTTP2:
            return Reason.ANSWER_UNEXPECTED, "answered by HTTP/1.1; HTTP/2 is wanted."
        words = self._header_fault(answer, secrets) if self.wants_headers else None
        words = words or self._body_fault(answer.body, secrets)
        if words is not None:
            return Reason.ANSWER_UNEXPECTED, words
        if days_left is not None and days_left < params.certificate_days:
            words = f"the certificate ends in {days_left:.1f} days; at least {params.certificate_days:g} are wanted."
            return Reason.CERTIFICATE_INVALID, words
        return None

    def _header_fault(self, answer: Answer, secrets: Secrets) -> str | None:
        headers = answer.headers
        for name, text in self._params.header_contains.items():
            if text not in headers.get(name.lower(), ""):
                return f"header {name} does not contain {text!r}; {field_words(headers, name, secrets)}."
        for name, pattern in self._headers.items():
            if not pattern.search(headers.get(name, "")):
                return f"header {name} does not match {pattern.pattern!r}; {field_words(headers, name, secrets)}."
        for name in self._params.header_absent:
            if name.lower() in headers:
                return f"header {name} is there and must not be; {field_words(headers, name, secrets)}."
        return None

    def _body_fault(self, body: bytes, secrets: Secrets) -> str | None:
        params = self._params
        if len(body) < params.min_body_bytes:
            return f"the body has {len(body)} bytes; at least {params.min_body_bytes} are wanted."
        if params.body_contains is not None and params.body_contains.encode() not in body:
            return f"the body does not contain {params.body_contains!r}."
        if params.body_absent is not None and params.body_absent.encode() in body:
            return f"the body contains {params.body_absent!r}."
        if self._matches is not None and not self._matches.search(body):
            return f"the body does not match {params.body_matches!r}."
        if self._matches_not is not None and self._matches_not.search(body):
            return f"the body matches {params.body_matches_not!r}."
        if self._condition is not None and not self._condition.holds(document := decode_json(body)):
            return f"{broken_words(self._condition, document, secrets)}."
        return None
