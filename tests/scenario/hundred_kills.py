"""`python -m tests.scenario.hundred_kills`: a hundred kill -9 at random points of the demo's story, in rounds.

Prints one line a kill and every promise that broke; exit code 1 when one did. Takes about half an hour.
"""

from __future__ import annotations

import argparse
import asyncio
import shutil
import sys
import tempfile
from pathlib import Path

from tests.scenario.killing import Killing, problems_of
from tests.scenario.world import open_world

A_ROUND = 9


async def run(kills: int, *, first_seed: int) -> int:
    done, seed, broken = 0, first_seed, 0
    while done < kills:
        root = Path(tempfile.mkdtemp(prefix="cemd-kill-"))
        async with open_world(root) as world:
            outcome = await Killing(world, seed=seed, kills=min(A_ROUND, kills - done)).run()
        done += len(outcome.kills)
        problems = problems_of(outcome)
        broken += bool(problems)
        print(f"seed {seed}: {done} of {kills} kills", flush=True)
        for line in (*outcome.kills, *(f"BROKEN {problem}" for problem in problems)):
            print(f"  {line}", flush=True)
        if problems:
            print(f"  files and state are kept in {root}", flush=True)
        else:
            shutil.rmtree(root)
        seed += 1
    return 1 if broken else 0


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.scenario.hundred_kills", description=__doc__)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--first-seed", type=int, default=100)
    options = parser.parse_args()
    sys.exit(asyncio.run(run(options.kills, first_seed=options.first_seed)))


if __name__ == "__main__":
    main()
