"""An SSH connection up to a log-in: keys are exchanged, the server proves who it is, then a user signs in. No more.

The server's key must be one that is known: a password is shown to nobody else. Nothing is done after the log-in, no
channel is opened, so the server's log shows a session that began and ended.

Source: RFC 4253 (transport), RFC 4252 (log-in), RFC 4256 (questions with answers).
"""

from __future__ import annotations

import hmac
import os
from collections.abc import Callable
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, x25519
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from cemd.monitor.probes.base import Missed, Reason
from cemd.monitor.probes.engines.talk import Talk, shown
from cemd.monitor.protocols import Malformed, ssh
from cemd.monitor.protocols.ssh import Reader, string

MOST_PACKET = 35_000
"""What every implementation must take (RFC 4253, section 6.1); more is no packet of anybody."""
IDENTITY = b"SSH-2.0-cemd"
_BLOCK = 16
_MOST_PASSED_OVER = 100
_MOST_ROUNDS = 8
"""Questions of a server before its verdict; ordinary ones ask once."""


class Way:
    """One direction: how packets are written and read. In clear until keys are there."""

    def __init__(self) -> None:
        self._number = 0
        self._cipher: Any = None
        self._mac: Callable[[bytes], bytes] | None = None
        self.mac_bytes = 0

    def secure(self, cipher: Any, key: bytes, mac: str) -> None:
        """From the next packet on."""
        self._cipher, self.mac_bytes = cipher, hmac.new(b"", b"", mac).digest_size
        self._mac = lambda data: hmac.digest(key, data, mac)

    def written(self, payload: bytes) -> bytes:
        """A packet with its padding, sealed and signed where keys are there."""
        room = _BLOCK - (5 + len(payload)) % _BLOCK
        room += _BLOCK if room < 4 else 0
        plain = (1 + len(payload) + room).to_bytes(4, "big") + bytes((room,)) + payload + os.urandom(room)
        packet = plain if self._mac is None else self._cipher.update(plain) + self._mac(self._counted(plain))
        self._number += 1
        return packet

    async def read(self, talk: Talk) -> bytes:
        """The payload of the next packet.

        Raises:
            Missed: it is none.
        """
        head = await talk.exactly(_BLOCK if self._mac else 4)
        if self._mac is not None:
            head = self._cipher.update(head)
        size = int.from_bytes(head[:4], "big")
        if not 12 <= size <= MOST_PACKET or (self._mac is not None and (size + 4) % _BLOCK):
            raise Missed(Reason.PROTOCOL_BROKEN, f"a packet announces {size} bytes.")
        rest = await talk.exactly(size + 4 - len(head))
        plain = head + (rest if self._mac is None else self._cipher.update(rest))
        if self._mac is not None:
            proof = await talk.exactly(self.mac_bytes)
            if not hmac.compare_digest(proof, self._mac(self._counted(plain))):
                raise Missed(Reason.PROTOCOL_BROKEN, "a packet is not signed with the keys that were agreed to.")
        self._number += 1
        body = plain[5 : max(5, 4 + size - plain[4])]
        if not body:
            raise Missed(Reason.PROTOCOL_BROKEN, "a packet holds nothing.")
        return body

    def _counted(self, plain: bytes) -> bytes:
        return (self._number & 0xFFFF_FFFF).to_bytes(4, "big") + plain


