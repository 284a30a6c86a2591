"""DemoTelco's systems over real sockets: they work, they break as told, and they fail with what they stand on."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from email.message import EmailMessage
from pathlib import Path

import aiohttp
import aiomqtt
import aiosmtplib
import pytest
from cemd.demo.conditions import Conditions, Fault, Mode
from cemd.demo.network import WRONG_ADDRESS, greet, resolve
from cemd.demo.operator import DOORS, NEEDS, SHIPPED_PORTS, dependents, sold_on
from cemd.demo.sinks import read_mails
from cemd.demo.telco import Telco
from cemd.kit.parent import end_with_starter

HTTP_SERVICES = [door.name for door in DOORS if door.protocol == "http" and door.service]
AUTHORIZED = {"authorization": "Bearer token-of-probe"}


def url(telco: Telco, service: str, path: str = "/work") -> str:
    return f"http://127.0.0.1:{telco.ports[service]}{path}"


async def status_of(client: aiohttp.ClientSession, address: str, **headers: str) -> int:
    """HTTP status, 0 where nobody listens."""
    try:
        async with client.get(address, headers={name.replace("_", "-"): text for name, text in headers.items()}) as got:
            return got.status
    except aiohttp.ClientConnectionError:
        return 0


async def order(telco: Telco, client: aiohttp.ClientSession, reference: str) -> str:
    body = {"msisdn": "491550000001", "reference": reference}
    async with client.post(url(telco, "order-management", "/orders"), json=body, headers=AUTHORIZED) as got:
        assert got.status == 201
        return str((await got.json())["id"])


async def order_state(telco: Telco, client: aiohttp.ClientSession, number: str, wanted: str) -> str:
    """State of an order as soon as it is the one wanted, else what it is after five seconds."""
    state = ""
    for _ in range(100):
        async with client.get(url(telco, "order-management", f"/orders/{number}"), headers=AUTHORIZED) as got:
            state = (await got.json())["state"]
        if state == wanted:
            break
        await asyncio.sleep(0.05)
    return state


async def test_every_system_does_its_work(telco: Telco, client: aiohttp.ClientSession) -> None:
    answers = {service: await status_of(client, url(telco, service)) for service in HTTP_SERVICES}
    assert answers == dict.fromkeys(HTTP_SERVICES, 200)


@pytest.mark.parametrize("broken", ["hlr", "dns-resolver", "core-network", "crm"])
async def test_an_outage_takes_exactly_its_dependents_with_it(
    telco: Telco, client: aiohttp.ClientSession, broken: str
) -> None:
    await telco.begin(Fault(name="fault", service=broken, mode=Mode.OUTAGE))
    answers = await asyncio.gather(*(status_of(client, url(telco, service)) for service in HTTP_SERVICES))
    failed = {service for service, status in zip(HTTP_SERVICES, answers, strict=True) if status != 200}
    assert failed == set(dependents(broken)) & set(HTTP_SERVICES)
    await telco.end("fault")
    assert {await status_of(client, url(telco, service)) for service in HTTP_SERVICES} == {200}


async def test_a_shut_door_refuses_and_keeps_its_port(telco: Telco) -> None:
    port = telco.ports["hlr-signalling"]
    await greet(port)
    await telco.begin(Fault(name="fault", service="hlr", mode=Mode.OUTAGE))
    with pytest.raises(ConnectionRefusedError):
        await greet(port)
    await telco.end("fault")
    await greet(port)


async def test_voice_needs_the_core_network(telco: Telco) -> None:
    await greet(telco.ports["mobile-voice"])
    await telco.begin(Fault(name="fault", service="core-network", mode=Mode.OUTAGE))
    with pytest.raises(OSError, match="hung up"):
        await greet(telco.ports["mobile-voice"])


async def test_an_order_becomes_active_and_is_cancelled(telco: Telco, client: aiohttp.ClientSession) -> None:
    number = await order(telco, client, "run-1")
    assert await order_state(telco, client, number, "active") == "active"
    async with client.delete(url(telco, "order-management", f"/orders/{number}")) as got:
        assert (await got.json())["state"] == "cancelled"
    assert telco.orders.standing() == []


async def test_without_the_hlr_an_order_is_stuck_and_goes_on_when_it_is_back(
    telco: Telco, client: aiohttp.ClientSession
) -> None:
    await telco.begin(Fault(name="fault", service="hlr", mode=Mode.OUTAGE))
    number = await order(telco, client, "run-2")
    assert await order_state(telco, client, number, "stuck") == "stuck"
    await telco.end("fault")
    assert await order_state(telco, client, number, "active") == "active"


async def test_orders_of_a_run_are_cancelled_by_reference_even_twice(
    telco: Telco, client: aiohttp.ClientSession
) -> None:
    for reference in ("run-3", "run-3", "other"):
        await order(telco, client, reference)
    cancelled = []
    for _ in range(2):
        async with client.delete(url(telco, "order-management", "/orders?reference=run-3")) as got:
            cancelled.append((await got.json())["cancelled"])
    assert cancelled == [2, 0]
    assert [left.reference for left in telco.orders.standing()] == ["other"]


async def test_nobody_orders_without_logging_in(telco: Telco, client: aiohttp.ClientSession) -> None:
    async with client.post(url(telco, "order-management", "/orders"), json={"msisdn": "1"}) as got:
        assert got.status == 401


async def test_a_top_up_is_credited_and_can_be_reversed(telco: Telco, client: aiohttp.ClientSession) -> None:
    body = {"reference": "run-4", "cents": 500}
    async with client.post(url(telco, "top-up", "/top-ups"), json=body) as got:
        assert (got.status, (await got.json())["cents"]) == (201, 500)
    async with client.delete(url(telco, "top-up", "/top-ups/run-4")) as got:
        assert (await got.json())["cents"] == 500
    async with client.get(url(telco, "top-up", "/top-ups")) as got:
        assert (await got.json())["standing"] == []


async def test_a_lying_bank_answers_in_time_and_wrongly(telco: Telco, client: aiohttp.ClientSession) -> None:
    await telco.begin(Fault(name="fault", service="payment-gateway", mode=Mode.WRONG))
    async with client.post(url(telco, "payment-gateway", "/authorisations"), json={"cents": 500}) as got:
        assert (got.status, (await got.json())["cents"]) == (200, 50_000)


async def test_the_resolver_lies_stays_silent_and_knows_its_zone(telco: Telco) -> None:
    port = telco.ports["dns-resolver"]
    assert await resolve(port) == "192.0.2.10"
    with pytest.raises(OSError, match="knows no address"):
        await resolve(port, "elsewhere.invalid.")
    await telco.begin(Fault(name="lie", service="dns-resolver", mode=Mode.WRONG))
    assert await resolve(port) == WRONG_ADDRESS
    await telco.begin(Fault(name="silence", service="dns-resolver", mode=Mode.OUTAGE))
    with pytest.raises(TimeoutError):
        await resolve(port, timeout_seconds=0.2)


async def test_a_fault_at_one_site_leaves_the_others_alone(telco: Telco, client: aiohttp.ClientSession) -> None:
    await telco.begin(Fault(name="fault", service="crm", mode=Mode.ERRORS, site="shop-harbour"))
    assert await status_of(client, url(telco, "crm"), x_site="shop-harbour") == 503
    assert await status_of(client, url(telco, "portal"), x_site="shop-harbour") == 503, "the site is handed on"
    assert await status_of(client, url(telco, "crm"), x_site="shop-river") == 200


def test_an_error_ratio_fails_that_share_of_requests() -> None:
    conditions = Conditions(seed=3)
    conditions.begin(Fault(name="fault", service="crm", mode=Mode.ERRORS, amount=0.25))
    failed = sum(conditions.is_failing("crm", {}) for _ in range(4000))
    assert 900 <= failed <= 1100


async def test_mails_are_there_to_read_and_counted_by_recipient(telco: Telco, tmp_path: Path) -> None:
    message = EmailMessage()
    message["Subject"], message["From"], message["To"] = "Störung", "care@demotelco.invalid", "a@example.invalid"
    message.set_content("We know.")
    recipients = ["a@example.invalid", "b@example.invalid"]
    await aiosmtplib.send(message, hostname="127.0.0.1", port=telco.ports["mail"], recipients=recipients)
    mails = read_mails(tmp_path / "mail")
    assert [(mail.to, mail.subject) for mail in mails] == [(to, "Störung") for to in recipients]
    assert b"We know." in (tmp_path / "mail" / mails[0].file).read_bytes()


def test_a_line_cut_short_by_a_crash_is_no_mail(tmp_path: Path) -> None:
    (tmp_path / "mails.jsonl").write_text('{"to": "a", "subject": "s", "file": "f", "at": 1}\n{"to": "b", "sub')
    assert [mail.to for mail in read_mails(tmp_path)] == ["a"]


async def test_telemetry_reaches_a_subscriber(telco: Telco) -> None:
    async with aiomqtt.Client(
        "127.0.0.1", telco.ports["telemetry"], protocol=aiomqtt.ProtocolVersion.V311
    ) as subscriber:
        await subscriber.subscribe("demotelco/#", qos=1)
        async with asyncio.timeout(60):
            async for message in subscriber.messages:
                assert isinstance(message.payload, bytes)
                if str(message.topic) == "demotelco/contact-centre/queue":
                    metrics = [one["metric"] for one in json.loads(message.payload)]
                    assert metrics == ["wait_seconds", "answered_ratio", "own_language_ratio"]
                    return


async def test_the_process_prints_its_ports_obeys_and_ends_with_its_input(tmp_path: Path) -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "cemd.demo.telco", "--folder", str(tmp_path)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        preexec_fn=end_with_starter,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        async with asyncio.timeout(60):
            assert json.loads(await process.stdout.readline())["ports"].keys() == SHIPPED_PORTS.keys()
            process.stdin.write(b'{"begin": {"name": "x", "service": "hlr", "mode": "outage"}}\n{"end": "x"}\n')
            assert json.loads(await process.stdout.readline())["began"] == "x"
            assert json.loads(await process.stdout.readline())["ended"] == "x"
            process.stdin.close()
            assert await process.wait() == 0
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGKILL)
            await process.wait()


def test_truth_knows_whom_an_outage_hurts() -> None:
    assert sold_on("hlr") == ("esim", "roaming")
    assert sold_on("payment-gateway") == ("top-up",)
    assert set(dependents("hlr")) == {"hlr", "provisioning", "roaming", "order-management", "esim"}
    assert all(need in NEEDS for needs in NEEDS.values() for need in needs)
