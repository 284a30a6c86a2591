"""The API as a reader and a writer meet it, over a real socket."""

from __future__ import annotations

import asyncio
import gzip
import json
from dataclasses import replace
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import aiohttp
import jsonschema
import msgspec
import numpy as np
import pytest
import structlog
from cemd.errors import CemdError
from cemd.model.entry import CommandKind
from cemd.model.incident import IncidentState
from cemd.model.measurement import Attempt, Samples
from cemd.model.notice import Alert, AlertState
from cemd.web import present
from cemd.web.commands import PUSHES_AT_ONCE
from cemd.web.guard import FORGERY_HEADER
from cemd.web.house import PushAnswer, RunAsked, ToMend
from cemd.web.notable import TREND_POINTS, trend_of
from cemd.web.present import staff_words
from cemd.web.server import WebServer

from tests.web.scene import CHARGE_OK, LOOKUP, NOW, SceneHouse, rich_views

HERE = {FORGERY_HEADER: "1"}
ACTOR = {"actor": "ines"}
PAYMENT = "inc-3f2a91c04d7e"
OVER = "inc-5c40d2f1e6b3"


async def got(client: aiohttp.ClientSession, path: str) -> Any:
    async with client.get(path) as response:
        assert response.status == 200, await response.text()
        return await response.json()


async def test_every_reading_route_answers_as_its_schema_says(client: aiohttp.ClientSession) -> None:
    api = await got(client, "/api/v1/openapi.json")
    assert api["openapi"] == "3.1.0"
    fill = {"incident": PAYMENT, "id": PAYMENT, "series": str(LOOKUP), "probe": "payment-charge"}
    checked = 0
    for path, operations in api["paths"].items():
        content = operations.get("get", {}).get("responses", {}).get("200", {}).get("content", {})
        schema = content.get("application/json", {}).get("schema")
        if not schema:
            continue
        document = await got(client, path.format(**fill))
        jsonschema.Draft202012Validator({**schema, "components": api["components"]}).validate(document)
        checked += 1
    assert checked >= 14


async def test_every_instant_has_zone_and_epoch(client: aiohttp.ClientSession) -> None:
    incident = (await got(client, f"/api/v1/incidents/{PAYMENT}"))["incident"]
    opened = datetime.fromisoformat(incident["opened_at"]["iso"])
    assert opened.timestamp() == incident["opened_at"]["epoch"] == NOW - 840
    assert opened.isoformat().endswith("+01:00"), "the operator's zone"
    assert incident["resolved_at"] is None


async def test_overview_has_cause_rivals_evidence_and_who_was_told(client: aiohttp.ClientSession) -> None:
    overview = await got(client, "/api/v1/overview")
    first = overview["incidents"][0]
    assert (first["cause"]["service"], first["cause"]["confidence"]) == ("payment-gateway", "probable")
    assert first["subject"]["title"] == "Payment gateway"
    assert [one["told"] for one in first["communications"]] == [7204]
    assert first["findings"][0]["unit"] == "ratio"
    assert overview["cei"]["calibrated"] is False


async def test_a_reader_who_has_the_view_gets_304_until_the_next_tick(
    client: aiohttp.ClientSession, house: SceneHouse
) -> None:
    async with client.get("/api/v1/overview") as response:
        tag = response.headers["ETag"]
    async with client.get("/api/v1/overview", headers={"If-None-Match": tag}) as response:
        assert response.status == 304
    house.tick()
    async with client.get("/api/v1/overview", headers={"If-None-Match": tag}) as response:
        assert response.status == 200
        tag = response.headers["ETag"]
    house.reasons = ["The log is 40 s behind."]
    async with client.get("/api/v1/overview", headers={"If-None-Match": tag}) as response:
        assert (await response.json())["not_ready"] == ["The log is 40 s behind."]


