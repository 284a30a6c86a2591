"""What every channel is: parameters, whom it serves, and one call that sends or raises `ChannelError`.

A channel maps its own failures: `permanent` when trying again is useless, `unknown` when the message may have left.
Deadline, retry, rate and logging belong to the edge; so does waiting for one of the channel's `connections`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Protocol

from pydantic import AfterValidator

from cemd.config.base import FileModel
from cemd.errors import ChannelError
from cemd.kit.secrets import read_secret_text
from cemd.kit.urls import absolute_url
from cemd.model.notice import Alert
from cemd.report.channels.attempt import Attempt

CUSTOMERS = "customers"
STAFF = "staff"
HttpUrl = Annotated[str, AfterValidator(absolute_url)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One message to one address. `id` is the same whenever the same message is sent."""

    id: str
    to: str
    subject: str
    body: str
    language: str = ""
    communication: str = ""
    phase: str = ""
    revision: int = 0
    trace: str = ""


class Kind(Protocol):
    """A way to reach people. Made once per configured channel; closed when the configuration no longer has it."""

    Params: ClassVar[type[FileModel]]
    serves: ClassVar[tuple[str, ...]]

    @property
    def connections(self) -> int:
        """How many messages it carries at once; it is never given more."""

    def __init__(self, params: Any, *, name: str, timeout_seconds: float) -> None: ...

    async def send(self, message: Message, attempt: Attempt) -> None:
        """To a customer; says `attempt.begins()` just before what may bring it out. Raises ChannelError."""

    async def alert(self, alert: Alert, attempt: Attempt) -> None:
        """To staff, likewise. Raises ChannelError."""

    async def close(self) -> None:
        """Gives its connections up; never waits for a peer."""


def secret_in(path: str | None, *, name: str) -> str | None:
    """The secret that stands in a file, read anew each time so that it can be rotated.

    Raises:
        ChannelError: the file cannot be read; nothing was sent.
    """
    if path is None:
        return None
    try:
        return read_secret_text(path).strip()
    except (OSError, UnicodeDecodeError) as exc:
        words = f"channel {name!r}: the secret file {path} cannot be read ({type(exc).__name__}); correct it."
        raise ChannelError(words, permanent=False) from exc


def alert_text(alert: Alert) -> tuple[str, str]:
    """(subject, body) of an alert for people."""
    word = "FIRING" if alert.firing else "RESOLVED"
    lines = [f"{word}: {alert.summary}", ""]
    lines += [f"{name}: {value}" for name, value in alert.annotations.items() if value]
    about = "incident" if alert.incident.startswith("inc-") else "finding"
    lines += ["", f"{about}: {alert.incident}", f"explain: cemd explain {alert.incident}"]
    return f"[{word}] {alert.summary}", "\n".join(lines)
