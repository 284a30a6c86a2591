"""Staff alerts to a Prometheus Alertmanager, over its API v2.

A firing alert carries an end in the near future and is sent again before it (`refresh_seconds`, five times as often as
the end is far), so that it ends by itself when cemd is gone for good; a resolved one carries the instant of its end.
Sending twice is harmless there: labels name the alert.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, ClassVar

import msgspec
from pydantic import Field

from cemd.config.base import FileModel
from cemd.errors import ChannelError
from cemd.model.identity import Instant
from cemd.model.notice import Alert
from cemd.report.channels.attempt import Attempt
from cemd.report.channels.base import STAFF, HttpUrl, Message, secret_in
from cemd.report.channels.poster import Poster


class AlertmanagerParams(FileModel):
    url: HttpUrl
    """Base address, without `/api/v2`."""
    token_file: str | None = None
    """Bearer token, where a proxy stands in front."""
    refresh_seconds: Annotated[float, Field(ge=5, le=3600)] = 60.0
    """How often a firing alert is repeated; it ends by itself after five times this."""


class Alertmanager:
    """Posts one alert at a time."""

    Params: ClassVar[type[FileModel]] = AlertmanagerParams
    serves: ClassVar[tuple[str, ...]] = (STAFF,)
    connections = 1

    def __init__(self, params: AlertmanagerParams, *, name: str, timeout_seconds: float) -> None:
        self._params = params
        self._name = name
        self._poster = Poster(name=name, timeout_seconds=timeout_seconds, connections=self.connections)

    async def send(self, message: Message, attempt: Attempt) -> None:
        del message, attempt
        raise ChannelError(f"channel {self._name!r}: an Alertmanager reaches no customers.", permanent=True)

    async def alert(self, alert: Alert, attempt: Attempt) -> None:
        document = {
            "labels": {name: value for name, value in alert.labels.items() if value},
            "annotations": {"summary": alert.summary, **{n: v for n, v in alert.annotations.items() if v}},
            "startsAt": rfc3339(alert.starts_at),
            **({"endsAt": rfc3339(alert.ends_at)} if alert.ends_at is not None else {}),
        }
        token = secret_in(self._params.token_file, name=self._name)
        headers = {"Content-Type": "application/json", **({"Authorization": f"Bearer {token}"} if token else {})}
        url = self._params.url.rstrip("/") + "/api/v2/alerts"
        status = await self._poster.post(url, msgspec.json.encode([document]), headers, attempt)
        if status >= 300:
            words = f"channel {self._name!r}: the Alertmanager answered {status}."
            raise ChannelError(words, permanent=status in (400, 404, 413))

    async def close(self) -> None:
        await self._poster.close()


def rfc3339(at: Instant) -> str:
    """An instant as Alertmanager reads it.

    >>> rfc3339(0.5)
    '1970-01-01T00:00:00.500Z'
    """
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