async def test_what_is_to_mend_is_told_at_once_though_no_tick_came(
    house: SceneHouse, client: aiohttp.ClientSession
) -> None:
    async with client.get("/api/v1/overview") as response:
        tag = response.headers["ETag"]
    house.mends = (ToMend(what="The last reload was refused", place="a.yaml:1:2", fact="f", remedy="r", since=NOW),)
    async with client.get("/api/v1/overview", headers={"If-None-Match": tag}) as response:
        (said,) = (await response.json())["to_mend"]
    assert (said["place"], said["fact"], said["remedy"], said["since"]["epoch"]) == ("a.yaml:1:2", "f", "r", NOW)
    assert (await got(client, "/readyz"))["to_mend"] == ["The last reload was refused: a.yaml:1:2: f; r."]


async def test_series_are_searched_by_all_words_and_paged(client: aiohttp.ClientSession) -> None:
    found = await got(client, "/api/v1/series?q=SHOP+success")
    assert [one["probe"] for one in found["items"]] == ["shop-order-to-activate"]
    page = await got(client, "/api/v1/series?limit=3&offset=6")
    assert (page["total"], len(page["items"])) == (8, 2)


async def test_a_probe_tells_why_its_last_attempts_failed(house: SceneHouse, client: aiohttp.ClientSession) -> None:
    attempt = Attempt(
        probe="payment-charge",
        at=NOW - 3,
        seconds=0.01,
        outcome="failed",
        reason="connection_refused",
        detail="nobody listens.",
        vantage="south",
    )
    house.failed["payment-charge"] = (attempt,)
    found = await got(client, "/api/v1/probes/payment-charge")
    assert found["probe"]["name"] == "payment-charge"
    failures = [(one["reason"], one["vantage"], one["at"]["epoch"]) for one in found["failures"]]
    assert failures == [("connection_refused", "south", NOW - 3)]
    assert (await got(client, "/api/v1/probes/shop-order-to-activate"))["failures"] == []
    async with client.get("/api/v1/probes/nobody") as answer:
        assert answer.status == 404


async def test_series_are_found_by_their_service_and_its_title(client: aiohttp.ClientSession) -> None:
    found = await got(client, "/api/v1/series?q=resolvers")
    assert {one["probe"] for one in found["items"]} == {"resolver-east"}
    assert {one["service"] for one in found["items"]} == {"dns"}, (
        "the whole probe is placed, not only what an indicator uses"
    )
    assert [one["service"] for one in (await got(client, "/api/v1/series?q=core-east"))["items"]] == ["", ""]


async def test_notable_series_come_rarest_first_with_their_recent_past(
    client: aiohttp.ClientSession, house: SceneHouse
) -> None:
    found = await got(client, "/api/v1/notable?limit=3")
    assert [(one["probe"], one["metric"]) for one in found["items"]] == [
        ("payment-charge", "success"),
        ("payment-charge", "total_seconds"),
        ("resolver-east", "lookup_seconds"),
    ]
    assert len(found["items"][0]["trend"]) == TREND_POINTS
    assert found["items"][2]["trend"][-1] > 1.1 * found["items"][2]["trend"][0]
    assert house.shown is not None
    columns = house.shown.series
    last_at = columns.last_at.copy()
    last_at[0] -= 3600
    house.shown = replace(house.shown, seq=house.shown.seq + 1, series=replace(columns, last_at=last_at))
    first = (await got(client, "/api/v1/notable"))["items"][0]
    assert (first["probe"], first["metric"]) == ("payment-charge", "total_seconds"), "what is not heard is not judged"


def test_a_trend_has_gaps_where_nothing_was_measured() -> None:
    at = np.array([1.0, 2.0, 899.0])
    samples = Samples(
        series=np.zeros(3, np.int64), at=at, value=np.array([1.0, 3.0, np.nan]), outcome=np.zeros(3, np.uint8)
    )
    assert trend_of(samples, 0.0, 900.0) == (2.0, *[None] * (TREND_POINTS - 1))


