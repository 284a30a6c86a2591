"""Epochs: which configuration is in effect, which was wanted last, and how the files become the next one."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path

import structlog

from cemd.config.topology import Topology
from cemd.daemon import reload
from cemd.daemon.kinds import kinds
from cemd.daemon.places import Places
from cemd.daemon.reading import read_apart
from cemd.kit.heap import settle
from cemd.loop.core import Core
from cemd.model.entry import ConfigEpoch, Payload
from cemd.store.base import Store

MOST_CHANGES_SAID = 50
"""Of a reload, in the log: what follows it must not be lost among thousands of lines."""

log = structlog.get_logger("cemd")


class Epochs:
    """Made inside the loop; `take` may be called beside it. `in_effect` is the hash of what the core has taken."""

    def __init__(self, core: Core, store: Store, where: Places, root: Path) -> None:
        self.in_effect = ""
        self._wanted = ""
        self._core, self._store, self._where, self._root = core, store, where, root
        self._took_effect = asyncio.Event()

    def read(self, author: str) -> reload.Accepted:
        """What the files say, read here: at a start, when nobody is at work yet.

        Raises:
            CemdError: as `reload.read`.
        """
        state = self._core.state
        current = state.topology.configuration if state.epoch else None
        accepted = reload.read(
            self._root, kinds(), current, author=author, state=self._where.state, rows=self._store.state
        )
        return _warned(accepted)

    async def read_apart(self, author: str) -> reload.Accepted:
        """As `read`, by a child, so that reading holds nobody who is at work; after what was wanted took effect."""
        await self.settle()
        state = self._core.state  # nothing changes it meanwhile: nothing is wanted, and reloads take turns
        current = state.topology.configuration
        return _warned(await read_apart(self._root, self._where.state, current, epoch=state.epoch, author=author))

    def take(
        self, accepted: reload.Accepted, post: Callable[[Payload], None], topology: Topology | None = None
    ) -> bool:
        """Keeps a configuration and posts it to the core, which needs not read it where its `topology` was made from
        its document already; False when it is in effect."""
        if accepted.hash == self._core.state.epoch:
            self.in_effect = self._wanted = accepted.hash
            return False
        self._store.state.save_epoch(accepted.hash, accepted.author, time.time(), accepted.document)
        if topology is not None:
            self._core.expect(accepted.hash, topology)
            settle()  # else the collector looks through it once or twice before it is in effect
        self._wanted = accepted.hash
        post(ConfigEpoch(hash=accepted.hash, author=accepted.author, document=accepted.document))
        for change in accepted.changes[:MOST_CHANGES_SAID]:
            log.info("configuration_changed", change=change)
        if (more := len(accepted.changes) - MOST_CHANGES_SAID) > 0:
            log.info("configuration_changed", more=more, remedy="`cemd config diff` says all of them")
        return True

    def took_effect(self, epoch: str) -> None:
        """The core has taken an epoch. Call it on the loop."""
        self.in_effect = epoch
        self._took_effect.set()

    async def settle(self) -> None:
        """Waits until the core has taken what was wanted last."""
        while self.in_effect != self._wanted:
            self._took_effect.clear()
            await self._took_effect.wait()


def _warned(accepted: reload.Accepted) -> reload.Accepted:
    for warning in accepted.warnings:
        log.warning("configuration", warning=warning)
    return accepted
