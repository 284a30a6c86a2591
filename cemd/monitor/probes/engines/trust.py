"""Whom TLS believes: one context a set of anchors, made when first needed and kept, never one a probe.

A context of the whole system bundle costs a third of the handshakes, and a new one for each probe nine tenths and more.
A file that changed makes a new context, so that renewed anchors count without a restart.
"""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Any

from cemd.monitor.probes.base import Blind, Missed, Reason

TRUST_BUNDLES = (
    "/etc/ssl/certs/ca-certificates.crt",  # Debian, Ubuntu, Arch
    "/etc/pki/tls/certs/ca-bundle.crt",  # Fedora, RHEL
    "/etc/ssl/ca-bundle.pem",  # openSUSE
    "/etc/ssl/cert.pem",  # Alpine, BSD
)
_MOST_CONTEXTS = 1_000


def trust_file(ca_file: str | None) -> str:
    """The anchors that a probe means: its own file, else the first bundle that the system has.

    Raises:
        Blind: there is none, so no certificate can be verified.
    """
    for path in [ca_file] if ca_file else TRUST_BUNDLES:
        if Path(path).is_file():
            return path
    missing = ca_file or "a bundle of certificate authorities (package ca-certificates)"
    raise Blind(Reason.NO_TRUST, f"{missing} is missing: no certificate can be verified.")


class Trust:
    """The contexts of one prober."""

    def __init__(self) -> None:
        self._contexts: dict[tuple[str, int, int], ssl.SSLContext] = {}

    def context(self, ca_file: str | None) -> ssl.SSLContext:
        """A context that verifies chain and name against the anchors of `ca_file`, else of the system.

        Raises:
            Blind: the anchors are missing or cannot be read.
        """
        path = trust_file(ca_file)
        try:
            status = Path(path).stat()
            key = (path, status.st_mtime_ns, status.st_size)
            if key not in self._contexts:
                if len(self._contexts) >= _MOST_CONTEXTS:
                    self._contexts.clear()
                context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
                context.load_verify_locations(path)
                self._contexts[key] = context
        except (OSError, ssl.SSLError) as exc:
            raise Blind(Reason.NO_TRUST, f"the trust anchors of {path} cannot be read ({type(exc).__name__}).") from exc
        return self._contexts[key]


def tls_trouble(exc: ssl.SSLError) -> Missed:
    """What a handshake that failed says about the peer."""
    if isinstance(exc, ssl.SSLCertVerificationError):
        return Missed(Reason.CERTIFICATE_INVALID, f"the certificate is not valid: {exc.verify_message}.")
    return Missed(Reason.TLS_FAILED, f"TLS failed: {exc.reason or 'no reason given'}.")


def expiry_days(certificate: dict[str, Any] | None, wall_seconds: float) -> float | None:
    """Days until a verified peer's certificate ends."""
    ends = (certificate or {}).get("notAfter")
    return (ssl.cert_time_to_seconds(ends) - wall_seconds) / 86_400 if isinstance(ends, str) else None