async def test_an_incident_says_whether_staff_were_told_or_why_not(client: aiohttp.ClientSession) -> None:
    document = await got(client, f"/api/v1/incidents/{PAYMENT}")
    told, not_told = document["staff"]
    assert (told["route"], told["channel"], told["says"], told["told_at"]["epoch"]) == (
        "noc",
        "desk",
        "told of it",
        NOW - 600,
    )
    assert not_told["told_at"] is None
    assert not_told["says"].startswith("not told so far: channel 'pager': 127.0.0.1:9 cannot be reached")
    assert document["unheard"] == ""
    over = await got(client, "/api/v1/incidents/inc-5c40d2f1e6b3")
    assert (over["staff"], over["unheard"]) == ([], "it is announced work")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"state": AlertState.SENT, "told_firing": True, "told_revision": 0}, "told of it"),
        ({"state": AlertState.SENT, "firing": False, "told_revision": 1}, "told that it is over"),
        ({}, "not told so far; it is sent soon"),
        ({"state": AlertState.IN_FLIGHT}, "not told so far; a message is on its way"),
        ({"failure": "Refused."}, "not told so far; it is tried again soon: Refused."),
        (
            {"firing": False, "told_firing": True, "told_revision": 0},
            "told of it, not yet that it is over; it is sent soon",
        ),
    ],
    ids=["told", "told the end", "due", "in flight", "failed once", "end due"],
)
def test_what_staff_were_told_is_a_sentence(changes: dict[str, Any], words: str) -> None:
    alert = Alert(id="a", trace="t", route="noc", incident="i", firing=True, due_at=0.0)
    assert staff_words(msgspec.structs.replace(alert, **changes)) == words


async def test_an_incident_tells_all_its_findings_with_the_worst_of_those_that_ended(
    client: aiohttp.ClientSession,
) -> None:
    found = (await got(client, f"/api/v1/incidents/{PAYMENT}/findings"))["items"]
    assert [(one["id"], one["phase"]) for one in found] == [
        ("fnd-0f3d4410cc87", "open"),
        ("fnd-71c2aa30b1e4", "open"),
        ("fnd-c07d21f5e8aa", "ended"),
    ]
    ended = found[-1]
    assert (ended["subject"]["title"], ended["evidence"]["value"], ended["unit"]) == ("Top-up", 6.2, "seconds")
    assert (ended["began_at"]["epoch"], ended["changed_at"]["epoch"]) == (NOW - 780, NOW - 300)
    (over,) = (await got(client, "/api/v1/incidents/inc-5c40d2f1e6b3/findings"))["items"]
    assert over["evidence"]["value"] == 18.4
    async with client.get("/api/v1/incidents/inc-nobody/findings") as answer:
        assert answer.status == 404


async def test_open_findings_say_how_it_is_now_beside_their_evidence(client: aiohttp.ClientSession) -> None:
    found = {one["id"]: one for one in (await got(client, "/api/v1/findings"))["items"]}
    assert found["fnd-71c2aa30b1e4"]["now"] == 0.04, "of an objective: the indicator's value"
    assert found["fnd-0f3d4410cc87"]["now"] == 4.8, "of an anomaly: the newest sample"


async def test_what_is_now_says_when_it_was_measured(house: SceneHouse, client: aiohttp.ClientSession) -> None:
    """A series that exists on success alone has no newer value while everything fails."""
    assert house.shown is not None
    columns = house.shown.series
    [slow] = [one for one in house.shown.analyze.findings if one.id == "fnd-0f3d4410cc87"]
    [row] = [place for place, one in enumerate(columns.series) if one.id == slow.evidence.series[0]]
    columns.last_at[row] = NOW - 900.0
    found = {one["id"]: one for one in (await got(client, "/api/v1/findings"))["items"]}
    assert found[slow.id]["now_at"]["epoch"] == NOW - 900.0
    assert {one["now_at"] for one in found.values() if one["now"] is None} <= {None}


async def test_vantage_points_say_when_they_were_heard(client: aiohttp.ClientSession) -> None:
    found = (await got(client, "/api/v1/vantages"))["items"]
    said = {one["name"]: (one["heard_at"] is None, one["silent_since"] is None) for one in found}
    assert said == {"home": (False, True), "south": (False, False), "west": (True, False), "young": (True, True)}
    assert [one["name"] for one in (await got(client, "/api/v1/vantages?q=SOUTH+dns"))["items"]] == ["south"]
    assert (await got(client, "/api/v1/overview"))["vantages"] == found


async def test_probes_are_found_by_name_with_their_last_outcome(client: aiohttp.ClientSession) -> None:
    found = await got(client, "/api/v1/probes?q=payment")
    (probe,) = found["items"]
    assert (probe["name"], probe["series"], probe["success"]) == ("payment-charge", 2, 0.0)
    assert (await got(client, "/api/v1/probes?limit=1"))["total"] == 4


