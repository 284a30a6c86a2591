"""From when on a message may have left."""

from __future__ import annotations

import asyncio

import pytest
from cemd.errors import ChannelError
from cemd.report.channels import attempt as module
from cemd.report.channels.attempt import Attempt


@pytest.fixture(autouse=True)
def _no_grace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "GRACE_SECONDS", 0.0)


async def test_what_is_cut_off_before_it_was_submitted_surely_did_not_leave() -> None:
    attempt = Attempt(0.02, name="mail")
    with pytest.raises(ChannelError, match=r"cannot be reached within 0\.02 s") as caught:
        await attempt.run(asyncio.sleep(30))
    assert (caught.value.permanent, caught.value.unknown) == (False, False)


async def test_what_is_cut_off_while_it_is_submitted_may_have_left() -> None:
    attempt = Attempt(0.02, name="mail")

    async def submit() -> None:
        attempt.begins()
        await asyncio.sleep(30)

    with pytest.raises(ChannelError, match=r"no answer within 0\.02 s") as caught:
        await attempt.run(submit())
    assert (caught.value.permanent, caught.value.unknown) == (False, True)


async def test_the_answer_has_the_whole_time_however_long_it_took_to_connect() -> None:
    attempt, loop = Attempt(10.0, name="mail"), asyncio.get_running_loop()
    ends: list[float] = []

    async def submit() -> None:
        attempt._seconds = 20.0
        before = loop.time()
        attempt.begins()
        deadline = attempt._deadline
        assert deadline is not None
        ends.append((deadline.when() or 0.0) - before)

    await attempt.run(submit())
    assert 20.0 <= ends[0] < 21.0
