"""Transactions: values carried, evidence by step, budget kept, and a clean-up that even kill -9 does not stop."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from cemd.config.probes import Probe
from cemd.kit.clock import ManualClock
from cemd.model.quality import Outcome
from cemd.monitor.probes.base import Reason

from tests.monitor.daemon_side import daemon_side, prober_child, until
from tests.monitor.peers import SETTINGS, Shop, complaints, hang, http_server, look, shop, tcp_server, tools
from tests.monitor.probes.contract import SECRET, Contract


async def contract(stack: contextlib.AsyncExitStack, secret_file: str) -> Contract:
    built = await stack.enter_async_context(shop())
    hung = f"http://127.0.0.1:{await stack.enter_async_context(tcp_server(hang))}"
    secret = {"secret_files": {"pin": secret_file}}
    login = {"name": "login", "http": {"post": f"{built.url}/login", "json": {"pin": "{pin}"}}}
    waiting = {"name": "login", "http": {"post": f"{hung}/login", "json": {"pin": "{pin}"}}}
    return Contract(
        good=built.params(),
        failing={"steps": [{**login, "expect": {"body_contains": SECRET}}], **secret},
        hanging={"steps": [waiting], **secret},
    )


async def test_values_are_carried_and_each_step_is_timed(tmp_path: Path) -> None:
    async with shop() as built, tools(state=tmp_path) as made:
        result = await look(made, "transaction", built.params())
        assert result.outcome is Outcome.OK, result.detail
        steps = [dict(reading.labels)["step"] for reading in result.readings if reading.metric == "step_seconds"]
        assert steps == ["login", "order", "activate"]
        await until(lambda: not built.orders, what="the clean-up")
        await until(lambda: not list((tmp_path / "cleanups").glob("*.json")), what="forgetting the intent")
        await until(lambda: made.janitor.outstanding() == 0, what="the end of the duty")


async def test_steps_and_the_clean_up_leave_by_the_way_that_the_probe_wants(tmp_path: Path) -> None:
    came_from: Counter[str] = Counter()

    @web.middleware
    async def note(request: web.Request, handler: Any) -> web.StreamResponse:
        came_from[f"{request.method} {request.remote}"] += 1
        found: web.StreamResponse = await handler(request)
        return found

    built = Shop()

    def build(app: web.Application) -> None:
        app.middlewares.append(note)
        built.routes(app)

    async with http_server(build) as built.url, tools(state=tmp_path) as made:
        result = await look(made, "transaction", built.params(source_address="127.0.0.79", dscp=18))
        assert result.outcome is Outcome.OK, result.detail
        await until(lambda: made.janitor.outstanding() == 0, what="the end of the duty")
    assert {one.partition(" ")[2] for one in came_from} == {"127.0.0.79"}
    assert came_from["DELETE 127.0.0.79"] > 0


async def test_failed_step_says_which_and_the_order_is_still_cancelled(tmp_path: Path) -> None:
    async with shop() as built, tools(state=tmp_path) as made:
        built.mode = "stuck"
        params = built.params()
        params["steps"][2]["wait"]["within_seconds"] = 0.2
        result = await look(made, "transaction", params)
        assert (result.outcome, result.reason) == (Outcome.FAILED, Reason.STATE_NOT_REACHED)
        assert result.detail.startswith("step activate: ")
        await until(lambda: not built.orders, what="the clean-up")


@pytest.mark.parametrize(
    ("step", "words"),
    [
        ({"http": {"get": "{url}/away"}}, "answered 302, not 2xx; it leads to /login."),
        (
            {"http": {"get": "{url}/order"}, "expect": {"json": "$.state == 'done' and $.left < 3"}},
            "$.state == 'done' and $.left < 3 does not hold: $.state is 'pending', $.left is 7.",
        ),
        (
            {"http": {"get": "{url}/order"}, "expect": {"json": "$.id == 'another'"}},
            "$.id == 'another' does not hold: $.id is '[hidden]'.",
        ),
        (
            {"wait": {"http": {"get": "{url}/order"}, "until": "$.state == 'done'", "within_seconds": 0.3}},
            "$.state == 'done' did not come true within 0.3 s; at last $.state is 'pending'.",
        ),
    ],
    ids=["redirect", "values", "a value that was taken", "wait"],
)
async def test_step_says_what_it_found_instead(step: dict[str, Any], words: str, tmp_path: Path) -> None:
    async def order(_: web.Request) -> web.Response:
        return web.json_response({"id": "order-4711-east", "state": "pending", "left": 7})

    async def away(_: web.Request) -> web.Response:
        raise web.HTTPFound("/login?next=secret-4711")

    def build(app: web.Application) -> None:
        app.router.add_get("/order", order)
        app.router.add_get("/away", away)

    async with http_server(build) as url, tools(state=tmp_path) as made:
        first = {"name": "first", "http": {"get": f"{url}/order"}, "take": {"id": "$.id"}}
        second = json.loads(json.dumps({"name": "second", **step}).replace("{url}", url))
        result = await look(made, "transaction", {"steps": [first, second]})
    assert result.outcome is Outcome.FAILED
    assert result.detail == f"step second: {words}"


async def test_deadline_within_a_step_is_a_timeout_with_the_steps_before_it(tmp_path: Path) -> None:
    async with shop() as built, tools(state=tmp_path) as made:
        built.mode = "mute"
        result = await look(made, "transaction", built.params(settle_seconds=0), seconds=0.5)
        assert (result.outcome, result.reason) == (Outcome.TIMED_OUT, Reason.NO_ANSWER)
        assert "step order" in result.detail
        await until(lambda: not built.orders, what="the clean-up by {run}")


async def test_refused_login_leaves_nothing_to_clean(tmp_path: Path) -> None:
    async with shop() as built, tools(state=tmp_path) as made:
        params = built.params()
        params["steps"][0]["http"]["json"] = {"pin": "wrong"}
        result = await look(made, "transaction", params)
        assert (result.outcome, result.reason) == (Outcome.FAILED, Reason.STATUS_UNEXPECTED)
        assert "order" not in built.requests


async def test_next_run_fails_instead_of_piling_up_orders_when_cancelling_does_not_work(tmp_path: Path) -> None:
    async with shop() as built, tools(state=tmp_path) as made:
        built.mode = "no-cancel"
        assert (await look(made, "transaction", built.params(), run="cemd-a")).outcome is Outcome.OK
        second = await look(made, "transaction", built.params(), seconds=5.0, run="cemd-b")
        assert second.seconds < 1.0  # as soon as the clean-up was refused again
        assert (second.outcome, second.reason) == (Outcome.FAILED, Reason.CLEANUP_OUTSTANDING)
        assert built.requests.count("order") == 1
        built.mode = "ok"
        third = await look(made, "transaction", built.params(), run="cemd-c")
        assert third.outcome is Outcome.OK, third.detail
        await until(lambda: not built.orders, what="the clean-up")


async def test_budget_bounds_runs_through_a_restart_and_is_spread(tmp_path: Path) -> None:
    clock = ManualClock()
    budget = {"side_effects": {"per_hour": 4}}
    outcomes = []
    async with shop() as built:
        for part in range(2):
            async with tools(state=tmp_path, clock=clock) as made:
                for number in range(6):
                    result = await look(made, "transaction", built.params(**budget), run=f"cemd-{part}-{number}")
                    outcomes.append(result.reason)
                    clock.advance(400.0)
        assert outcomes.count(Reason.ANSWERED) == built.requests.count("order")
        assert outcomes[:3] == [Reason.ANSWERED] * 3
        assert Reason.BUDGET_SPENT in outcomes[3:9]
        in_first_hour = outcomes[:9].count(Reason.ANSWERED)
        assert in_first_hour <= 4


@pytest.mark.parametrize(
    ("break_it", "fact"),
    [
        (lambda params: params["steps"][1]["http"]["json"].update(x="{nobody}"), "{nobody} is taken by no step"),
        (lambda params: params["steps"][2].update(name="order"), "occur twice"),
        (lambda params: params["steps"][1]["take"].update(order="id"), "is no path"),
        (lambda params: params["steps"][2]["wait"].update(until="state is active"), "is no condition"),
        (lambda params: params["steps"][0]["http"].update(get="http://x/"), "exactly one of"),
        (lambda params: params["steps"][0].update(http=None), "exactly one of"),
    ],
    ids=["unknown-value", "duplicate-step", "bad-path", "bad-condition", "two-methods", "no-call"],
)
def test_faults_are_told_before_anything_runs(break_it: Any, fact: str) -> None:
    params = Shop(url="http://127.0.0.1:1").params()
    break_it(params)
    assert fact in complaints("transaction", params)


async def test_value_of_a_peer_cannot_break_out_of_a_url_or_a_header(tmp_path: Path) -> None:
    async with shop() as built, tools(state=tmp_path) as made:
        params = {
            "steps": [
                {"name": "login", "http": {"post": f"{built.url}/login", "json": {}}, "take": {"token": "$.token"}},
                {"name": "show", "http": {"get": f"{built.url}/orders/{{evil}}"}, "expect": {"status": 404}},
            ],
            "secret_files": {"evil": str(tmp_path / "evil")},
        }
        (tmp_path / "evil").write_text("../login?x=y#z")
        result = await look(made, "transaction", params)
        assert result.outcome is Outcome.OK, result.detail


@pytest.mark.parametrize("mode", ["stuck", "mute", "late"], ids=["answer-read", "answer-never-read", "not-yet-done"])
async def test_no_test_order_remains_after_kill_9_between_order_and_cancel(mode: str, tmp_path: Path) -> None:
    socket, state = tmp_path / "prober.sock", tmp_path / "state"
    async with shop() as built, daemon_side(socket) as side:
        built.mode = mode
        params = built.params(settle_seconds=2.0)
        params["steps"][2]["wait"]["within_seconds"] = 30
        probe = Probe(
            name="shop", kind="transaction", service="s", every_seconds=3600.0, timeout_seconds=60.0, params=params
        )
        side.server.set_probes("e1", [probe], SETTINGS)
        async with prober_child(socket, state) as first:
            await until(lambda: side.server.recheck("shop"), what="a prober that has its probes")
            if mode == "late":
                await until(lambda: "order" in built.requests, what="the order")
            else:
                await until(built.ordered.is_set, what="the order")
                await asyncio.sleep(0.1)
            await first.end(signal.SIGKILL)
        if mode != "late":
            assert len(built.orders) == 1
        assert list((state / "cleanups").glob("*.json"))
        side.server.set_probes("e2", [], SETTINGS)  # even when the probe is gone from the files
        async with prober_child(socket, state) as second:
            if mode == "late":
                await until(lambda: "cancel-by-reference" in built.requests, what="a first clean-up")
                built.release.set()
                await until(built.ordered.is_set, what="the late order")
            await until(lambda: not list((state / "cleanups").glob("*.json")), what="the clean-up")
            assert built.orders == {}
            assert built.requests.count("order") == 1
            assert await second.end(signal.SIGTERM) == 0


async def test_stop_in_the_middle_of_a_run_cancels_its_order_before_the_prober_ends(tmp_path: Path) -> None:
    async with shop() as built, daemon_side(tmp_path / "s") as side:
        built.mode = "stuck"
        params = built.params()
        params["steps"][2]["wait"]["within_seconds"] = 30
        probe = Probe(
            name="shop", kind="transaction", service="s", every_seconds=3600.0, timeout_seconds=60.0, params=params
        )
        side.server.set_probes("e1", [probe], SETTINGS)
        async with prober_child(tmp_path / "s", tmp_path / "state") as child:
            await until(lambda: side.server.recheck("shop"), what="a prober that has its probes")
            await until(built.ordered.is_set, what="the order")
            await asyncio.sleep(0.3)
            assert await child.end(signal.SIGTERM) == 0
        assert built.orders == {}
        assert not list((tmp_path / "state" / "cleanups").glob("*.json"))
