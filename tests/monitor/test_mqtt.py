"""MQTT against a real broker: acknowledged only when logged, a session that survives, noise that disturbs nobody."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiomqtt
import pytest
import structlog
from cemd.config.settings import MqttIntake as MqttSettings
from cemd.kit.clock import SystemClock
from cemd.kit.parent import end_with_starter
from cemd.monitor.intake import MqttIntake, SeriesBook, Taker
from cemd.monitor.metrics import monitor_metrics
from prometheus_client import CollectorRegistry

from tests.conftest import program
from tests.monitor.daemon_side import MemoryLog, until
from tests.monitor.peers import free_port

pytestmark = pytest.mark.needs("mosquitto")


class Broker:
    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self._config = folder / "mosquitto.conf"
        self._config.write_text(f"listener {self.port} 127.0.0.1\nallow_anonymous true\npersistence false\n")
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        path = program("mosquitto")
        assert path is not None
        quiet = asyncio.subprocess.DEVNULL
        self._process = await asyncio.create_subprocess_exec(
            path, "-c", str(self._config), stdout=quiet, stderr=quiet, preexec_fn=end_with_starter
        )
        async with asyncio.timeout(60):
            while True:
                try:
                    _, writer = await asyncio.open_connection("127.0.0.1", self.port)
                except OSError:
                    await asyncio.sleep(0.05)
                else:
                    writer.close()
                    return

    async def stop(self) -> None:
        if self._process is not None and self._process.returncode is None:
            self._process.send_signal(signal.SIGKILL)
            await self._process.wait()


@pytest.fixture
async def broker(tmp_path: Path) -> AsyncIterator[Broker]:
    made = Broker(tmp_path)
    await made.start()
    yield made
    await made.stop()


@contextlib.asynccontextmanager
async def intake(broker: Broker, log: MemoryLog) -> AsyncIterator[Any]:
    metrics = monitor_metrics(CollectorRegistry())
    book = SeriesBook(log.catalogue, log.submit, max_series=100)
    taker = Taker(book, log.submit, clock=SystemClock(), metrics=metrics, log=structlog.get_logger("test"))
    settings = MqttSettings(name="core", host="127.0.0.1", port=broker.port, topics=["telemetry/#"])
    work = MqttIntake(settings, taker, brokers=metrics.brokers, log=structlog.get_logger("test"))
    task = asyncio.create_task(work.run())
    try:
        await until(lambda: metrics.brokers._value.get() == 1 or task.done(), what="the connection")
        yield metrics
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        book.close()


async def publish(broker: Broker, *bodies: bytes | str) -> None:
    async with aiomqtt.Client("127.0.0.1", broker.port) as client:
        for body in bodies:
            await client.publish("telemetry/east", body, qos=1)


def values(log: MemoryLog) -> list[float]:
    return [value for batch in log.batches("mqtt:core") for value in batch.value.tolist()]


def sample(value: float) -> str:
    return json.dumps({"metric": "sessions_count", "value": value})


async def test_telemetry_is_logged_and_gathered_into_few_batches(broker: Broker) -> None:
    log = MemoryLog()
    async with intake(broker, log):
        await publish(broker, *[sample(float(number)) for number in range(200)])
        await until(lambda: len(values(log)) == 200, what="200 samples")
    assert values(log) == [float(number) for number in range(200)]
    assert len(log.batches("mqtt:core")) < 100


async def test_what_was_not_logged_comes_again_after_the_daemon_was_killed(broker: Broker) -> None:
    log = MemoryLog()
    async with intake(broker, log):
        await publish(broker, sample(1.0))
        await until(lambda: values(log) == [1.0], what="the first")
        log.refusing = True
        await publish(broker, sample(2.0))
        await until(lambda: log.refused, what="a refusal")
    log.refusing = False
    await publish(broker, sample(3.0))  # while nobody listens
    async with intake(broker, log):
        await until(lambda: len(values(log)) >= 3, what="the rest")
    assert values(log) == [1.0, 2.0, 3.0]


async def test_noise_is_counted_acknowledged_and_disturbs_nobody(broker: Broker) -> None:
    log = MemoryLog()
    async with intake(broker, log) as metrics:
        await publish(broker, b"\xff\x00garbage", "{}", "[" * 5000, b"", sample(5.0), '{"metric": "BAD", "value": 1}')
        await until(lambda: values(log) == [5.0], what="the good one")
        bad = metrics.refused.labels(door="mqtt", reason="malformed")._value.get()
        assert bad >= 4
    async with intake(broker, log):
        await publish(broker, sample(6.0))
        await until(lambda: values(log)[-1] == 6.0, what="the next")
    assert values(log) == [5.0, 6.0]


async def test_broker_that_dies_is_found_again(broker: Broker) -> None:
    log = MemoryLog()
    async with intake(broker, log) as metrics:
        await broker.stop()
        await until(lambda: metrics.brokers._value.get() == 0, what="the loss")
        await broker.start()
        await until(lambda: metrics.brokers._value.get() == 1, what="the return")
        await publish(broker, sample(7.0))
        await until(lambda: values(log) == [7.0], what="telemetry")
