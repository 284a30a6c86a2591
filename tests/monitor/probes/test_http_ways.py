"""http beyond the plain request: tokens, client certificates, proxies, HTTP/2, each address of a name."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import ssl
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from cemd.config.probes import Probe
from cemd.kit.parent import end_with_starter
from cemd.model.quality import Outcome
from cemd.monitor.probes.base import IpVersion, Reason, Result
from cemd.monitor.probes.tools import Tools

from tests.conftest import program
from tests.monitor import peers
from tests.monitor.peers import complaints, http_server, look, name_server, tcp_server, tools, value
from tests.monitor.probes.test_http import certificate, context

OAUTH2 = {"token_url": "http://t/", "client_id": "c", "client_secret_file": "/s"}


@pytest.fixture
async def lent(tmp_path: Path) -> AsyncIterator[Tools]:
    async with tools(state=tmp_path) as made:
        yield made


def answer(text: str = "fine", **headers: str) -> Any:
    async def tell(_: web.Request) -> web.Response:
        return web.Response(text=text, headers=headers)

    return lambda app: app.router.add_get("/", tell)


@pytest.mark.parametrize(
    ("params", "reason"),
    [
        ({"header_matches": {"X-Node": "^east-[0-9]$"}}, Reason.ANSWERED),
        ({"header_matches": {"x-node": "^west"}}, Reason.ANSWER_UNEXPECTED),
        ({"header_absent": ["X-Debug"]}, Reason.ANSWERED),
        ({"header_absent": ["X-NODE"]}, Reason.ANSWER_UNEXPECTED),
        ({"body_absent": "maintenance"}, Reason.ANSWERED),
        ({"body_absent": "fine"}, Reason.ANSWER_UNEXPECTED),
        ({"body_matches_not": "(?i)error|FINE"}, Reason.ANSWER_UNEXPECTED),
        ({"min_body_bytes": 4}, Reason.ANSWERED),
        ({"min_body_bytes": 5}, Reason.ANSWER_UNEXPECTED),
        ({"max_body_bytes": 0}, Reason.ANSWER_TOO_LARGE),
    ],
)
async def test_conditions(params: dict[str, Any], reason: Reason, lent: Tools) -> None:
    async with http_server(answer(**{"X-Node": "east-1"})) as url:
        result = await look(lent, "http", {"url": url.replace("localhost", "127.0.0.1"), **params})
    assert result.reason is reason, result.detail


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({"client_key_file": "/k"}, "belong together"),
        ({"bearer_file": "/b", "oauth2": OAUTH2}, "exclude"),
        ({"bearer_file": "/b", "user": "u", "password_file": "/p"}, "exclude"),
        ({"user": "u"}, "`user` and `password_file` belong together"),
        ({"user": "a:b", "password_file": "/p"}, "must not hold a colon"),
        ({"url": "http://u:p@shop.example/"}, "give `user` and `password_file`"),
        ({"proxy": "http://p:1", "addresses": "each"}, "leave out `addresses`"),
        ({"proxy": "https://p:1"}, "http:// URL"),
        ({"proxy_login_file": "/p"}, "needs a `proxy`"),
        ({"require_http2": True}, "needs `http2: true`"),
        ({"header_matches": {"a": "["}}, "no regular expression"),
        ({"url": "http://shop.example/a b"}, "encode them"),
    ],
)  # fmt: skip
def test_contradictions_are_told_at_load(params: dict[str, Any], words: str) -> None:
    assert words in complaints("http", {"url": "http://127.0.0.1/", **params})


async def test_user_signs_in_with_the_password_of_a_file_and_nothing_shows_it(lent: Tools, tmp_path: Path) -> None:
    (tmp_path / "password").write_text("grün:4711\n")
    token = base64.b64encode("probe:grün:4711".encode()).decode()
    asked: list[str] = []

    async def tell(request: web.Request) -> web.Response:
        asked.append(request.headers.get("Authorization", ""))
        right = asked[-1] == f"Basic {token}"
        return web.json_response({"said": f"it was {token} of grün:4711"}, status=200 if right else 401)

    async with http_server(lambda app: app.router.add_get("/", tell)) as url:
        login = {"url": url, "user": "probe", "password_file": str(tmp_path / "password")}
        good = await look(lent, "http", login)
        numeric = await look(lent, "http", {**login, "url": url.replace("localhost", "127.0.0.1")})
        shown = await look(lent, "http", {**login, "json_condition": "$.said == 'x'"})
        gone = await look(lent, "http", {**login, "password_file": str(tmp_path / "none")})
    assert good.outcome is Outcome.OK, good.detail
    assert numeric.outcome is Outcome.OK, numeric.detail
    assert shown.detail == "$.said == 'x' does not hold: $.said is 'it was [hidden] of [hidden]'."
    assert (gone.outcome, gone.reason) == (Outcome.BLIND, Reason.FILE_UNREADABLE)


# Tokens.


class TokenOffice:
    """A token endpoint and a service that takes its newest token alone."""

    def __init__(self) -> None:
        self.given = 0
        self.life: object = 3600
        self.asked: list[tuple[str, str]] = []

    async def token(self, request: web.Request) -> web.Response:
        form = await request.post()
        self.asked.append((request.headers.get("Authorization", ""), str(form.get("scope", ""))))
        if request.headers.get("Authorization") != "Basic cHJvYmU6czNjcmV0LW9m":
            return web.json_response({"error": "invalid_client"}, status=401)
        self.given += 1
        return web.json_response(
            {"access_token": f"token-{self.given}-xyz", "token_type": "Bearer", "expires_in": self.life}
        )

    async def work(self, request: web.Request) -> web.Response:
        right = request.headers.get("Authorization") == f"Bearer token-{self.given}-xyz"
        return web.Response(status=200 if right else 401)

    def routes(self, app: web.Application) -> None:
        app.router.add_post("/token", self.token)
        app.router.add_get("/work", self.work)


async def several(made: Tools, params: dict[str, Any], count: int, between: Any = None) -> list[Result]:
    """Attempts of one probe, so that it keeps its token from one to the next."""
    from cemd.monitor.probes import make
    from cemd.monitor.probes.attempts import measure
    from cemd.monitor.probes.base import Attempt

    probe = Probe(name="p", kind="http", service="s", every_seconds=60.0, timeout_seconds=5.0, params=params)
    kind, results = make(probe, made), []
    for number in range(count):
        deadline = asyncio.get_running_loop().time() + 5.0
        results.append(await measure(kind, Attempt(probe="p", deadline=deadline, run=f"r{number}", log=made.log)))
        if between is not None:
            between()
    return results


def with_token(url: str, folder: Path, word: str = "s3cret-of") -> dict[str, Any]:
    (folder / "client").write_text(word + "\n")
    oauth2 = {"token_url": f"{url}/token", "client_id": "probe", "client_secret_file": str(folder / "client")}
    return {"url": f"{url}/work", "oauth2": {**oauth2, "scope": "read"}}


async def test_token_is_got_once_kept_and_got_again_when_it_was_withdrawn(lent: Tools, tmp_path: Path) -> None:
    office = TokenOffice()
    async with http_server(office.routes) as url:
        params = with_token(url, tmp_path)
        first, second = await several(lent, params, 2)
        assert office.given == 1

        def withdraw() -> None:
            office.given += 10

        withdrawn = await several(lent, params, 2, withdraw)
    assert office.asked[0] == ("Basic cHJvYmU6czNjcmV0LW9m", "read")
    assert value(first, "token_seconds") > 0
    assert "token_seconds" not in {reading.metric for reading in second.readings}
    assert {one.outcome for one in (first, second, *withdrawn)} == {Outcome.OK}
    assert value(withdrawn[1], "token_seconds") > 0


async def test_token_that_ends_soon_is_got_anew_each_time(lent: Tools, tmp_path: Path) -> None:
    office = TokenOffice()
    office.life = 5
    async with http_server(office.routes) as url:
        await several(lent, with_token(url, tmp_path), 2)
    assert office.given == 2


async def test_refused_client_is_a_failure_that_shows_no_secret(lent: Tools, tmp_path: Path) -> None:
    office = TokenOffice()
    async with http_server(office.routes) as url:
        [result] = await several(lent, with_token(url, tmp_path, "wrong-secret-0815"), 1)
    assert (result.outcome, result.reason) == (Outcome.FAILED, Reason.LOGIN_REFUSED)
    assert "invalid_client" in result.detail
    assert "wrong-secret" not in repr(result)


@pytest.mark.parametrize(
    "body",
    [
        *("", "[]", "{}", '{"access_token": 7}', '{"access_token": "a\\nb"}'),
        '{"access_token": "x", "token_type": "mac"}',
    ],
)
async def test_token_endpoint_that_talks_nonsense_failed(body: str, lent: Tools, tmp_path: Path) -> None:
    async def token(_: web.Request) -> web.Response:
        return web.Response(text=body, content_type="application/json")

    async with http_server(lambda app: app.router.add_post("/token", token)) as url:
        [result] = await several(lent, with_token(url, tmp_path), 1)
    assert (result.outcome, result.reason) == (Outcome.FAILED, Reason.LOGIN_REFUSED)


# Client certificates.


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
async def test_client_certificate_is_shown_and_its_absence_or_damage_told(
    host: str, lent: Tools, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = certificate(tmp_path, days=20, name=host)
    client = certificate(tmp_path, days=20, name="probe.example")
    wanting = context(server)
    wanting.verify_mode = ssl.CERT_REQUIRED
    wanting.load_verify_locations(client[0])
    (tmp_path / "broken.pem").write_text("no key")
    (tmp_path / "credentials").mkdir()
    for name, file in zip(("shop-certificate", "shop-key"), client, strict=True):
        (tmp_path / "credentials" / name).write_bytes(file.read_bytes())
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path / "credentials"))
    lent_names = {"client_certificate_file": "shop-certificate", "client_key_file": "shop-key"}
    async with http_server(answer(), ssl_context=wanting) as url:
        params = {"url": url.replace("localhost", host), "ca_file": str(server[0])}
        mine = {"client_certificate_file": str(client[0]), "client_key_file": str(client[1])}
        shown = await look(lent, "http", params | mine)
        credential = await look(lent, "http", params | lent_names)
        without = await look(lent, "http", params)
        broken = await look(lent, "http", params | mine | {"client_key_file": str(tmp_path / "broken.pem")})
        missing = await look(lent, "http", params | mine | {"client_key_file": str(tmp_path / "none.pem")})
        unlent = await look(lent, "http", params | mine | {"client_key_file": "no-such-credential"})
    assert shown.outcome is Outcome.OK, shown.detail
    assert credential.outcome is Outcome.OK, credential.detail
    assert (unlent.outcome, unlent.reason) == (Outcome.BLIND, Reason.FILE_UNREADABLE)
    assert "no-such-credential" in unlent.detail
    assert without.outcome is Outcome.FAILED
    assert (broken.outcome, broken.reason) == (Outcome.BLIND, Reason.FILE_UNREADABLE)
    assert (missing.outcome, missing.reason) == (Outcome.BLIND, Reason.FILE_UNREADABLE)


# Proxies.


class ProxyPeer:
    """A proxy that knows plain requests and CONNECT."""

    def __init__(self, login: str = "") -> None:
        self.asked: list[str] = []
        self._login = login

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        self.asked.append(head.splitlines()[0])
        if self._login and f"Basic {self._login}" not in head:
            writer.write(b"HTTP/1.1 407 Login\r\nContent-Length: 0\r\n\r\n")
            return
        method, target, _ = head.split(" ", 2)
        if method != "CONNECT":
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nby proxy!")
            return
        there, back = await asyncio.open_connection("127.0.0.1", int(target.rpartition(":")[2]))
        writer.write(b"HTTP/1.1 200 Established\r\nX-Proxy: yes\r\n\r\n")
        try:
            await asyncio.gather(self._pump(reader, back), self._pump(there, writer))
        finally:
            back.transport.abort()

    @staticmethod
    async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(65_536):
                writer.write(data)
                await writer.drain()
        writer.close()


async def test_request_goes_through_the_proxy_which_looks_the_name_up(lent: Tools, tmp_path: Path) -> None:
    (tmp_path / "login").write_text("probe:pa55word")
    peer = ProxyPeer("cHJvYmU6cGE1NXdvcmQ=")
    async with tcp_server(peer.serve) as port:
        params = {"url": "http://only.proxy.knows/x", "proxy": f"http://127.0.0.1:{port}", "body_contains": "by proxy"}
        good = await look(lent, "http", params | {"proxy_login_file": str(tmp_path / "login")})
        refused = await look(lent, "http", params)
    assert good.outcome is Outcome.OK, good.detail
    assert peer.asked[0] == "GET http://only.proxy.knows/x HTTP/1.1"
    assert refused.reason is Reason.STATUS_UNEXPECTED
    assert "pa55word" not in repr(good)


async def test_tls_goes_through_the_proxy_and_is_verified_to_the_end(lent: Tools, tmp_path: Path) -> None:
    files, peer = certificate(tmp_path, days=20), ProxyPeer()
    async with tcp_server(peer.serve) as port, http_server(answer(), ssl_context=context(files)) as url:
        params = {"url": url, "proxy": f"http://127.0.0.1:{port}", "header_absent": ["X-Proxy"]}
        good = await look(lent, "http", params | {"ca_file": str(files[0])})
        untrusted = await look(lent, "http", params)
    assert good.outcome is Outcome.OK, good.detail
    assert peer.asked[0].startswith("CONNECT localhost:")
    assert untrusted.reason is Reason.CERTIFICATE_INVALID


# Each address of a name.


@contextlib.asynccontextmanager
async def two_addresses() -> AsyncIterator[tuple[Tools, str, int]]:
    """A name with two addresses, of which only the second answers: (tools, url, port)."""
    records = {("shop.example.", "A"): ["127.0.0.2", "127.0.0.1"]}
    async with name_server(records) as (_, dns_port), http_server(answer()) as url:
        port = int(url.rpartition(":")[2])
        async with tools(nameservers=[f"127.0.0.1:{dns_port}"]) as made:
            yield made, f"http://shop.example:{port}/", port


async def test_any_address_that_answers_will_do_and_each_must_answer_by_itself() -> None:
    async with two_addresses() as (made, url, _):
        params = {"url": url, "ip_version": "4"}
        any_one = await look(made, "http", params | {"addresses": "any"})
        each = await look(made, "http", params | {"addresses": "each"})
    assert any_one.outcome is Outcome.OK, any_one.detail
    assert (each.outcome, each.reason) == (Outcome.FAILED, Reason.REFUSED)
    assert "127.0.0.2, one of 2 addresses" in each.detail
    right = {r.labels: r.value for r in each.readings if r.metric == "answered_right_ratio"}
    assert right == {(("address", "127.0.0.1"),): 1.0, (("address", "127.0.0.2"),): 0.0}
    assert {r.labels for r in each.readings if r.metric == "response_seconds"} == {(("address", "127.0.0.1"),)}


async def test_dead_first_address_leaves_time_for_the_next() -> None:
    async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        writer.close()

    records = {("shop.example.", "A"): ["127.0.0.1", "127.0.0.2"]}
    async with name_server(records) as (_, dns_port), tools(nameservers=[f"127.0.0.1:{dns_port}"]) as made:
        first, second = await made.names.addresses("shop.example", 5.0, IpVersion.V4)
        dead = await asyncio.start_server(peers.hang, first, 0)
        port = dead.sockets[0].getsockname()[1]
        async with dead, await asyncio.start_server(speak, second, port):
            params = {"url": f"http://shop.example:{port}/", "ip_version": "4", "addresses": "any"}
            result = await look(made, "http", params, seconds=1.0)
    assert result.outcome is Outcome.OK, result.detail
    assert value(result, "duration_seconds") > 0.3


# HTTP/2, source address.


@contextlib.contextmanager
def nginx(folder: Path, listen: str, files: tuple[Path, Path], answer: str = "two") -> Iterator[int]:
    port = peers.free_port()
    paths = "".join(
        f"{word}_temp_path {folder}/{word}; " for word in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    (folder / "nginx.conf").write_text(
        f"daemon off; master_process off; pid {folder}/pid; error_log {folder}/err; events {{}} http {{ access_log off;"
        f"{paths} ssl_certificate {files[0]}; ssl_certificate_key {files[1]};"
        f"server {{ listen 127.0.0.1:{port} {listen}; location / {{ return 200 '{answer}'; }} }} }}"
    )  # fmt: skip
    path = program("nginx")
    assert path is not None
    command = [path, "-p", str(folder), "-c", str(folder / "nginx.conf")]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL, preexec_fn=end_with_starter)
    try:
        yield port
    finally:
        process.terminate()
        process.wait()


@pytest.mark.needs("nginx")
async def test_http2_is_used_where_offered_and_told_where_it_is_missing(lent: Tools, tmp_path: Path) -> None:
    files = certificate(tmp_path, days=20)
    with nginx(tmp_path, "ssl http2", files) as port:
        await peers.listening(port)
        params = {"url": f"https://localhost:{port}/", "ca_file": str(files[0]), "http2": True, "require_http2": True}
        good = await look(lent, "http", params)
    async with http_server(answer(), ssl_context=context(files)) as url:
        old = await look(lent, "http", params | {"url": url})
    assert good.outcome is Outcome.OK, good.detail
    assert (old.outcome, old.reason) == (Outcome.FAILED, Reason.ANSWER_UNEXPECTED)


@pytest.mark.needs("nginx")
async def test_health_check_of_grpc_is_a_post_over_http2_in_clear(lent: Tools, tmp_path: Path) -> None:
    files = certificate(tmp_path, days=20)
    with nginx(tmp_path, "http2", files, answer="\\0\\0\\0\\0\\2\b\1") as port:
        await peers.listening(port)
        params = {
            "url": f"http://127.0.0.1:{port}/grpc.health.v1.Health/Check",
            "method": "POST",
            "headers": {"Content-Type": "application/grpc", "TE": "trailers"},
            "body_hex": "0000000000",
            "http2": True,
            "require_http2": True,
        }
        good = await look(lent, "http", params | {"body_contains": "\b\1"})
        bad = await look(lent, "http", params | {"body_contains": "\b\2"})
    assert good.outcome is Outcome.OK, good.detail
    assert bad.reason is Reason.ANSWER_UNEXPECTED


async def test_request_leaves_from_the_source_address_or_is_blind(lent: Tools) -> None:
    seen: list[str] = []

    async def tell(request: web.Request) -> web.Response:
        seen.append(request.remote or "")
        return web.Response()

    async with http_server(lambda app: app.router.add_get("/", tell)) as url:
        params = {"url": url.replace("localhost", "127.0.0.1")}
        good = await look(lent, "http", params | {"source_address": "127.0.0.77", "dscp": 10})
        blind = await look(lent, "http", params | {"source_address": "192.0.2.77"})
    assert good.outcome is Outcome.OK, good.detail
    assert seen == ["127.0.0.77"]
    assert (blind.outcome, blind.reason) == (Outcome.BLIND, Reason.SOURCE_MISSING), blind.detail


async def test_key_exchange_against_quantum_computers_is_offered_where_asked_for(lent: Tools) -> None:
    hellos: list[bytes] = []

    async def hear(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readexactly(5)
        hellos.append(await reader.readexactly(int.from_bytes(head[3:], "big")))
        writer.close()

    async with tcp_server(hear) as port:
        params = {"url": f"https://localhost:{port}/"}
        await look(lent, "http", params | {"post_quantum": True})
        await look(lent, "http", params)
    both = bytes.fromhex("11ec001d")  # X25519MLKEM768 before X25519, as groups of the hello
    assert [both in hello for hello in hellos] == [True, False]
    assert bytes.fromhex("001d0017") in hellos[1]


async def test_token_is_got_by_the_way_of_the_probe_itself(lent: Tools, tmp_path: Path) -> None:
    office, came_from = TokenOffice(), set[str]()

    @web.middleware
    async def note(request: web.Request, handler: Any) -> web.StreamResponse:
        came_from.add(f"{request.path} {request.remote}")
        found: web.StreamResponse = await handler(request)
        return found

    def build(app: web.Application) -> None:
        app.middlewares.append(note)
        office.routes(app)

    async with http_server(build) as url:
        result = await look(lent, "http", {**with_token(url, tmp_path), "source_address": "127.0.0.78"})
    assert result.outcome is Outcome.OK, result.detail
    assert came_from == {"/token 127.0.0.78", "/work 127.0.0.78"}


@pytest.mark.parametrize("leads_to", ["http://169.254.169.254/latest/", "http://[fe80::1]/", "http://224.0.0.1/"])
async def test_proxy_is_not_asked_for_what_may_not_be_measured(leads_to: str, lent: Tools) -> None:
    asked: list[str] = []

    async def lead(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append((await reader.readuntil(b"\r\n\r\n")).decode().split(" ", 2)[1])
        writer.write(f"HTTP/1.1 302 Found\r\nLocation: {leads_to}\r\nContent-Length: 0\r\n\r\n".encode())

    async with tcp_server(lead) as port:
        through = {"proxy": f"http://127.0.0.1:{port}"}
        led = await look(lent, "http", {"url": "http://only.proxy.knows/", "redirects": 3, **through})
        asked_outright = await look(lent, "http", {"url": leads_to, **through})
    assert asked == ["http://only.proxy.knows/"]
    for result in (led, asked_outright):
        assert (result.outcome, result.reason) == (Outcome.BLIND, Reason.TARGET_NOT_ALLOWED), result.detail
