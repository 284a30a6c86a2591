"""Prober and daemon, end to end: real processes, real sockets, killed in the middle; nothing acknowledged is lost."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import struct
from collections import Counter
from itertools import pairwise
from pathlib import Path

import msgspec
import pytest
import structlog
from aiohttp import web
from cemd.config.probes import Probe
from cemd.config.vantage import Vantage
from cemd.model.entry import SeriesAdded
from cemd.model.measurement import Attempt
from cemd.model.quality import Outcome
from cemd.monitor import wire
from cemd.monitor.plans import Plan
from cemd.monitor.probes.base import Reason

from tests.monitor.daemon_side import MemoryLog, daemon_side, prober_child, until
from tests.monitor.peers import SETTINGS, free_port, hang, http_server, name_server, tcp_server


def probe(name: str, kind: str, every: float = 0.4, **params: object) -> Probe:
    return Probe(name=name, kind=kind, service="s", every_seconds=every, timeout_seconds=every / 2, params=dict(params))


async def ok(request: web.Request) -> web.Response:
    del request
    return web.Response(text="fine")


async def test_measurements_reach_the_log_with_outcomes_and_evidence(tmp_path: Path) -> None:
    async with http_server(lambda app: app.router.add_get("/", ok)) as url, daemon_side(tmp_path / "s") as side:
        web, dead = probe("web", "http", 1.5, url=url), probe("dead", "tcp", 1.5, host="127.0.0.1", port=free_port())
        side.server.set_probes("e1", [web, dead], SETTINGS)
        async with prober_child(tmp_path / "s", tmp_path / "state") as child:
            await until(lambda: len(side.log.samples("web", "success")) >= 3 and side.attempts, what="measurements")
            assert (tmp_path / "s").stat().st_mode & 0o777 == 0o600
            assert {outcome for _, _, outcome in side.log.samples("web", "success")} == {Outcome.OK}
            assert {(v, o) for _, v, o in side.log.samples("dead", "success")} == {(0.0, Outcome.FAILED)}
            assert {(attempt.probe, attempt.vantage) for attempt in side.attempts} == {("dead", "home")}
            assert side.attempts[0].reason == "connection_refused"
            assert side.server.counters["runs_ok"] >= 3
            assert not side.server.stalled()
            assert await child.end(signal.SIGTERM) == 0
    assert isinstance(side.log.payloads[0], SeriesAdded)


async def test_each_vantage_point_runs_its_own_part_and_says_where_it_looked_from(tmp_path: Path) -> None:
    both = SETTINGS.model_copy(update={"vantages": (Vantage(name="west"),)})
    async with http_server(lambda app: app.router.add_get("/", ok)) as url, daemon_side(tmp_path / "s") as side:
        here, there = probe("here", "http", url=url), probe("there", "http", url=url)
        there = there.model_copy(update={"vantages": ("home", "west")})
        side.server.set_probes("e1", [here, there], both)
        async with (
            prober_child(tmp_path / "s", tmp_path / "a"),
            prober_child(tmp_path / "s", tmp_path / "b", "west"),
        ):
            await until(lambda: len(seen(side.log)) >= 3, what="measurements of both vantage points")
            await asyncio.sleep(0.6)
    assert seen(side.log) == {("here", "home"), ("there", "home"), ("there", "west")}


def seen(log: MemoryLog) -> set[tuple[str, str]]:
    return {(key.probe, key.vantage) for key in log.series}


async def test_killed_prober_and_killed_daemon_lose_and_repeat_nothing_acknowledged(tmp_path: Path) -> None:
    log, state, socket = MemoryLog(), tmp_path / "state", tmp_path / "s"
    async with http_server(lambda app: app.router.add_get("/", ok)) as url:
        probes = [probe("web", "http", url=url)]

        async def grow(by: int) -> None:
            wanted = len(log.samples("web", "success")) + by
            await until(lambda: len(log.samples("web", "success")) >= wanted, what="measurements")

        async with prober_child(socket, state) as child:
            for _ in range(2):  # the daemon dies and comes back; the prober keeps measuring meanwhile
                async with daemon_side(socket, log) as side:
                    side.server.set_probes("e1", probes, SETTINGS)
                    await grow(2)
                await asyncio.sleep(0.5)
            async with daemon_side(socket, log) as side:
                side.server.set_probes("e1", probes, SETTINGS)
                await grow(1)
                await child.end(signal.SIGKILL)
                await child.start()
                await grow(2)
    numbers = [batch.number for batch in log.batches()]
    assert numbers == sorted(set(numbers))
    times = [at for at, _, _ in log.samples("web", "success")]
    assert len(times) == len(set(times))
    assert len(log.series) == len({key.identity() for key in log.series})


async def test_what_was_measured_while_the_daemon_was_away_arrives_later(tmp_path: Path) -> None:
    log, socket = MemoryLog(), tmp_path / "s"
    async with http_server(lambda app: app.router.add_get("/", ok)) as url:
        probes = [probe("web", "http", every=0.2, url=url)]
        async with prober_child(socket, tmp_path / "state"):
            async with daemon_side(socket, log) as side:
                side.server.set_probes("e1", probes, SETTINGS)
                await until(lambda: log.samples("web", "success"), what="measurements")
            gone = max(at for at, _, _ in log.samples("web", "success"))
            await asyncio.sleep(1.5)
            async with daemon_side(socket, log) as side:
                side.server.set_probes("e1", probes, SETTINGS)
                await until(lambda: len([a for a, _, _ in log.samples("web", "success") if a > gone]) >= 6, what="it")
    times = sorted(at for at, _, _ in log.samples("web", "success"))
    assert max(after - before for before, after in pairwise(times)) < 0.7


async def test_batch_logged_but_never_acknowledged_is_not_logged_twice(tmp_path: Path) -> None:
    log = MemoryLog()
    batch = measured(7, [0], [1.0])
    for _ in range(2):  # the daemon died between log and acknowledgement
        async with daemon_side(tmp_path / "s", log):
            reader, writer = await connected(tmp_path / "s")
            for frame in (batch, measured(8, [0], [2.0])):
                writer.write(wire.encode(frame))
            acks = [(await read(reader)).number for _ in range(2)]
            writer.close()
            assert acks == [7, 8]
    assert [(one.number, one.value.tolist()) for one in log.batches("prober:test")] == [(7, [1.0]), (8, [2.0])]


async def test_overloaded_log_withholds_the_acknowledgement_until_it_takes(tmp_path: Path) -> None:
    async with daemon_side(tmp_path / "s") as side:
        side.log.refusing = True
        reader, writer = await connected(tmp_path / "s")
        writer.write(wire.encode(measured(1, [0], [1.0])))
        ack = asyncio.create_task(read(reader))
        await until(lambda: side.log.refused >= 2, what="refusals")
        assert not ack.done()
        side.log.refusing = False
        assert (await ack).number == 1
        writer.close()
    assert len(side.log.batches("prober:test")) == 1


async def test_absurd_samples_are_left_out_and_the_rest_is_taken(tmp_path: Path) -> None:
    async with daemon_side(tmp_path / "s") as side:
        reader, writer = await connected(tmp_path / "s")
        nan, inf = float("nan"), float("inf")
        at = [1e9, 1e18, 1e9, 1e9, nan, 1e9]
        frame = wire.Measured(
            number=1,
            series=struct.pack("<6i", *[0] * 6),
            at=struct.pack("<6d", *at),
            value=struct.pack("<6d", 1.0, 2.0, nan, nan, 5.0, inf),
            outcome=bytes([0, 0, 0, Outcome.BLIND, 0, 0]),
        )
        writer.write(wire.encode(frame))
        await read(reader)
        writer.close()
    [batch] = side.log.batches("prober:test")
    assert batch.outcome.tolist() == [Outcome.OK, Outcome.BLIND]


async def test_series_over_the_limit_are_refused_and_the_others_live(tmp_path: Path) -> None:
    async with daemon_side(tmp_path / "s", max_series=1) as side:
        reader, writer = await connected(tmp_path / "s", series=3)
        writer.write(wire.encode(measured(1, [0, 1, 2], [1.0, 2.0, 3.0])))
        await read(reader)
        writer.close()
    assert [batch.value.tolist() for batch in side.log.batches("prober:test")] == [[1.0]]


@pytest.mark.parametrize(
    "bytes_sent",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        b"\xff\xff\xff\xff" + b"x" * 100,
        b"\x00\x00\x00\x04\xc1\xc1\xc1\xc1",
        wire.encode(wire.Progress(counters={})),
        wire.encode(wire.Hello(version=99, source="prober:x", number=0, pid=1)),
        wire.encode(wire.Hello(version=wire.VERSION, source="prober:x", number=0, pid=1)) * 2,
        wire.encode(wire.Hello(version=wire.VERSION, source="prober:x", number=0, pid=1))
        + wire.encode(wire.Measured(number=1, series=b"\0\0\0\0", at=b"\0" * 8, value=b"\0" * 8, outcome=b"\0")),
        wire.encode(wire.Hello(version=wire.VERSION, source="prober:x", number=0, pid=1))
        + wire.encode(wire.Measured(number=1, series=b"\0\0\0", at=b"", value=b"", outcome=b"")),
        wire.encode(wire.Hello(version=wire.VERSION, source="prober:x", number=0, pid=1))
        + wire.encode(wire.Declare(first=5, keys=())),
    ],
    ids=["http", "endless", "no-frame", "no-hello", "version", "two-hellos", "undeclared", "cut-column", "bad-order"],
)
async def test_hostile_bytes_end_their_connection_and_disturb_nobody(bytes_sent: bytes, tmp_path: Path) -> None:
    async with daemon_side(tmp_path / "s") as side:
        good_reader, good_writer = await connected(tmp_path / "s")
        reader, writer = await asyncio.open_unix_connection(str(tmp_path / "s"))
        writer.write(bytes_sent)
        async with asyncio.timeout(5):
            while await reader.read(4096):
                pass
        writer.close()
        good_writer.write(wire.encode(measured(1, [0], [1.0])))
        assert (await read(good_reader)).number == 1
        good_writer.close()
    assert len(side.log.batches("prober:test")) == 1


async def connected(socket: Path, series: int = 1) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A prober by hand that has declared its series."""
    from cemd.model.measurement import SeriesKey

    reader, writer = await asyncio.open_unix_connection(str(socket))
    writer.write(wire.encode(wire.Hello(version=wire.VERSION, source="prober:test", number=0, pid=1)))
    keys = tuple(SeriesKey(probe="p", metric=f"m{number}_seconds") for number in range(series))
    writer.write(wire.encode(wire.Declare(first=0, keys=keys)))
    return reader, writer