async def test_a_time_that_no_calendar_holds_spoils_no_list(client: aiohttp.ClientSession, house: SceneHouse) -> None:
    assert house.shown is not None
    house.shown.series.last_at[0] = 1e18
    items = (await got(client, "/api/v1/series"))["items"]
    assert [one["last_at"] is None for one in items] == [True] + [False] * 7


async def test_a_server_may_be_stopped_twice(house: SceneHouse) -> None:
    server = WebServer(house, port=0)
    await server.start()
    await server.stop()
    await server.stop()


async def test_one_series_has_history_and_the_band_that_was_recorded(
    client: aiohttp.ClientSession, house: SceneHouse
) -> None:
    for _ in range(3):
        house.tick(11)
        await got(client, f"/api/v1/series/{LOOKUP}")
    document = await got(client, f"/api/v1/series/{LOOKUP}?points=50")
    assert document["samples"] > 200
    assert len(document["points"]) <= 50
    assert [one["low"] for one in document["band"]] == [0.012] * len(document["band"])
    assert len(document["band"]) >= 3
    for series, objective in ((LOOKUP, 0.06), (CHARGE_OK, 0.98)):
        async with client.get(f"/api/v1/series/{series}/chart.svg?threshold={objective}") as response:
            assert response.content_type == "image/svg+xml"
            assert "chart-threshold" in await response.text()


@pytest.mark.parametrize(
    ("path", "status", "place"),
    [
        ("/api/v1/series?limit=0", 400, "query"),
        ("/api/v1/series?limt=5", 400, "query"),
        ("/api/v1/series?limit=5&limit=6", 400, "query"),
        ("/api/v1/series/123456", 404, "series"),
        ("/api/v1/series/abc", 404, "series"),
        (f"/api/v1/series/{LOOKUP}?since=5&until=4", 400, "query"),
        (f"/api/v1/series/{LOOKUP}?since=nan", 400, "query"),
        ("/api/v1/incidents/inc-none", 404, "incident"),
        ("/api/v1/explain/none", 404, "id"),
        ("/api/v1/nothing", 404, "/api/v1/nothing"),
        ("/static/..%2fserver.py", 404, "/static/../server.py"),
    ],
)
async def test_what_does_not_fit_is_refused_with_place_fact_and_remedy(
    client: aiohttp.ClientSession, path: str, status: int, place: str
) -> None:
    async with client.get(path) as response:
        error = (await response.json())["error"]
    assert (error["status"], error["place"]) == (status, place)
    assert error["fact"]
    assert error["remedy"]


async def test_whole_numbers_are_read_leniently(client: aiohttp.ClientSession) -> None:
    assert len((await got(client, "/api/v1/series?limit=2.0"))["items"]) == 2


@pytest.mark.parametrize(
    ("path", "kind", "subject"),
    [
        (f"incidents/{PAYMENT}/acknowledge", CommandKind.ACKNOWLEDGE, PAYMENT),
        ("findings/fnd-0f3d4410cc87/label_true", CommandKind.LABEL_TRUE, "fnd-0f3d4410cc87"),
        ("findings/fnd-0f3d4410cc87/label_false", CommandKind.LABEL_FALSE, "fnd-0f3d4410cc87"),
        ("findings/fnd-0f3d4410cc87/label_benign", CommandKind.LABEL_BENIGN, "fnd-0f3d4410cc87"),
        (f"incidents/{PAYMENT}/confirm", CommandKind.CONFIRM, PAYMENT),
        (f"incidents/{PAYMENT}/cancel", CommandKind.CANCEL, PAYMENT),
        ("communications/com-77ab3e5d1c02/release", CommandKind.RELEASE, "com-77ab3e5d1c02"),
        ("communications/com-77ab3e5d1c02/decline", CommandKind.DECLINE, "com-77ab3e5d1c02"),
        ("kill", CommandKind.KILL, ""),
        ("unkill", CommandKind.UNKILL, ""),
        ("release", CommandKind.RELEASE, ""),
    ],
)
async def test_each_command_is_handed_on_with_its_actor(
    client: aiohttp.ClientSession, house: SceneHouse, path: str, kind: CommandKind, subject: str
) -> None:
    async with client.post(f"/api/v1/{path}", json={**ACTOR, "note": "seen"}, headers=HERE) as response:
        assert response.status == 200, await response.text()
        assert (await response.json())["seq"] == 41_261
    (command,) = house.commands
    assert (command.kind, command.subject, command.actor, command.note) == (kind, subject, "ines", "seen")


