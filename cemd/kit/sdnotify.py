"""Word to the service manager: sd_notify(3) in a few lines that raise where the usual package swallows.

`notifier()` reads NOTIFY_SOCKET once and is silent where no manager listens, so that a start by hand works alike.
An abstract socket (`@name`) is understood. RELOADING carries the monotonic time that systemd asks for with it.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Mapping
from typing import Any

from cemd.kit.logs import SaidOnce


class Notifier:
    """Sends states to the manager behind `address`; None: nobody listens, and every call does nothing.

    Raises:
        OSError: (every call) the manager's socket does not take the message.
    """

    def __init__(self, address: str | None) -> None:
        if address is not None and address[:1] not in {"/", "@"}:
            raise ValueError(f"NOTIFY_SOCKET={address!r}: must begin with / or @.")
        self._address = address

    def send(self, *states: str) -> None:
        """Sends assignments such as `READY=1` as one message."""
        if self._address is None:
            return
        address = "\0" + self._address[1:] if self._address.startswith("@") else self._address
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as door:
            door.settimeout(1.0)
            door.connect(address)
            door.sendall("\n".join(states).encode())

    def ready(self, status: str = "") -> None:
        self.send("READY=1", *([_status(status)] if status else []))

    def reloading(self) -> None:
        """Must be followed by `ready` when the reload is over (also when it was refused)."""
        self.send("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def stopping(self, status: str = "") -> None:
        self.send("STOPPING=1", *([_status(status)] if status else []))

    def status(self, text: str) -> None:
        self.send(_status(text))

    def watchdog(self) -> None:
        """Progress was made. Call it from what progresses, never from a timer of its own."""
        self.send("WATCHDOG=1")


class PatientNotifier(Notifier):
    """For processes that must go on while the manager does not listen (it is starting anew itself): said once."""

    def __init__(self, address: str | None, log: Any) -> None:
        super().__init__(address)
        self._said = SaidOnce(log)

    def send(self, *states: str) -> None:
        try:
            super().send(*states)
        except OSError as exc:
            self._said.gone("manager", "service_manager_gone", reason=str(exc))
        else:
            self._said.back("manager", "service_manager_back")


def notifier(environment: Mapping[str, str] | None = None) -> Notifier:
    """The notifier of this process's environment."""
    return Notifier((os.environ if environment is None else environment).get("NOTIFY_SOCKET") or None)


def patient_notifier(log: Any) -> PatientNotifier:
    """The same, for a daemon: it never raises."""
    return PatientNotifier(os.environ.get("NOTIFY_SOCKET") or None, log)


def watchdog_seconds(environment: Mapping[str, str] | None = None) -> float | None:
    """Time within which the manager wants to hear WATCHDOG=1; None: it does not watch this process."""
    found = os.environ if environment is None else environment
    microseconds, pid = found.get("WATCHDOG_USEC"), found.get("WATCHDOG_PID")
    if not microseconds or (pid and int(pid) != os.getpid()):
        return None
    return int(microseconds) / 1e6


def _status(text: str) -> str:
    return "STATUS=" + text.replace("\n", " ")
