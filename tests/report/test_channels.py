"""Channels against real servers on loopback: willing ones, refusing ones, hanging ones, lying ones."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import hmac
import json
import socket
import subprocess
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from cemd.errors import ChannelError
from cemd.kit.parent import end_with_starter
from cemd.model.notice import Alert
from cemd.report.channels.alertmanager import Alertmanager, AlertmanagerParams
from cemd.report.channels.apprise import Apprise, AppriseParams
from cemd.report.channels.attempt import Attempt
from cemd.report.channels.base import Message
from cemd.report.channels.email import Email, EmailParams
from cemd.report.channels.webhook import Webhook, WebhookParams
from pydantic import ValidationError

from tests.conftest import program
from tests.report.servers import MailSink, crude_mail_server, mail_server, silent_server

MESSAGE = Message(id="com-1.7.0.0", to="anna@example.org", subject="Mobile data\nis disturbed", body="Since 12:00 – ö")
ALERT = Alert(
    id="noc/desk/inc-1", trace="t", route="noc", channel="desk", incident="inc-1", firing=True, due_at=0.0,
    summary="data is down", labels={"alertname": "CemdIncident", "incident": "inc-1", "service": "data", "site": ""},
    annotations={"quality": "down"}, starts_at=1.0, revision=3,
)  # fmt: skip


def attempt(seconds: float = 5.0) -> Attempt:
    return Attempt(seconds, name="the channel")


def mail(port: int, timeout: float = 5.0, **params: Any) -> Email:
    given = {"host": "127.0.0.1", "port": port, "encryption": "none", "sender": "Care <care@demo.example>", **params}
    return Email(EmailParams(**given), name="mail", timeout_seconds=timeout)


@contextlib.asynccontextmanager
async def closing(channel: Any) -> AsyncIterator[Any]:
    try:
        yield channel
    finally:
        await channel.close()


async def refusal(channel: Any, *, alert: bool = False) -> ChannelError:
    with pytest.raises(ChannelError) as caught:
        await (channel.alert(ALERT, attempt()) if alert else channel.send(MESSAGE, attempt()))
    await channel.close()
    assert "anna" not in str(caught.value)
    return caught.value


async def test_mail_carries_identity_and_reuses_its_connection() -> None:
    sink = MailSink()
    async with mail_server(sink) as port, closing(mail(port, list_unsubscribe="https://demo.example/off")) as channel:
        for _ in range(5):
            await channel.send(MESSAGE, attempt())
    assert sink.sessions == 1
    assert sink.mails[0]["Subject"] == "Mobile data is disturbed"
    assert sink.mails[0]["Message-ID"] == "<com-1.7.0.0@demo.example>"
    assert sink.mails[0]["List-Unsubscribe"] == "<https://demo.example/off>"
    assert sink.mails[0].get_content().strip() == "Since 12:00 – ö"  # type: ignore[attr-defined]


async def test_mail_to_a_server_without_starttls_is_not_sent_when_encryption_is_required() -> None:
    sink = MailSink()
    async with mail_server(sink) as port:
        error = await refusal(mail(port, encryption="required"))
    assert "answers but offers no STARTTLS" in str(error)
    assert not error.permanent
    assert not error.unknown
    assert sink.mails == []


@pytest.mark.parametrize(("answer", "permanent"), [("550 no", True), ("451 later", False)], ids=["for good", "for now"])
async def test_refused_mail_surely_did_not_leave(answer: str, permanent: bool) -> None:
    sink = MailSink()
    sink.answer = answer
    async with mail_server(sink) as port:
        error = await refusal(mail(port))
    assert (error.permanent, error.unknown) == (permanent, False)


async def test_mail_whose_answer_is_lost_is_unknown() -> None:
    sink = MailSink()
    sink.hang_in_data.clear()
    async with mail_server(sink) as port:
        error = await refusal(mail(port, timeout=0.3))
    assert error.unknown
    assert len(sink.mails) == 1


@pytest.mark.parametrize("answer", ["999 \xff\x00 noise", "what?", "-7", "250" + "x" * 100_000])
async def test_mail_that_is_answered_with_nonsense_may_have_left_and_is_unknown(answer: str) -> None:
    async with crude_mail_server(answer.encode("latin-1")) as (port, taken):
        error = await refusal(mail(port, timeout=2.0))
    assert error.unknown
    assert "nonsense" in str(error) or "did not say" in str(error)
    assert len(taken) == 1


async def test_mail_server_that_never_speaks_took_nothing() -> None:
    async with silent_server() as port:
        began = time.monotonic()
        error = await refusal(mail(port, timeout=0.3))
    assert time.monotonic() - began < 2
    assert (error.permanent, error.unknown) == (False, False)


async def test_idle_connection_that_the_server_gave_up_is_replaced() -> None:
    sink = MailSink()
    async with mail_server(sink, timeout=0.1) as port, closing(mail(port)) as channel:
        await channel.send(MESSAGE, attempt())
        await asyncio.sleep(0.3)
        await channel.send(MESSAGE, attempt())
    assert len(sink.mails) == 2


async def test_line_break_in_an_address_adds_no_header() -> None:
    sink = MailSink()
    async with mail_server(sink) as port, closing(mail(port)) as channel:
        with pytest.raises(ChannelError) as caught:
            await channel.send(Message(id="x", to="a@b.example\r\nBcc: c@d.example", subject="s", body="b"), attempt())
    assert caught.value.permanent
    assert sink.mails == []


async def test_alert_reaches_the_others_when_one_recipient_is_refused() -> None:
    sink = MailSink()
    sink.refuse = {"gone@noc.example": "550 no"}
    async with (
        mail_server(sink) as port,
        closing(mail(port, recipients=["gone@noc.example", "on-call@noc.example"])) as channel,
    ):
        await channel.alert(ALERT, attempt())
    assert sink.mails[0]["Subject"] == "[FIRING] data is down"


def test_password_in_clear_is_refused_at_load() -> None:
    with pytest.raises(ValidationError, match="travel in clear"):
        EmailParams(host="mx.example", encryption="none", sender="a@b.example", user="u", password_file="p")


@contextlib.asynccontextmanager
async def receiver(answer: Any) -> AsyncIterator[tuple[str, list[aiohttp.web.Request]]]:
    seen: list[web.Request] = []

    async def take(request: web.Request) -> web.StreamResponse:
        await request.read()
        seen.append(request)
        reply = answer(request)
        done: web.StreamResponse = await reply if asyncio.iscoroutine(reply) else reply
        return done

    app = web.Application()
    app.router.add_post("/{tail:.*}", take)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/hook", seen
    finally:
        await runner.cleanup()


def hook(url: str, folder: Path, timeout: float = 5.0, **params: Any) -> Webhook:
    secret = folder / "secret"
    secret.write_text("whsec_" + base64.b64encode(b"a secret of the two").decode() + "\n")
    return Webhook(WebhookParams(url=url, secret_file=str(secret), **params), name="hook", timeout_seconds=timeout)


async def test_webhook_is_signed_so_that_the_receiver_can_verify_it(tmp_path: Path) -> None:
    async with receiver(lambda _: web.Response(status=204)) as (url, seen), closing(hook(url, tmp_path)) as channel:
        await channel.send(MESSAGE, attempt())
        await channel.send(MESSAGE, attempt())
    request = seen[0]
    name, stamp = request.headers["webhook-id"], request.headers["webhook-timestamp"]
    body = await request.read()
    digest = hmac.new(b"a secret of the two", f"{name}.{stamp}.".encode() + body, hashlib.sha256).digest()
    assert request.headers["webhook-signature"] == "v1," + base64.b64encode(digest).decode()
    assert abs(int(stamp) - time.time()) < 60
    assert seen[0].headers["Idempotency-Key"] == seen[1].headers["Idempotency-Key"] == "com-1.7.0.0"
    assert json.loads(body)["to"] == "anna@example.org"


@pytest.mark.parametrize(
    ("status", "permanent", "unknown"),
    [(400, True, False), (410, True, False), (429, False, False), (503, False, False), (500, False, True),
     (302, True, False)],
    ids=["bad", "gone", "slow down", "closed", "broke", "elsewhere"],
)  # fmt: skip
async def test_answer_of_the_receiver_is_taken_at_its_word(
    tmp_path: Path, status: int, permanent: bool, unknown: bool
) -> None:
    headers = {"Location": "/other"} if status == 302 else {}
    async with receiver(lambda _: web.Response(status=status, headers=headers)) as (url, seen):
        error = await refusal(hook(url, tmp_path))
    assert (error.permanent, error.unknown) == (permanent, unknown)
    assert len(seen) == 1


async def test_receiver_that_hangs_may_have_taken_it(tmp_path: Path) -> None:
    async def hang(_: Any) -> web.Response:
        await asyncio.sleep(2)
        return web.Response()

    async with receiver(hang) as (url, _):
        error = await refusal(hook(url, tmp_path, timeout=0.2))
    assert error.unknown


async def test_request_that_only_waited_for_a_connection_did_not_leave(tmp_path: Path) -> None:
    answered = asyncio.Event()

    async def hang(_: Any) -> web.Response:
        await answered.wait()
        return web.Response()

    async with receiver(hang) as (url, seen), closing(hook(url, tmp_path, timeout=30.0, connections=1)) as channel:
        first, second = attempt(30.0), attempt(0.1)
        sending = asyncio.create_task(first.run(channel.send(MESSAGE, first)))
        async with asyncio.timeout(10):
            while not seen:
                await asyncio.sleep(0.01)
        with pytest.raises(ChannelError) as caught:
            await second.run(channel.send(MESSAGE, second))
        answered.set()
        await sending
    assert (first.begun, second.begun) == (True, False)
    assert (caught.value.permanent, caught.value.unknown) == (False, False)
    assert len(seen) == 1


async def test_nobody_listens_so_nothing_left(tmp_path: Path) -> None:
    error = await refusal(hook("http://127.0.0.1:9/hook", tmp_path))
    assert (error.permanent, error.unknown) == (False, False)


def test_plain_http_to_another_machine_is_refused_at_load() -> None:
    with pytest.raises(ValidationError, match="travel in clear"):
        WebhookParams(url="http://gateway.example/hook", secret_file="s")


@contextlib.asynccontextmanager
async def alertmanager(folder: Path) -> AsyncIterator[str]:
    """A real Alertmanager on a free port."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    (folder / "am.yml").write_text("route: {receiver: none}\nreceivers: [{name: none}]\n")
    process = subprocess.Popen(  # noqa: ASYNC220 -- started once, ended below
        [
            program("alertmanager") or "", f"--config.file={folder}/am.yml", f"--storage.path={folder}/data",
            f"--web.listen-address=127.0.0.1:{port}", "--cluster.listen-address=",
        ],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, preexec_fn=end_with_starter,
    )  # fmt: skip
    url = f"http://127.0.0.1:{port}"
    try:
        async with asyncio.timeout(60), aiohttp.ClientSession() as session:
            while True:
                with contextlib.suppress(aiohttp.ClientError):
                    async with session.get(f"{url}/-/ready") as answer:
                        if answer.status == 200:
                            break
                await asyncio.sleep(0.1)
        yield url
    finally:
        process.terminate()
        process.wait(10)


