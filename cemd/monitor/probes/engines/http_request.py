"""The request of an `http` probe: what may be said of it in a file, what it is on the wire, where its secrets stand,
and where a redirect leads."""

from __future__ import annotations

from base64 import b64encode
from dataclasses import replace
from enum import StrEnum
from typing import Annotated, Any
from urllib.parse import urljoin, urlsplit

import msgspec
from pydantic import Field, field_validator, model_validator

from cemd.kit.secrets import secret_path
from cemd.kit.urls import checked_url
from cemd.monitor.probes.base import Blind, Missed, Reason, Secrets, Text, Way, read_secret
from cemd.monitor.probes.engines.answers import AnswerParams
from cemd.monitor.probes.engines.dialogue import Hex
from cemd.monitor.probes.engines.oauth2 import Oauth2
from cemd.monitor.probes.engines.requests import Answer, ClientCertificate, Proxy, Request
from cemd.monitor.probes.engines.sockets import SocketParams


class Method(StrEnum):
    GET = "GET"
    HEAD = "HEAD"
    POST = "POST"
    PUT = "PUT"
    PATCH = "PATCH"
    DELETE = "DELETE"
    OPTIONS = "OPTIONS"


class Addresses(StrEnum):
    """Which addresses of a name are asked."""

    FIRST = "first"
    ANY = "any"
    EACH = "each"


class HttpParams(SocketParams, AnswerParams):
    """A request and what its answer must be."""

    url: Text
    """Absolute URL of http or https, without user and password."""
    method: Method = Method.GET
    """Of the request."""
    headers: dict[Text, str] = Field(default={}, description="Header fields sent; never secrets.")
    header_files: dict[Text, Text] = Field(default={}, description="Header fields whose values stand in files.")
    user: Text | None = None
    """Who signs in by `Authorization: Basic`, with the password of `password_file`."""
    password_file: Text | None = None
    """File that holds the password of `user`."""
    bearer_file: Text | None = None
    """File with the token sent as `Authorization: Bearer`."""
    oauth2: Oauth2 | None = None
    """Client credentials with which a token is got first; it is kept until shortly before its end."""
    json_body: Any = Field(default=None, alias="json", description="Sent as JSON.")
    body: str | None = None
    """Text sent as it is; not together with `json`."""
    body_hex: Hex | None = None
    """Bytes that are sent, as hexadecimal digits: for what is no text."""
    redirects: Annotated[int, Field(ge=0, le=10)] = 0
    """So many redirects are followed, each as a request of its own; default: none, the redirect is the answer."""
    ca_file: Text | None = None
    """Certificate authorities that are trusted; default: those of the system."""
    client_certificate_file: Text | None = None
    """Certificate in PEM that is shown to the server (mutual TLS); needs `client_key_file`. As of every secret: a path,
    from the root, or the name of a credential of the service manager."""
    client_key_file: Text | None = None
    """Key of the client certificate in PEM, without a passphrase."""
    proxy: Text | None = None
    """`http://host:port` that the request goes through; default: none, also where the environment names one."""
    proxy_login_file: Text | None = None
    """File with `user:password` for the proxy."""
    addresses: Addresses = Addresses.FIRST
    """`first` address of the name alone, or `any` (in turn until one is right), or `each` (all must be right, figures
    apart by the label `address`)."""
    post_quantum: bool = False
    """Offers the key exchange X25519MLKEM768 first, as browsers do: shows whether something on the way trips over it. A
    handshake costs the prober a tenth more."""
    http2: bool = False
    """Offers HTTP/2 under TLS, and speaks it from the first byte without TLS; default: HTTP/1.1."""

    def hosts(self) -> tuple[tuple[Way, str], ...]:
        named = {"url": self.url, "proxy": self.proxy, "oauth2": self.oauth2.token_url if self.oauth2 else None}
        ways: dict[str, Way] = {"oauth2": ("oauth2", "token_url")}
        return tuple((ways.get(key, (key,)), urlsplit(url).hostname or "") for key, url in named.items() if url)

    @field_validator("url")
    @classmethod
    def _url(cls, url: str) -> str:
        return checked_url(url)

    @field_validator("proxy")
    @classmethod
    def _proxy_url(cls, url: str | None) -> str | None:
        if url is not None and urlsplit(checked_url(url)).scheme != "http":
            raise ValueError("the proxy must be an http:// URL; TLS to the target goes through it by CONNECT")
        return url

    @model_validator(mode="after")
    def _fit_together(self) -> HttpParams:
        if sum(one is not None for one in (self.body, self.body_hex, self.json_body)) > 1:
            raise ValueError("`body`, `body_hex` and `json` exclude each other; give one")
        if (self.client_certificate_file is None) is not (self.client_key_file is None):
            raise ValueError("`client_certificate_file` and `client_key_file` belong together; give both")
        if (self.user is None) is not (self.password_file is None):
            raise ValueError("`user` and `password_file` belong together; give both")
        if self.user is not None and ":" in self.user:
            raise ValueError("`user` must not hold a colon: it ends the name in `Authorization: Basic`")
        if sum(one is not None for one in (self.user, self.bearer_file, self.oauth2)) > 1:
            raise ValueError("`user`, `bearer_file` and `oauth2` exclude each other; give one")
        if self.proxy is not None and (self.addresses is not Addresses.FIRST):
            raise ValueError("with a `proxy` the addresses of the name are the proxy's choice; leave out `addresses`")
        if self.proxy_login_file is not None and self.proxy is None:
            raise ValueError("`proxy_login_file` needs a `proxy`")
        if self.require_http2 and not self.http2:
            raise ValueError("`require_http2` needs `http2: true`")
        return self

    def secrets_in_files(self) -> bool:
        """Whether each request reads files first."""
        return bool(self.header_files or self.bearer_file or self.password_file or self.proxy_login_file)


