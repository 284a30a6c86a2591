"""command: runs a monitoring plugin (any of Nagios' kind) and reads its exit status and performance data.

The argument list is given to the system as it is; no shell ever sees it. The plugin runs in a process group of its
own, which is killed as a tree at the deadline; its output is read up to a limit and then dropped. As Nagios people
expect: OK and WARNING mean that the service works (a warning is told as such), CRITICAL that it does not, UNKNOWN that
the plugin could not tell, which is blind here.
"""

from __future__ import annotations

import asyncio
import os
import signal
from enum import StrEnum
from pathlib import PurePosixPath
from typing import Annotated, ClassVar

from pydantic import Field

from cemd.kit.logs import redact_text
from cemd.model.quality import Outcome
from cemd.monitor.probes.base import Attempt, Blind, Missed, ProbeParams, Reading, Reason, Result, Secrets, Text
from cemd.monitor.probes.base import read_secret as read
from cemd.monitor.probes.tools import Tools
from cemd.monitor.protocols.perfdata import Perf, parse_perfdata


class OnWarning(StrEnum):
    OK = "ok"
    FAILED = "failed"


class CommandParams(ProbeParams):
    """A plugin and its arguments."""

    command: Annotated[tuple[Text, ...], Field(min_length=1, max_length=200)]
    """Absolute path of the plugin, then its arguments, each an item of the list; no shell."""
    environment: dict[Text, str] = Field(default={}, description="Added to an otherwise nearly empty environment.")
    environment_files: dict[Text, Text] = Field(
        default={}, description="Environment variables whose values stand in files: the way to hand secrets over."
    )
    target: str = ""
    """What is measured, as the series should say; default: the plugin's name."""
    group: str = ""
    """Probes of one group share a bulkhead; default: the target."""
    on_warning: OnWarning = OnWarning.OK
    """What exit status 1 (WARNING) counts as."""
    max_output_bytes: Annotated[int, Field(ge=256, le=1_048_576)] = 65_536
    """Output beyond this is read and dropped."""


class Command:
    """`state_code` (0 OK, 1 WARNING, 2 CRITICAL), and each value of the performance data under its label and unit."""

    word: ClassVar[str] = "command"
    Params: ClassVar[type[ProbeParams]] = CommandParams
    metrics: ClassVar[frozenset[str] | None] = None  # the plugin names them

    def __init__(self, params: CommandParams, tools: Tools) -> None:
        del tools
        self._params = params

    @property
    def target(self) -> str:
        return self._params.target or PurePosixPath(self._params.command[0]).name

    @property
    def group(self) -> str:
        return self._params.group or self.target

    async def run(self, attempt: Attempt) -> Result:
        del attempt  # the deadline arrives as cancellation
        secrets = Secrets()
        process = await self._start(secrets)
        output = bytearray()
        reading = asyncio.create_task(_read_bounded(process, output, self._params.max_output_bytes), name="output")
        try:
            code = await process.wait()
            _kill_tree(process.pid)  # children left behind would hold the pipe open
            await reading
        finally:
            _kill_tree(process.pid)
            reading.cancel()
            if process.returncode is None:
                await process.wait()  # sure to end: it was killed
            process._transport.close()  # type: ignore[attr-defined]  # noqa: SLF001 -- else the pipe outlives the run
        return self._judged(code, secrets.hide(output.decode(errors="replace")))

    async def _start(self, secrets: Secrets) -> asyncio.subprocess.Process:
        environment = {"PATH": "/usr/local/bin:/usr/bin:/bin", "LC_ALL": "C.UTF-8", **self._params.environment}
        for name, path in self._params.environment_files.items():
            environment[name] = read(path)
            secrets.texts.append(environment[name])
        try:
            return await asyncio.create_subprocess_exec(
                *self._params.command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
                env=environment,
                cwd="/",
                start_new_session=True,
            )
        except (OSError, ValueError) as exc:
            why = exc.strerror if isinstance(exc, OSError) else "an argument cannot be handed over"
            raise Blind(Reason.PLUGIN_MISSING, f"plugin {self._params.command[0]} cannot be started: {why}.") from exc

    def _judged(self, code: int, output: str) -> Result:
        if "\0" in output:
            raise Blind(Reason.PLUGIN_UNKNOWN, "the plugin wrote bytes that are no text; nothing of them was taken.")
        words, perfdata = split_output(output)
        detail = redact_text(words.splitlines()[0].strip() if words.strip() else "no output.")
        if code < 0 or code > 3:
            how = f"was ended by signal {-code}" if code < 0 else f"ended with status {code}, which no plugin has"
            raise Blind(Reason.PLUGIN_UNKNOWN, f"the plugin {how}: {detail}")
        if code == 3:
            raise Blind(Reason.PLUGIN_UNKNOWN, f"the plugin could not tell: {detail}")
        readings = (Reading(metric="state_code", value=float(code)), *_readings(parse_perfdata(perfdata)))
        if code == 2:
            raise Missed(Reason.PLUGIN_CRITICAL, detail, readings=readings)
        if code == 1 and self._params.on_warning is OnWarning.FAILED:
            raise Missed(Reason.PLUGIN_WARNING, detail, readings=readings)
        reason = Reason.ANSWERED_WITH_WARNING if code else Reason.ANSWERED
        return Result(outcome=Outcome.OK, reason=reason, readings=readings, detail=detail if code else "")


def split_output(output: str) -> tuple[str, str]:
    """(words, performance data): after the `|` of the first line, and after the first `|` of those that follow.

    >>> split_output("DISK OK | /=1MB\\nlong text | /var=2MB\\n/usr=3MB")
    ('DISK OK \\nlong text ', ' /=1MB  /var=2MB\\n/usr=3MB')
    """
    first, _, rest = output.partition("\n")
    words, _, perfdata = first.partition("|")
    more_words, _, more_perfdata = rest.partition("|")
    return (f"{words}\n{more_words}" if rest else words), " ".join(filter(None, (perfdata, more_perfdata)))


def _readings(perfdata: list[Perf]) -> tuple[Reading, ...]:
    """One reading a label; where two labels make one metric, each says its own."""
    metrics = [perf.metric for perf in perfdata]
    seen: dict[tuple[str, str], Reading] = {}
    for perf in perfdata:
        ambiguous = metrics.count(perf.metric) > 1
        labels = (("perfdata", perf.label[:100]),) if ambiguous else ()
        seen.setdefault((perf.metric, perf.label), Reading(metric=perf.metric, value=perf.value, labels=labels))
    return tuple(seen.values())


async def _read_bounded(process: asyncio.subprocess.Process, into: bytearray, most: int) -> None:
    """Reads to the end, so that the plugin never blocks on a full pipe, and keeps the first `most` bytes."""
    while process.stdout is not None and (chunk := await process.stdout.read(16_384)):
        into += chunk[: max(0, most - len(into))]


def _kill_tree(pid: int) -> None:
    try:
        os.killpg(pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        pass  # all of it has ended already
