"""OAuth 2.0 client credentials (RFC 6749, section 4.4): a token for the probe, kept until shortly before its end.

What goes wrong at the token endpoint is told as the target's: customers of the service would not get in either.
"""

from __future__ import annotations

import asyncio
from base64 import b64encode
from typing import Annotated, Any
from urllib.parse import quote, urlencode

from pydantic import Field, field_validator

from cemd.kit.urls import checked_url
from cemd.monitor.probes.base import Missed, ProbeParams, Reason, Secrets, Text, read_secret
from cemd.monitor.probes.engines.requests import Request
from cemd.monitor.probes.engines.sockets import SocketParams
from cemd.monitor.probes.engines.web import WebEngine
from cemd.monitor.protocols.conditions import decode_json

MARGIN_SECONDS = 30.0
"""A token is got anew so long before its end: it must outlive the request that it goes with."""
_DEFAULT_LIFE_SECONDS = 300.0
"""Where the endpoint does not say how long a token lives (it should, section 5.1)."""


class Oauth2(ProbeParams):
    """Where a token comes from, and who asks for it."""

    token_url: Text
    """Token endpoint, absolute URL of http or https."""
    client_id: Text
    """Who asks."""
    client_secret_file: Text
    """File with the client's secret."""
    scope: Text | None = None
    """Scopes asked for, separated by blanks; default: what the endpoint grants by itself."""
    audience: Text | None = None
    """Sent as `audience` where the endpoint wants it."""
    in_body: bool = False
    """True: credentials go in the body, for endpoints that take no Authorization header."""
    within_seconds: Annotated[float, Field(gt=0, le=600)] = 10.0
    """Longest wait for a token, within the probe's timeout."""

    @field_validator("token_url")
    @classmethod
    def _url(cls, url: str) -> str:
        return checked_url(url)


class Tokens:
    """The token of one probe. `seconds` is what the last one cost, None where a kept one was used."""

    def __init__(self, params: Oauth2, curl: WebEngine, ca_file: str | None, way: SocketParams) -> None:
        """`way`: tokens are got over the version of IP, and by the way out, of the probe itself."""
        self._params = params
        self._curl = curl
        self._ca_file = ca_file
        self._way = way
        self._token = ""
        self._ends_at = 0.0
        self.seconds: float | None = None

    def forget(self) -> None:
        """The token was refused: the next one is got anew."""
        self._token = ""

    async def token(self, within_seconds: float, secrets: Secrets) -> str:
        """A token that lives.

        Raises:
            Missed: the endpoint does not give one.
            Blind: we could not ask.
        """
        loop = asyncio.get_running_loop()
        self.seconds = None
        if not self._token or loop.time() > self._ends_at - MARGIN_SECONDS:
            began = loop.time()
            request = self._request(read_secret(self._params.client_secret_file), secrets)
            answer = await self._curl.fetch(request, min(within_seconds, self._params.within_seconds))
            self._take(answer.status, decode_json(answer.body), began)
            self.seconds = loop.time() - began
        secrets.texts.append(self._token)
        return self._token

    def _request(self, secret: str, secrets: Secrets) -> Request:
        params = self._params
        secrets.texts += [secret, quote(secret, safe="")]
        form = {"grant_type": "client_credentials"}
        if params.scope:
            form["scope"] = params.scope
        if params.audience:
            form["audience"] = params.audience
        headers = {"Content-Type": "application/x-www-form-urlencoded", "Accept": "application/json"}
        if params.in_body:
            form |= {"client_id": params.client_id, "client_secret": secret}
        else:
            pair = f"{quote(params.client_id, safe='')}:{quote(secret, safe='')}"
            headers["Authorization"] = f"Basic {b64encode(pair.encode()).decode()}"
            secrets.texts.append(headers["Authorization"])
        body = urlencode(form).encode()
        return Request(
            url=params.token_url,
            method="POST",
            headers=headers,
            body=body,
            ca_file=self._ca_file,
            ip_version=self._way.version(),
            way=self._way.way(),
        )

    def _take(self, status: int, document: Any, now: float) -> None:
        found = document if isinstance(document, dict) else {}
        token, kind = found.get("access_token"), str(found.get("token_type", "")).lower()
        if status != 200 or not isinstance(token, str) or not token.isprintable() or not 0 < len(token) <= 16_384:
            word = str(found.get("error", ""))[:60]
            raise Missed(
                Reason.LOGIN_REFUSED, f"the token endpoint answered {status} without a token{word and f' ({word})'}."
            )
        if kind not in {"bearer", ""}:
            raise Missed(Reason.LOGIN_REFUSED, f"the token endpoint gave a token of type {kind[:40]!r}, not bearer.")
        life = found.get("expires_in", _DEFAULT_LIFE_SECONDS)
        seconds = float(life) if isinstance(life, int | float) and 0 < life < 1e9 else _DEFAULT_LIFE_SECONDS
        self._token, self._ends_at = token, now + seconds