def measured(number: int, series: list[int], values: list[float]) -> wire.Measured:
    size = len(series)
    return wire.Measured(
        number=number,
        series=struct.pack(f"<{size}i", *series),
        at=struct.pack(f"<{size}d", *[1e9] * size),
        value=struct.pack(f"<{size}d", *values),
        outcome=bytes(size),
    )


@pytest.mark.parametrize(
    ("stopping", "said"), [(False, ("warning", "intake.prober_gone")), (True, ("info", "intake.prober_left"))]
)
async def test_prober_that_goes_is_a_warning_but_not_while_the_daemon_stops(
    stopping: bool, said: tuple[str, str], tmp_path: Path
) -> None:
    with structlog.testing.capture_logs() as lines:
        async with daemon_side(tmp_path / "p.sock") as side:
            _, writer = await connected(tmp_path / "p.sock")
            await until(side.server.connected, what="the greeting")
            if stopping:
                side.server.expect_end()
            writer.close()
            await until(lambda: not side.server.connected(), what="the end of the connection")
    gone = [(line["log_level"], line["event"]) for line in lines if line.get("source") == "prober:test"]
    assert gone == [said]


async def read(reader: asyncio.StreamReader) -> wire.Ack:
    async with asyncio.timeout(5):
        frame = await wire.read_from_daemon(reader)
    assert isinstance(frame, wire.Ack)
    return frame


