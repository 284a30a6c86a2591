"""Keyed digests of addresses and references: equal addresses are recognised, none can be guessed without the key.

Pure functions. Addresses are normalised first, so that `Ann@Example.net ` and `ann@example.net` are one person's.
"""

from __future__ import annotations

import hashlib

from cemd.model.customers import ChannelKind


def normalised(kind: int, address: str) -> str:
    """The form of an address that is compared: mail in lower case, numbers as digits with their plus."""
    text = address.strip()
    match kind:
        case ChannelKind.EMAIL:
            return text.lower()
        case ChannelKind.SMS:
            digits = "".join(sign for sign in text if sign.isdigit())
            return ("+" + digits if text.startswith(("+", "00")) else digits).replace("+00", "+")
        case _:
            return text


def address_digest(key: bytes, kind: int, address: str) -> int:
    """Signed 64-bit keyed digest of the normalised address; never 0, which means "no address"."""
    text = f"{kind}\x1f{normalised(kind, address)}".encode()
    digest = hashlib.blake2b(text, key=key, digest_size=8, person=b"cemd-address").digest()
    return int.from_bytes(digest, "little", signed=True) or 1


def reference_digest(key: bytes, reference: str) -> bytes:
    """16 bytes that stand for a customer reference, also after the reference itself was erased."""
    return hashlib.blake2b(reference.encode(), key=key, digest_size=16, person=b"cemd-reference").digest()
