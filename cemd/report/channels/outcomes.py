"""What became of notices, on its way back to the core: gathered, one entry for many, and never lost.

An outcome is held until the core has it. One that was cut off while it was handed over is handed over again: the core
takes the first word about a customer, and "did not leave" only for the handing over that it names, so twice does no
harm.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import numpy as np

from cemd.kit.retry import Backoff
from cemd.model.entry import NoticeOutcomes, Payload
from cemd.model.notice import NoticeRows, NoticeState, Phase

Submit = Callable[[Payload], Awaitable[object]]


class Outcomes:
    """Owned by the worker of one channel."""

    def __init__(self, submit: Submit, *, channel: str, log: Any) -> None:
        self._submit = submit
        self._channel = channel
        self._log = log
        self._known: dict[tuple[str, Phase, int, str, int], list[tuple[int, int]]] = {}
        self._on_the_way = 0

    def add(self, rows: NoticeRows, customer: int, state: NoticeState, reason: str) -> None:
        seq = rows.seq if state is NoticeState.DUE else 0  # only this word is bound to one handing over
        key = (rows.communication, rows.phase, rows.revision, reason, seq)
        self._known.setdefault(key, []).append((customer, int(state)))

    def __bool__(self) -> bool:
        """True while the core does not have them all."""
        return bool(self._known or self._on_the_way)

    async def flush(self) -> None:
        """Tells every outcome that is known."""
        while self._known:
            key = next(iter(self._known))
            pairs = self._known.pop(key)
            communication, phase, revision, reason, seq = key
            self._on_the_way += 1
            try:
                await self.tell(
                    NoticeOutcomes(
                        communication=communication,
                        phase=phase,
                        revision=revision,
                        customer=np.array([customer for customer, _ in pairs], np.uint32),
                        state=np.array([state for _, state in pairs], np.uint8),
                        reason=reason,
                        seq=seq,
                    )
                )
            except asyncio.CancelledError:
                self._known.setdefault(key, []).extend(pairs)
                raise
            finally:
                self._on_the_way -= 1

    async def tell(self, payload: Payload) -> None:
        """Hands an entry to the core; a refusal for want of room is tried again, for the outcome must not be lost."""
        waits = Backoff(first_seconds=0.1, longest_seconds=5.0)
        while True:
            try:
                await self._submit(payload)
            except Exception as exc:  # noqa: BLE001 -- the guard of this channel
                self._log.error("outcome.refused", channel=self._channel, error=f"{type(exc).__name__}: {exc}")
                await asyncio.sleep(waits.next_delay())
            else:
                return
