"""The web's own metrics. Routes are labelled by their pattern, so that no id becomes a label."""

from __future__ import annotations

import logging
from contextlib import suppress
from dataclasses import dataclass
from typing import Self

from aiohttp.http_exceptions import HttpProcessingError
from prometheus_client import CollectorRegistry, Counter, Gauge


@dataclass(frozen=True, slots=True)
class WebMetrics:
    registry: CollectorRegistry
    requests: Counter
    malformed: Counter
    readers: Gauge
    render: Counter

    @classmethod
    def build(cls, registry: CollectorRegistry) -> Self:
        return cls(
            registry,
            requests=Counter("cemd_web_requests", "Requests answered.", ["route", "status"], registry=registry),
            malformed=Counter("cemd_web_malformed", "Requests that were not HTTP: dropped.", registry=registry),
            readers=Gauge("cemd_web_stream_readers", "Pages that follow the event stream.", registry=registry),
            render=Counter("cemd_web_thread_seconds", "Time that the web's thread worked.", registry=registry),
        )

    def forget(self) -> None:
        """Takes the metrics out of the registry, so that a next server may bring its own."""
        for metric in (self.requests, self.malformed, self.readers, self.render):
            with suppress(KeyError):  # stopped twice
                self.registry.unregister(metric)


class MalformedOnce(logging.Filter):
    """aiohttp logs every malformed request with a traceback: the first is told in one line, the others are counted.

    What does not even begin with a method, it logs at the level of debugging; so the logger lets that pass to here.
    """

    def __init__(self, counter: Counter) -> None:
        super().__init__()
        self._counter = counter
        self._told = False

    def filter(self, record: logging.LogRecord) -> bool:
        error = record.exc_info[1] if isinstance(record.exc_info, tuple) else None
        if not isinstance(error, HttpProcessingError):
            return record.levelno >= logging.WARNING
        self._counter.inc()
        first, self._told = not self._told, True
        record.msg, record.args = (
            "malformed request dropped; the next ones are only counted (cemd_web_malformed_total)",
            (),
        )
        record.exc_info = record.exc_text = None
        record.levelno, record.levelname = logging.WARNING, "WARNING"
        return first
