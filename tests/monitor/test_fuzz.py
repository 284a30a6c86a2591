"""Whole kinds against peers that were right a moment ago: what they say is damaged on its way, for a bounded time.

Each kind talks to the good peer of its own tests through somebody who flips, cuts, doubles, swells, holds back or drops
what comes back. Whatever becomes of it is a result with a reason, in time; never a fault of ours. The gate tries each
kind for longer (`CEMD_FUZZ_SECONDS`), with the same damage as here: a change is refused for nothing but what it does.
Another `CEMD_FUZZ_SEED` brings fresh damage (CONTRIBUTING.md); a failure names its seed, and with that comes again.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import re
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
from cemd.model.quality import Outcome
from cemd.monitor.probes import KINDS
from cemd.monitor.probes.base import Reason, load_libraries
from cemd.monitor.protocols.conditions import decode_json, parse_condition
from cemd.monitor.protocols.perfdata import parse_perfdata

from tests.monitor.peers import look, tools
from tests.monitor.probes import test_radius as radius
from tests.monitor.probes.contract import SECRET, contract_of
from tests.monitor.relay import Relay

SECONDS = float(os.environ.get("CEMD_FUZZ_SECONDS", "0.5"))
SEED = int(os.environ.get("CEMD_FUZZ_SEED", "4711"))
ATTEMPT_SECONDS = 0.3
TALKING = sorted(set(KINDS) - {"command", "icmp"})
"""`command` talks to a program, whose output is tried below; echoes are the system's to damage (`lying_host.py`)."""
MORE: dict[str, dict[str, Any]] = {
    "dns": {"answers": ["192.0.2.7"], "flags": ["recursion_available"]},
    "diameter": {"expect_host": "node.example.net", "expect_applications": [4]},
    "http": {"json_condition": "$.state == 'up' and $.list[0].depth < 3", "header_absent": ["X-Debug"], "status": []},
}
"""What makes a kind look further into the answer."""


def damaged(data: bytes, chance: random.Random) -> bytes:
    """The same bytes, with one to four sorts of damage."""
    found = bytearray(data)
    for _ in range(chance.randint(1, 4)):
        place = chance.randrange(len(found) + 1)
        match chance.randrange(8):
            case 0 if found:
                found[place % len(found)] ^= 1 << chance.randrange(8)
            case 1 if found:
                found[place % len(found)] = chance.choice((0, 1, 0x7F, 0x80, 0xC0, 0xFF))
            case 2:
                del found[place:]
            case 3:
                del found[place : place + chance.randint(1, 20)]
            case 4:
                found[place:place] = chance.randbytes(chance.randint(1, 40))
            case 5:
                found[place:place] = found[place : place + chance.randint(1, 60)]
            case 6 if chance.random() < 0.2:
                found[place:place] = chance.choice((b"\xff", b"9", b" ", b"\r\n", b"[")) * chance.choice(
                    (300, 5_000, 70_000)
                )
            case _ if len(found) > 3:
                found[place % (len(found) - 1) : place % (len(found) - 1) + 2] = chance.choice(
                    (b"\xff\xff", b"\0\0", b"\xc0\x0c")
                )
            case _:
                pass
    return bytes(found)


class Spoiler(Relay):
    """In front of a port, over both transports: what comes back through it is damaged, held back, or not at all."""

    def __init__(self, port: int, chance: random.Random) -> None:
        super().__init__(port)
        self.chance = chance
        self.said: list[bytes] = []
        """What was said to the kind in the latest attempt."""

    def spoil(self, data: bytes) -> bytes:
        if self.chance.random() < 0.6:
            data = damaged(data, self.chance)
        self.said.append(data)
        return data

    async def back(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65_536):
            data = self.spoil(data)
            slowly = self.chance.random() < 0.1
            for start in range(0, len(data), 7) if slowly else ():
                writer.write(data[start : start + 7])
                await asyncio.sleep(0.002)
            if not slowly:
                writer.write(data)
        writer.close()

    def datagrams_back(self, data: bytes) -> Iterable[bytes]:
        spoilt = self.spoil(data)[:65_000]
        return (spoilt,) * self.chance.choice((0, 1, 1, 1, 1, 2))


