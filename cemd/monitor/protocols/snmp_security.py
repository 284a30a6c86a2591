"""SNMPv3's user-based security: keys from passwords, signatures, sealing.

DES is not offered: its key is too short to keep a secret. AES-256 stretches the key as Blumenthal's draft does, which
Net-SNMP and most makers follow.

Source: RFC 3414 (keys, HMAC-MD5, HMAC-SHA-1), RFC 7860 (HMAC-SHA-2), RFC 3826 (AES in CFB mode).
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import replace
from enum import StrEnum
from functools import lru_cache

from cryptography.hazmat.decrepit.ciphers.modes import CFB
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms

from cemd.monitor.protocols import Malformed
from cemd.monitor.protocols.snmp import Answer, Frame, Security, read_scoped, unsigned, write_frame

_STRETCHED_BYTES = 1_048_576
_LARGEST = 2_147_483_647


class Authentication(StrEnum):
    """Hash under which messages are signed."""

    MD5 = "md5"
    SHA1 = "sha1"
    SHA224 = "sha224"
    SHA256 = "sha256"
    SHA384 = "sha384"
    SHA512 = "sha512"


class Privacy(StrEnum):
    """Cipher under which the content is sealed."""

    AES128 = "aes128"
    AES256 = "aes256"


SIGNATURE_BYTES = {
    Authentication.MD5: 12,
    Authentication.SHA1: 12,
    Authentication.SHA224: 16,
    Authentication.SHA256: 24,
    Authentication.SHA384: 32,
    Authentication.SHA512: 48,
}
_KEY_BYTES = {Privacy.AES128: 16, Privacy.AES256: 32}


@lru_cache(maxsize=256)
def _stretched(protocol: Authentication, password: bytes) -> bytes:
    """The user's key: a mebibyte of the password, hashed. Some milliseconds, so kept."""
    whole, rest = divmod(_STRETCHED_BYTES, len(password))
    return _digest(protocol, password * whole + password[:rest])


def _digest(protocol: Authentication, data: bytes) -> bytes:
    return hashlib.new(protocol.value, data).digest()


def local_key(protocol: Authentication, password: bytes, engine: bytes) -> bytes:
    """The key of a user at one engine; worthless at any other."""
    stretched = _stretched(protocol, password)
    return _digest(protocol, stretched + engine + stretched)


def sealing_key(protocol: Authentication, cipher: Privacy, password: bytes, engine: bytes) -> bytes:
    """The key under which a user's messages to one engine are sealed."""
    key = local_key(protocol, password, engine)
    while len(key) < _KEY_BYTES[cipher]:
        key += _digest(protocol, key)
    return key[: _KEY_BYTES[cipher]]


def signature(protocol: Authentication, key: bytes, message: bytes) -> bytes:
    """The signature of a message whose own signature is blank."""
    return hmac.new(key, message, protocol.value).digest()[: SIGNATURE_BYTES[protocol]]


def sign(frame: Frame, protocol: Authentication, key: bytes) -> bytes:
    """The whole message, signed."""
    blank = write_frame(unsigned(frame, SIGNATURE_BYTES[protocol]))
    made = signature(protocol, key, blank)
    return write_frame(replace(frame, security=replace(frame.security, signature=made)))


def is_signed(frame: Frame, blanked: bytes, protocol: Authentication, key: bytes) -> bool:
    """True if the signature of a message that was read is right."""
    return hmac.compare_digest(frame.security.signature, signature(protocol, key, blanked))


def seal(key: bytes, security: Security, content: bytes) -> bytes:
    """The content of a message, sealed under its boots, time and salt."""
    worker = _cipher(key, security).encryptor()
    return worker.update(content) + worker.finalize()


def unseal(key: bytes, security: Security, content: bytes) -> Answer:
    """The answer in a sealed message.

    Raises:
        Malformed: it cannot be opened with this key.
    """
    if len(security.salt) != 8 or not (0 <= security.boots <= _LARGEST and 0 <= security.time <= _LARGEST):
        raise Malformed("the salt, boots or time of a sealed message are not possible")
    worker = _cipher(key, security).decryptor()
    return read_scoped(worker.update(content) + worker.finalize())


def _cipher(key: bytes, security: Security) -> Cipher[CFB]:
    start = security.boots.to_bytes(4, "big") + security.time.to_bytes(4, "big") + security.salt
    return Cipher(algorithms.AES(key), CFB(start))
