"""Certificates: whether one bears a name, when it ends, and what a stapled OCSP answer says about it."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from datetime import UTC, datetime

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, padding, rsa
from cryptography.x509 import ocsp
from cryptography.x509.oid import ExtendedKeyUsageOID


def bears(certificate: x509.Certificate, name: str) -> bool:
    """Whether a certificate is for this host: by its alternative names alone, `*` for one whole first label.

    Source: RFC 9525, sections 6.3 and 6.4.
    """
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, ValueError):
        return False
    try:
        return ipaddress.ip_address(name) in names.get_values_for_type(x509.IPAddress)
    except ValueError:
        pass
    return any(_matches(found, name) for found in names.get_values_for_type(x509.DNSName))


def names_of(certificate: x509.Certificate) -> list[str]:
    """The alternative names that hosts can have, names before addresses, as they stand; empty where it has none."""
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, ValueError):
        return []
    return [*names.get_values_for_type(x509.DNSName), *map(str, names.get_values_for_type(x509.IPAddress))]


def bears_as_ever(certificate: x509.Certificate, name: str) -> bool:
    """The same as libcurl sees it: of a certificate without any alternative name, the common name counts."""
    try:
        certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except x509.ExtensionNotFound:
        names = certificate.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)
        return any(_matches(str(one.value), name) for one in names)
    except ValueError:
        return False
    return bears(certificate, name)


def _matches(found: str, name: str) -> bool:
    labels, wanted = _labels(found), _labels(name)
    return labels == wanted or (labels[0] == "*" and len(labels) > 2 and labels[1:] == wanted[1:])


def _labels(name: str) -> list[str]:
    try:
        return name.encode("idna").decode().lower().rstrip(".").split(".")
    except UnicodeError:
        return name.lower().rstrip(".").split(".")


def days_left(certificate: x509.Certificate, wall_seconds: float) -> float:
    """Days until it ends."""
    return (certificate.not_valid_after_utc.timestamp() - wall_seconds) / 86_400


def subject(certificate: x509.Certificate) -> str:
    """Its common name, else its whole subject, for people."""
    names = certificate.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)
    return str(names[0].value) if names else certificate.subject.rfc4514_string() or "a certificate without a subject"


class BadStaple(Exception):  # noqa: N818 -- a finding about the peer
    """A stapled OCSP answer that does not vouch for the certificate; says why."""


def issuer_of(leaf: x509.Certificate, others: Iterable[x509.Certificate]) -> x509.Certificate | None:
    """Who of these has issued a certificate, wherever it stands among them."""
    for one in others:
        try:
            leaf.verify_directly_issued_by(one)
        except (InvalidSignature, ValueError, TypeError):
            continue
        return one
    return None


def staple_ends_at(
    answer: bytes, leaf: x509.Certificate, issuer: x509.Certificate | None, wall_seconds: float
) -> float:
    """Until when (seconds since 1970) a stapled answer vouches for the leaf.

    Raises:
        BadStaple: it says revoked, it is not about this certificate, it has ended, or nobody who may has signed it, as
            far as the issuer is known.
    """
    try:
        found = ocsp.load_der_ocsp_response(answer)
        if found.response_status is not ocsp.OCSPResponseStatus.SUCCESSFUL:
            raise BadStaple(f"the stapled OCSP answer says {found.response_status.name.lower()}")
        if found.serial_number != leaf.serial_number:
            raise BadStaple("the stapled OCSP answer is about another certificate")
        if found.certificate_status is not ocsp.OCSPCertStatus.GOOD:
            raise BadStaple(f"the stapled OCSP answer says {found.certificate_status.name.lower()}")
        ends = found.next_update_utc
        now = datetime.fromtimestamp(wall_seconds, UTC)
        if found.this_update_utc > now or (ends is not None and ends < now):
            raise BadStaple("the stapled OCSP answer is not of today")
        if issuer is None:
            raise BadStaple("the stapled OCSP answer cannot be verified, for the issuer is not known")
        if not _signed(found, issuer, now):
            raise BadStaple("the stapled OCSP answer is not signed by the issuer")
    except (ValueError, UnsupportedAlgorithm) as exc:
        raise BadStaple(f"the stapled OCSP answer cannot be read ({type(exc).__name__})") from exc
    return ends.timestamp() if ends is not None else wall_seconds


def _signed(found: ocsp.OCSPResponse, issuer: x509.Certificate, now: datetime) -> bool:
    """Whether the issuer signed the answer, or somebody whom the issuer appointed (RFC 6960, section 4.2.2.2)."""
    return any(
        _verifies(signer, found.signature, found.tbs_response_bytes, found)
        for signer in (issuer, *(one for one in found.certificates if _appointed(one, issuer, now)))
    )


def _appointed(certificate: x509.Certificate, issuer: x509.Certificate, now: datetime) -> bool:
    if not certificate.not_valid_before_utc <= now <= certificate.not_valid_after_utc:
        return False
    try:
        certificate.verify_directly_issued_by(issuer)
        usage = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except (InvalidSignature, ValueError, TypeError, x509.ExtensionNotFound):
        return False
    return ExtendedKeyUsageOID.OCSP_SIGNING in usage


def _verifies(signer: x509.Certificate, signature: bytes, data: bytes, found: ocsp.OCSPResponse) -> bool:
    key, digest = signer.public_key(), found.signature_hash_algorithm
    try:
        if isinstance(key, rsa.RSAPublicKey) and digest is not None:
            key.verify(signature, data, padding.PKCS1v15(), digest)
        elif isinstance(key, ec.EllipticCurvePublicKey) and digest is not None:
            key.verify(signature, data, ec.ECDSA(digest))
        elif isinstance(key, ed25519.Ed25519PublicKey | ed448.Ed448PublicKey):
            key.verify(signature, data)
        else:
            return False
    except InvalidSignature:
        return False
    return True
