"""What every request passes: host check, forgery check, token, size limits, headers, and errors as JSON.

A page of another origin can make a browser send forms, but not a JSON body with a header of our own; a name of an
attacker that resolves to loopback (DNS rebinding) fails at the host check. Nothing secret is ever echoed.
"""

from __future__ import annotations

import hmac
import ipaddress
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
import structlog
from aiohttp import web
from prometheus_client import Counter

from cemd.web.house import House

log = structlog.get_logger("cemd.web")

FORGERY_HEADER = "X-Cemd-Request"
"""A header that only a script of our own origin, or a program, can send; its value does not matter."""

POLICY = "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; object-src 'none'"
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}
COMMAND_BYTES = 16 * 1024

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def is_loopback(host: str) -> bool:
    """True for `localhost` and the loopback addresses."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def host_of(header: str) -> str:
    """The name in a Host header, without port and brackets, lower case."""
    if header.startswith("["):
        return header[1:].partition("]")[0].lower()
    return header.rpartition(":")[0].lower() if ":" in header else header.lower()


def refusal(status: int, place: str, fact: str, remedy: str, headers: dict[str, str] | None = None) -> web.Response:
    """An error as JSON: where, what is wrong, what to do about it."""
    body = {"error": {"status": status, "place": place, "fact": fact, "remedy": remedy}}
    return web.Response(status=status, body=msgspec.json.encode(body), content_type="application/json", headers=headers)


class Refused(Exception):  # noqa: N818 -- an answer on its way, not a fault
    """Raised by handlers to answer with `refusal`."""

    def __init__(self, status: int, place: str, fact: str, remedy: str) -> None:
        self.status, self.place, self.fact, self.remedy = status, place, fact, remedy
        super().__init__(f"{place}: {fact}; {remedy}.")


class Guard:
    """One middleware for everything."""

    def __init__(self, house: House, host: str, requests: Counter) -> None:
        self._house = house
        self._requests = requests
        self._host = host.lower()
        self._loopback = is_loopback(host)

    @property
    def middleware(self) -> Any:
        @web.middleware
        async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
            response = await self._answer(request, handler)
            resource = request.match_info.route.resource
            route = resource.canonical if resource is not None else "none"
            self._requests.labels(route, str(response.status)).inc()
            if not response.prepared:
                for name, value in HEADERS.items():
                    response.headers.setdefault(name, value)
                response.headers.setdefault("Cache-Control", "no-store")
            return response

        return guard

    async def _answer(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            self._check_host(request)
            if request.method not in ("GET", "HEAD"):
                self._check_forgery(request)
                self._check_token(request)
            return await handler(request)
        except Refused as exc:
            return refusal(exc.status, exc.place, exc.fact, exc.remedy, _extra(exc.status))
        except web.HTTPException as exc:
            if exc.status < 400:
                raise
            return _of_aiohttp(request, exc)
        except TimeoutError:
            return refusal(
                503, request.path, "the daemon did not answer in time", "try again in a few seconds", _extra(503)
            )
        except Exception:  # the guard of this edge: logged, answered, and the page lives on
            log.exception("request_failed", path=request.path[:200])
            return refusal(500, request.path, "the request failed inside the daemon", "read the log of cemd.web")

    def _check_host(self, request: web.Request) -> None:
        host = host_of(request.headers.get("Host", ""))
        if self._loopback and not is_loopback(host) and host != self._host:
            raise Refused(
                421, "Host header", f"{host[:80]!r} is not a name of this daemon", "use localhost or 127.0.0.1"
            )

    def _check_forgery(self, request: web.Request) -> None:
        if request.content_type != "application/json":
            raise Refused(415, "Content-Type header", "the body must be JSON", "send Content-Type: application/json")
        if request.headers.get("Sec-Fetch-Site", "same-origin") not in ("same-origin", "none"):
            raise Refused(
                403, "Sec-Fetch-Site header", "the request comes from another site", "use the page of this daemon"
            )
        origin = request.headers.get("Origin")
        if origin is not None and origin.partition("://")[2].lower() != request.headers.get("Host", "").lower():
            raise Refused(403, "Origin header", "the request comes from another site", "use the page of this daemon")
        if FORGERY_HEADER not in request.headers and "Authorization" not in request.headers:
            raise Refused(
                403,
                "headers",
                f"neither {FORGERY_HEADER} nor a bearer token, so that a page of another site could have sent this",
                f"send the header {FORGERY_HEADER}: 1 (any value), or Authorization: Bearer TOKEN",
            )

    def _check_token(self, request: web.Request) -> None:
        token = self._house.token()
        if token is None:
            return
        scheme, _, given = request.headers.get("Authorization", "").partition(" ")
        same = hmac.compare_digest(given.strip().encode("utf-8", "surrogateescape"), token)
        if scheme.lower() != "bearer" or not same:
            if (source := request.match_info.get("source")) is not None:  # a program, and nobody reads what it is told
                self._house.push_refused(source, given=bool(given.strip()))
            raise Refused(
                401,
                "Authorization header",
                "no valid token",
                "send Authorization: Bearer TOKEN (listen.push_token_file)",
            )


def _extra(status: int) -> dict[str, str] | None:
    match status:
        case 401:
            return {"WWW-Authenticate": 'Bearer realm="cemd"'}
        case 429 | 503:
            return {"Retry-After": "5"}
    return None


def _of_aiohttp(request: web.Request, exc: web.HTTPException) -> web.Response:
    """aiohttp's own refusals in our words."""
    match exc:
        case web.HTTPNotFound():
            return refusal(
                404, request.path[:200], "there is nothing here", "see /api/v1/openapi.json for what there is"
            )
        case web.HTTPMethodNotAllowed():
            allowed = ", ".join(sorted(exc.allowed_methods))
            headers = {"Allow": allowed}
            return refusal(405, request.path[:200], f"{request.method} is not served here", f"use {allowed}", headers)
        case web.HTTPRequestEntityTooLarge():
            return refusal(413, request.path[:200], "the body is too large", "send smaller bodies, more of them")
    return refusal(exc.status, request.path[:200], exc.reason.lower(), "see /api/v1/openapi.json")