@pytest.mark.parametrize(("probers", "active"), [(1, True), (0, True), (2, False)])
async def test_run_of_a_probe_is_handed_on_and_who_was_there_to_be_asked_is_said(
    client: aiohttp.ClientSession, house: SceneHouse, probers: int, active: bool
) -> None:
    house.probers, house.active = probers, active
    async with client.post("/api/v1/probes/payment-charge/run", json=ACTOR, headers=HERE) as response:
        assert response.status == 200, await response.text()
        said = await response.json()
    wanted = {"kind": "run", "subject": "payment-charge", "probers": probers, "active": active}
    assert said == {"seq": 41_261, **wanted}
    assert [(one.kind, one.subject, one.actor) for one in house.commands] == [
        (CommandKind.RUN, "payment-charge", "ines")
    ]


async def test_run_that_is_asked_for_too_often_is_refused_with_its_entry_and_the_probe_shows_who_asked(
    client: aiohttp.ClientSession, house: SceneHouse
) -> None:
    house.refuses_runs = "10 runs of it were asked for within a minute; ask again in 20 s."
    async with client.post("/api/v1/probes/payment-charge/run", json=ACTOR, headers=HERE) as response:
        assert response.status == 429
        error = (await response.json())["error"]
    assert error["fact"] == "payment-charge does not run (entry 41261): 10 runs of it were asked for within a minute"
    assert error["remedy"] == "ask again in 20 s"
    assert [one.subject for one in house.commands] == ["payment-charge"], "it is logged, and so in the audit trail"
    house.runs["payment-charge"] = (RunAsked(at=NOW, actor="ines", note="again", reason=house.refuses_runs),)
    (asked,) = (await got(client, "/api/v1/probes/payment-charge"))["asked"]
    assert (asked["actor"], asked["note"], asked["reason"]) == ("ines", "again", house.refuses_runs)


async def test_run_of_a_probe_that_the_files_do_not_have_reaches_nobody(
    client: aiohttp.ClientSession, house: SceneHouse
) -> None:
    async with client.post("/api/v1/probes/nobody/run", json=ACTOR, headers=HERE) as response:
        assert response.status == 404
        error = (await response.json())["error"]
    assert "'nobody'" in error["fact"]
    assert "`cemd check --json`" in error["remedy"]
    house.secret = b"open-sesame"
    async with client.post("/api/v1/probes/payment-charge/run", json=ACTOR, headers=HERE) as response:
        assert response.status == 401
    assert house.commands == []


async def test_an_incident_is_closed_when_it_is_resolved_and_told_why_not_otherwise(
    client: aiohttp.ClientSession, house: SceneHouse
) -> None:
    for path, fact in (
        (f"{PAYMENT}/close", "is pending"), (f"{OVER}/acknowledge", "is closed"), (f"{OVER}/cancel", "is closed")
    ):  # fmt: skip
        async with client.post(f"/api/v1/incidents/{path}", json=ACTOR, headers=HERE) as response:
            assert response.status == 409
            error = (await response.json())["error"]
            assert fact in error["fact"]
            assert error["remedy"]
    assert house.commands == []
    assert house.shown is not None
    resolved = [
        msgspec.structs.replace(one, state=IncidentState.RESOLVED) if one.id == PAYMENT else one
        for one in house.shown.incidents
    ]
    house.shown = replace(house.shown, incidents=tuple(resolved))
    async with client.post(f"/api/v1/incidents/{PAYMENT}/close", json=ACTOR, headers=HERE) as response:
        assert response.status == 200, await response.text()
    assert [one.kind for one in house.commands] == [CommandKind.CLOSE]


