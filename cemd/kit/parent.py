"""A child that must not outlive its parent asks the kernel to be told when the parent dies, however it dies."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from pathlib import Path

PARENT = "CEMD_PARENT"
"""Environment variable with the process id of the parent; set by whoever starts such a child."""
_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None)


def environment() -> dict[str, str]:
    """For such a child, which is told who its parent is. Where cemd is not installed but run from its folder, the child
    finds the same one, whatever folder it is started in."""
    given = {**os.environ, PARENT: str(os.getpid())}
    here = Path(__file__).resolve().parents[2]
    if not here.is_relative_to(sys.prefix):
        given["PYTHONPATH"] = os.pathsep.join(filter(None, (str(here), os.environ.get("PYTHONPATH"))))
    return given


def end_with_parent() -> None:
    """SIGTERM to this process as soon as its parent is gone; nothing where no parent is named.

    Without it a prober would go on after kill -9 of its daemon, and nobody would ever end it.
    """
    parent = os.environ.pop(PARENT, "")
    if not parent:
        return
    end_with_starter()
    if os.getppid() != int(parent):  # it died before we could ask
        os.kill(os.getpid(), signal.SIGTERM)


def end_with_starter() -> None:
    """SIGTERM to this process as soon as the thread that started it is gone: what a child runs before its program
    (`preexec_fn`) that knows nothing of us, so it must do no more than this one call."""
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
