"""Chance of its own for each purpose, in columns, so that one more draw here moves nothing there."""

from __future__ import annotations

import numpy as np

from cemd.model.identity import stable_hash


def chance(seed: int, purpose: str) -> np.random.Generator:
    """A generator that is the same for the same seed and purpose, in every process."""
    return np.random.Generator(np.random.PCG64(stable_hash(f"{seed}\x1f{purpose}")))