class Session:
    """Our end. `greeting` is the server's line without its end."""

    def __init__(self, talk: Talk, greeting: bytes) -> None:
        self._talk, self._greeting = talk, greeting
        self._there, self._back = Way(), Way()
        self._theirs = b""
        self.offer: ssh.Offer = {}
        self._id = b""

    async def read_offer(self) -> None:
        """The server's first packet.

        Raises:
            Missed: it is no offer.
        """
        self._theirs = await self._back.read(self._talk)
        try:
            self.offer = ssh.read_offer(self._theirs)
        except Malformed as exc:
            raise Missed(Reason.PROTOCOL_BROKEN, f"{exc}.") from exc

    async def exchange_keys(self, known: frozenset[bytes]) -> None:
        """Agrees on keys with a server that proves to hold one of the known host keys.

        Raises:
            Missed: nothing in common, another key, or no proof of it.
        """
        host_keys = ssh.algorithms_of(known)
        agreed = ssh.agreed(self.offer, host_keys)
        if missing := [word for word in ssh.LISTS if word not in agreed]:
            offered = ssh.shown(self.offer[missing[0]])
            raise Missed(Reason.ANSWER_UNEXPECTED, f"of {missing[0]} the server offers {offered}, none of ours.")
        ours = ssh.write_offer(os.urandom(16), host_keys)
        await self.say(ours)
        mine, shared = _half(agreed["key exchange"])
        await self.say(bytes((ssh.KEX_INIT,)) + string(mine))
        try:
            reply = Reader((await self.hear(ssh.KEX_REPLY))[1:])
            key, theirs, signature = reply.string(), reply.string(), reply.string()
            if key not in known:
                words = f"the server's host key {ssh.fingerprint(key)} is none of those that are known."
                raise Missed(Reason.NOT_AUTHENTICATED, words)
            secret = shared(theirs)
            digest = ssh.exchange_hash(
                IDENTITY, self._greeting, ours, self._theirs, key, mine, theirs, secret=secret
            )  # fmt: skip
            right = ssh.is_signed(key, agreed["host key"], signature, digest)
        except (Malformed, ValueError) as exc:
            raise Missed(Reason.PROTOCOL_BROKEN, f"the key exchange broke: {exc}.") from exc
        if not right:
            raise Missed(Reason.SIGNATURE_INVALID, "the server does not hold the host key that it shows.")
        await self.say(bytes((ssh.NEWKEYS,)))
        await self.hear(ssh.NEWKEYS)
        self._id = digest
        self._secure(self._there, secret, digest, (agreed["cipher"], agreed["mac"]), b"ACE", sealing=True)
        self._secure(self._back, secret, digest, (agreed["cipher back"], agreed["mac back"]), b"BDF", sealing=False)

    def _secure(
        self, way: Way, secret: bytes, digest: bytes, names: tuple[str, str], letters: bytes, *, sealing: bool
    ) -> None:
        cipher, mac = names
        sizes = (_BLOCK, ssh.CIPHERS[cipher], hmac.new(b"", b"", ssh.MACS[mac]).digest_size)
        start, key, proof = (
            ssh.derived(secret, digest, self._id, bytes((letter,)), size)
            for letter, size in zip(letters, sizes, strict=True)
        )
        made = Cipher(algorithms.AES(key), modes.CTR(start))
        way.secure(made.encryptor() if sealing else made.decryptor(), proof, ssh.MACS[mac])

    async def log_in(self, user: str, password: str | None, key: ssh.PrivateKey | None) -> None:
        """Signs in with a key, or with a password: outright, or as the answer to the server's question.

        Raises:
            Missed: the server does not let the user in.
        """
        await self.say(bytes((ssh.SERVICE_REQUEST,)) + string(b"ssh-userauth"))
        await self.hear(ssh.SERVICE_ACCEPT)
        head = bytes((ssh.LOGIN,)) + string(user.encode()) + string(b"ssh-connection")
        if key is not None:
            request = head + string(b"publickey") + b"\1" + string(ssh.name_of(key)) + string(ssh.public_blob(key))
            await self.say(request + string(ssh.signed(key, string(self._id) + request)))
            offered = await self._verdict(None)
        else:
            word = (password or "").encode()
            await self.say(head + string(b"password") + b"\0" + string(word))
            offered = await self._verdict(None)
            if offered is not None and "password" not in offered and "keyboard-interactive" in offered:
                await self.say(head + string(b"keyboard-interactive") + string(b"") + string(b""))
                offered = await self._verdict(word)
        if offered is not None:
            ways = f"; it takes {ssh.shown(offered)}" if any(offered) else ""
            raise Missed(Reason.LOGIN_REFUSED, f"the server does not let the user in{ways}.")

    async def _verdict(self, word: bytes | None) -> tuple[str, ...] | None:
        """None: the user is in; else the ways that the server takes. `word` answers what it asks without echo."""
        for _ in range(_MOST_ROUNDS):
            answer = await self.hear(ssh.WELCOME, ssh.REFUSED, ssh.ASKS)
            if answer[0] == ssh.WELCOME:
                return None
            try:
                reader = Reader(answer[1:])
                if answer[0] == ssh.REFUSED:
                    return reader.names()
                if word is None:
                    raise Missed(Reason.LOGIN_REFUSED, "the server wants the password to be changed.")
                await self.say(_answers(reader, word))
            except Malformed as exc:
                raise Missed(Reason.PROTOCOL_BROKEN, f"{exc}.") from exc
        raise Missed(Reason.PROTOCOL_BROKEN, f"the server asked {_MOST_ROUNDS} times without a verdict.")

    async def leave(self) -> None:
        """Disconnect, by application: so the server's log says that nobody tried to break in."""
        await self.say(bytes((ssh.DISCONNECT,)) + (11).to_bytes(4, "big") + string(b"probe") + bytes(4))

    async def say(self, payload: bytes) -> None:
        await self._talk.say(self._there.written(payload))

    async def hear(self, *wanted: int) -> bytes:
        """The payload of the next packet that is for us; its first byte, which says what it is, must be one of these.

        Raises:
            Missed: another came, or the server took leave.
        """
        for _ in range(_MOST_PASSED_OVER):
            payload = await self._back.read(self._talk)
            kind = payload[0]
            if kind in wanted:
                return payload
            if kind == ssh.DISCONNECT:
                raise Missed(Reason.CLOSED_EARLY, f"the server takes leave: {shown(payload[9:])}.")
            if kind not in {ssh.IGNORE, ssh.DEBUG, ssh.UNIMPLEMENTED, ssh.EXT_INFO, ssh.BANNER}:
                raise Missed(Reason.PROTOCOL_BROKEN, f"packet {kind} is no answer.")
        raise Missed(Reason.PROTOCOL_BROKEN, f"{_MOST_PASSED_OVER} packets came, and none is an answer.")


def _answers(question: Reader, word: bytes) -> bytes:
    """The word to each prompt that is not echoed, nothing to others."""
    for _ in range(3):  # name, instruction, language
        question.string()
    count = question.number()
    if count > 10:
        raise Malformed("the server asks too much at once")
    prompts = [(question.string(), question.flag()) for _ in range(count)]
    said = b"".join(string(b"" if echoed else word) for _, echoed in prompts)
    return bytes((ssh.ANSWERS,)) + count.to_bytes(4, "big") + said


def _half(exchange: str) -> tuple[bytes, Callable[[bytes], bytes]]:
    """Our half of a key exchange, and what makes the shared number of it and the other half (ValueError: of none)."""
    if exchange == "ecdh-sha2-nistp256":
        private = ec.generate_private_key(ec.SECP256R1())
        point = private.public_key().public_bytes(
            serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint
        )
        return point, lambda other: private.exchange(
            ec.ECDH(), ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), other)
        )
    own = x25519.X25519PrivateKey.generate()
    return own.public_key().public_bytes_raw(), lambda other: own.exchange(
        x25519.X25519PublicKey.from_public_bytes(other)
    )