@pytest.mark.needs("alertmanager")
async def test_real_alertmanager_fires_and_resolves(tmp_path: Path) -> None:
    import msgspec

    now = time.time()
    firing = msgspec.structs.replace(ALERT, starts_at=now - 5, ends_at=now + 300)
    async with (
        alertmanager(tmp_path) as url,
        closing(Alertmanager(AlertmanagerParams(url=url), name="am", timeout_seconds=5.0)) as channel,
        aiohttp.ClientSession() as session,
    ):

        async def active() -> list[str]:
            async with session.get(f"{url}/api/v2/alerts?active=true") as answer:
                return [alert["labels"]["incident"] for alert in await answer.json()]

        await channel.alert(firing, attempt())
        assert await active() == ["inc-1"]
        await channel.alert(msgspec.structs.replace(firing, firing=False, ends_at=time.time() - 0.5), attempt())
        assert await active() == []


async def test_alertmanager_that_is_away_is_asked_again() -> None:
    params = AlertmanagerParams(url="http://127.0.0.1:9")
    error = await refusal(Alertmanager(params, name="am", timeout_seconds=2.0), alert=True)
    assert (error.permanent, error.unknown) == (False, False)


@pytest.mark.filterwarnings("ignore:.*imghdr:DeprecationWarning")
async def test_apprise_hands_the_alert_to_a_service(tmp_path: Path) -> None:
    pytest.importorskip("apprise", reason="the extra chat is not installed")
    async with receiver(lambda _: web.Response(status=200)) as (url, seen):
        (tmp_path / "urls").write_text(f"# staff\n{url.replace('http', 'json')}\n")
        channel = Apprise(AppriseParams(urls_file=str(tmp_path / "urls")), name="chat", timeout_seconds=5.0)
        async with closing(channel):
            await channel.alert(ALERT, attempt())
        assert len(seen) == 1
    async with receiver(lambda _: web.Response(status=500)) as (url, _):
        (tmp_path / "urls").write_text(url.replace("http", "json"))
        refused = Apprise(AppriseParams(urls_file=str(tmp_path / "urls")), name="chat", timeout_seconds=5.0)
        error = await refusal(refused, alert=True)
        assert not error.permanent
