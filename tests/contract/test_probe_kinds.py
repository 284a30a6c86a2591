"""Every kind in the table keeps the promises of a kind: deadline, cancellation, descriptors, units, secrets, words."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import re
import subprocess
import sys
import tracemalloc
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import msgspec
import pytest
import structlog
import yaml
from cemd.config.probes import Probe
from cemd.model.quality import Outcome
from cemd.monitor.probes import KINDS, faults, libraries_of, make, parameter_schema
from cemd.monitor.probes.attempts import measure
from cemd.monitor.probes.base import Attempt, Blind, Reason, Result
from cemd.monitor.probes.tools import Tools

from tests.monitor import peers
from tests.monitor.probes.contract import SECRET, contract_of

ROOT = Path(__file__).parents[2]
UNITS = re.compile(r".*_(seconds|ratio|bytes|count|code|days|total|factor|class)$|^(success|(.*_)?mos)$")


def test_every_kind_of_the_table_is_covered_here(kind: str) -> None:
    assert KINDS[kind].word == kind


@pytest.fixture(params=sorted(KINDS))
def kind(request: pytest.FixtureRequest) -> str:
    word: str = request.param
    return word


async def look(tools: Tools, kind: str, params: dict[str, Any], *, seconds: float = 5.0) -> Result:
    result = await peers.look(tools, kind, params, seconds=seconds)
    if kind == "icmp":
        peers.skip_without_echoes(result)
    return result


async def test_good_peer_succeeds_with_success_and_duration(kind: str, tools: Tools, secret_file: str) -> None:
    async with contract_of(kind, secret_file) as built:
        result = await look(tools, kind, built.good)
    assert (result.outcome, result.reason) == (Outcome.OK, Reason.ANSWERED), result.detail
    assert peers.value(result, "success") == 1.0
    assert peers.value(result, "duration_seconds") > 0.0


async def test_failing_peer_is_a_result_with_reason_and_evidence(kind: str, tools: Tools, secret_file: str) -> None:
    async with contract_of(kind, secret_file) as built:
        result = await look(tools, kind, built.failing)
    assert result.outcome is Outcome.FAILED
    assert peers.value(result, "success") == 0.0
    assert result.detail
    assert len(result.detail) <= 500


async def test_deadline_is_honoured(kind: str, tools: Tools, secret_file: str) -> None:
    loop = asyncio.get_running_loop()
    async with contract_of(kind, secret_file) as built:
        began = loop.time()
        result = await look(tools, kind, built.hanging, seconds=0.4)
        assert loop.time() - began < 1.2
        assert result.outcome is Outcome.TIMED_OUT
        assert peers.value(result, "success") == 0.0


async def test_cancellation_is_honoured_at_once(kind: str, tools: Tools, secret_file: str) -> None:
    loop = asyncio.get_running_loop()
    async with contract_of(kind, secret_file) as built:
        task = asyncio.create_task(look(tools, kind, built.hanging, seconds=30.0))
        await asyncio.sleep(0.2)
        if task.done():
            task.result()
        task.cancel()
        began = loop.time()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert loop.time() - began < 0.5


async def test_attempt_that_is_come_to_after_its_deadline_is_blind_and_not_down(
    kind: str, tools: Tools, secret_file: str
) -> None:
    async with contract_of(kind, secret_file) as built:
        result = await peers.look(tools, kind, built.good, late_seconds=6.0)
    assert (result.outcome, result.reason) == (Outcome.BLIND, Reason.PROBER_BUSY)


async def test_descriptors_and_memory_are_back_where_they_were(kind: str, tools: Tools, secret_file: str) -> None:
    async with contract_of(kind, secret_file) as built:

        async def rounds(count: int) -> None:
            for _ in range(count):
                await look(tools, kind, built.good)
                await look(tools, kind, built.failing)
                await look(tools, kind, built.hanging, seconds=0.1)
            await settled()

        await rounds(1)  # what is made once (resolver, multi handle) stays
        before = descriptors()
        with traced():
            await rounds(1)  # caches of a few things fill
            held, objects = bytes_of_ours(), objects_of_ours()
            await rounds(ROUNDS)
            grown, more = bytes_of_ours() - held, objects_of_ours() - objects
        assert descriptors() <= before + 2  # the peer's own ends may linger for a moment
        assert [(name, count) for name, count in more.items() if count >= ROUNDS] == []
        assert grown < ROUNDS * MOST_BYTES_A_ROUND


ROUNDS = 3
MOST_BYTES_A_ROUND = 4_096
"""Three attempts. Deadlines that were kept are forgotten only when their time has come, some seconds later."""
REFLECTOR = "cemd.monitor.reflector"
"""The peer's side of two kinds: it remembers whom it heard."""
OURS = (tracemalloc.Filter(True, "*/cemd/*"), tracemalloc.Filter(False, "*/cemd/monitor/reflector.py"))
"""What code of cemd asked for."""


@contextlib.contextmanager
def traced() -> Iterator[None]:
    tracemalloc.start()
    try:
        yield
    finally:
        tracemalloc.stop()


def bytes_of_ours() -> int:
    """Bytes that code of cemd holds since `traced` began."""
    gc.collect()
    found = tracemalloc.take_snapshot().filter_traces(OURS)
    return sum(one.size for one in found.statistics("filename"))


def objects_of_ours() -> Counter[str]:
    """Objects of our classes that the collector knows, by class."""
    gc.collect()
    types = (type(one) for one in gc.get_objects())
    ours = [one for one in types if str(one.__module__).startswith("cemd.") and one.__module__ != REFLECTOR]
    return Counter(one.__qualname__ for one in ours)


