"""What is asked over HTTP and what came back: the words that the kinds, the quick way and libcurl share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple, TypeAlias
from urllib.parse import urlsplit

from cemd.monitor.probes.base import IpVersion
from cemd.monitor.probes.engines.sockets import SocketParams

USER_AGENT = "cemd"
REDIRECTS = frozenset({301, 302, 303, 307, 308})
"""Statuses that lead elsewhere; where to is told of them also where nobody looks at header fields."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientCertificate:
    """Files in PEM with which we show who we are."""

    certificate: str
    key: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Proxy:
    """A proxy that the request goes through; `login` is `user:password` and a secret."""

    url: str
    login: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One request. `headers` may hold secrets; they are sent and told to nobody else."""

    url: str
    method: str = "GET"
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None
    ca_file: str | None = None
    ip_version: IpVersion = IpVersion.ANY
    max_body_bytes: int = 1_048_576
    http2: bool = False
    client: ClientCertificate | None = None
    proxy: Proxy | None = None
    way: SocketParams | None = None
    """How packets leave this host, where not as the route says."""
    post_quantum: bool = False
    """Offers a key exchange that withstands quantum computers as well, which costs a tenth of a handshake more."""
    wants_headers: bool = True
    """False: the answer's header fields are not looked at, which saves a call for each of them."""

    special: bool = field(init=False)
    """Whether libcurl needs a handle of its own for it."""
    plain: bool = field(init=False)
    """Whether it is so plain HTTP/1.1 that it goes without libcurl."""

    def __post_init__(self) -> None:
        usual = self.method == "GET" and not self.headers and self.body is None and not self.post_quantum
        object.__setattr__(self, "special", not usual or any((self.client, self.proxy, self.way)))
        needs = self.http2 or self.post_quantum or self.client or self.proxy or self.method == "HEAD"
        object.__setattr__(self, "plain", not needs and self._is_plain_text())

    def _is_plain_text(self) -> bool:
        """Whether every byte of the head can be sent as it is written here; libcurl takes `.` and `..` out of paths."""
        parts = urlsplit(self.url)
        usual = parts.hostname is not None and parts.username is None and "%" not in parts.netloc
        usual = usual and "/." not in parts.path
        fields = [text for pair in self.headers.items() for text in pair]
        return usual and self.url.isascii() and all(text.isascii() and text.isprintable() for text in fields)


class Phases(NamedTuple):
    """Seconds of each phase, each from the end of the one before; `first_byte` is the wait for the answer to begin."""

    name: float
    connect: float
    tls: float
    first_byte: float
    total: float


class Answer:
    """What came back. Header names are in small letters; of repeated headers the last counts."""

    __slots__ = ("_lines", "body", "certificate_ends_at", "http_version", "phases", "status")

    def __init__(
        self, status: int, lines: list[bytes], body: bytes, phases: Phases, ends_at: float | None, version: int
    ) -> None:
        self.status, self.body, self.phases, self._lines = status, body, phases, lines
        self.certificate_ends_at = ends_at
        self.http_version = version
        """Of libcurl: 2 is HTTP/1.1, 3 is HTTP/2."""

    @property
    def headers(self) -> dict[str, str]:
        fields: dict[str, str] = {}
        for line in self._lines:
            if line.startswith(b"HTTP/"):
                fields.clear()  # of an interim answer (1xx), or of the proxy
                continue
            name, colon, value = line.decode("latin-1").partition(":")
            if colon:
                fields[name.strip().lower()] = value.strip()
        return fields


Told: TypeAlias = Callable[[Answer | Exception], None]
"""Takes the answer, or what `fetch` raises instead."""


def header_lines(headers: Mapping[str, str]) -> dict[str, str]:
    """What every request says, and what this one says instead or besides; an empty value takes a field out."""
    said = {"User-Agent": USER_AGENT, "Accept": "*/*"}
    known = {name.lower() for name in headers}
    return {**{name: value for name, value in said.items() if name.lower() not in known}, **headers}
