"""The quick way of HTTP: one plain HTTP/1.1 request on a connection of its own, over a stream of ours, without libcurl.

It costs a third of what libcurl costs, and answers the same: phases, verdicts and words are those of the other way. The
messages are read by llhttp (httptools), TLS is that of the kind `tls`. What is not plain goes the way of libcurl.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from select import EPOLLIN, EPOLLOUT
from socket import SOL_SOCKET
from time import monotonic, monotonic_ns, time, time_ns
from typing import Any
from urllib.parse import urlsplit

import httptools
from OpenSSL import SSL

from cemd.monitor.probes.base import Missed, Reason
from cemd.monitor.probes.engines.handshake import Handshake, server_name
from cemd.monitor.probes.engines.requests import REDIRECTS, Answer, Phases, Request, Told, header_lines
from cemd.monitor.probes.engines.sockets import SocketParams
from cemd.monitor.probes.engines.stamps import ANCILLARY_BYTES, SO_TIMESTAMPNS, STEP_SECONDS, kernel_stamp
from cemd.monitor.probes.engines.streams import Stream, Target, handshake_seconds
from cemd.monitor.probes.engines.waits import Waits
from cemd.monitor.protocols.certificates import bears_as_ever, days_left, subject

_CHUNK = 65_536
_MOST_CHUNKS = 16
"""Taken at once, before others have their turn."""
_MOST_HEAD_BYTES = 262_144
_HOME = SocketParams()
_BODY_METHODS = frozenset({"POST", "PUT", "PATCH"})


class Call:
    """A plain request at an address: what is the same at each sending, and the certificate that was believed last."""

    __slots__ = (
        "ca_file", "ends_at", "host", "leaf", "max_body_bytes", "message", "peer", "secure", "server_name", "target",
        "wants_headers",
    )  # fmt: skip

    def __init__(self, request: Request, address: str) -> None:
        parts = urlsplit(request.url)
        self.secure = parts.scheme == "https"
        self.host = parts.hostname or ""
        port = parts.port or (443 if self.secure else 80)
        self.target = Target(request.way or _HOME, address, port)
        self.message = _message(request)
        self.server_name = server_name(self.host) if self.secure else None
        self.peer = f"{self.host}:{port}"
        self.ca_file = request.ca_file
        self.max_body_bytes = request.max_body_bytes
        self.wants_headers = request.wants_headers
        self.leaf = b""
        """Digest of the certificate that was believed last, for this host."""
        self.ends_at = 0.0


def _message(request: Request) -> bytes:
    """The bytes of the request."""
    parts = urlsplit(request.url)
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    usual_port = {"http": 80, "https": 443}[parts.scheme]
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    fields = header_lines(request.headers)
    known = {name.lower() for name in fields}
    if "host" not in known:
        fields = {"Host": f"{host}" if parts.port in {None, usual_port} else f"{host}:{parts.port}", **fields}
    if request.body is not None and "content-type" not in known:
        fields["Content-Type"] = "application/x-www-form-urlencoded"  # as libcurl says of a body without a type
    if request.body is not None or request.method in _BODY_METHODS:
        fields = {name: value for name, value in fields.items() if name.lower() != "content-length"}
        fields["Content-Length"] = str(len(request.body or b""))
    lines = [f"{request.method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in fields.items() if value)]
    return "\r\n".join([*lines, "", ""]).encode("ascii") + (request.body or b"")


_LENIENT = {
    "lenient_optional_cr_before_lf": True,
    "lenient_chunked_length": True,
    "lenient_spaces_after_chunk_size": True,
}
"""What old devices do, and browsers and libcurl put up with. Nobody reads a second answer from the connection, so none
of it can smuggle one in."""


class _Taken:
    """What llhttp reads out of the answer; its parser calls these methods."""

    __slots__ = ("chunks", "in_body", "left", "lines", "over", "parser", "status")

    def __init__(self, most_bytes: int) -> None:
        self.parser: Any = httptools.HttpResponseParser(self)
        self.parser.set_dangerous_leniencies(**_LENIENT)
        self.chunks: list[bytes] = []
        self.lines: list[bytes] = []
        self.left = most_bytes
        self.in_body = self.over = False
        self.status = 0
        """Of the answer, once it is whole; what comes behind it is not looked at."""

    def on_headers_complete(self) -> None:
        self.in_body = True

    def on_body(self, data: bytes) -> None:
        if not self.over:
            self.chunks.append(data)
            self.left -= len(data)

    def on_message_complete(self) -> None:
        if self.over:
            return
        self.status = self.parser.get_status_code()
        if self.status >= 200:
            self.over = True
        else:
            self.in_body = False  # an interim answer: the one that counts is still to come
            self.lines.clear()


class _TakenWithHeaders(_Taken):
    """The same where header fields are looked at."""

    __slots__ = ()

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self.over:
            self.lines.append(name + b": " + value)


class Exchange(Stream):
    """One request and its answer. `told` is called once, unless it is given up before.

    In clear its times are the kernel's: the round trip of the handshake, and when the answer came in. What we took in
    between to notice and to send is not the target's and counts nowhere, so such an exchange can wait where several are
    served at once. Under TLS it is us who answer within the handshake, so all of it counts and must be prompt.
    """

    __slots__ = (
        "_call", "_connect", "_connected_at", "_context", "_first_ns", "_handshake", "_head", "_last_ns", "_left",
        "_named", "_offset_ns", "_secured_at", "_sent_ns", "_taken", "_told",
    )  # fmt: skip

    def __init__(self, call: Call, context: SSL.Context | None, waits: Waits, told: Told, named: float) -> None:
        """`context` where the call is secure; `named` are the seconds that the look-up of the name took."""
        super().__init__(call.target, waits)
        self._call, self._context, self._told, self._named = call, context, told, named
        self._handshake: Handshake | None = None
        self._left = call.message
        self._head = b""
        """The answer until its header is whole."""
        self._taken: _Taken | None = None
        self._connect = self._connected_at = self._secured_at = 0.0
        self._sent_ns = self._first_ns = self._last_ns = self._offset_ns = 0
        """Of the wall clock, as kernel stamps are; `_offset_ns` tells whether it was set meanwhile."""

    # The stream.

    def connected(self, door: Any, events: int) -> None:
        self._connected_at = now = monotonic()
        self._connect, _ = handshake_seconds(door, now - self.began)
        if self._context is None:
            door.setsockopt(SOL_SOCKET, SO_TIMESTAMPNS, 1)
            self._say(door.send)
            if events & EPOLLIN:  # it spoke first
                self._hear(door)
            return
        self._handshake = Handshake(door, self._context, self._call.server_name, self._call.peer)
        self._shake(self._handshake)

    def go_on(self, door: Any, events: int) -> None:
        handshake = self._handshake
        if handshake is None:
            if self._left:
                self._say(door.send)
            if events != EPOLLOUT:
                self._hear(door)
        elif not self._secured_at:
            self._shake(handshake)
        else:
            if self._left:
                self._say(handshake.connection.send)
            self._hear_secured(handshake.connection)

    def failed(self, fault: Exception) -> None:
        self._handshake = self._taken = None
        if isinstance(fault, OSError):
            fault = self._call.target.trouble(fault.errno or 0)
        self._told(fault)

    def awaited(self) -> str:
        if not self._connected_at:
            return f"no connection to {self._call.peer} in time."
        if self._context is not None and not self._secured_at:
            return f"TLS with {self._call.peer} was not finished in time."
        return f"no {'whole ' if self._taken else ''}answer from {self._call.peer} in time."

    # The exchange.

    def _shake(self, handshake: Handshake) -> None:
        if handshake.advance():
            self._secured_at = monotonic()
            _believe(self._call, handshake)
            self._say(handshake.connection.send)
            self._hear_secured(handshake.connection)

    def _say(self, send: Callable[[bytes], int]) -> None:
        """Sends what is left of the request, as far as there is room."""
        if not self._sent_ns:
            self._sent_ns = time_ns()
            self._offset_ns = self._sent_ns - monotonic_ns()
        try:
            while self._left:
                sent = send(self._left)
                self._left = self._left[sent:]
        except (BlockingIOError, SSL.WantWriteError, SSL.WantReadError):
            return
        except (ConnectionError, SSL.Error):
            self._left = b""  # the peer has closed; what it said before tells more

    def _hear(self, door: Any) -> None:
        """Takes what has arrived, until nothing is left or the answer is whole."""
        for _ in range(_MOST_CHUNKS):
            try:
                data, ancillary, _, _ = door.recvmsg(_CHUNK, ANCILLARY_BYTES)
            except BlockingIOError:
                if self._taken is not None:
                    self.hurry()
                return
            if self._take(data, kernel_stamp(ancillary) if ancillary else None):
                return
        self.later()

    def _hear_secured(self, connection: SSL.Connection) -> None:
        for _ in range(_MOST_CHUNKS):
            try:
                data = connection.recv(_CHUNK)
            except SSL.WantReadError:
                return
            except SSL.ZeroReturnError:
                data = b""
            except SSL.Error as exc:
                raise Missed(Reason.CLOSED_EARLY, f"{self._call.peer} broke the connection off.") from exc
            if self._take(data, None):
                return
        self.later()

    def _take(self, data: bytes, stamp: int | None) -> bool:
        """Reads on in the answer; True when it is whole, and was told."""
        taken = self._taken
        self._last_ns = stamp or time_ns()
        if taken is None:
            self._first_ns = self._last_ns
            kind = _TakenWithHeaders if self._call.wants_headers else _Taken
            taken = self._taken = kind(self._call.max_body_bytes)
        if not data:
            self._check_end(taken)
        elif not self._is_whole(taken, data):
            return False
        self._conclude(taken)
        return True

    def _is_whole(self, taken: _Taken, data: bytes) -> bool:
        if not taken.in_body:
            self._head += data
            if len(self._head) > _MOST_HEAD_BYTES:
                raise Missed(Reason.PROTOCOL_BROKEN, f"{self._call.peer} sends a header without an end.")
        try:
            taken.parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            taken.status, taken.over = taken.parser.get_status_code(), True
        except httptools.HttpParserError as exc:
            if not taken.over:
                words = f"{self._call.peer} answered what is no HTTP/1.1 ({exc})."
                raise Missed(Reason.PROTOCOL_BROKEN, words) from exc
        if taken.left < 0:
            raise Missed(Reason.ANSWER_TOO_LARGE, "the answer is larger than the probe takes.")
        return taken.over

    def _check_end(self, taken: _Taken) -> None:
        """The peer has closed: right only where nothing else marks the end of the body (RFC 9112, section 6.3).

        Raises:
            Missed: there was more to come.
        """
        head = self._head.lower()
        marked = b"\ncontent-length:" in head or b"\ntransfer-encoding:" in head
        if not taken.in_body:
            words = "closed within the header of its answer" if head else "closed without an answer"
            raise Missed(Reason.CLOSED_EARLY, f"{self._call.peer} {words}.")
        if marked:
            raise Missed(Reason.CLOSED_EARLY, f"{self._call.peer} closed before its answer was whole.")

    def _conclude(self, taken: _Taken) -> None:
        phases, call = self._phases(), self._call
        self.give_up()
        self._handshake = self._taken = None
        status = taken.status or taken.parser.get_status_code()
        taken.parser = None  # a circle of the two would wait for the collector
        body = taken.chunks[0] if len(taken.chunks) == 1 else b"".join(taken.chunks)
        lines = _head_lines(self._head) if status in REDIRECTS and not call.wants_headers else taken.lines
        self._told(Answer(status, lines, body, phases, call.ends_at if call.secure else None, 2))

    def _phases(self) -> Phases:
        first_byte = max(0, self._first_ns - self._sent_ns) / 1e9
        rest = max(0, self._last_ns - self._first_ns) / 1e9
        if abs(time_ns() - monotonic_ns() - self._offset_ns) > STEP_SECONDS * 1e9:  # the wall clock was set meanwhile
            first_byte, rest = monotonic() - (self._secured_at or self._connected_at), 0.0
        if self._context is None:
            return Phases(self._named, self._connect, 0.0, first_byte, self._named + self._connect + first_byte + rest)
        tls = self._secured_at - self._connected_at
        return Phases(self._named, self._connect, tls, first_byte, self._named + monotonic() - self.began)


def _head_lines(head: bytes) -> list[bytes]:
    """The header fields of an answer that nobody listened to while it came in."""
    blocks = re.split(rb"\r?\n\r?\n", head)
    final = next((block for block in blocks if not _INTERIM.match(block)), b"")
    return final.splitlines()


_INTERIM = re.compile(rb"\s*HTTP/\d\.\d 1")


def _believe(call: Call, handshake: Handshake) -> None:
    """Holds the certificate against anchors, name and time, and notes when it ends.

    Raises:
        Missed: it is not to be believed.
    """
    if handshake.seen.faults:
        chain = handshake.chain()
        depth, words = handshake.seen.faults[0]
        who = subject(chain[depth]) if depth < len(chain) else f"member {depth}"
        end = f" The certificate ends in {days_left(chain[0], time()):.1f} days." if chain else ""
        raise Missed(Reason.CERTIFICATE_INVALID, f"certificate {depth} of the chain ({who}): {words}.{end}")
    shown = handshake.connection.get_peer_certificate()
    if shown is None:
        raise Missed(Reason.TLS_FAILED, f"{call.peer} showed no certificate.")
    digest = shown.digest("sha256")
    if digest != call.leaf:  # reading it again costs a twentieth of the handshake
        leaf = shown.to_cryptography()
        if not bears_as_ever(leaf, call.host):
            raise Missed(Reason.CERTIFICATE_INVALID, f"the certificate ({subject(leaf)}) is not for {call.host}.")
        call.leaf, call.ends_at = digest, leaf.not_valid_after_utc.timestamp()
