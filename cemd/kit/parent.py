"""A child that must not outlive its parent asks the kernel to be told when the parent dies, however it dies."""

from __future__ import annotations

import ctypes
import os
import signal

PARENT = "CEMD_PARENT"
"""Environment variable with the process id of the parent; set by whoever starts such a child."""
_PR_SET_PDEATHSIG = 1


def end_with_parent() -> None:
    """SIGTERM to this process as soon as its parent is gone; nothing where no parent is named.

    Without it a prober would go on after kill -9 of its daemon, and nobody would ever end it.
    """
    parent = os.environ.pop(PARENT, "")
    if not parent:
        return
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != int(parent):  # it died before we could ask
        os.kill(os.getpid(), signal.SIGTERM)
