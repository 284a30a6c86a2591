"""SSH up to the keys of a connection, as pure functions: what is said, what it means, what both sides work out of it.

Of the algorithms those that every server of the last ten years has: curve25519 and P-256 for the exchange, AES in
counter mode with HMAC, host keys of Ed25519, ECDSA over P-256 and RSA with SHA-2.

Source: RFC 4251 (types), RFC 4253 (packets, key exchange), RFC 5656 and RFC 8731 (curves), RFC 8332 (RSA).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import TypeAlias

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature

from cemd.monitor.protocols import Malformed

DISCONNECT, IGNORE, UNIMPLEMENTED, DEBUG, SERVICE_REQUEST, SERVICE_ACCEPT, EXT_INFO = 1, 2, 3, 4, 5, 6, 7
KEXINIT, NEWKEYS, KEX_INIT, KEX_REPLY = 20, 21, 30, 31
LOGIN, REFUSED, WELCOME, BANNER, ASKS, ANSWERS = 50, 51, 52, 53, 60, 61

EXCHANGES = ("curve25519-sha256", "curve25519-sha256@libssh.org", "ecdh-sha2-nistp256")
HOST_KEYS = ("ssh-ed25519", "ecdsa-sha2-nistp256", "rsa-sha2-512", "rsa-sha2-256")
CIPHERS = {"aes128-ctr": 16, "aes256-ctr": 32}
"""Bytes of the key."""
MACS = {"hmac-sha2-256": "sha256", "hmac-sha2-512": "sha512", "hmac-sha1": "sha1"}
LISTS = ("key exchange", "host key", "cipher", "cipher back", "mac", "mac back")
"""Lists of an offer that are looked at, in their order."""
Offer: TypeAlias = dict[str, tuple[str, ...]]
PublicKey: TypeAlias = ed25519.Ed25519PublicKey | ec.EllipticCurvePublicKey | rsa.RSAPublicKey
PrivateKey: TypeAlias = ed25519.Ed25519PrivateKey | ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey
_MOST_LISTED = 10_000


def string(data: bytes) -> bytes:
    """A text with its length before it."""
    return len(data).to_bytes(4, "big") + data


def mpint(number: bytes) -> bytes:
    """An unsigned number, big end first, as a multiple precision integer."""
    number = number.lstrip(b"\0")
    return string(b"\0" + number if number[:1] >= b"\x80" else number)


class Reader:
    """Walks over the fields of a message. `Malformed` where it ends early."""

    def __init__(self, data: bytes) -> None:
        self._data, self._at = data, 0

    def take(self, size: int) -> bytes:
        """So many bytes."""
        if self._at + size > len(self._data):
            raise Malformed("a message of SSH is cut short")
        self._at += size
        return self._data[self._at - size : self._at]

    def string(self) -> bytes:
        """A text with its length before it."""
        return self.take(int.from_bytes(self.take(4), "big"))

    def number(self) -> int:
        """Four bytes."""
        return int.from_bytes(self.take(4), "big")

    def flag(self) -> bool:
        """One byte."""
        return self.take(1) != b"\0"

    def names(self) -> tuple[str, ...]:
        """Names with commas between them."""
        return tuple(self.string()[:_MOST_LISTED].decode("ascii", errors="replace").split(","))


def read_offer(payload: bytes) -> Offer:
    """A peer's offer of algorithms.

    Raises:
        Malformed: it is none.
    """
    reader = Reader(payload)
    if reader.take(1) != bytes((KEXINIT,)):
        raise Malformed("the first packet is no offer of algorithms")
    reader.take(16)
    offer: Offer = {}
    for word in LISTS:
        try:
            offer[word] = reader.names()
        except Malformed as exc:
            raise Malformed(f"the offer ends within its list of {word} algorithms") from exc
    return offer


def write_offer(cookie: bytes, host_keys: Sequence[str]) -> bytes:
    """Our own."""
    lists = (EXCHANGES, host_keys, CIPHERS, CIPHERS, MACS, MACS, ("none",), ("none",), (), ())
    return bytes((KEXINIT,)) + cookie + b"".join(string(",".join(one).encode()) for one in lists) + bytes(5)


def agreed(offer: Offer, host_keys: Sequence[str]) -> dict[str, str]:
    """The first of ours, of each list, that the peer offers as well; without those of which it offers none."""
    ours: tuple[Iterable[str], ...] = (EXCHANGES, host_keys, CIPHERS, CIPHERS, MACS, MACS)
    found = {
        word: next((one for one in known if one in offer[word]), "") for word, known in zip(LISTS, ours, strict=True)
    }
    return {word: name for word, name in found.items() if name}


def shown(names: Iterable[str]) -> str:
    """Names of algorithms for people, without those who invented them: these look like addresses of people."""
    return ", ".join(name.partition("@")[0] for name in names)[:200]


def exchange_hash(*strings: bytes, secret: bytes) -> bytes:
    """What both sides sign and work their keys out of; `secret` is the shared number, big end first."""
    return hashlib.sha256(b"".join(map(string, strings)) + mpint(secret)).digest()


def derived(secret: bytes, digest: bytes, session: bytes, letter: bytes, size: int) -> bytes:
    """A key of so many bytes for one purpose, `letter` A to F (RFC 4253, section 7.2)."""
    made = hashlib.sha256(mpint(secret) + digest + letter + session).digest()
    while len(made) < size:
        made += hashlib.sha256(mpint(secret) + digest + made).digest()
    return made[:size]


def is_signed(key: bytes, algorithm: str, signature: bytes, data: bytes) -> bool:
    """Whether the holder of a host key (as it is sent) has signed.

    Raises:
        Malformed: key or signature are none of the algorithm.
    """
    public, reader = _public(key), Reader(signature)
    if reader.string().decode("ascii", errors="replace") != algorithm:
        raise Malformed("the signature is of another algorithm than was agreed to")
    proof = reader.string()
    try:
        match public:
            case ed25519.Ed25519PublicKey() if algorithm == "ssh-ed25519":
                public.verify(proof, data)
            case ec.EllipticCurvePublicKey() if algorithm == "ecdsa-sha2-nistp256":
                pair = Reader(proof)
                numbers = (int.from_bytes(pair.string(), "big") for _ in range(2))
                public.verify(encode_dss_signature(*numbers), data, ec.ECDSA(hashes.SHA256()))
            case rsa.RSAPublicKey() if algorithm in _RSA_HASHES:
                public.verify(proof, data, padding.PKCS1v15(), _RSA_HASHES[algorithm])
            case _:
                raise Malformed("the host key is not of the algorithm that was agreed to")
    except InvalidSignature:
        return False
    return True


_RSA_HASHES: dict[str, hashes.HashAlgorithm] = {"rsa-sha2-512": hashes.SHA512(), "rsa-sha2-256": hashes.SHA256()}


def _public(key: bytes) -> PublicKey:
    kind = Reader(key).string()
    try:
        found = serialization.load_ssh_public_key(kind + b" " + base64.b64encode(key))
    except (ValueError, UnsupportedAlgorithm) as exc:
        raise Malformed("the host key cannot be read") from exc
    if not isinstance(found, PublicKey):
        raise Malformed("the host key is of a kind that is not taken")
    return found


def signed(key: PrivateKey, data: bytes) -> bytes:
    """Our signature under `data`, with the name of its algorithm."""
    match key:
        case ed25519.Ed25519PrivateKey():
            return string(b"ssh-ed25519") + string(key.sign(data))
        case ec.EllipticCurvePrivateKey():
            pair = decode_dss_signature(key.sign(data, ec.ECDSA(hashes.SHA256())))
            numbers = (mpint(one.to_bytes(32, "big")) for one in pair)
            return string(b"ecdsa-sha2-nistp256") + string(b"".join(numbers))
        case rsa.RSAPrivateKey():
            return string(b"rsa-sha2-256") + string(key.sign(data, padding.PKCS1v15(), hashes.SHA256()))


def name_of(key: PrivateKey) -> bytes:
    """The algorithm that `signed` signs with."""
    return Reader(signed(key, b"")).string()


def public_blob(key: PrivateKey) -> bytes:
    """The public half as it is sent."""
    line = key.public_key().public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
    return base64.b64decode(line.split(b" ")[1])


def read_private(text: bytes) -> PrivateKey:
    """A key from its file, of OpenSSH or PEM, without a passphrase.

    Raises:
        ValueError: it is none that can be used.
    """
    load = serialization.load_ssh_private_key if b"OPENSSH" in text else serialization.load_pem_private_key
    try:
        key = load(text, None)
    except (UnsupportedAlgorithm, TypeError) as exc:
        raise ValueError("it has a passphrase, or is of a kind that is not known") from exc
    if not isinstance(key, PrivateKey) or (isinstance(key, ec.EllipticCurvePrivateKey) and key.key_size != 256):
        raise ValueError("it is neither of Ed25519, nor of RSA, nor of ECDSA over P-256")
    return key


def read_host_keys(text: str) -> frozenset[bytes]:
    """Keys as they are sent, from lines as `ssh-keyscan` prints them or as files of public keys hold them.

    Raises:
        ValueError: there is none.
    """
    found = set[bytes]()
    for line in text.splitlines():
        words = line.split()
        if not words or words[0].startswith(("#", "@")):
            continue
        for kind, coded in pairwise(words):
            try:
                key = base64.b64decode(coded, validate=True)
            except (binascii.Error, ValueError):
                continue
            if kind in _KINDS.values() and key.startswith(string(kind.encode())):
                found.add(key)
    if not found:
        raise ValueError("no public key of a kind that is taken stands there")
    return frozenset(found)


_KINDS = {**{name: name for name in HOST_KEYS[:2]}, **dict.fromkeys(HOST_KEYS[2:], "ssh-rsa")}
"""Algorithm of a signature -> kind of the key that makes it."""


def algorithms_of(keys: Iterable[bytes]) -> tuple[str, ...]:
    """Those by which the holders of these keys can prove themselves: what a server that has others too is asked for."""
    kinds = {Reader(key).string().decode("ascii", errors="replace") for key in keys}
    return tuple(name for name in HOST_KEYS if _KINDS[name] in kinds)


def fingerprint(key: bytes) -> str:
    """A key in words for people, as OpenSSH shows it."""
    digest = base64.b64encode(hashlib.sha256(key).digest()).rstrip(b"=").decode()
    kind = key[4 : 4 + int.from_bytes(key[:4], "big")][:40].decode("ascii", errors="replace")
    return f"{kind} SHA256:{digest}"
