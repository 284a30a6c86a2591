"""Logs are events with fields: one line of JSON for machines, or a line for a person at a terminal.

Every line passes a redactor (secrets, mail addresses, phone numbers, also in nested values), and a limit of lines per
second: what is over it is counted, and the count is told with the next line that passes. Tracebacks never carry the
values of local variables. Libraries that use the standard `logging` walk through the same chain.
"""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Mapping, MutableMapping
from typing import Any, TextIO

import structlog
from structlog.tracebacks import ExceptionDictTransformer

from cemd.kit.clock import Clock, SystemClock

HIDDEN = "[hidden]"
MAX_TEXT = 2_000  # a field longer than this is cut: hostile peers choose what stands in error texts
_MAX_DEPTH = 8

_SECRET_KEY = re.compile(
    r"pass(word|wd|phrase)?$|passw|secret|token|authorization|bearer|cookie|credential|api_?key|private_?key|^msisdn$"
    r"|phone|e?mail_?address|^email$|^recipient$|^address$",
    re.IGNORECASE,
)
_SECRET_TEXT = (
    (re.compile(r"(?i)\b(bearer|basic)\s+[A-Za-z0-9._~+/=-]{4,}"), rf"\1 {HIDDEN}"),
    (re.compile(r"(?<=://)[^/\s@]+@"), f"{HIDDEN}@"),
    (
        re.compile(
            r"(?i)\b(password|passwd|secret|token|api_?key|client_secret|sig|signature)(\"?'?\s*[=:]\s*\"?'?)[^\s&\"',;}]+"
        ),
        rf"\1\2{HIDDEN}",
    ),
    (re.compile(r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+"), HIDDEN),
    (re.compile(r"(?<![\w.])(?:\+|00)\d(?:[\s().-]?\d){6,14}(?![\d.])"), HIDDEN),
    (re.compile(r"(?<![\w.:-])\d{10,15}(?![\w.:-])"), HIDDEN),
)


def redact_text(text: str) -> str:
    """The text without secrets, mail addresses and phone numbers, cut to `MAX_TEXT` characters.

    >>> redact_text("told anna@example.org at +44 20 7946 0958")
    'told [hidden] at [hidden]'
    """
    text = text if len(text) <= MAX_TEXT else text[:MAX_TEXT] + "…"
    for pattern, instead in _SECRET_TEXT:
        text = pattern.sub(instead, text)
    return text


def redact(value: Any, depth: int = 0) -> Any:
    """The value with every text in it redacted, however deep; keys that name a secret hide their value whole."""
    if isinstance(value, str):
        return redact_text(value)
    if isinstance(value, bytes | bytearray):
        return redact_text(bytes(value[:MAX_TEXT]).decode(errors="replace"))
    if value is None or isinstance(value, bool | int | float):
        return value
    if depth >= _MAX_DEPTH:
        return "…"
    if isinstance(value, Mapping):
        return {
            redact_text(str(key)): HIDDEN if _SECRET_KEY.search(str(key)) and part else redact(part, depth + 1)
            for key, part in value.items()
        }
    if isinstance(value, list | tuple | set | frozenset):
        return [redact(part, depth + 1) for part in value]
    return redact_text(str(value))


def redact_field(name: str, value: str) -> str:
    """The value of a field of this name redacted: hidden whole where the name is a secret's.

    >>> redact_field("Set-Cookie", "session=4711"), redact_field("X-Node", "east-1")
    ('[hidden]', 'east-1')
    """
    return HIDDEN if _SECRET_KEY.search(name) and value else redact_text(value)


class LineLimit:
    """A structlog processor: at most `lines_per_second` pass; the rest are counted, and the count rides on the next."""

    def __init__(self, lines_per_second: int, clock: Clock) -> None:
        self._most = lines_per_second
        self._clock = clock
        self._second = -1
        self._lines = 0
        self._dropped = 0
        self.dropped_total = 0

    def __call__(self, _logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        second = int(self._clock.monotonic())
        if second != self._second:
            self._second, self._lines = second, 0
        self._lines += 1
        if self._lines > self._most:
            self._dropped += 1
            self.dropped_total += 1
            raise structlog.DropEvent
        if self._dropped:
            event["lines_not_shown"] = self._dropped
            self._dropped = 0
        return event


def _hide(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    return {key: HIDDEN if _SECRET_KEY.search(key) and value else redact(value) for key, value in event.items()}


class _Lines(structlog.PrintLogger):
    """Writes lines for the logger of one name."""

    def __init__(self, file: TextIO, name: str) -> None:
        super().__init__(file)
        self.name = name


def _name(logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    event.setdefault("logger", logger.name)
    return event


class _Bridge(logging.Handler):
    """Takes records of libraries into the same chain."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            message = record.getMessage()
        except (TypeError, ValueError):
            message = str(record.msg)
        log = structlog.get_logger(record.name)
        log.log(record.levelno, message, **({"exc_info": record.exc_info} if record.exc_info else {}))


def set_up_logs(
    *,
    lines_per_second: int = 100,
    json_lines: bool = True,
    level: int = logging.INFO,
    stream: TextIO | None = None,
    clock: Clock | None = None,
) -> LineLimit:
    """Sets structlog and the standard `logging` up for this process; returns the limit, whose count is a metric."""
    lines = stream or sys.stderr
    limit = LineLimit(lines_per_second, clock or SystemClock())
    tracebacks: Any = (
        structlog.processors.ExceptionRenderer(ExceptionDictTransformer(show_locals=False, max_frames=20))
        if json_lines
        else structlog.processors.format_exc_info
    )
    renderer: Any = (
        structlog.processors.JSONRenderer(sort_keys=False, ensure_ascii=False)
        if json_lines
        else structlog.dev.ConsoleRenderer(colors=lines.isatty())
    )
    structlog.configure(
        processors=[
            limit,
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            _name,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            tracebacks,
            _hide,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=lambda *names: _Lines(lines, names[0] if names else "cemd"),
        cache_logger_on_first_use=False,
    )
    root = logging.getLogger()
    root.handlers[:] = [_Bridge()]
    root.setLevel(logging.WARNING)
    logging.getLogger("mqtt").setLevel(logging.ERROR)  # one warning per publish beyond ten pending
    return limit


class SaidOnce:
    """Tells that something is gone once, and that it is back once; what repeats in between is only counted.

    A bound keeps a hostile peer from filling memory with new names: beyond `most` names nothing more is said.
    """

    def __init__(self, log: Any, most: int = 10_000) -> None:
        self._log = log
        self._most = most
        self._gone: dict[str, int] = {}

    def gone(self, name: str, event: str, **fields: Any) -> bool:
        """Says `event` as a warning the first time; answers whether it was said."""
        if name in self._gone:
            self._gone[name] += 1
            return False
        if len(self._gone) >= self._most:
            return False
        self._gone[name] = 1
        self._log.warning(event, **fields)
        return True

    def back(self, name: str, event: str, **fields: Any) -> bool:
        """Says `event` if the name was gone, with how often it failed; answers whether it was said."""
        times = self._gone.pop(name, 0)
        if not times:
            return False
        self._log.info(event, failed_times=times, **fields)
        return True
