"""The whole of HTTP: libcurl driven by the prober's loop, phases in seconds, one multi handle a trust set.

libcurl never looks a name up (its threads are shared by all names, and fifty hanging ones stop every other): the name
becomes a number first and `CONNECT_TO` keeps SNI, Host and verification. The trust anchors are always named, because
libcurl picks the first bundle of a built-in list and knows no SSL_CERT_FILE. Proxies of the environment are ignored.
Handles are kept and used again, and what a request has in common with the one before is not set anew.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pycurl

from cemd.monitor.probes.base import Blind, Cancel, Reason
from cemd.monitor.probes.engines.curl_faults import expiry_at, fault_of
from cemd.monitor.probes.engines.multis import Multis
from cemd.monitor.probes.engines.requests import REDIRECTS, USER_AGENT, Answer, Phases, Request, Told
from cemd.monitor.probes.engines.sockets import SocketParams, open_socket
from cemd.monitor.probes.engines.trust import trust_file

_MOST_IDLE = 512
"""Handles kept for the next request; 7 KiB each."""


class CurlEngine:
    """Made in the prober; works on the loop that first uses it."""

    def __init__(self, wall_seconds: Callable[[], float]) -> None:
        self._wall_seconds = wall_seconds
        self._multis: Multis | None = None
        self._idle: dict[bool, list[_Handle]] = {True: [], False: []}
        self._bundle: str | None = None

    def start(
        self,
        request: Request,
        address: str,
        deadline: float,
        told: Told,
        *,
        named: float = 0.0,
        certificate: bool = True,
    ) -> Cancel:
        """Begins a request at a numeric address and returns; `told` is called once, unless it is given up before.

        Without `certificate` its end is not looked up, which saves a fifth of a handshake.

        Raises:
            Blind: this host cannot look.
        """
        if self._multis is None:
            self._multis = Multis()
        loop = asyncio.get_running_loop()
        trust = self._trust(request.ca_file) if request.url.startswith("https") else None
        handle = self._handle(request)
        try:
            handle.set_up(request, address, trust[0] if trust else "", certificate)
            handle.setopt(pycurl.TIMEOUT_MS, max(1, int((deadline - loop.time()) * 1000)))
            stop = self._multis.start(trust, handle, partial(self._over, handle, request, named, told))
        except pycurl.error as exc:
            handle.close()
            raise Blind(Reason.INTERNAL, f"libcurl does not take the request ({exc}).") from exc
        return partial(self._give_up, stop, handle, request)

    def _over(self, handle: _Handle, request: Request, named: float, told: Told, number: int, words: str) -> None:
        try:
            found = handle.answer(request, named) if not number else None
        except pycurl.error as exc:  # a certificate that libcurl cannot print
            found, words = None, str(exc)
        if found is None or len(found.body) > request.max_body_bytes:
            told(handle.blamed or fault_of(number or 63, words, handle, self._wall_seconds()))
        else:
            told(found)
        self._put_back(handle, request)

    def _give_up(self, stop: Callable[[], bool], handle: _Handle, request: Request) -> None:
        if stop():
            self._put_back(handle, request)

    def _handle(self, request: Request) -> _Handle:
        if request.special:
            return _Handle(request)
        idle = self._idle[request.wants_headers]
        return idle.pop() if idle else _Handle(request)

    def _put_back(self, handle: _Handle, request: Request) -> None:
        idle = self._idle[request.wants_headers]
        handle.rest()
        if request.special or len(idle) >= _MOST_IDLE:
            handle.close()
        else:
            idle.append(handle)

    def _trust(self, ca_file: str | None) -> tuple[str, int, int]:
        """The file of trust anchors and its version, which name a trust set: a file that was changed is read anew."""
        path = ca_file or self._bundle or trust_file(None)
        try:
            found = Path(path).stat()
        except OSError:
            path = trust_file(ca_file)  # says what is missing, or finds another bundle
            found = Path(path).stat()
        if not ca_file:
            self._bundle = path
        return path, found.st_mtime_ns, found.st_size

    async def aclose(self) -> None:
        if self._multis is not None:
            self._multis.close()
            self._multis = None
        for idle in self._idle.values():
            while idle:
                idle.pop().close()


class _Handle(pycurl.Curl):  # type: ignore[misc]  # pycurl ships no types
    """A handle and what is set on it. Its callbacks never raise: libcurl would print and go on."""

    def __init__(self, request: Request) -> None:
        super().__init__()
        self.blamed: Blind | None = None
        self._common: tuple[str, bool, int, bool] | None = None
        self._trust = ""
        self._door: socket.socket | None = None
        self._certificate = False
        self._chunks: list[bytes] = []
        self._lines: list[bytes] = []
        for option, value in _ALWAYS:
            self.setopt(option, value)
        if not request.special:
            self.setopt(pycurl.HTTPHEADER, _header_lines({}))

    def set_up(self, request: Request, address: str, trust: str, certificate: bool) -> None:
        """Makes it ready for a request; `rest` must have come before."""
        self.setopt(pycurl.URL, request.url)
        common = (address, request.http2, request.max_body_bytes, bool(trust))
        if common != self._common:
            self._common = common
            self.setopt(pycurl.CONNECT_TO, [_connect_to(address)] if request.proxy is None else [])
            self.setopt(pycurl.HTTP_VERSION, _version(request))
            self.setopt(pycurl.MAXFILESIZE_LARGE, max(1, request.max_body_bytes))
        if trust:
            if trust != self._trust:
                self._trust = trust
                self.setopt(pycurl.CAINFO, trust)
            self.setopt(pycurl.OPT_CERTINFO, int(certificate))
            self._certificate = certificate
        self.setopt(pycurl.WRITEFUNCTION, self._chunks.append)
        if request.wants_headers:
            self.setopt(pycurl.HEADERFUNCTION, self._lines.append)
        if request.special:
            self._set_special(request, address)

    def answer(self, request: Request, named: float) -> Answer:
        """What came back."""
        seconds = self.getinfo
        connected = seconds(pycurl.CONNECT_TIME_T)
        secured = seconds(pycurl.APPCONNECT_TIME_T) if request.url.startswith("https") else 0
        phases = Phases(
            named,
            max(0, connected - seconds(pycurl.NAMELOOKUP_TIME_T)) / 1e6,
            max(0, secured - connected) / 1e6 if secured else 0.0,
            max(0, seconds(pycurl.STARTTRANSFER_TIME_T) - seconds(pycurl.PRETRANSFER_TIME_T)) / 1e6,
            named + seconds(pycurl.TOTAL_TIME_T) / 1e6,
        )
        ends_at = expiry_at(self) if secured and self._certificate else None
        version = seconds(pycurl.INFO_HTTP_VERSION) if request.http2 else 2
        body = self._chunks[0] if len(self._chunks) == 1 else b"".join(self._chunks)
        status = seconds(pycurl.RESPONSE_CODE)
        lines = self._lines
        if status in REDIRECTS and not request.wants_headers and (place := seconds(pycurl.REDIRECT_URL)):
            here = "{0.scheme}://{0.netloc}/".format(urlsplit(request.url))
            where = "/" + place.removeprefix(here) if place.startswith(here) else place
            lines = [b"Location: " + where.encode()]  # libcurl knows it, made whole; all fields would cost a call each
        return Answer(status, lines, body, phases, ends_at, version)

    def rest(self) -> None:
        """Lets go of what it took."""
        self._chunks, self._lines, self.blamed = [], [], None
        if self._door is not None:
            self._door.close()

    def _set_special(self, request: Request, address: str) -> None:
        if request.post_quantum:
            self.setopt(pycurl.SSL_EC_CURVES, "X25519MLKEM768:" + _GROUPS)
        self.setopt(pycurl.CUSTOMREQUEST, request.method)
        if request.method == "HEAD":
            self.setopt(pycurl.NOBODY, 1)
        if request.body is not None:
            self.setopt(pycurl.POSTFIELDS, request.body)
        self.setopt(pycurl.HTTPHEADER, _header_lines(request.headers))
        if request.client is not None:
            self.setopt(pycurl.SSLCERT, request.client.certificate)
            self.setopt(pycurl.SSLKEY, request.client.key)
        if request.proxy is not None:
            place = urlsplit(request.proxy.url)
            host = f"[{address}]" if ":" in address else address
            self.setopt(pycurl.NOPROXY, "")
            self.setopt(pycurl.PROXY, f"{place.scheme}://{host}:{place.port or 3128}")
            if request.proxy.login:
                self.setopt(pycurl.PROXYUSERPWD, request.proxy.login)
        if request.way is not None:
            self.setopt(pycurl.OPENSOCKETFUNCTION, partial(self._open, request.way))

    def _open(self, way: SocketParams, _purpose: int, address: Any) -> Any:
        """A socket that leaves as the probe wants it; what goes wrong here is ours, and told as such."""
        try:
            self._door = open_socket(way, address.family, socket.SOCK_STREAM)  # pycurl takes a copy of its descriptor
            return self._door
        except Blind as exc:
            self.blamed = exc
        except OSError as exc:
            self.blamed = Blind(Reason.NOT_PERMITTED, f"no socket can be opened: {exc.strerror}.")
        return pycurl.SOCKET_BAD


_GROUPS = "X25519:P-256:P-384:P-521"
_ALWAYS: tuple[tuple[int, Any], ...] = (
    (pycurl.NOSIGNAL, 1),
    (pycurl.NOPROXY, "*"),
    (pycurl.FRESH_CONNECT, 1),
    (pycurl.FORBID_REUSE, 1),
    (pycurl.FOLLOWLOCATION, 0),
    (pycurl.SSL_EC_CURVES, _GROUPS),
    (pycurl.SSL_SESSIONID_CACHE, 0),  # a resumed session shows no certificate and times no handshake
)


def _version(request: Request) -> int:
    """HTTP/2 is offered under TLS; in clear there is no offer, so it is spoken from the first byte."""
    if not request.http2:
        return int(pycurl.CURL_HTTP_VERSION_1_1)
    secure = request.url.startswith("https")
    return int(pycurl.CURL_HTTP_VERSION_2TLS if secure else pycurl.CURL_HTTP_VERSION_2_PRIOR_KNOWLEDGE)


def _header_lines(headers: Mapping[str, str]) -> list[str]:
    fields = {"User-Agent": USER_AGENT, "Expect": "", **headers}
    return [f"{name}: {value}" if value else f"{name}:" for name, value in fields.items()]


def _connect_to(address: str) -> str:
    """Empty host and port match whatever the handle asks for, which is one host."""
    return f"::{f'[{address}]' if ':' in address else address}:"
