"""What a test needs and this machine lacks: what could be installed fails where CI=true, what the kernel or its owner
forbids is skipped there too, for CI cannot change it; then the last lines of the run say so, as loud as a failure."""

from __future__ import annotations

import os
from typing import NoReturn

import pytest

FORBIDDEN = "forbidden on this machine: "


def lacking(words: str) -> NoReturn:
    """Something could be here and is not: skips by name, and fails where CI=true."""
    if os.environ.get("CI") == "true":
        pytest.fail(f"{words}; CI must provide it.")
    pytest.skip(words)


def forbidden(words: str) -> NoReturn:
    """Nobody here can change that: skips, and is told at the end of the run."""
    pytest.skip(f"{FORBIDDEN}{words}")


def told_at_the_end(reasons: list[str]) -> list[str]:
    """Lines for the end of a run, from why each of its tests was skipped."""
    refused = [why.partition(FORBIDDEN)[2] for why in reasons if FORBIDDEN in why]
    return [f"{refused.count(why)} x {why}" for why in sorted(set(refused))]
