"""DemoTelco's telemetry: an MQTT broker of its own on loopback, and what the contact centre and the cells publish.

The broker (amqtt) speaks MQTT 3.1.1 only and writes nothing to disk; figures walk slowly around what is usual.
"""

from __future__ import annotations

import asyncio
import json
import logging
import random
import time
from collections.abc import Mapping
from typing import Any

import aiomqtt

from cemd.demo.conditions import Conditions
from cemd.demo.network import ANYBODY

EVERY_SECONDS = 2.0
ROOT = "demotelco"


def new_broker(port: int) -> Any:
    """An MQTT broker for loopback, not yet started."""
    from amqtt.broker import Broker  # slow to import, and only the demo has it

    for name in ("amqtt", "transitions"):
        logging.getLogger(name).setLevel(logging.ERROR)
    anonymous = {"amqtt.plugins.authentication.AnonymousAuthPlugin": {"allow_anonymous": True}}
    return Broker(
        {
            "listeners": {"default": {"type": "tcp", "bind": f"127.0.0.1:{port}", "max_connections": 50}},
            "plugins": anonymous,
        }
    )


def broker_port(broker: Any) -> int:
    """The port that a started broker listens on."""
    server = next(iter(broker._servers.values())).instance  # noqa: SLF001 -- amqtt tells its port nowhere else
    return int(server.sockets[0].getsockname()[1])


async def close_broker(broker: Any) -> None:
    """Ends the broker and drops the connections that it would leave open."""
    port = broker_port(broker)
    await broker.shutdown()
    transports = getattr(asyncio.get_running_loop(), "_transports", {})
    for transport in list(transports.values()):  # amqtt keeps no list of its own
        if (transport.get_extra_info("sockname") or ("", 0))[1] == port:
            transport.abort()
    await asyncio.sleep(0)  # the loop closes what was aborted


def _is_leaving() -> bool:
    """True once this task was cancelled: `asyncio.wait_for` of Python 3.11 may swallow it, and the library uses it."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


class Telemetry:
    """Publishes figures of the contact centre and the regions at QoS 1, for ever."""

    def __init__(self, conditions: Conditions, *, seed: int) -> None:
        self._conditions = conditions
        self._chance = random.Random(seed)

    async def publish(self, port: int) -> None:
        while not _is_leaving():
            try:
                async with aiomqtt.Client(
                    "127.0.0.1", port, protocol=aiomqtt.ProtocolVersion.V311, identifier="demotelco"
                ) as client:
                    await self._publish_until_lost(client)
            except aiomqtt.MqttError:
                if not _is_leaving():
                    await asyncio.sleep(1)

    async def _publish_until_lost(self, client: aiomqtt.Client) -> None:
        while not _is_leaving():
            for topic, measurements in self.figures(time.time()).items():
                await client.publish(f"{ROOT}/{topic}", json.dumps(measurements), qos=1)
            await asyncio.sleep(EVERY_SECONDS)

    def figures(self, at: float) -> dict[str, list[dict[str, object]]]:
        """One reading of every source by topic, in the form that cemd takes: metric, value, at, labels."""
        near = self._chance.gauss
        slow = self._conditions.delay_seconds("contact-centre", ANYBODY)
        queue = {
            "wait_seconds": max(0.0, near(14, 2) + 60 * slow),
            "answered_ratio": min(1.0, max(0.0, near(0.97, 0.005))),
            "own_language_ratio": min(1.0, max(0.0, near(0.95, 0.01))),
        }
        labels = {"service": "contact-centre", "touchpoint": "call-centre"}
        figures = {"contact-centre/queue": _measurements(queue, labels, at)}
        for region in ("east", "west"):
            if not self._conditions.is_out(f"access-{region}"):
                cells = {"attached_count": round(near(6000, 40)), "drop_ratio": max(0.0, near(0.004, 0.0005))}
                labels = {"service": f"access-{region}", "site": region}
                figures[f"access/{region}"] = _measurements(cells, labels, at)
        return figures


def _measurements(values: Mapping[str, float], labels: dict[str, str], at: float) -> list[dict[str, object]]:
    return [{"metric": metric, "value": value, "at": at, "labels": labels} for metric, value in values.items()]
