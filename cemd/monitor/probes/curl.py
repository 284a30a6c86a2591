"""The engine of HTTP: libcurl driven by asyncio, one multi handle a trust set, phases in seconds.

libcurl never looks a name up (its threads are shared by all names, and fifty hanging ones stop every other): the name
becomes a number first and `CONNECT_TO` keeps SNI, Host and verification. The trust anchors are always named, because
libcurl picks the first bundle of a built-in list and knows no SSL_CERT_FILE. Proxies of the environment are ignored.
"""

from __future__ import annotations

import asyncio
import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

import pycurl

from cemd.model.quality import Outcome
from cemd.monitor.probes.base import Blind, IpVersion, Missed, Reason
from cemd.monitor.probes.names import Names, trouble

TRUST_BUNDLES = (
    "/etc/ssl/certs/ca-certificates.crt",  # Debian, Ubuntu, Arch
    "/etc/pki/tls/certs/ca-bundle.crt",  # Fedora, RHEL
    "/etc/ssl/ca-bundle.pem",  # openSUSE
    "/etc/ssl/cert.pem",  # Alpine, BSD
)
_MAX_HEADERS = 64 * 1024
_REASONS = {
    35: Reason.TLS_FAILED,
    1: Reason.PROTOCOL_BROKEN,  # the scheme was checked before: it is the answer that is of no known HTTP
    8: Reason.PROTOCOL_BROKEN,
    16: Reason.PROTOCOL_BROKEN,
    18: Reason.CLOSED_EARLY,
    52: Reason.CLOSED_EARLY,
    55: Reason.CLOSED_EARLY,
    56: Reason.CLOSED_EARLY,
    60: Reason.CERTIFICATE_INVALID,
    61: Reason.PROTOCOL_BROKEN,
    92: Reason.PROTOCOL_BROKEN,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One request. `headers` may hold secrets; they are given to libcurl and to nobody else."""

    url: str
    method: str = "GET"
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None
    ca_file: str | None = None
    ip_version: IpVersion = IpVersion.ANY
    max_body_bytes: int = 1_048_576
    http2: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Phases:
    """Seconds of each phase, each from the end of the one before; `first_byte` is the wait for the answer to begin."""

    name: float
    connect: float
    tls: float
    first_byte: float
    total: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What came back. Header names are in small letters; of repeated headers the last counts."""

    status: int
    headers: dict[str, str]
    body: bytes
    phases: Phases
    certificate_expiry_days: float | None = None


class CurlEngine:
    """Made in the prober; one multi handle for each trust set, made when first needed and bound to its loop."""

    def __init__(self, names: Names, wall_seconds: Callable[[], float]) -> None:
        self._names = names
        self._wall_seconds = wall_seconds
        self._multis: dict[str, pycurl.AsyncCurlMulti] = {}

    async def fetch(self, request: Request, within_seconds: float) -> Answer:
        """Sends one request on a new connection and reads the answer.

        Raises:
            Missed: the target failed, timed out or answered more than `max_body_bytes`.
            Blind: this host could not look.
        """
        loop = asyncio.get_running_loop()
        began = loop.time()
        parts = urlsplit(request.url)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise Blind(Reason.INTERNAL, "the URL is neither http nor https; correct the probe's parameters.")
        trust = _trust(request.ca_file) if parts.scheme == "https" else ""
        address = await self._names.address(parts.hostname, within_seconds, request.ip_version)
        named = loop.time() - began
        curl = pycurl.Curl()
        taken = _Taken(request.max_body_bytes)
        try:
            _prepare(curl, request, taken, trust)
            curl.setopt(pycurl.CONNECT_TO, [_connect_to(address)])
            curl.setopt(pycurl.TIMEOUT_MS, max(1, int((within_seconds - named) * 1000)))
            try:
                await self._multi(trust).perform(curl)
            except pycurl.error as exc:
                _raise_for(exc, curl, taken, self._wall_seconds())
            return Answer(
                status=curl.getinfo(pycurl.RESPONSE_CODE),
                headers=taken.header_fields(),
                body=taken.body.getvalue(),
                phases=_phases(curl, named),
                certificate_expiry_days=_expiry_days(curl, self._wall_seconds()),
            )
        finally:
            # A cancelled transfer is taken out of its multi on the next turn of the loop; only then may it close.
            loop.call_soon(partial(_close, curl))

    def _multi(self, trust: str) -> pycurl.AsyncCurlMulti:
        if trust not in self._multis:
            self._multis[trust] = pycurl.AsyncCurlMulti()
        return self._multis[trust]

    async def aclose(self) -> None:
        for multi in self._multis.values():
            await multi.aclose()
        self._multis.clear()


class _Taken:
    """Receives headers and body within limits. Its callbacks never raise: libcurl would print and go on."""

    def __init__(self, most: int) -> None:
        self.body = io.BytesIO()
        self.too_large = False
        self._most = most
        self._headers = bytearray()

    def write(self, chunk: bytes) -> int | None:
        if self.body.tell() + len(chunk) > self._most:
            self.too_large = True
            return -1
        self.body.write(chunk)
        return None

    def header(self, line: bytes) -> int | None:
        if line.startswith(b"HTTP/"):
            self._headers.clear()  # of an interim answer (1xx)
        if len(self._headers) + len(line) > _MAX_HEADERS:
            self.too_large = True
            return -1
        self._headers += line
        return None

    def header_fields(self) -> dict[str, str]:
        lines = self._headers.decode("latin-1").split("\r\n")[1:]
        pairs = (line.partition(":") for line in lines if ":" in line)
        return {name.strip().lower(): value.strip() for name, _, value in pairs}


def _prepare(curl: pycurl.Curl, request: Request, taken: _Taken, trust: str) -> None:
    curl.setopt(pycurl.URL, request.url)
    curl.setopt(pycurl.CUSTOMREQUEST, request.method)
    if request.method == "HEAD":
        curl.setopt(pycurl.NOBODY, 1)
    if request.body is not None:
        curl.setopt(pycurl.POSTFIELDS, request.body)
    headers = {"User-Agent": "cemd", "Expect": "", **request.headers}
    curl.setopt(pycurl.HTTPHEADER, [f"{name}: {value}" if value else f"{name}:" for name, value in headers.items()])
    curl.setopt(pycurl.NOSIGNAL, 1)
    curl.setopt(pycurl.NOPROXY, "*")
    curl.setopt(pycurl.FRESH_CONNECT, 1)
    curl.setopt(pycurl.FORBID_REUSE, 1)
    curl.setopt(pycurl.FOLLOWLOCATION, 0)
    version = pycurl.CURL_HTTP_VERSION_2TLS if request.http2 else pycurl.CURL_HTTP_VERSION_1_1
    curl.setopt(pycurl.HTTP_VERSION, version)
    if trust:
        curl.setopt(pycurl.CAINFO, trust)
        curl.setopt(pycurl.OPT_CERTINFO, 1)
        curl.setopt(pycurl.SSL_SESSIONID_CACHE, 0)  # a resumed session shows no certificate and times no handshake
    curl.setopt(pycurl.WRITEFUNCTION, taken.write)
    curl.setopt(pycurl.HEADERFUNCTION, taken.header)


def _trust(ca_file: str | None) -> str:
    wanted = [ca_file] if ca_file else TRUST_BUNDLES
    for path in wanted:
        if Path(path).is_file():
            return path
    missing = ca_file or "a bundle of certificate authorities (package ca-certificates)"
    raise Blind(Reason.NO_TRUST, f"{missing} is missing: no certificate can be verified.")


def _connect_to(address: str) -> str:
    """Empty host and port match whatever the handle asks for, which is one host."""
    return f"::{f'[{address}]' if ':' in address else address}:"


def _raise_for(exc: pycurl.error, curl: pycurl.Curl, taken: _Taken, wall: float) -> None:
    code, words = exc.args[0], str(exc.args[1])
    if taken.too_large:
        raise Missed(Reason.ANSWER_TOO_LARGE, "the answer is larger than the probe takes.") from exc
    if code == 28:
        raise Missed(Reason.NO_ANSWER, f"{words}.", outcome=Outcome.TIMED_OUT) from exc
    if code == 77:
        raise Blind(Reason.NO_TRUST, f"the trust anchors cannot be read ({words}).") from exc
    if code == 7:
        raise trouble(curl.getinfo(pycurl.OS_ERRNO), "connect") from exc
    if code in {2, 3, 4, 27, 43}:
        raise Blind(Reason.INTERNAL, f"libcurl: {words}.") from exc
    days = _expiry_days(curl, wall) if code == 60 else None
    expiry = f" The certificate ends in {days:.1f} days." if days is not None else ""
    raise Missed(_REASONS.get(code, Reason.PROTOCOL_BROKEN), f"{words}.{expiry}") from exc


def _phases(curl: pycurl.Curl, named: float) -> Phases:
    connected = curl.getinfo(pycurl.CONNECT_TIME_T) / 1e6
    secured = curl.getinfo(pycurl.APPCONNECT_TIME_T) / 1e6
    sent = curl.getinfo(pycurl.PRETRANSFER_TIME_T) / 1e6
    first = curl.getinfo(pycurl.STARTTRANSFER_TIME_T) / 1e6
    return Phases(
        name=named,
        connect=max(0.0, connected - curl.getinfo(pycurl.NAMELOOKUP_TIME_T) / 1e6),
        tls=max(0.0, secured - connected) if secured else 0.0,
        first_byte=max(0.0, first - sent),
        total=named + curl.getinfo(pycurl.TOTAL_TIME_T) / 1e6,
    )


def _expiry_days(curl: pycurl.Curl, wall: float) -> float | None:
    """Days until the served certificate ends; known also when its verification failed."""
    for certificate in curl.getinfo(pycurl.INFO_CERTINFO)[:1]:
        for pair in certificate:
            if pair[0] == "Expire date":
                try:
                    ends = datetime.strptime(pair[1], "%b %d %H:%M:%S %Y GMT").replace(tzinfo=timezone.utc)  # noqa: UP017
                except ValueError:
                    return None
                return (ends.timestamp() - wall) / 86_400
    return None


def _close(curl: pycurl.Curl) -> None:
    curl.close()
