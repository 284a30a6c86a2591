"""What a process feels that reads the files of a reload itself, and hands the probe set out as one message.

Run: python -m bench.reload.within ROOT; prints JSON. The baseline of `bench.reload.live`, under the same watched loop:
reading and checking stand in a thread, as one would write it first, the message is made by the loop.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from pathlib import Path

import msgspec
from cemd.config.configuration import hash_of
from cemd.config.diff import changes
from cemd.config.load import load
from cemd.daemon.house import SWITCH_SECONDS
from cemd.daemon.kinds import kinds

from bench.reload.watched import Book, WatchedLoop


def read(root: Path) -> list[object]:
    """Everything that the daemon has to know before it takes an epoch; answers the probes."""
    configuration = load(root, kinds()).configuration
    hash_of(configuration.document())
    assert not changes(configuration, configuration)
    return [*configuration.probes]


async def reload(root: Path) -> None:
    probes = await asyncio.to_thread(read, root)
    message = msgspec.json.encode([probe.model_dump(mode="json") for probe in probes])  # type: ignore[attr-defined]
    assert len(message) > len(probes)


def main() -> None:
    book = Book()
    loop = WatchedLoop(book)
    sys.setswitchinterval(SWITCH_SECONDS)
    cpu = time.process_time()
    loop.run_until_complete(reload(Path(sys.argv[1])))
    late = [own for _, _, own in book.rows["late"]]
    turn = [own for _, _, own in book.rows["turn"]]
    print(
        json.dumps(
            {
                "cpu_seconds": time.process_time() - cpu,
                "late_own_ms": 1000 * max(late, default=0.0),
                "turn_cpu_ms": 1000 * max(turn, default=0.0),
            }
        )
    )


if __name__ == "__main__":
    main()
