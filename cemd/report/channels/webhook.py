"""A signed HTTP POST after the Standard Webhooks convention: the signature covers id, time and body.

The receiver knows a repeated message by its id. Redirects are not followed. An answer that is lost, or a server error
that may have come after the work, is unknown; 429 and 503 say that nothing was done.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import time
from typing import Annotated, Any, ClassVar, Literal, Self
from urllib.parse import urlsplit

import msgspec
from pydantic import Field, model_validator

from cemd.config.base import FileModel
from cemd.errors import ChannelError
from cemd.model.notice import Alert
from cemd.report.channels.attempt import Attempt
from cemd.report.channels.base import CUSTOMERS, STAFF, HttpUrl, Message, alert_text, secret_in
from cemd.report.channels.email import is_loopback
from cemd.report.channels.poster import Poster

TRY_AGAIN = (408, 425, 429, 503)
MAYBE_DONE = (500, 502, 504)


class WebhookParams(FileModel):
    url: HttpUrl
    """https, or plain http on loopback."""
    secret_file: str
    """The shared secret that signs each message; `whsec_` and base64, or any text."""
    address: Literal["webhook", "sms", "email"] = "webhook"
    """Which address of the customer is handed over: a gateway for text messages wants `sms`."""
    allow_plain_http: bool = False
    """True: http to another machine, in clear."""
    connections: Annotated[int, Field(ge=1, le=256)] = 8
    """Most requests at once."""

    @model_validator(mode="after")
    def _is_safe(self) -> Self:
        parts = urlsplit(self.url)
        if parts.scheme == "http" and not self.allow_plain_http and not is_loopback(parts.hostname or ""):
            raise ValueError("the message would travel in clear; use https, or say allow_plain_http: true")
        return self


def signature(secret: str, name: str, timestamp: int, body: bytes) -> str:
    """The header `webhook-signature`.

    Source: Standard Webhooks specification 1.0, symmetric signatures.
    """
    key = base64.b64decode(secret[6:]) if secret.startswith("whsec_") else secret.encode()
    signed = f"{name}.{timestamp}.".encode() + body
    return "v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()


class Webhook:
    """Posts to one URL."""

    Params: ClassVar[type[FileModel]] = WebhookParams
    serves: ClassVar[tuple[str, ...]] = (CUSTOMERS, STAFF)

    def __init__(self, params: WebhookParams, *, name: str, timeout_seconds: float) -> None:
        self._params = params
        self._name = name
        self._poster = Poster(name=name, timeout_seconds=timeout_seconds, connections=params.connections)
        self.connections = params.connections

    async def send(self, message: Message, attempt: Attempt) -> None:
        await self._post(
            message.id,
            {
                "type": "notice",
                "id": message.id,
                "communication": message.communication,
                "phase": message.phase,
                "revision": message.revision,
                "trace": message.trace,
                "to": message.to,
                "language": message.language,
                "subject": message.subject,
                "body": message.body,
            },
            attempt,
        )

    async def alert(self, alert: Alert, attempt: Attempt) -> None:
        subject, body = alert_text(alert)
        await self._post(
            f"{alert.id}.{alert.revision}",
            {
                "type": "alert",
                "id": alert.id,
                "revision": alert.revision,
                "status": "firing" if alert.firing else "resolved",
                "incident": alert.incident,
                "trace": alert.trace,
                "labels": alert.labels,
                "annotations": alert.annotations,
                "starts_at": alert.starts_at,
                "subject": subject,
                "body": body,
            },
            attempt,
        )

    async def close(self) -> None:
        await self._poster.close()

    async def _post(self, name: str, document: dict[str, Any], attempt: Attempt) -> None:
        body = msgspec.json.encode(document)
        timestamp = int(time.time())
        secret = secret_in(self._params.secret_file, name=self._name) or ""
        headers = {
            "Content-Type": "application/json",
            "webhook-id": name,
            "webhook-timestamp": str(timestamp),
            "webhook-signature": signature(secret, name, timestamp, body),
            "Idempotency-Key": name,
        }
        status = await self._poster.post(self._params.url, body, headers, attempt)
        if status < 300:
            return
        words = f"channel {self._name!r}: the receiver answered {status}."
        unknown = status in MAYBE_DONE
        raise ChannelError(words, permanent=status not in (*TRY_AGAIN, *MAYBE_DONE), unknown=unknown)
