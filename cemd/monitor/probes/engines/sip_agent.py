"""A SIP user agent for one attempt: asks until it is answered, proves who we are, ends what it began.

One socket, one call identity. Answers are matched by branch and method; whatever else comes is dropped. A call that was
placed is hung up or taken back, also when the attempt is cut short: nobody's telephone rings on for a probe.

Source: RFC 3261 (transactions, timers of section 17), RFC 8760 (digests), RFC 3581 (`rport`).
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import secrets
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from cemd.monitor.probes.base import Missed, Reason, library

FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.5, 4.0  # T1 and T2
_LARGEST = 65_535
_HASHES = {"SHA-256": "sha256", "MD5": "md5", "": "md5"}  # strongest first; no name means MD5


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Who we say that we are."""

    uri: str
    user: str = ""
    password: str = field(default="", repr=False)


class Wire:
    """The socket: a datagram a message, or messages in a stream by their length."""

    def __init__(self, door: Any, *, stream: bool, secure: bool = False) -> None:
        self._door = door
        self.stream = stream
        self.transport = "TLS" if secure else "TCP" if stream else "UDP"
        self._held = bytearray()

    async def send(self, message: bytes) -> None:
        await self._door.send(message)

    def send_now(self, message: bytes) -> None:
        """One try without waiting; what cannot leave at once does not leave."""
        with contextlib.suppress(OSError):
            self._door.send_now(message)

    async def receive(self) -> Any:
        """The next answer; None for what is none.

        Raises:
            Missed: the stream ended, or never ends a message.
        """
        if not self.stream:
            return _parse(await self._door.receive(_LARGEST))
        while (whole := self._cut()) is None:
            data = await self._door.receive(_LARGEST)
            if not data:
                raise Missed(Reason.CLOSED_EARLY, "the server closed the connection without an answer.")
            self._held += data
            if len(self._held) > _LARGEST:
                raise Missed(Reason.ANSWER_TOO_LARGE, "a message is larger than 65,535 bytes.")
        return _parse(whole)

    def _cut(self) -> bytes | None:
        """The first whole message of what came, taken out."""
        end = self._held.find(b"\r\n\r\n")
        if end < 0:
            return None
        size = 0
        for line in bytes(self._held[:end]).split(b"\r\n"):
            name, _, value = line.partition(b":")
            if name.strip().lower() in (b"content-length", b"l") and value.strip().isdigit():
                size = int(value.strip()[:9])
        if len(self._held) < end + 4 + size:
            return None
        whole = bytes(self._held[: end + 4 + size])
        del self._held[: end + 4 + size]
        return whole


def _parse(data: bytes) -> Any:
    codec = library("sipmessage", "sip")
    try:
        message = codec.Message.parse(data)
    except Exception:  # noqa: BLE001 -- hostile bytes find ways that the codec does not name
        return None
    return message if isinstance(message, codec.Response) else None


@dataclass(slots=True)
class _Sent:
    """A request that left: what its answers are matched by, and what takes it back."""

    method: str
    branch: str
    number: int
    uri: str
    headers: dict[str, str]


