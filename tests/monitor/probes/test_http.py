"""http: conditions, redirects, limits, trust, phases; names are never libcurl's business."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import ipaddress
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from aiohttp import web
from cemd.model.quality import Outcome
from cemd.monitor.probes.base import Reason, Secrets
from cemd.monitor.probes.engines import trust
from cemd.monitor.probes.engines.requests import Answer, Phases
from cemd.monitor.probes.engines.seen import broken_words, field_words, redirect_words
from cemd.monitor.probes.tools import Tools
from cemd.monitor.protocols.conditions import parse_condition
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st

from tests.monitor import peers
from tests.monitor.peers import echo, free_port, http_server, look, name_server, tcp_server, tools, value
from tests.monitor.probes.contract import Contract


async def contract(stack: contextlib.AsyncExitStack, secret_file: str) -> Contract:
    async def tell(request: web.Request) -> web.Response:
        return web.json_response({"said": request.headers.get("Authorization", "")}, status=500)

    shop = await stack.enter_async_context(peers.shop())
    teller = await stack.enter_async_context(http_server(lambda app: app.router.add_get("/", tell)))
    hang = await stack.enter_async_context(tcp_server(peers.hang))
    return Contract(
        good={"url": f"{shop.url}/orders/1", "status": [404], "bearer_file": secret_file},
        failing={"url": teller, "bearer_file": secret_file, "body_contains": "unlikely"},
        hanging={"url": f"http://127.0.0.1:{hang}/"},
    )


@dataclass(slots=True)
class Seen:
    headers: dict[str, str]
    body: bytes = b""


@pytest.fixture
async def lent(tmp_path: Path) -> AsyncIterator[Tools]:
    async with tools(state=tmp_path) as made:
        yield made


def site(seen: Seen) -> Any:
    async def state(request: web.Request) -> web.Response:
        seen.headers = dict(request.headers)
        seen.body = await request.read()
        more = {"long": "x" * 500, "list": [1, 2, 3], "token": "tok-4711", "mail": "of anna@example.org"}
        fields = {"X-Node": "east-1", "Set-Cookie": "session=4711"}
        return web.json_response({"state": "up", "queue": {"depth": 7}, **more}, headers=fields)

    async def slow(request: web.Request) -> web.Response:
        await asyncio.sleep(30)
        return web.Response()

    async def large(request: web.Request) -> web.StreamResponse:
        answer = web.StreamResponse()
        await answer.prepare(request)
        for _ in range(100):
            await answer.write(b"x" * 65_536)
        return answer

    async def page(request: web.Request) -> web.Response:
        return web.Response(text="<html>at work</html>")

    async def away(request: web.Request) -> web.Response:
        raise web.HTTPFound(request.query.get("to", "/state"))

    def add(app: web.Application) -> None:
        app.router.add_route("*", "/state", state)
        app.router.add_get("/slow", slow)
        app.router.add_get("/large", large)
        app.router.add_get("/page", page)
        app.router.add_get("/away", away)

    return add


@pytest.mark.parametrize(
    ("params", "reason"),
    [
        ({}, Reason.ANSWERED),
        ({"status": [200, 204]}, Reason.ANSWERED),
        ({"status": [503]}, Reason.STATUS_UNEXPECTED),
        ({"header_contains": {"x-node": "east"}}, Reason.ANSWERED),
        ({"header_contains": {"x-node": "west"}}, Reason.ANSWER_UNEXPECTED),
        ({"body_contains": "up"}, Reason.ANSWERED),
        ({"body_contains": "down"}, Reason.ANSWER_UNEXPECTED),
        ({"body_matches": '"depth": *[0-9]+'}, Reason.ANSWERED),
        ({"body_matches": "^nothing"}, Reason.ANSWER_UNEXPECTED),
        ({"json_condition": "$.state == 'up' and $.queue.depth < 10"}, Reason.ANSWERED),
        ({"json_condition": "$.queue.depth > 10"}, Reason.ANSWER_UNEXPECTED),
        ({"json_condition": "$.nowhere == null"}, Reason.ANSWER_UNEXPECTED),
        ({"max_body_bytes": 5}, Reason.ANSWER_TOO_LARGE),
        ({"method": "HEAD"}, Reason.ANSWERED),
    ],
)
async def test_conditions(params: dict[str, Any], reason: Reason, lent: Tools) -> None:
    async with http_server(site(Seen({}))) as url:
        result = await look(lent, "http", {"url": f"{url}/state", **params})
    assert result.reason is reason, result.detail


@pytest.mark.parametrize(
    ("page", "condition", "words"),
    [
        ("state", "$.queue.depth > 10", "$.queue.depth > 10 does not hold: $.queue.depth is 7."),
        ("page", "$.queue.depth > 10", "$.queue.depth > 10 does not hold: the body is no JSON."),
        ("state", "$.state == 'up' and $.queue < 3", "does not hold: $.queue is an object."),
        ("state", "$.state != 'up' and $.q == 1", "does not hold: $.state is 'up', $.q is not there."),
        ("state", "$.long == 1", f"does not hold: $.long is '{'x' * 60}…'."),
        ("state", "$.list == 1 and $.token == 'a'", "does not hold: $.list is a list of 3, $.token is '[hidden]'."),
        ("state", "$.mail == ''", "does not hold: $.mail is 'of [hidden]'."),
        ("state", "$.a == 1 and $.b == 1 and $.c == 1 and $.d == 1 and $.e == 1", "$.d is not there, and 1 more."),
    ],
)
async def test_condition_that_fails_says_what_was_found(page: str, condition: str, words: str, lent: Tools) -> None:
    async with http_server(site(Seen({}))) as url:
        result = await look(lent, "http", {"url": f"{url}/{page}", "json_condition": condition})
    assert result.detail.startswith(condition.partition(" and ")[0])
    assert result.detail.endswith(words)


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({"header_contains": {"X-Node": "west"}}, "header X-Node does not contain 'west'; it is 'east-1'."),
        ({"header_matches": {"X-None": "^a"}}, "header x-none does not match '^a'; it is not there."),
        ({"header_absent": ["X-Node"]}, "header X-Node is there and must not be; it is 'east-1'."),
        ({"header_contains": {"Set-Cookie": "b"}}, "header Set-Cookie does not contain 'b'; it is '[hidden]'."),
    ],
)
async def test_header_that_is_wrong_is_told_with_what_it_holds(params: dict[str, Any], words: str, lent: Tools) -> None:
    async with http_server(site(Seen({}))) as url:
        result = await look(lent, "http", {"url": f"{url}/state", **params})
    assert result.detail == words


async def test_what_was_found_shows_no_part_of_a_secret_that_was_sent(lent: Tools, tmp_path: Path) -> None:
    secret = "quote'and\\backslash-" + "0123456789abcdef" * 8
    (tmp_path / "key").write_text(secret)

    async def tell(request: web.Request) -> web.Response:
        said = request.headers["X-Key"]
        target = f"/next/{quote(said, safe='')}" if "away" in request.query else ""
        status, more = (302, {"Location": target}) if target else (200, {})
        return web.json_response({"said": f"you said: {said}"}, status=status, headers={"X-Said": said, **more})

    asked: list[dict[str, Any]] = [
        {"json_condition": "$.said == 'x'"},
        {"header_contains": {"X-Said": "x-x-x"}},
        {"url": "?away=1"},
    ]
    async with http_server(lambda app: app.router.add_get("/", tell)) as url:
        for params in asked:
            params = {
                **params,
                "url": f"{url}/{params.get('url', '')}",
                "header_files": {"X-Key": str(tmp_path / "key")},
            }
            result = await look(lent, "http", params)
            assert result.outcome is Outcome.FAILED
            assert "backslash" not in result.detail
            assert "0123" not in result.detail


async def test_body_headers_and_token_are_sent_and_phases_add_up(lent: Tools, tmp_path: Path) -> None:
    seen = Seen({})
    (tmp_path / "token").write_text("tok-from-file\n")
    async with http_server(site(seen)) as url:
        params = {
            "url": f"{url}/state",
            "method": "POST",
            "json": {"a": [1, "ü"]},
            "headers": {"X-Trace": "cemd"},
            "bearer_file": str(tmp_path / "token"),
        }
        result = await look(lent, "http", params)
    assert result.outcome is Outcome.OK
    assert seen.headers["Authorization"] == "Bearer tok-from-file"
    assert seen.headers["Content-Type"] == "application/json"
    assert seen.headers["X-Trace"] == "cemd"
    assert seen.body == '{"a":[1,"ü"]}'.encode()
    phases = sum(value(result, f"{phase}_seconds") for phase in ("name", "connect", "first_byte"))
    assert 0 < phases <= value(result, "response_seconds") * 1.01 + 0.001
    assert value(result, "response_seconds") <= value(result, "duration_seconds") + 0.01


async def test_large_answer_is_cut_off_early(lent: Tools) -> None:
    async with http_server(site(Seen({}))) as url:
        result = await look(lent, "http", {"url": f"{url}/large", "max_body_bytes": 100_000})
    assert result.reason is Reason.ANSWER_TOO_LARGE


async def test_redirect_is_the_answer_unless_allowed_and_never_leads_to_other_schemes(lent: Tools) -> None:
    async with http_server(site(Seen({}))) as url:
        plain = await look(lent, "http", {"url": f"{url}/away"})
        followed = await look(lent, "http", {"url": f"{url}/away", "redirects": 2})
        evil = await look(lent, "http", {"url": f"{url}/away?to=file:///etc/passwd", "redirects": 2})
    assert plain.reason is Reason.STATUS_UNEXPECTED
    assert followed.reason is Reason.ANSWERED
    assert evil.reason is Reason.ANSWER_UNEXPECTED
    assert "root:" not in evil.detail


SECRETS = st.text(st.characters(min_codepoint=33, exclude_categories=["Cs"]), min_size=8, max_size=200)


@pytest.mark.parametrize("where", ["json", "header", "location"])
@given(secret=SECRETS, inside=st.integers(-5, 60))
def test_nothing_of_a_secret_is_left_where_a_value_is_cut(where: str, secret: str, inside: int) -> None:
    """The cut is made to fall `inside` characters of the secret, or before it, or behind it where it is shorter."""
    before, after = "a" * ((200 if where == "location" else 60) - inside), "b" * 10
    text, secrets = before + secret + after, Secrets([secret])
    if where == "json":
        shown = broken_words(parse_condition("$.x == 1"), {"x": text}, secrets)
    elif where == "header":
        shown = field_words({"x": text}, "X", secrets)
    else:
        place = f"Location: /{quote(before, safe='')}{quote(secret, safe='')}".encode()
        shown = redirect_words(Answer(302, [place], b"", Phases(0, 0, 0, 0, 0), None, 2), secrets)
    blank = "$.x == 1 does not hold: $.x is it is; it leads to a place that is not shown [hidden]" + before + after
    parts = {secret[start : start + 4] for start in range(len(secret) - 3)}
    written = {repr(part)[1:-1] for part in parts if part not in blank} | {quote(part, safe="") for part in parts}
    assert not [part for part in written if part in shown and part not in blank]


@pytest.mark.parametrize(
    "more", [{}, {"method": "HEAD"}, {"header_contains": {"Server": "x"}}], ids=["plain", "curl", "all"]
)
@pytest.mark.parametrize(
    ("to", "words"),
    [
        ("/state", "it leads to /state"),
        ("http://shop.example.net/login?next=tok-4711#x", "it leads to http://shop.example.net/login"),
        ("//u:tok-4711@shop.example.net/a;jsessionid=tok-4711", "//shop.example.net/a"),
        ("/" + "y" * 300, f"it leads to /{'y' * 199}…"),
    ],
)
async def test_redirect_that_is_not_followed_is_told_with_where_it_leads(
    to: str, words: str, more: dict[str, Any], lent: Tools
) -> None:
    answer = f"HTTP/1.1 302 Found\r\nServer: s\r\nlocation: {to}\r\nContent-Length: 12\r\n\r\nLocation: no"
    interim = b"HTTP/1.1 100 Continue\r\nLocation: /interim\r\n\r\n" * (not more)

    async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(interim + answer.encode())
        writer.close()

    async with tcp_server(speak) as port:
        result = await look(lent, "http", {"url": f"http://127.0.0.1:{port}/", **more})  # HEAD goes by libcurl
    assert result.reason is Reason.STATUS_UNEXPECTED
    assert result.detail.startswith("answered 302, not 2xx; it leads to ")
    assert result.detail.endswith(f"{words}.")
    assert "tok-4711" not in result.detail


def test_redirect_without_a_place_that_can_be_shown_shows_none() -> None:
    for place in ("?next=tok-4711", "http://[tok-4711"):
        answer = Answer(302, [f"Location: {place}".encode()], b"", Phases(0, 0, 0, 0, 0), None, 2)
        assert redirect_words(answer, Secrets()) == "; it leads to a place that is not shown"


async def test_secret_does_not_follow_a_redirect_to_another_place(lent: Tools, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("tok-from-file")
    seen = Seen({})
    async with http_server(site(seen)) as there, http_server(site(Seen({}))) as here:
        params = {"url": f"{here}/away?to={there}/state", "redirects": 1, "bearer_file": str(tmp_path / "token")}
        assert (await look(lent, "http", params)).outcome is Outcome.OK
    assert "Authorization" not in seen.headers


@pytest.mark.parametrize(
    "talk", [b"", b"garbage\r\n\r\n", b"HTTP/1.1 abc\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nshort"]
)
async def test_broken_http_is_a_failure_of_the_target(talk: bytes, lent: Tools) -> None:
    async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(10_000)
        writer.write(talk)

    async with tcp_server(speak) as port:
        result = await look(lent, "http", {"url": f"http://127.0.0.1:{port}/"})
    assert result.outcome is Outcome.FAILED
    assert result.reason in {Reason.CLOSED_EARLY, Reason.PROTOCOL_BROKEN}


async def test_environment_proxies_are_ignored(lent: Tools, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{free_port()}")
    async with http_server(site(Seen({}))) as url:
        assert (await look(lent, "http", {"url": f"{url}/state"})).outcome is Outcome.OK


async def test_names_are_resolved_by_our_resolver_and_host_stays() -> None:
    seen = Seen({})
    async with (
        name_server({("shop.example.", "A"): ["127.0.0.1"]}) as (server, dns_port),
        http_server(site(seen)) as url,
    ):
        port = url.rpartition(":")[2]
        async with tools(nameservers=[f"127.0.0.1:{dns_port}"]) as made:
            params = {"url": f"http://shop.example:{port}/state", "ip_version": "4"}
            result = await look(made, "http", params)
            missing = await look(made, "http", {"url": f"http://gone.example:{port}/", "ip_version": "4"})
    assert result.outcome is Outcome.OK, result.detail
    assert seen.headers["Host"] == f"shop.example:{port}"
    assert server.asked >= 1
    assert (missing.outcome, missing.reason) == (Outcome.FAILED, Reason.NAME_NOT_FOUND)


async def test_dead_resolver_is_blind_and_delays_no_other_probe() -> None:
    async with name_server({}) as (server, dns_port), http_server(site(Seen({}))) as url:
        server.mode = "mute"
        async with tools(nameservers=[f"127.0.0.1:{dns_port}"]) as made:
            hanging = [
                asyncio.create_task(look(made, "http", {"url": f"http://h{number}.example/"}, seconds=1.0))
                for number in range(50)
            ]
            await asyncio.sleep(0.05)
            other = await look(made, "http", {"url": f"{url.replace('localhost', '127.0.0.1')}/state"}, seconds=1.0)
            results = await asyncio.gather(*hanging)
    assert other.outcome is Outcome.OK
    assert value(other, "duration_seconds") < 0.5
    assert {(result.outcome, result.reason) for result in results} == {(Outcome.BLIND, Reason.NAME_NO_ANSWER)}


# TLS.


def certificate(folder: Path, *, days: float, name: str = "localhost") -> tuple[Path, Path]:
    """A self-signed certificate and its key, for a name or an address."""
    called: x509.GeneralName = x509.DNSName(name)
    with contextlib.suppress(ValueError):
        called = x509.IPAddress(ipaddress.ip_address(name))
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    built = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=30))
        .not_valid_after(now + datetime.timedelta(days=days))
        .add_extension(x509.SubjectAlternativeName([called]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    cert_file, key_file = folder / f"{name}.pem", folder / f"{name}.key"
    cert_file.write_bytes(built.public_bytes(serialization.Encoding.PEM))
    key_file.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return cert_file, key_file


def context(files: tuple[Path, Path]) -> ssl.SSLContext:
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.load_cert_chain(*files)
    return made


async def test_tls_is_verified_against_the_trust_set_and_expiry_is_told(lent: Tools, tmp_path: Path) -> None:
    files = certificate(tmp_path, days=20)
    async with http_server(site(Seen({})), ssl_context=context(files)) as url:
        good = await look(lent, "http", {"url": f"{url}/state", "ca_file": str(files[0])})
        soon = await look(lent, "http", {"url": f"{url}/state", "ca_file": str(files[0]), "certificate_days": 30})
        untrusted = await look(lent, "http", {"url": f"{url}/state"})
        no_trust = await look(lent, "http", {"url": f"{url}/state", "ca_file": str(tmp_path / "none")})
    assert good.outcome is Outcome.OK, good.detail
    assert value(good, "certificate_expiry_days") == pytest.approx(20, abs=0.1)
    assert value(good, "tls_seconds") > 0
    assert soon.reason is Reason.CERTIFICATE_INVALID
    assert untrusted.reason in {Reason.CERTIFICATE_INVALID, Reason.NO_TRUST}
    assert (no_trust.outcome, no_trust.reason) == (Outcome.BLIND, Reason.NO_TRUST)


async def test_expired_certificate_and_wrong_name_fail_and_say_so(lent: Tools, tmp_path: Path) -> None:
    expired = certificate(tmp_path, days=-2)
    async with http_server(site(Seen({})), ssl_context=context(expired)) as url:
        old = await look(lent, "http", {"url": f"{url}/state", "ca_file": str(expired[0])})
    other = certificate(tmp_path, days=20, name="other.example")
    async with http_server(site(Seen({})), ssl_context=context(other)) as url:
        wrong = await look(lent, "http", {"url": f"{url}/state", "ca_file": str(other[0])})
    assert (old.outcome, old.reason) == (Outcome.FAILED, Reason.CERTIFICATE_INVALID)
    assert "-2.0 days" in old.detail
    assert (wrong.outcome, wrong.reason) == (Outcome.FAILED, Reason.CERTIFICATE_INVALID)


async def test_slim_host_without_any_trust_bundle_is_blind(lent: Tools, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trust, "TRUST_BUNDLES", ("/nowhere/ca.crt",))
    async with tcp_server(echo) as port:
        result = await look(lent, "http", {"url": f"https://localhost:{port}/"})
    assert (result.outcome, result.reason) == (Outcome.BLIND, Reason.NO_TRUST)


async def test_peer_that_speaks_no_tls_fails(lent: Tools) -> None:
    async with tcp_server(echo) as port:
        result = await look(lent, "http", {"url": f"https://localhost:{port}/"})
    assert (result.outcome, result.reason) == (Outcome.FAILED, Reason.TLS_FAILED)