@pytest.mark.parametrize(("finding", "status"), [("fnd-71c2aa30b1e4", 409), ("fnd-000000000000", 404), ("fnd-x", 404)])
async def test_label_that_teaches_nobody_is_refused(
    client: aiohttp.ClientSession, house: SceneHouse, finding: str, status: int
) -> None:
    async with client.post(f"/api/v1/findings/{finding}/label_true", json=ACTOR, headers=HERE) as response:
        assert response.status == status, await response.text()
    assert house.commands == []


@pytest.mark.parametrize(
    ("headers", "data", "status"),
    [
        ({"Content-Type": "application/json"}, b'{"actor":"x"}', 403),
        ({"Content-Type": "text/plain", **HERE}, b'{"actor":"x"}', 415),
        ({"Content-Type": "application/json", **HERE, "Origin": "http://evil.example"}, b'{"actor":"x"}', 403),
        ({"Content-Type": "application/json", **HERE, "Sec-Fetch-Site": "cross-site"}, b'{"actor":"x"}', 403),
        ({"Content-Type": "application/json", **HERE, "Host": "evil.example"}, b'{"actor":"x"}', 421),
        ({"Content-Type": "application/json", **HERE}, b'{"actor":""}', 400),
        ({"Content-Type": "application/json", **HERE}, b'{"actor":"a\\nb"}', 400),
        ({"Content-Type": "application/json", **HERE}, b'{"actor":"x","more":1}', 400),
        ({"Content-Type": "application/json", **HERE}, b"\xff{", 400),
        ({"Content-Type": "application/json", **HERE}, b'{"actor":"' + b"x" * 20_000 + b'"}', 413),
    ],
    ids=[
        "no header",
        "no json",
        "origin",
        "cross site",
        "rebinding",
        "empty",
        "line feed",
        "unknown",
        "bytes",
        "large",
    ],
)
async def test_forged_or_broken_commands_reach_nobody(
    client: aiohttp.ClientSession, house: SceneHouse, headers: dict[str, str], data: bytes, status: int
) -> None:
    async with client.post("/api/v1/kill", data=data, headers=headers) as response:
        assert response.status == status
        assert "remedy" in (await response.json())["error"]
    assert house.commands == []


async def test_push_without_token_and_header_is_told_which_header_it_needs(
    client: aiohttp.ClientSession, house: SceneHouse
) -> None:
    async with client.post("/api/v1/measurements/x", json={}) as response:
        assert response.status == 403
        said = (await response.json())["error"]
    assert said["remedy"] == "send the header X-Cemd-Request: 1 (any value), or Authorization: Bearer TOKEN"


async def test_reading_needs_a_host_of_ours(client: aiohttp.ClientSession) -> None:
    async with client.get("/api/v1/overview", headers={"Host": "rebound.example:80"}) as response:
        assert response.status == 421
    async with client.get("/api/v1/overview", headers={"Host": "localhost:1"}) as response:
        assert response.status == 200


async def test_where_a_token_is_set_commands_and_pushes_must_carry_it(
    client: aiohttp.ClientSession, house: SceneHouse
) -> None:
    house.secret = b"open-sesame"
    for headers, status in (
        (HERE, 401),
        ({"Authorization": "Bearer wrong"}, 401),
        ({"Authorization": "Basic open-sesame"}, 401),
        ({"Authorization": "Bearer open-sesame"}, 200),
    ):
        async with client.post("/api/v1/kill", json=ACTOR, headers=headers) as response:
            assert response.status == status
            assert "open-sesame" not in await response.text()
    for headers in (HERE, {"Authorization": "Bearer open-sesam"}):
        async with client.post("/api/v1/measurements/x", json={}, headers=headers) as response:
            assert response.status == 401
    assert house.pushes_refused == [("x", False), ("x", True)]  # commands are a person's, who reads the answer
    async with client.post(
        "/api/v1/measurements/x", json={}, headers={"Authorization": "Bearer open-sesame"}
    ) as response:
        assert response.status != 401
    assert len(house.pushes_refused) == 2
    assert (await got(client, "/api/v1/overview"))["token_needed"] is True


async def test_an_address_that_is_not_loopback_needs_a_token() -> None:
    with pytest.raises(CemdError, match="no token; set push_token_file"):
        await WebServer(SceneHouse(), host="0.0.0.0", port=0).start()  # noqa: S104 -- it must be refused