class Agent:
    """Sends the requests of one attempt."""

    def __init__(self, wire: Wire, identity: Identity, local: tuple[str, int], target: str) -> None:
        self._wire = wire
        self._identity = identity
        self._local = f"[{local[0]}]:{local[1]}" if ":" in local[0] else f"{local[0]}:{local[1]}"
        self._target = target
        self._call = secrets.token_hex(12)
        self._tag = secrets.token_hex(5)
        self._number = 0
        self._call_standing: _Sent | None = None
        self._remote = ""
        """`To` of the answer with its tag: set once a call was answered."""

    async def request(
        self,
        method: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
        heard: Callable[[int], None] | None = None,
    ) -> Any:
        """The final answer, after the credentials were shown where the server asked for them.

        Args:
            heard: told the code of every answer on the way, provisional ones too.

        Raises:
            Missed: the server asks for credentials that we have not, or does not take ours.
        """
        more = dict(headers or {})
        shown: set[str] = set()
        while True:
            answer = await self._transact(method, more, body, heard)
            if answer.code not in (401, 407):
                return answer
            challenge, name = _challenge(answer)
            if challenge is None:
                raise Missed(Reason.NOT_AUTHENTICATED, f"answered {answer.code} without a digest that we can make.")
            fresh = name not in shown or challenge.get("stale", "").lower() == "true"
            if not self._identity.password or not fresh or len(shown) > 2:
                words = "our password or user is not taken" if self._identity.password else "credentials are asked for"
                raise Missed(Reason.NOT_AUTHENTICATED, f"answered {answer.code}: {words}.")
            shown.add(name)
            more[name] = credentials(challenge, self._identity, method, self._target)

    async def hang_up(self, answer: Any) -> float:
        """Ends an answered call; how long the far end took to say so."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        await self._transact("BYE", self._in_dialog(answer), b"", None, uri=_contact(answer) or self._target)
        self._call_standing = None
        return loop.time() - began

    async def take_back(self) -> None:
        """Cancels a call that rings, and confirms its end."""
        standing = self._call_standing
        if standing is None:
            return
        cancel, pause = self._write(standing, "CANCEL"), FIRST_PAUSE_SECONDS
        while True:
            await self._wire.send(cancel)
            try:
                async with asyncio.timeout(None if self._wire.stream else pause):
                    answer = await self._decided(standing)
            except TimeoutError:
                pause = min(2 * pause, LONGEST_PAUSE_SECONDS)
                continue
            break
        await self._acknowledge(standing, answer)
        if answer.code < 300:  # it was answered in this moment
            await self.hang_up(answer)
        self._call_standing = None

    async def _decided(self, sent: _Sent) -> Any:
        """The final answer to a request."""
        while (answer := await self._next(sent)).code < 200:
            pass
        return answer

    def leave(self) -> None:
        """The attempt is cut short: what stands is ended with one word, without waiting."""
        standing = self._call_standing
        if standing is not None:
            self._wire.send_now(self._write(standing, "BYE" if self._remote else "CANCEL"))
            self._call_standing = None

    async def _transact(
        self,
        method: str,
        headers: Mapping[str, str],
        body: bytes,
        heard: Callable[[int], None] | None,
        *,
        uri: str = "",
    ) -> Any:
        self._number += 1
        branch = f"z9hG4bK{secrets.token_hex(8)}"
        sent = _Sent(method, branch, self._number, uri or self._target, dict(headers))
        if method == "INVITE":
            self._call_standing = sent
        message = self._write(sent, method, body)
        pause = FIRST_PAUSE_SECONDS
        provisional = False
        await self._wire.send(message)
        while True:
            patient = self._wire.stream or (provisional and method == "INVITE")
            try:
                async with asyncio.timeout(None if patient else pause):
                    answer = await self._next(sent)
            except TimeoutError:
                pause = min(2 * pause, LONGEST_PAUSE_SECONDS)
                await self._wire.send(message)
                continue
            if heard is not None:
                heard(answer.code)
            if answer.code < 200:
                provisional = True
                continue
            if method == "INVITE":
                await self._acknowledge(sent, answer)
                self._call_standing = sent if answer.code < 300 else None
            return answer

    async def _next(self, sent: _Sent) -> Any:
        while True:
            answer = await self._wire.receive()
            if answer is not None and _answers(answer, sent):
                return answer

    async def _acknowledge(self, sent: _Sent, answer: Any) -> None:
        remote = answer.headers.get("To") or ""
        if answer.code < 300:
            self._remote = remote
            headers = self._in_dialog(answer)
            branch = f"z9hG4bK{secrets.token_hex(8)}"
            confirmed = _Sent("ACK", branch, sent.number, _contact(answer) or self._target, headers)
            sent.headers, sent.uri = headers, confirmed.uri
        else:
            confirmed = _Sent("ACK", sent.branch, sent.number, sent.uri, {**_routing(sent.headers), "To": remote})
        await self._wire.send(self._write(confirmed, "ACK"))

    def _in_dialog(self, answer: Any) -> dict[str, str]:
        routes = list(reversed(answer.headers.getlist("Record-Route")))
        headers = {"To": answer.headers.get("To") or ""}
        return {**headers, "Route": ", ".join(routes)} if routes else headers

    def _write(self, sent: _Sent, method: str, body: bytes = b"") -> bytes:
        number = sent.number + 1 if method == "BYE" and sent.method != "BYE" else sent.number
        lines = {
            "Via": f"SIP/2.0/{self._wire.transport} {self._local};branch={sent.branch};rport",
            "Max-Forwards": "70",
            "From": f"<{self._identity.uri}>;tag={self._tag}",
            "To": f"<{self._target}>",
            "Call-ID": self._call,
            "CSeq": f"{number} {method}",
            "User-Agent": "cemd",
            **(sent.headers if method != "CANCEL" else _routing(sent.headers)),
            "Content-Length": str(len(body)),
        }
        head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
        return f"{method} {sent.uri} SIP/2.0\r\n{head}\r\n".encode() + body


def _routing(headers: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in headers.items() if name == "Route"}


def _answers(answer: Any, sent: _Sent) -> bool:
    try:
        return bool(answer.via[0].parameters.get("branch") == sent.branch and answer.cseq.method == sent.method)
    except Exception:  # noqa: BLE001 -- headers that are missing or do not parse
        return False


def _contact(answer: Any) -> str:
    try:
        return str(answer.contact[0].uri)
    except Exception:  # noqa: BLE001 -- missing, or does not parse
        return ""


def _challenge(answer: Any) -> tuple[dict[str, str] | None, str]:
    """Parameters of the strongest digest that we can make, and the header that answers it."""
    codec = library("sipmessage", "sip")
    proxy = answer.code == 407
    found: dict[str, dict[str, str]] = {}
    for value in answer.headers.getlist("Proxy-Authenticate" if proxy else "WWW-Authenticate"):
        try:
            challenge = codec.AuthChallenge.parse(value)
        except ValueError:
            continue
        parameters = {name.lower(): text for name, text in challenge.parameters.items()}
        if challenge.scheme.lower() == "digest" and "nonce" in parameters and "realm" in parameters:
            found.setdefault(parameters.get("algorithm", "").upper(), parameters)
    best = next((found[name] for name in _HASHES if name in found), None)
    return best, "Proxy-Authorization" if proxy else "Authorization"


def credentials(challenge: Mapping[str, str], identity: Identity, method: str, uri: str, *, cnonce: str = "") -> str:
    """The header that answers a digest challenge.

    Source: RFC 7616, section 3.4; without `qop` as RFC 2069 has it.
    """
    algorithm = challenge.get("algorithm", "")

    def digest(*parts: str) -> str:
        return hashlib.new(_HASHES[algorithm.upper()], ":".join(parts).encode()).hexdigest()

    realm, nonce, count = challenge["realm"], challenge["nonce"], "00000001"
    own = cnonce or secrets.token_hex(8)
    who, what = digest(identity.user, realm, identity.password), digest(method, uri)
    auth = "auth" in [word.strip() for word in challenge.get("qop", "").split(",")]
    proof = digest(who, nonce, count, own, "auth", what) if auth else digest(who, nonce, what)
    quoted = {"username": identity.user, "realm": realm, "nonce": nonce, "uri": uri, "response": proof}
    if "opaque" in challenge:
        quoted["opaque"] = challenge["opaque"]
    parts = [f'{name}="{_escaped(value)}"' for name, value in quoted.items()]
    parts += [f"algorithm={algorithm}"] if algorithm else []
    parts += ["qop=auth", f"nc={count}", f'cnonce="{own}"'] if auth else []
    return "Digest " + ", ".join(parts)


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')


class Door:
    """A connected socket of the loop; a stream may be wrapped in TLS by streams of its own."""

    def __init__(self, door: socket.socket) -> None:
        self._door = door

    async def send(self, data: bytes) -> None:
        await asyncio.get_running_loop().sock_sendall(self._door, data)

    def send_now(self, data: bytes) -> None:
        self._door.send(data)

    async def receive(self, size: int) -> bytes:
        return await asyncio.get_running_loop().sock_recv(self._door, size)
