"""Staff alerts to chat and pagers through Apprise (extra `chat`).

The addresses are secrets and stand in a file, one URL a line. Apprise works in a thread of ours; its time-out stops
waiting, not sending, so that a TIMEOUT is unknown. Some told and some not counts as unknown too: alerts are repeated.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import Any, ClassVar

from cemd.config.base import FileModel
from cemd.errors import ChannelError
from cemd.model.notice import Alert
from cemd.report.channels.attempt import Attempt
from cemd.report.channels.base import STAFF, Message, alert_text, secret_in


class AppriseParams(FileModel):
    urls_file: str
    """File with one Apprise URL a line; lines that begin with # are skipped."""


class Apprise:
    """Hands an alert to every URL of the file."""

    Params: ClassVar[type[FileModel]] = AppriseParams
    serves: ClassVar[tuple[str, ...]] = (STAFF,)
    connections = 1

    def __init__(self, params: AppriseParams, *, name: str, timeout_seconds: float) -> None:
        self._params = params
        self._name = name
        self._timeout = timeout_seconds
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix=f"apprise-{name}")

    async def send(self, message: Message, attempt: Attempt) -> None:
        del message, attempt
        raise ChannelError(f"channel {self._name!r}: Apprise reaches no customers.", permanent=True)

    async def alert(self, alert: Alert, attempt: Attempt) -> None:
        subject, body = alert_text(alert)
        urls = (secret_in(self._params.urls_file, name=self._name) or "").splitlines()
        wanted = [url.strip() for url in urls if url.strip() and not url.strip().startswith("#")]
        attempt.begins()  # Apprise does not tell connecting from sending
        loop = asyncio.get_running_loop()
        self._judge(await loop.run_in_executor(self._thread, self._notify, wanted, subject, body, alert.firing))

    async def close(self) -> None:
        self._thread.shutdown(wait=False, cancel_futures=True)

    def _notify(self, urls: list[str], subject: str, body: str, firing: bool) -> str:
        try:
            import apprise
        except ImportError as exc:
            words = f"channel {self._name!r}: Apprise is not installed; install cemd[chat]."
            raise ChannelError(words, permanent=True) from exc
        service = apprise.Apprise()
        if not urls or not all(map(service.add, urls)):
            words = f"channel {self._name!r}: {self._params.urls_file} holds no URL, or one that Apprise cannot read."
            raise ChannelError(words, permanent=True)
        kind = apprise.NotifyType.FAILURE if firing else apprise.NotifyType.SUCCESS
        result: Any = service.notify(body=body, title=subject, notify_type=kind, timeout=self._timeout)
        return str(result.status.name)

    def _judge(self, status: str) -> None:
        match status:
            case "SUCCESS":
                return
            case "TIMEOUT" | "PARTIAL":
                words = f"channel {self._name!r}: not every service answered ({status.lower()})."
                raise ChannelError(words, permanent=False, unknown=True)
            case "NOMATCH":
                raise ChannelError(f"channel {self._name!r}: no service is configured.", permanent=True)
            case _:
                raise ChannelError(f"channel {self._name!r}: the services refused the alert.", permanent=False)