async def test_a_port_in_use_is_said_with_a_remedy(server: WebServer) -> None:
    with pytest.raises(CemdError, match=f"cannot listen on 127.0.0.1 port {server.port} .*choose another port"):
        await WebServer(SceneHouse(), port=server.port).start()


async def test_pushed_measurements_are_answered_as_the_house_says(
    client: aiohttp.ClientSession, house: SceneHouse
) -> None:
    async with client.post("/api/v1/measurements/billing", json=[{"a": 1}], headers=HERE) as response:
        assert await response.json() == {"accepted": 2, "refused": 0, "unjudged": 0, "message": ""}
    assert house.pushed == [("billing", b'[{"a": 1}]')]
    house.push_answer = PushAnswer(status=429, accepted=0, refused=2, message="100000 samples wait for the log")
    async with client.post("/api/v1/measurements/billing", json=[], headers=HERE) as response:
        assert (response.status, response.headers["Retry-After"]) == (429, "5")
        assert (await response.json())["error"]["fact"] == "100000 samples wait for the log"
    for status, remedy in ((404, "under `intake: http` of config/cemd.yaml"), (400, '{"metric": "sessions_count", ')):
        house.push_answer = PushAnswer(status=status, accepted=0, refused=0, message="not taken")
        async with client.post("/api/v1/measurements/billing", json=[], headers=HERE) as response:
            assert remedy in (await response.json())["error"]["remedy"]


async def test_a_packed_bomb_is_refused_before_it_is_whole(client: aiohttp.ClientSession, house: SceneHouse) -> None:
    bomb = gzip.compress(b"[" + b" " * (64 << 20) + b"]")
    headers = {**HERE, "Content-Type": "application/json", "Content-Encoding": "gzip"}
    async with client.post("/api/v1/measurements/billing", data=bomb, headers=headers) as response:
        assert response.status == 413
    assert house.pushed == []


async def test_health_and_readiness_say_why_not(client: aiohttp.ClientSession, house: SceneHouse) -> None:
    assert await got(client, "/healthz") == {"alive": True}
    assert await got(client, "/readyz") == {"ready": True, "reasons": [], "to_mend": []}
    house.living, house.reasons = False, ["The first tick has not come."]
    async with client.get("/healthz") as response:
        assert response.status == 503
    async with client.get("/readyz") as response:
        assert (response.status, await response.json()) == (
            503,
            {"ready": False, "reasons": ["The first tick has not come."], "to_mend": []},
        )


async def test_before_the_first_tick_documents_are_refused_but_metrics_and_kill_are_served(
    client: aiohttp.ClientSession, house: SceneHouse
) -> None:
    views, house.shown = house.shown, None
    async with client.get("/api/v1/overview") as response:
        assert (response.status, response.headers["Retry-After"]) == (503, "5")
    async with client.get("/metrics") as response:
        assert "cemd_loop_ticks_total" in await response.text()
    assert views


async def test_metrics_are_served_packed_and_plain_alike(client: aiohttp.ClientSession) -> None:
    async with client.get("/metrics", headers={"Accept-Encoding": "identity"}) as response:
        plain = await response.text()
        assert response.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
        assert "Content-Encoding" not in response.headers
    async with client.get("/metrics", headers={"Accept-Encoding": "gzip"}) as response:
        assert response.headers["Content-Encoding"] == "gzip"
        packed = await response.text()
    assert [line for line in packed.splitlines() if "cemd_web_" not in line] == [
        line for line in plain.splitlines() if "cemd_web_" not in line
    ]
    async with client.get("/metrics", headers={"Accept": "application/openmetrics-text"}) as response:
        assert (await response.text()).endswith("# EOF\n")


async def test_answers_carry_the_headers_that_keep_others_out(client: aiohttp.ClientSession) -> None:
    for path in ("/", "/static/app.js", "/api/v1/overview", "/metrics", "/api/v1/nothing"):
        async with client.get(path) as response:
            assert response.headers["Content-Security-Policy"].startswith("default-src 'self'")
            assert response.headers["X-Content-Type-Options"] == "nosniff"
            assert "Access-Control-Allow-Origin" not in response.headers