async def test_probe_that_cannot_run_here_is_blind_and_the_others_run(tmp_path: Path) -> None:
    async with http_server(lambda app: app.router.add_get("/", ok)) as url, daemon_side(tmp_path / "s") as side:
        odd = probe("odd", "tcp", host="127.0.0.1", port=1).model_copy(update={"kind": "not-yet-invented"})
        side.server.set_probes("e1", [odd, probe("web", "http", url=url)], SETTINGS)
        async with prober_child(tmp_path / "s", tmp_path / "state"):
            await until(lambda: side.log.samples("web", "success") and side.log.samples("odd", "success"), what="both")
        assert {outcome for _, _, outcome in side.log.samples("odd", "success")} == {Outcome.BLIND}


async def test_new_epoch_changes_what_runs_and_keeps_the_series_of_what_stays(tmp_path: Path) -> None:
    async with http_server(lambda app: app.router.add_get("/", ok)) as url, daemon_side(tmp_path / "s") as side:
        log = side.log
        stays, goes = probe("stays", "http", url=url), probe("goes", "http", url=url)
        side.server.set_probes("e1", [stays, goes], SETTINGS)
        async with prober_child(tmp_path / "s", tmp_path / "state"):
            await until(lambda: log.samples("stays", "success") and log.samples("goes", "success"), what="both")
            side.server.set_probes("e2", [stays], SETTINGS)
            await asyncio.sleep(1.0)
            left = len(log.samples("goes", "success"))
            more = len(log.samples("stays", "success")) + 3
            await until(lambda: len(log.samples("stays", "success")) >= more, what="what stays")
            assert len(log.samples("goes", "success")) == left
        assert len({key for key in log.series if key.probe == "stays" and key.metric == "success"}) == 1