async def tried(attempt: Callable[[], Any], told: Callable[[], str]) -> Counter[Reason]:
    """Attempts until the time is over: which reasons they ended with."""
    loop = asyncio.get_running_loop()
    end, reasons = loop.time() + SECONDS, Counter[Reason]()
    while loop.time() < end:
        began = loop.time()
        result = await attempt()
        assert result.reason is not Reason.INTERNAL, f"{result.detail} {told()}"
        assert result.outcome is not Outcome.BLIND, f"{result.reason}: {result.detail} {told()}"
        assert loop.time() - began < ATTEMPT_SECONDS + 2.0, f"it took too long {told()}"
        reasons[result.reason] += 1
    return reasons


@pytest.mark.parametrize("kind", TALKING)
async def test_whatever_a_damaged_peer_says_is_a_result_with_a_reason_in_time(kind: str, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text(SECRET + "\n")
    chance = random.Random(f"{kind} {SEED}")
    async with contextlib.AsyncExitStack() as stack:
        built = await stack.enter_async_context(contract_of(kind, str(tmp_path / "secret")))
        text = json.dumps({**built.good, **MORE.get(kind, {})})
        spoilers = []
        for port in sorted({int(found) for found in re.findall(r'(?:localhost:|"port": )(\d+)', text)}):
            spoilers.append(Spoiler(port, chance))
            text = text.replace(str(port), str(await stack.enter_async_context(spoilers[-1].open())))
        assert spoilers, "nobody stands between"
        made = await stack.enter_async_context(tools(state=tmp_path / "state"))
        await load_libraries(getattr(KINDS[kind], "libraries", ()))  # as before a run: it would take this one's time

        def attempt() -> Any:
            for spoiler in spoilers:
                spoiler.said.clear()
            return look(made, kind, json.loads(text), seconds=ATTEMPT_SECONDS)

        reasons = await tried(attempt, lambda: f"(CEMD_FUZZ_SEED={SEED}; said {spoilers[0].said!r:.2000})")
    assert len(reasons) > 1 or kind == "voice" or reasons.total() < 20, "no damage was noticed at all"  # to it, loss


async def test_attributes_of_radius_that_are_damaged_and_yet_signed_are_a_result(tmp_path: Path) -> None:
    for name, text in (("secret", SECRET), ("password", "let-me-in-4711")):
        (tmp_path / name).write_text(text)
    chance, said = random.Random(f"attributes {SEED}"), [b""]

    def answer(data: bytes) -> bytes:
        said[0] = radius.answer(
            data, radius.ACCEPT, attributes=damaged(b"\x58\x0dresidential\x1b\x06\0\0\x02\x58", chance)[:4_000]
        )
        return said[0]

    params: dict[str, Any] = {
        "user": "probe",
        "secret_file": str(tmp_path / "secret"),
        "password_file": str(tmp_path / "password"),
    }
    params |= {"reply": {"Framed-Pool": "residential", "Session-Timeout": 600}}
    async with radius.server(answer) as (_, port), tools() as made:
        await tried(
            lambda: look(made, "radius", {**port, **params}, seconds=ATTEMPT_SECONDS),
            lambda: f"(CEMD_FUZZ_SEED={SEED}; said {said[0]!r})",
        )


def test_no_damage_to_performance_data_or_conditions_raises_anything_else() -> None:
    chance = random.Random(f"texts {SEED}")
    whole = b"time=12ms;;;0 '/var log'=50%;80;90;0;100 load1=0.4 a=U c=12345678901234567890c 'it''s'=1e3KB"
    condition = "$.state == 'up' and $.list[0]['odd name'].depth >= 1.5 and $.ok != true"
    document = b'{"state": "up", "list": [{"odd name": {"depth": 2}}], "ok": false, "n": null, "deep": [[[[1]]]]}'
    for _ in range(int(4_000 * SECONDS)):
        text = damaged(whole, chance).decode(errors="replace")[:100_000]
        for perf in parse_perfdata(text):
            assert perf.metric
            assert abs(perf.value) < float("inf")
        asked = damaged(condition.encode(), chance).decode(errors="replace")[:4_096]
        try:
            found = parse_condition(asked)
        except ValueError:
            found = parse_condition(condition)
        assert found.holds(decode_json(damaged(document, chance))) in {True, False}
