"""What every kind of channel promises, whatever it is: strict, documented, in time, discreet."""

from __future__ import annotations

import asyncio
import inspect
import time
from pathlib import Path
from typing import Any

import pytest
from cemd.config.base import FileModel
from cemd.errors import ChannelError
from cemd.model.notice import Alert
from cemd.report.channels import KINDS, Message
from cemd.report.channels.attempt import Attempt
from cemd.report.channels.base import CUSTOMERS, STAFF
from pydantic import ValidationError

from tests.report.servers import full_server, silent_server

ALERT = Alert(id="a", trace="t", route="r", channel="c", incident="i", firing=True, due_at=0.0, summary="s")
MESSAGE = Message(id="m", to="anna@example.org", subject="secret subject", body="secret body")


def params(kind: str, port: int, folder: Path) -> dict[str, Any]:
    (folder / "secret").write_text("very-secret")
    (folder / "urls").write_text(f"json://127.0.0.1:{port}/?cto=1&rto=30")
    every: dict[str, dict[str, Any]] = {
        "email": {"host": "127.0.0.1", "port": port, "encryption": "none", "sender": "a@b.example",
                  "recipients": ["on-call@noc.example"]},
        "webhook": {"url": f"http://127.0.0.1:{port}/", "secret_file": str(folder / "secret")},
        "alertmanager": {"url": f"http://127.0.0.1:{port}"},
        "apprise": {"urls_file": str(folder / "urls")},
    }  # fmt: skip
    return every[kind]


def built(word: str, port: int, folder: Path, timeout: float = 0.3) -> Any:
    kind = KINDS[word]
    return kind(kind.Params(**params(word, port, folder)), name="the-channel", timeout_seconds=timeout)


@pytest.mark.parametrize("word", KINDS)
def test_kind_is_documented_and_its_parameters_are_strict(word: str) -> None:
    kind = KINDS[word]
    assert inspect.getdoc(kind)
    assert inspect.getdoc(inspect.getmodule(kind))
    assert issubclass(kind.Params, FileModel)
    assert set(kind.serves) <= {CUSTOMERS, STAFF}
    with pytest.raises(ValidationError):
        kind.Params.model_validate({"unheard_of": 1})


@pytest.mark.parametrize("word", KINDS)
def test_no_parameter_holds_a_secret_as_a_value(word: str) -> None:
    names = KINDS[word].Params.model_fields
    secret = [name for name in names if any(word in name for word in ("password", "secret", "token"))]
    assert all(name.endswith("_file") for name in secret)


@pytest.mark.filterwarnings("ignore:.*imghdr:DeprecationWarning")
@pytest.mark.parametrize("word", KINDS)
async def test_deadline_holds_against_a_server_that_never_answers(word: str, tmp_path: Path) -> None:
    if word == "apprise":
        pytest.importorskip("apprise", reason="the extra chat is not installed")
    async with silent_server() as port:
        channel = built(word, port, tmp_path)
        began, attempt = time.monotonic(), Attempt(0.3, name="the-channel")
        with pytest.raises(ChannelError) as caught:
            await attempt.run(channel.alert(ALERT, attempt))
        assert time.monotonic() - began < 4
        assert not caught.value.permanent
        assert caught.value.unknown == attempt.begun
        assert str(caught.value).startswith("channel 'the-channel': ")
        await channel.close()


@pytest.mark.parametrize("word", ["email", "webhook", "alertmanager"])
async def test_server_that_takes_no_connection_took_no_message(word: str, tmp_path: Path) -> None:
    async with full_server() as port:
        channel, attempt = built(word, port, tmp_path), Attempt(0.3, name="the-channel")
        with pytest.raises(ChannelError) as caught:
            await attempt.run(channel.alert(ALERT, attempt))
        await channel.close()
    assert not attempt.begun
    assert (caught.value.permanent, caught.value.unknown) == (False, False)
    assert "cannot be reached" in str(caught.value)


@pytest.mark.parametrize("word", [word for word, kind in KINDS.items() if CUSTOMERS in kind.serves])
async def test_error_names_neither_the_customer_nor_the_text(word: str, tmp_path: Path) -> None:
    channel = built(word, 9, tmp_path)
    with pytest.raises(ChannelError) as caught:
        await channel.send(MESSAGE, Attempt(5.0, name="the-channel"))
    await channel.close()
    words = str(caught.value)
    assert not any(each in words for each in ("anna", "secret subject", "secret body", "very-secret"))
    assert words.endswith(".")


@pytest.mark.parametrize("word", [word for word, kind in KINDS.items() if CUSTOMERS not in kind.serves])
async def test_staff_channel_refuses_customers_for_good(word: str, tmp_path: Path) -> None:
    channel = built(word, 9, tmp_path)
    with pytest.raises(ChannelError) as caught:
        await channel.send(MESSAGE, Attempt(5.0, name="the-channel"))
    await channel.close()
    assert caught.value.permanent


@pytest.mark.parametrize("word", ["email", "webhook", "alertmanager"])
async def test_cancellation_is_passed_on_and_leaves_nothing_open(word: str, tmp_path: Path) -> None:
    async with silent_server() as port:
        channel = built(word, port, tmp_path, timeout=30.0)
        task = asyncio.create_task(channel.alert(ALERT, Attempt(30.0, name="the-channel")))
        await asyncio.sleep(0.1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await channel.close()
