"""The shipped scenario of the simulation, as surroundings for tests."""

from __future__ import annotations

from functools import cache

from cemd.daemon.kinds import kinds
from cemd.demo.files import shipped_root
from cemd.demo.world.reading import SCENARIOS, read_scenario
from cemd.simulation.lives import Scene


@cache
def scene() -> Scene:
    return Scene(read_scenario(SCENARIOS / "simulation.yaml"), shipped_root() / "rules", kinds())
