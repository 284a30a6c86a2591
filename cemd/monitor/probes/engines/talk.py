"""A conversation over one connection: said, heard within limits, TLS begun at any point, and closed whatever happens.

What a peer says is bounded (bytes) and never waited for beyond the attempt's deadline, which ends every wait from
outside. TLS runs over memory, so that the same socket can speak in clear first and one way of reading serves both.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import re
import socket
import ssl
from types import TracebackType

from cemd.monitor.probes.base import Missed, Reason
from cemd.monitor.probes.engines.names import trouble
from cemd.monitor.probes.engines.trust import tls_trouble

_CHUNK = 16_384
_SHOWN = 80


class Talk:
    """One conversation. `most_bytes` bounds what is heard for one answer; `peer` names the other side in words."""

    def __init__(self, door: socket.socket, peer: str, *, most_bytes: int = 65_536) -> None:
        self._door = door
        self._peer = peer
        self._most = most_bytes
        self._heard = bytearray()
        self._ended = False
        self._tls: ssl.SSLObject | None = None
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()

    def __enter__(self) -> Talk:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._door.close()

    async def say(self, data: bytes) -> None:
        """Sends all of it.

        Raises:
            Missed: the peer is gone.
        """
        if self._tls is not None:
            self._tls.write(data)
            data = self._outgoing.read()
        await self._send(data)

    def acknowledge_at_once(self) -> None:
        """What has come by now is acknowledged without delay (TCP_QUICKACK, which holds for a while): a peer that waits
        for that before it says its next word (Nagle) would seem forty milliseconds slower than it is."""
        with contextlib.suppress(OSError):
            self._door.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)

    async def line(self) -> bytes:
        """The next line without its end."""
        return (await self.until(_LINE))[:-1].removesuffix(b"\r")

    async def until(self, pattern: re.Pattern[bytes], reject: re.Pattern[bytes] | None = None) -> bytes:
        """What was heard up to the end of the pattern; the rest is kept for the next answer.

        Raises:
            Missed: `reject` is found first, the peer ended, or it said more than we take.
        """
        while True:
            found = pattern.search(self._heard)
            wrong = reject.search(self._heard) if reject is not None else None
            if wrong is not None and (found is None or wrong.start() < found.start()):
                raise Missed(Reason.ANSWER_UNEXPECTED, f"answered {shown(wrong[0])}.")
            if found is not None:
                return self._take(found.end())
            await self._hear_more()

    async def exactly(self, size: int) -> bytes:
        """The next `size` bytes.

        Raises:
            Missed: the peer ended before, or they are more than we take.
        """
        if size > self._most:
            raise Missed(
                Reason.ANSWER_TOO_LARGE, f"{self._peer} announces {size} bytes; at most {self._most} are taken."
            )
        while len(self._heard) < size:
            await self._hear_more()
        return self._take(size)

    async def start_tls(self, context: ssl.SSLContext, name: str) -> None:
        """Secures the connection from here on; the certificate must be valid for `name`.

        Raises:
            Missed: the handshake failed, or something was said in clear after the peer agreed to TLS.
        """
        if self._heard:
            raise Missed(Reason.PROTOCOL_BROKEN, f"{self._peer} went on in clear after it had agreed to TLS.")
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname=name)
        while True:
            try:
                self._tls.do_handshake()
            except ssl.SSLWantReadError:
                await self._send(self._outgoing.read())
                self._incoming.write(await self._receive())
                if self._ended:
                    raise Missed(Reason.TLS_FAILED, f"{self._peer} ended the connection in the handshake.") from None
                continue
            except ssl.SSLError as exc:
                raise tls_trouble(exc) from exc
            break
        await self._send(self._outgoing.read())

    @property
    def tls(self) -> ssl.SSLObject | None:
        """What is known of the secured connection."""
        return self._tls

    def _take(self, size: int) -> bytes:
        taken = bytes(self._heard[:size])
        del self._heard[:size]
        return taken

    async def _hear_more(self) -> None:
        if self._ended:
            heard = f" after {shown(self._heard)}" if self._heard else ""
            reason = Reason.ANSWER_UNEXPECTED if self._heard else Reason.CLOSED_EARLY
            raise Missed(reason, f"{self._peer} closed{heard}, which is not what was expected.")
        if len(self._heard) >= self._most:
            raise Missed(Reason.ANSWER_TOO_LARGE, f"{len(self._heard)} bytes came without the expected text.")
        if self._tls is None:
            self._heard += await self._receive()
            return
        while True:
            try:
                data = self._tls.read(_CHUNK)
                self._heard += data
                self._ended = not data
                return
            except ssl.SSLWantReadError:
                await self._send(self._outgoing.read())
                self._incoming.write(await self._receive())
                if self._ended:
                    return
            except ssl.SSLError as exc:
                if isinstance(exc, ssl.SSLZeroReturnError | ssl.SSLEOFError):
                    self._ended = True
                    return
                raise tls_trouble(exc) from exc

    async def _receive(self) -> bytes:
        try:
            data = await asyncio.get_running_loop().sock_recv(self._door, _CHUNK)
        except OSError as exc:
            raise self._broken(exc) from exc
        self._ended = not data
        return data

    async def _send(self, data: bytes) -> None:
        if not data:
            return
        try:
            await asyncio.get_running_loop().sock_sendall(self._door, data)
        except OSError as exc:
            raise self._broken(exc) from exc

    def _broken(self, exc: OSError) -> Exception:
        return trouble(exc.errno or errno.EIO, f"connection to {self._peer}")


_LINE = re.compile(rb"\n")


def shown(data: bytes | bytearray) -> str:
    """The beginning of what a peer said, fit for a sentence."""
    return repr(bytes(data[:_SHOWN]).decode(errors="replace"))
