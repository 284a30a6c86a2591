"""One TLS handshake in which everything is seen: the chain as it was served, what is wrong with it, stapled OCSP.

Python's ssl shows neither the chain of a peer that it does not believe nor a stapled OCSP answer, hence pyOpenSSL. A
context is made once a trust set and kept: OpenSSL goes through with a handshake whose certificates it does not believe,
notes what it found, and the caller judges.
"""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass, field

from cryptography import x509
from OpenSSL import SSL, crypto

from cemd.monitor.probes.base import Blind, Missed, Reason
from cemd.monitor.probes.engines.names import is_address
from cemd.monitor.probes.engines.trust import trust_file

_MOST_CONTEXTS = 1_000
_GROUPS = b"X25519:P-256:P-384:P-521"
"""As libcurl is told: a share against quantum computers as well costs a quarter of the handshake."""


@dataclass(slots=True)
class Seen:
    """What OpenSSL told during a handshake: `faults` in words, with the depth of the member of the chain that they
    concern, and a stapled OCSP answer."""

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
        path = ca_file or trust_file(None)
        try:
            status = os.stat(path)  # noqa: PTH116 -- asked for at each probe, and four times as quick as a Path
            key = (path, status.st_mtime_ns, status.st_size, old_protocols)
            if key not in self._contexts:
                if len(self._contexts) >= _MOST_CONTEXTS:
                    self._contexts.clear()
                self._contexts[key] = _context(path, old_protocols=old_protocols)
        except FileNotFoundError as exc:
            raise Blind(Reason.NO_TRUST, f"{path} is missing: no certificate can be verified.") from exc
        except (OSError, SSL.Error) as exc:
            raise Blind(Reason.NO_TRUST, f"the trust anchors of {path} cannot be read ({type(exc).__name__}).") from exc
        return self._contexts[key]


def _context(path: str, *, old_protocols: bool) -> SSL.Context:
    context = SSL.Context(SSL.TLS_CLIENT_METHOD)
    context.load_verify_locations(path)
    context.set_verify(SSL.VERIFY_PEER, _note)
    context.set_ocsp_client_callback(_staple)
    context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
    SSL._lib.SSL_CTX_set1_curves_list(context._context, _GROUPS)  # type: ignore[attr-defined] # noqa: SLF001 -- its public call takes one group alone
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


class Handshake:
    """One handshake over a connected socket that does not block; afterwards `connection` is spoken over."""

    __slots__ = ("_peer", "connection", "seen")

    def __init__(self, door: socket.SocketType, context: SSL.Context, name: bytes | None, peer: str) -> None:
        """`name` is sent as SNI; `peer` is what a failure calls the other side."""
        self._peer = peer
        self.seen = Seen()
        self.connection = connection = SSL.Connection(context, door)  # type: ignore[arg-type] # only its number is asked
        connection.set_app_data(self.seen)
        if name is not None:
            connection.set_tlsext_host_name(name)
        connection.set_connect_state()

    def wants_staple(self) -> None:
        """Asks for a stapled OCSP answer; before the first `advance`."""
        self.connection.request_ocsp()

    def advance(self) -> bool:
        """Goes on as far as what has arrived allows; True when the handshake is done.

        Raises:
            Missed: there is no TLS to be had.
        """
        try:
            self.connection.do_handshake()
        except (SSL.WantReadError, SSL.WantWriteError):
            return False
        except SSL.SysCallError as exc:
            verb = "ended" if exc.args[0] == -1 else "broke"
            raise Missed(Reason.TLS_FAILED, f"{self._peer} {verb} the connection in the handshake.") from exc
        except SSL.Error as exc:
            words = exc.args[0][0][2] if exc.args and exc.args[0] else "no reason given"
            raise Missed(Reason.TLS_FAILED, f"TLS with {self._peer} failed: {words}.") from exc
        return True

    def chain(self) -> list[x509.Certificate]:
        """The chain as it was served, leaf first."""
        return [one.to_cryptography() for one in self.connection.get_peer_cert_chain() or []]

    def believed(self) -> list[x509.Certificate]:
        """The chain by which it is believed, leaf first, up to an anchor of ours; as far as it went."""
        return [one.to_cryptography() for one in self.connection.get_verified_chain() or []]


class LastChain:
    """The chain that a peer showed last: one that stays is read once, which costs more than to see that it stayed."""

    __slots__ = ("_digests", "chain")

    def __init__(self) -> None:
        self._digests: tuple[bytes, ...] = ()
        self.chain: list[x509.Certificate] = []

    def read(self, handshake: Handshake) -> list[x509.Certificate]:
        """The chain as it was served, leaf first; the same list as before where it is the same chain."""
        shown = handshake.connection.get_peer_cert_chain() or []
        digests = tuple(one.digest("sha256") for one in shown)
        if digests != self._digests:
            self._digests, self.chain = digests, [one.to_cryptography() for one in shown]
        return self.chain


def server_name(host: str) -> bytes | None:
    """What is sent as SNI for a host; an address has none (RFC 6066, section 3)."""
    return None if is_address(host) else host.rstrip(".").encode("idna")