def bare_request(params: HttpParams, *, wants_headers: bool) -> Request:
    """The request without what stands in files."""
    headers = dict(params.headers)
    body = params.body.encode() if params.body is not None else None
    if params.body_hex is not None:
        body = bytes.fromhex(params.body_hex)
    if params.json_body is not None:
        body = msgspec.json.encode(params.json_body)
        headers.setdefault("Content-Type", "application/json")
    client = None
    if params.client_certificate_file and params.client_key_file:
        files = params.client_certificate_file, params.client_key_file
        certificate, key = (str(secret_path(name)) for name in files)  # libcurl opens them itself
        client = ClientCertificate(certificate=certificate, key=key)
    return Request(
        url=params.url,
        method=params.method,
        headers=headers,
        body=body,
        ca_file=params.ca_file,
        ip_version=params.version(),
        max_body_bytes=params.max_body_bytes,
        http2=params.http2,
        post_quantum=params.post_quantum,
        client=client,
        proxy=Proxy(url=params.proxy) if params.proxy else None,
        way=params.way(),
        wants_headers=bool(params.redirects or wants_headers),
    )


def whole_request(bare: Request, params: HttpParams, secrets: Secrets) -> Request:
    """The request with what stands in files now, noted in `secrets`.

    Raises:
        Blind: a file cannot be read, or holds what is no header.
    """
    for path in (params.client_certificate_file, params.client_key_file):
        if path is not None:
            read_secret(path)  # says which file it is that cannot be read
    if not params.secrets_in_files():
        return bare
    headers = dict(bare.headers)
    for name, path in params.header_files.items():
        headers[name] = _secret(path, secrets)
    if params.bearer_file:
        headers["Authorization"] = f"Bearer {_secret(params.bearer_file, secrets)}"
    if params.user is not None and params.password_file:
        headers["Authorization"] = f"Basic {_signed_in(params.user, _secret(params.password_file, secrets), secrets)}"
    proxy = bare.proxy
    if proxy is not None and params.proxy_login_file:
        proxy = replace(proxy, login=_secret(params.proxy_login_file, secrets))
    return replace(bare, headers=headers, proxy=proxy)


def _secret(path: str, secrets: Secrets) -> str:
    text = read_secret(path)
    if not text.isprintable():
        raise Blind(Reason.FILE_UNREADABLE, f"secret file {path} holds more than one line, or control characters.")
    secrets.texts.append(text)
    return text


def _signed_in(user: str, password: str, secrets: Secrets) -> str:
    """User and password as RFC 7617 has them, which is as secret as the password."""
    text = b64encode(f"{user}:{password}".encode()).decode()
    secrets.texts.append(text)
    return text


def redirected(request: Request, answer: Answer) -> Request:
    """The next request; secrets, bodies and our certificate do not follow to another place."""
    url = urljoin(request.url, answer.headers["location"])
    try:
        checked_url(url)
    except ValueError as exc:
        raise Missed(Reason.ANSWER_UNEXPECTED, f"is redirected to a place that cannot be asked: {exc}.") from exc
    before, after = urlsplit(request.url), urlsplit(url)
    same_place = (before.scheme, before.netloc) == (after.scheme, after.netloc)
    keeps_method = answer.status in {307, 308} or request.method in {"GET", "HEAD"}
    return replace(
        request,
        url=url,
        method=request.method if keeps_method else "GET",
        headers=request.headers if same_place else {},
        body=request.body if keeps_method and same_place else None,
        client=request.client if same_place else None,
    )
