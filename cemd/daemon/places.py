"""Where things are: the state directory of a root, and what lies in it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from cemd.config.settings import Settings
from cemd.store.failure import kind_of


@dataclass(frozen=True, slots=True)
class Places:
    """Paths in the state directory."""

    state: Path
    socket: Path
    prober: Path
    pid: Path
    compiled: Path  # machine code, as numba keeps it

    @property
    def socket_mode(self) -> int:
        """In a directory of the service manager the group may connect: the prober's unit is another user."""
        return 0o600 if self.socket.parent == self.state else 0o660


def places(root: Path, settings: Settings, override: Path | None) -> Places:
    """The state directory: `override` (the service manager's), else the one of the settings below `root`.

    The prober's socket lies in RUNTIME_DIRECTORY when the service manager gives one.
    """
    state = (override or root / settings.state_directory).resolve()
    runtime = os.environ.get("RUNTIME_DIRECTORY")
    return Places(
        state=state,
        socket=(Path(runtime) if runtime else state) / "prober.sock",
        prober=state / "prober",
        pid=state / "cemd.pid",
        compiled=state / "compiled",
    )


def made(found: Places) -> Places:
    """The same, with the folders made.

    Raises:
        StoreError: they cannot be made.
    """
    try:
        found.state.mkdir(parents=True, exist_ok=True, mode=0o700)
        found.prober.mkdir(exist_ok=True, mode=0o700)
    except OSError as exc:
        raise kind_of(exc)(
            f"{found.state}: the state directory cannot be made ({exc.strerror}); check its owner, or name another "
            "with state_directory in config/cemd.yaml."
        ) from exc
    return found
