"""One TLS handshake in which everything is seen: the chain as it was served, what is wrong with it, stapled OCSP.

Python's ssl shows neither the chain of a peer that it does not believe nor a stapled OCSP answer, hence pyOpenSSL. A
context is made once a trust set and kept: OpenSSL goes through with a handshake whose certificates it does not believe,
notes what it found, and the caller judges.
"""

from __future__ import annotations

import asyncio
import socket
from dataclasses import dataclass, field
from pathlib import Path

from cryptography import x509
from OpenSSL import SSL, crypto

from cemd.monitor.probes.base import Blind, Missed, Reason
from cemd.monitor.probes.engines.trust import trust_file

_MOST_CONTEXTS = 1_000
_CHUNK = 16_384
_MOST_BYTES = 1_048_576
"""Of a handshake; a chain of a hundred certificates is still below it."""


@dataclass(slots=True)
class Seen:
    """What a handshake showed. `chain` as served, leaf first; `faults` are OpenSSL's words with the depth of the member
    that they concern."""

    protocol: str = ""
    cipher: str = ""
    chain: list[x509.Certificate] = field(default_factory=list)
    faults: list[tuple[int, str]] = field(default_factory=list)
    stapled: bytes = b""


class Handshakes:
    """Contexts of one prober by trust set."""

    def __init__(self) -> None:
        self._contexts: dict[tuple[str, int, int, bool], SSL.Context] = {}

    def context(self, ca_file: str | None, *, old_protocols: bool) -> SSL.Context:
        """A context that knows the anchors of `ca_file`, else of the system. With `old_protocols` it speaks TLS 1.0 and
        1.1 as well, to see whether the peer still does.

        Raises:
            Blind: the anchors are missing or cannot be read.
        """
        path = trust_file(ca_file)
        try:
            status = Path(path).stat()
            key = (path, status.st_mtime_ns, status.st_size, old_protocols)
            if key not in self._contexts:
                if len(self._contexts) >= _MOST_CONTEXTS:
                    self._contexts.clear()
                self._contexts[key] = _context(path, old_protocols=old_protocols)
        except (OSError, SSL.Error) as exc:
            raise Blind(Reason.NO_TRUST, f"the trust anchors of {path} cannot be read ({type(exc).__name__}).") from exc
        return self._contexts[key]


def _context(path: str, *, old_protocols: bool) -> SSL.Context:
    context = SSL.Context(SSL.TLS_CLIENT_METHOD)
    context.load_verify_locations(path)
    context.set_verify(SSL.VERIFY_PEER, _note)
    context.set_ocsp_client_callback(_staple)
    context.set_min_proto_version(SSL.TLS1_VERSION if old_protocols else SSL.TLS1_2_VERSION)
    if old_protocols:
        context.set_cipher_list(b"ALL:@SECLEVEL=0")
    return context


def _note(connection: SSL.Connection, _certificate: crypto.X509, number: int, depth: int, right: int) -> bool:
    """Goes on with a chain that is not believed, and keeps why."""
    if not right:
        seen: Seen = connection.get_app_data()
        seen.faults.append((depth, _FAULTS.get(number, f"verification error {number} of OpenSSL")))
    return True


_FAULTS = {
    2: "its issuer's certificate is not there",
    7: "its signature is wrong",
    9: "it is not valid yet",
    10: "it has ended",
    18: "it is signed by itself and not trusted",
    19: "the chain ends in a certificate signed by itself that is not trusted",
    20: "its issuer is not among the trust anchors, nor in the chain",
    21: "it is alone, and its issuer is not among the trust anchors",
    24: "it may not issue certificates, and does",
    25: "the chain is longer than one of its members allows",
    26: "it is not meant for a server",
    66: "its key is too weak",
    67: "its issuer's key is too weak",
    68: "its signature uses a weak digest",
}
"""What the numbers of OpenSSL's verification say about one member of a chain."""


def _staple(connection: SSL.Connection, answer: bytes, _data: object) -> bool:
    seen: Seen = connection.get_app_data()
    seen.stapled = bytes(answer)
    return True


async def shake(door: socket.socket, context: SSL.Context, name: str | None, peer: str) -> Seen:
    """Makes the handshake over a connected socket that does not block; `name` is sent as SNI.

    Raises:
        Missed: there is no TLS to be had.
    """
    seen = Seen()
    connection = SSL.Connection(context, None)
    connection.set_app_data(seen)
    if name is not None:
        connection.set_tlsext_host_name(name.encode("idna"))
    connection.request_ocsp()
    connection.set_connect_state()
    await _exchange(door, connection, peer)
    seen.protocol = connection.get_protocol_version_name()
    seen.cipher = connection.get_cipher_name() or ""
    seen.chain = [one.to_cryptography() for one in connection.get_peer_cert_chain() or []]
    return seen


async def _exchange(door: socket.socket, connection: SSL.Connection, peer: str) -> None:
    loop = asyncio.get_running_loop()
    taken = 0
    while True:
        try:
            connection.do_handshake()
            await _flush(door, connection)
            return
        except SSL.WantReadError:
            await _flush(door, connection)
        except SSL.Error as exc:
            await _flush(door, connection)
            words = exc.args[0][0][2] if exc.args and exc.args[0] else "no reason given"
            raise Missed(Reason.TLS_FAILED, f"TLS with {peer} failed: {words}.") from exc
        try:
            data = await loop.sock_recv(door, _CHUNK)
        except ConnectionError as exc:
            raise Missed(Reason.TLS_FAILED, f"{peer} broke the connection in the handshake.") from exc
        taken += len(data)
        if not data:
            raise Missed(Reason.TLS_FAILED, f"{peer} ended the connection in the handshake.")
        if taken > _MOST_BYTES:
            raise Missed(Reason.ANSWER_TOO_LARGE, f"{peer} sent {taken} bytes without coming to an end.")
        connection.bio_write(data)


async def _flush(door: socket.socket, connection: SSL.Connection) -> None:
    loop = asyncio.get_running_loop()
    while True:
        try:
            data = connection.bio_read(_CHUNK)
        except SSL.WantReadError:
            return
        try:
            await loop.sock_sendall(door, data)
        except ConnectionError:
            return  # what the peer said before it closed tells more