def descriptors() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


async def settled() -> None:
    for _ in range(10):
        await asyncio.sleep(0.02)


async def test_every_metric_has_its_unit_in_its_name(kind: str, tools: Tools, secret_file: str) -> None:
    async with contract_of(kind, secret_file) as built:
        for params in (built.good, built.failing):
            result = await look(tools, kind, params)
            for reading in result.readings:
                assert UNITS.match(reading.metric), reading.metric
                assert list(reading.labels) == sorted(reading.labels)


async def test_no_secret_is_in_any_result_or_log(
    kind: str, tools: Tools, secret_file: str, capsys: pytest.CaptureFixture[str]
) -> None:
    async with contract_of(kind, secret_file) as built:
        results = [await look(tools, kind, params) for params in (built.good, built.failing)]
    shown = "".join(map(repr, results)) + "".join(capsys.readouterr())
    assert SECRET not in shown
    assert "tok-4711-secret" not in shown


async def test_missing_secret_is_blind_and_not_down(kind: str, tools: Tools, tmp_path: Path) -> None:
    missing = str(tmp_path / "nowhere")
    async with contract_of(kind, missing) as built:
        params = built.failing
        if missing not in json.dumps(params):
            return
        result = await look(tools, kind, params)
    assert (result.outcome, result.reason) == (Outcome.BLIND, Reason.FILE_UNREADABLE)
    assert result.readings == ()


async def test_fault_of_the_kind_itself_is_blind(
    kind: str, tools: Tools, secret_file: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(*_: object) -> Result:
        raise ZeroDivisionError(SECRET)

    def broken_at_once(*_: object) -> None:
        raise ZeroDivisionError(SECRET)

    async with contract_of(kind, secret_file) as built:
        monkeypatch.setattr(KINDS[kind], "run", broken)
        if hasattr(KINDS[kind], "launch"):
            monkeypatch.setattr(KINDS[kind], "launch", broken_at_once)
        result = await look(tools, kind, built.good)
    assert (result.outcome, result.reason) == (Outcome.BLIND, Reason.INTERNAL)
    assert SECRET not in repr(result)


def test_unknown_parameter_is_refused_with_its_place(kind: str) -> None:
    probe = Probe(
        name="p", kind=kind, service="s", every_seconds=10.0, timeout_seconds=1.0, params={"unheard_of_key": 1}
    )
    assert ("params", "unheard_of_key") in [way for way, _ in faults(probe)]


def test_every_parameter_is_documented(kind: str) -> None:
    schema = parameter_schema(kind)
    assert schema["description"]
    for model in (schema, *schema.get("$defs", {}).values()):
        for name, part in model.get("properties", {}).items():
            assert part.get("description"), f"{kind}: {model['title']}.{name}"
    assert KINDS[kind].__doc__


def test_example_of_the_kind_is_among_the_files(kind: str) -> None:
    kinds = {
        probe["kind"]
        for file in (ROOT / "probes").rglob("*.yaml")
        for probe in (yaml.safe_load(file.read_text()) or {}).get("probes", [])
    }
    assert kind in kinds


def test_target_and_group_are_plain_words_without_secrets(kind: str, secret_file: str) -> None:
    async def check() -> None:
        async with peers.tools() as tools, contract_of(kind, secret_file) as built:
            for params in (built.good, built.failing):
                probe = Probe(name="p", kind=kind, service="s", every_seconds=10.0, timeout_seconds=1.0, params=params)
                made = make(probe, tools)
                assert made.target
                assert "?" not in made.target
                assert "@" not in made.target.replace("@127.0.0.1", "")
                assert made.group

    asyncio.run(check())


_AFRESH = """
import asyncio, contextlib, sys
from cemd.monitor.probes import KINDS, libraries_of
from cemd.monitor.probes.base import load_libraries
from tests.monitor import peers
from tests.monitor.probes.contract import contract_of
async def work(kind, secret_file):
    async with peers.tools() as tools, contract_of(kind, secret_file) as built:
        await load_libraries(libraries_of(KINDS[kind]))
        before = set(sys.modules)
        result = await peers.look(tools, kind, built.good)
        print(result.outcome.name, *sorted(name for name in set(sys.modules) - before if "." not in name))
asyncio.run(work(*sys.argv[1:]))
"""


def test_no_run_pays_for_a_library_that_is_loaded_at_its_first_use(kind: str, secret_file: str) -> None:
    if not libraries_of(cast(Any, KINDS[kind])):
        return
    command = [sys.executable, "-c", _AFRESH, kind, secret_file]
    done = subprocess.run(command, check=True, capture_output=True, text=True, cwd=ROOT, timeout=60)
    assert done.stdout.split() == ["OK"]


async def test_blind_carries_no_values() -> None:
    class Unable:
        word = "tcp"

        async def run(self, attempt: Attempt) -> Result:
            raise Blind(Reason.NO_ROUTE, f"{attempt.probe} cannot look.")

    attempt = Attempt(probe="p", deadline=asyncio.get_running_loop().time() + 1, run="r", log=structlog.get_logger())
    result = await measure(Unable(), attempt)  # type: ignore[arg-type]
    assert (result.outcome, result.reason, result.readings) == (Outcome.BLIND, Reason.NO_ROUTE, ())


def test_parameters_survive_the_way_to_the_prober(kind: str, secret_file: str) -> None:
    async def check() -> None:
        async with contract_of(kind, secret_file) as built:
            model = KINDS[kind].Params
            parsed = model.model_validate_json(msgspec.json.encode(built.good))
            assert model.model_validate_json(parsed.model_dump_json(by_alias=True)) == parsed

    asyncio.run(check())
