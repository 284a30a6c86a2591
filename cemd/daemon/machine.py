"""Machine code for the bank, where numba is installed: loaded before anything else works, made beside the daemon for
its next start. Results are the same to the bit, with it or without."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Any

from cemd.analyze.bank import compiled
from cemd.analyze.bank.bank import Bank
from cemd.kit.parent import environment


def speed_up(bank: Bank, folder: Path, log: Any) -> None:
    """Takes what an earlier daemon had made. It holds the interpreter for some tenths of a second."""
    try:
        kernel = compiled.find(folder)
    except Exception as exc:  # noqa: BLE001 -- a guard: whatever is wrong with it, the daemon starts without
        log.warning("no_machine_code", reason=str(exc), remedy="numpy does the same; cemd[compiled] may be taken away")
        return
    if kernel is not None:
        bank.use(kernel)
        log.info("machine_code", of="numba")


async def make_for_next_start(folder: Path, log: Any) -> None:
    """A child compiles, unless it is done."""
    if not compiled.wanted() or compiled.is_made(folder):
        return
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "cemd.analyze.bank.compiled", str(folder)),
        stderr=asyncio.subprocess.PIPE,
        env=environment(),
        start_new_session=True,
    )
    try:
        _, said = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode:
        reason = said.decode(errors="replace").strip().rpartition("\n")[2]
        log.warning("no_machine_code", reason=reason, remedy="numpy does the same; cemd[compiled] may be taken away")
    else:
        log.info("machine_code_made", remedy="it is used from the next start on")