def test_frames_survive_the_wire_and_a_frame_too_large_is_refused() -> None:
    frame = measured(3, [1, 2], [0.5, 1.5])
    body = wire.encode(frame)[4:]
    assert wire.decode(body, wire.from_prober) == frame
    series, _, value, _ = wire.columns(frame)
    assert (series.tolist(), value.tolist()) == ([1, 2], [0.5, 1.5])
    with pytest.raises(wire.WireError, match="split it"):
        wire.encode(wire.Progress(counters={"x" * (wire.MAX_FRAME + 1): 1.0}))
    with pytest.raises(wire.WireError):
        wire.decode(msgspec.msgpack.encode({"type": "unheard"}), wire.from_prober)


async def test_second_prober_in_the_same_folder_is_refused(tmp_path: Path) -> None:
    from cemd.errors import ProbeUnavailable
    from cemd.monitor.prober import Prober

    stopping = asyncio.Event()
    stopping.set()
    first = Prober(socket=tmp_path / "s", state=tmp_path / "state", log=structlog.get_logger())
    with pytest.raises(ProbeUnavailable, match="another prober"):
        Prober(socket=tmp_path / "s", state=tmp_path / "state", log=structlog.get_logger())
    await first.run(stopping)
    again = Prober(socket=tmp_path / "s", state=tmp_path / "state", log=structlog.get_logger())
    await again.run(stopping)


async def test_prober_without_a_daemon_ends_quickly_when_told(tmp_path: Path) -> None:
    async with prober_child(tmp_path / "nobody", tmp_path / "state") as child:
        await until(lambda: (tmp_path / "state" / "lock").exists(), what="the start")
        await asyncio.sleep(0.3)
        began = asyncio.get_running_loop().time()
        assert await child.end(signal.SIGTERM) == 0
        assert asyncio.get_running_loop().time() - began < 3.0