async def test_the_stream_tells_each_new_view_and_says_goodbye(house: SceneHouse) -> None:
    server = WebServer(house, port=0)
    await server.start()
    seen: list[int] = []
    async with aiohttp.ClientSession(server.url) as client, client.get("/api/v1/stream") as response:
        assert response.content_type == "text/event-stream"
        async with asyncio.timeout(60):
            async for line in response.content:
                if line.startswith(b'data: {"seq'):
                    seen.append(json.loads(line[6:])["seq"])
                    if len(seen) == 3:
                        break
                    house.tick()
            stopping = asyncio.create_task(server.stop())
            rest = await response.content.read()
            await stopping
    assert seen == [41_260, 41_261, 41_262]
    assert b"event: bye" in rest


async def test_stopping_does_not_wait_for_readers(house: SceneHouse) -> None:
    server = WebServer(house, port=0)
    await server.start()
    async with aiohttp.ClientSession(server.url) as client, client.get("/api/v1/stream") as response:
        await response.content.readline()
        async with asyncio.timeout(2):
            await server.stop()


async def test_a_fault_inside_is_an_answer_without_details(client: aiohttp.ClientSession, house: SceneHouse) -> None:
    async def broken(*_: object) -> None:
        raise RuntimeError("secret-of-the-house")

    house.explain = broken  # type: ignore[method-assign, assignment]
    with structlog.testing.capture_logs() as lines:
        async with client.get("/api/v1/explain/x") as response:
            assert response.status == 500
            assert "secret-of-the-house" not in await response.text()
    assert [line["event"] for line in lines] == ["request_failed"]


async def test_bytes_that_are_no_http_are_counted_told_once_and_dropped(
    server: WebServer, client: aiohttp.ClientSession, caplog: pytest.LogCaptureFixture
) -> None:
    for sent in (b"GET / HTTP/1.1\r\nno colon \xff\r\n\r\n", b"\x16\x03\x01\xff\x00\r\n\r\n", b"\xf1\x80noise\r\n\r\n"):
        reader, writer = await asyncio.open_connection(server.host, server.port)
        writer.write(sent)
        await reader.read()
        writer.close()
        await writer.wait_closed()
    assert len([one for one in caplog.records if one.name == "cemd.web.http"]) == 1
    assert "Traceback" not in caplog.text
    async with client.get("/metrics") as response:
        assert "cemd_web_malformed_total 3.0" in await response.text()


async def test_requests_are_counted_by_route_and_a_next_server_starts_anew(house: SceneHouse) -> None:
    for _ in range(2):
        server = WebServer(house, port=0)
        await server.start()
        async with aiohttp.ClientSession(server.url) as client:
            async with client.head(f"/api/v1/incidents/{PAYMENT}") as response:
                assert response.status == 200
            async with client.get("/metrics") as response:
                line = 'cemd_web_requests_total{route="/api/v1/incidents/{incident}",status="200"} 1.0'
                assert line in await response.text()
        await server.stop()


async def test_pushes_beyond_those_under_way_are_told_to_come_back(
    client: aiohttp.ClientSession, house: SceneHouse
) -> None:
    gate = asyncio.Event()

    async def slow(source: str, body: bytes) -> PushAnswer:
        await gate.wait()
        return PushAnswer(status=200, accepted=len(body), refused=len(source))

    house.push = slow  # type: ignore[method-assign]

    async def pushed() -> int:
        async with client.post("/api/v1/measurements/x", json=[], headers=HERE) as response:
            return response.status

    tasks = [asyncio.create_task(pushed()) for _ in range(PUSHES_AT_ONCE + 3)]
    refused, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    assert {task.result() for task in refused} == {503}
    gate.set()
    assert sorted(await asyncio.gather(*tasks)) == [200] * PUSHES_AT_ONCE + [503] * 3


def test_unknown_numbers_are_null() -> None:
    views = rich_views()
    views.series.value[0] = np.nan
    views.series.last_at[0] = np.nan
    one = present.series_now(views.series, 0, ZoneInfo("UTC"))
    assert (one.value, one.last_at) == (None, None)
