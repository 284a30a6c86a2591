"""dns: answers that are wrong, forged, cut short or missing."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
from cemd.model.quality import Outcome
from cemd.monitor.probes.base import Reason
from hypothesis import given
from hypothesis import strategies as st

from tests.monitor import peers
from tests.monitor.peers import look, name_server, tools, value
from tests.monitor.probes.contract import Contract

RECORDS = {
    ("shop.example.", "A"): ["192.0.2.7", "192.0.2.8"],
    ("shop.example.", "MX"): ["10 mail.example."],
}


async def contract(stack: contextlib.AsyncExitStack, _secret_file: str) -> Contract:
    _, port = await stack.enter_async_context(name_server(RECORDS))
    mute, mute_port = await stack.enter_async_context(name_server(RECORDS))
    mute.mode = "mute"
    asked = {"server": "127.0.0.1", "port": port}
    return Contract(
        good={**asked, "name": "shop.example"},
        failing={**asked, "name": "nobody.example"},
        hanging={"server": "127.0.0.1", "port": mute_port, "name": "shop.example"},
    )


@pytest.mark.parametrize(
    ("params", "reason"),
    [
        ({"name": "shop.example"}, Reason.ANSWERED),
        ({"name": "shop.example", "answers": ["192.0.2.8"]}, Reason.ANSWERED),
        ({"name": "shop.example", "answers": ["192.0.2.9"]}, Reason.ANSWER_UNEXPECTED),
        ({"name": "shop.example", "min_answers": 3}, Reason.ANSWER_UNEXPECTED),
        ({"name": "shop.example", "type": "MX", "answers": ["10 mail.example."]}, Reason.ANSWERED),
        ({"name": "gone.example"}, Reason.STATUS_UNEXPECTED),
        ({"name": "gone.example", "rcode": "NXDOMAIN"}, Reason.ANSWERED),
        ({"name": "shop.example", "transport": "tcp"}, Reason.ANSWERED),
    ],
)
async def test_answers_are_held_against_what_they_must_be(params: dict[str, Any], reason: Reason) -> None:
    async with name_server(RECORDS) as (_, port), tools() as made:
        result = await look(made, "dns", {"server": "127.0.0.1", "port": port, **params})
    assert result.reason is reason, result.detail
    assert value(result, "response_seconds") > 0


@pytest.mark.parametrize(
    ("mode", "outcome"),
    [
        ("truncate", Outcome.OK),
        ("lose first", Outcome.OK),
        ("mute", Outcome.TIMED_OUT),
        ("garbage", Outcome.TIMED_OUT),
        ("forge", Outcome.TIMED_OUT),
    ],
)
async def test_cut_answers_go_over_tcp_and_noise_is_no_answer(mode: str, outcome: Outcome) -> None:
    async with name_server(RECORDS) as (server, port), tools() as made:
        server.mode = mode
        params = {"server": "127.0.0.1", "port": port, "name": "shop.example", "resend_seconds": 0.1}
        result = await look(made, "dns", params, seconds=0.5)
    assert result.outcome is outcome
    if outcome is Outcome.OK:
        assert value(result, "answer_count") == 2.0
    if mode in {"mute", "garbage"}:
        assert server.asked >= 3


async def test_no_name_server_at_all_is_refused_quickly() -> None:
    async with tools() as made:
        params = {"server": "127.0.0.1", "port": peers.free_port(), "name": "shop.example"}
        result = await look(made, "dns", params)
    assert (result.outcome, result.reason) == (Outcome.FAILED, Reason.REFUSED)
    assert value(result, "duration_seconds") < 1.0


@given(st.binary(max_size=200))
def test_no_bytes_make_the_dns_reader_raise(data: bytes) -> None:
    import dns.message
    from cemd.monitor.probes.dns import _read

    query = dns.message.make_query("shop.example", "A")
    assert _read(data, query) is None
    assert _read(query.id.to_bytes(2, "big") + data, query) is None or len(data) > 8