async def test_what_hangs_costs_nobody_else_a_run_even_with_few_descriptors_and_a_dead_resolver(
    tmp_path: Path,
) -> None:
    """Three in four targets hang, or have names that nobody resolves, and would take more places than the process has
    descriptors for; that they hang is known when those that live come with another set. Whoever lives is asked as
    planned, and as often as is recorded, by the target's own counter, and if it took all of its time to answer: what is
    missing was lost to nobody's wall, but to a machine that was too busy, which the prober counts. Where it was too
    busy for targets of this test to answer in time, they hung as well: such a one may wait among those that hang."""
    asked: Counter[str] = Counter()

    async def count(request: web.Request) -> web.Response:
        asked[request.path] += 1
        return web.Response(text="fine")

    def patient(name: str, kind: str, **params: object) -> Probe:
        return probe(name, kind, every=4.0, **params).model_copy(update={"timeout_seconds": 1.0})

    async with contextlib.AsyncExitStack() as stack:
        servers = [http_server(lambda app: app.router.add_get("/{probe}", count)) for _ in range(8)]
        urls = [(await stack.enter_async_context(server)).replace("localhost", "127.0.0.1") for server in servers]
        dead = [await stack.enter_async_context(tcp_server(hang)) for _ in range(8)]
        resolver, resolver_port = await stack.enter_async_context(name_server({}))
        resolver.mode = "mute"
        side = await stack.enter_async_context(daemon_side(tmp_path / "s", max_series=10_000))
        living = [patient(f"live{n}", "http", url=f"{urls[n % 8]}/live{n}") for n in range(120)]
        hanging = [patient(f"hang{n}", "http", url=f"http://127.0.0.1:{dead[n % 8]}/{n}") for n in range(110)]
        waiting = [patient(f"wait{n}", "tcp", host="127.0.0.1", port=dead[n % 8], expect="never") for n in range(110)]
        nameless = [patient(f"name{n}", "http", url=f"http://h{n}.example/") for n in range(110)]
        hang_all = [*hanging, *waiting, *nameless]
        settings = SETTINGS.model_copy(update={"probes_at_once": 2_000})
        side.server.set_probes("e1", hang_all, settings)
        nameserver = f"127.0.0.1:{resolver_port}"
        async with prober_child(tmp_path / "s", tmp_path / "state", descriptors=240, nameserver=nameserver):
            named = {one.name for one in hang_all}
            await until(lambda: named <= hung(side.attempts), what="a first round", seconds=120.0)
            side.server.set_probes("e2", [*living, *hang_all], settings)
            await until(
                lambda: all(len(side.log.samples(one.name, "success")) >= 4 for one in living),
                what="rounds",
                seconds=120.0,
            )
            side.server.set_probes("e3", [], settings)  # nothing new begins; what runs comes to its end
            await until(lambda: side.server.counters["running"] == 0.0, what="the end of what hangs")
            counters = dict(side.server.counters)
        outcomes = {
            word: {outcome for one in probes for _, _, outcome in side.log.samples(one.name, "success")}
            for word, probes in (("live", living), ("hang", hanging), ("wait", waiting), ("name", nameless))
        }
    assert Outcome.TIMED_OUT in outcomes["hang"] & outcomes["wait"]
    assert outcomes["name"] == {Outcome.BLIND}
    lost = 0
    for one in living:
        samples = side.log.samples(one.name, "success")
        seen = Counter(outcome for _, _, outcome in samples)
        reached = asked[f"/{one.name}"]
        assert seen[Outcome.OK] <= reached <= len(samples) - seen[Outcome.BLIND]
        assert len(samples) - seen[Outcome.BLIND] - reached <= seen[Outcome.TIMED_OUT]
        lost += unseen([outcome for _, _, outcome in samples]) + missing_turns(one, [at for at, _, _ in samples])
    assert lost <= sum(counters.get(f"skipped_{why}", 0.0) for why in ("late", "missed")) + counters["shed_runs"]
    assert resolver.asked > 0
    assert counters["skipped_bulkhead_full"] > 0, "those that hang ask for more places than they may have"


def hung(attempts: list[Attempt]) -> set[str]:
    """Probes of which a run took its time, to no end."""
    return {one.probe for one in attempts if one.reason in {Reason.NO_ANSWER, Reason.NAME_NO_ANSWER}}


def unseen(outcomes: list[int]) -> int:
    """Runs that did not happen, but for those between one that timed out and the next that did happen."""
    count, timed_out = 0, False
    for outcome in outcomes:
        if outcome == Outcome.BLIND:
            count += not timed_out
        else:
            timed_out = outcome == Outcome.TIMED_OUT
    return count


def missing_turns(one: Probe, times: list[float]) -> int:
    """Planned runs between the first and the last of these that have none of them; quick looks fill none."""
    plan = Plan(uid=one.identity(), every_seconds=one.every_seconds, kind="", group="")
    turns = {int((at - plan.phase() + 0.1) // one.every_seconds) for at in times}
    return max(turns) - min(turns) + 1 - len(turns)
