"""tcp: opens a connection, may secure it and hold a dialogue over it, and times every phase.

The connection alone is the quick way, without a word said. With `tls` the handshake is made from the first byte or
after the protocol's own word for it, and the certificate is verified. With `dialogue` each turn says and expects.
"""

from __future__ import annotations

import asyncio
from typing import Annotated, ClassVar

from pydantic import Field, model_validator

from cemd.model.quality import Outcome
from cemd.monitor.probes.base import (
    Attempt,
    Cancel,
    Done,
    Port,
    ProbeParams,
    Reason,
    Result,
    Text,
)
from cemd.monitor.probes.engines.dialogue import Heard, Pattern, Turn, Turns, ValueName, check_values, read_values
from cemd.monitor.probes.engines.names import is_address
from cemd.monitor.probes.engines.places import OnePort
from cemd.monitor.probes.engines.starttls import Security
from cemd.monitor.probes.engines.stream_batches import Run, StreamErrand
from cemd.monitor.probes.engines.streams import Knock, Target
from cemd.monitor.probes.engines.visit import (
    SECURE_METRICS,
    VISIT_METRICS,
    TlsParams,
    Visit,
    visit,
)
from cemd.monitor.probes.engines.waits import Waits
from cemd.monitor.probes.tools import Tools

_METRICS = ("connect_seconds", "handshake_round_trip_seconds")


class TcpParams(TlsParams):
    """A port that must accept, and may have to answer."""

    run_time_values: ClassVar[bool] = True

    port: Port
    """Where it listens."""
    tls: Security = Security.NONE
    """`none`; `direct`: TLS from the first byte; or the protocol whose STARTTLS is spoken first."""
    send: Text | None = None
    r"""Text sent after the connection stands; `\r\n` in double quotes is a line end. Default: nothing."""
    expect: Pattern | None = None
    """Regular expression that the answer must contain. Default: nothing is read."""
    dialogue: Turns = ()
    """Turns of a longer talk, in order; not together with `send` and `expect`, which are one turn."""
    secret_files: dict[ValueName, Text] = Field(
        default={}, description="Values that `{name}` in what is sent stands for, read from files for each run."
    )
    max_answer_bytes: Annotated[int, Field(ge=1, le=1_048_576)] = 16_384
    """More than this without the expected text is a failure: a peer that never stops must not fill memory."""

    def turns(self) -> tuple[Turn, ...]:
        """What is said and expected, in order."""
        if self.send is None and self.expect is None:
            return self.dialogue
        return (Turn(send=self.send, expect=self.expect),)

    @model_validator(mode="after")
    def _whole(self) -> TcpParams:
        if self.dialogue and (self.send is not None or self.expect is not None):
            raise ValueError("`dialogue` and `send` or `expect` exclude each other; write them as its first turn")
        check_values(self.turns(), self.secret_files)
        if self.tls is Security.NONE and (self.tls_name or self.ca_file or self.certificate_days):
            raise ValueError("tls_name, ca_file and certificate_days need `tls`, which is none")
        return self


class Tcp(OnePort):
    """`name_seconds` of the look-up, `connect_seconds` until the handshake is done, also where a packet of it was lost,
    `handshake_round_trip_seconds` as the kernel saw it; with TLS `starttls_seconds`, `tls_seconds`,
    `certificate_expiry_days`; `answer_seconds` from then until all that was expected is there, and of a dialogue
    `turn_seconds` with the label `turn`."""

    word: ClassVar[str] = "tcp"
    Params: ClassVar[type[ProbeParams]] = TcpParams
    metrics: ClassVar[frozenset[str] | None] = VISIT_METRICS | SECURE_METRICS | {"answer_seconds", "turn_seconds"}

    def __init__(self, params: TcpParams, tools: Tools) -> None:
        super().__init__(params.host, params.port)
        self._params = params
        self._tools = tools
        self._turns = [Heard(turn, number) for number, turn in enumerate(params.turns(), 1)]
        bare = not self._turns and params.tls is Security.NONE and is_address(params.host)
        target = Target(params, params.host, params.port) if bare else None
        self._errand = _Errand(self, target, tools.resting) if target is not None else None

    def errand(self) -> StreamErrand | None:
        """Only where the connection alone is measured, to an address that needs no look-up."""
        return self._errand

    def launch(self, deadline: float, done: Done) -> Cancel | None:
        """The same by itself."""
        return None if self._errand is None else self._tools.streams.single(self._errand, deadline, done)

    async def run(self, attempt: Attempt) -> Result:
        params = self._params
        async with visit(params, params.port, self._tools, attempt, most_bytes=params.max_answer_bytes) as made:
            await made.secure(params, params.tls, self._tools)
            if self._turns:
                await self._speak(made)
        return Result(outcome=Outcome.OK, reason=Reason.ANSWERED, readings=tuple(made.readings))

    async def _speak(self, made: Visit) -> None:
        values = read_values(self._params.secret_files, made.secrets)
        began = made.began
        for heard in self._turns:
            if (data := heard.turn.said(values)) is not None:
                await made.talk.say(data)
            if heard.expect is not None:
                values |= heard.taken(await made.talk.until(heard.expect, heard.reject))
            if len(self._turns) > 1:
                made.timed("turn_seconds", labels=(("turn", heard.label),))
        made.note("answer_seconds", asyncio.get_running_loop().time() - began)


class _Errand(StreamErrand):
    """The connection alone."""

    __slots__ = ("_target", "_waits")

    metrics = _METRICS

    def __init__(self, kind: Tcp, target: Target, waits: Waits) -> None:
        super().__init__(kind, target.address)
        self._target, self._waits = target, waits

    def start(self, run: Run, deadline: float) -> Cancel:
        return _Knock(self._target, self._waits, run).begin(deadline)


class _Knock(Knock):
    """One such connection."""

    __slots__ = ("_run",)

    def __init__(self, target: Target, waits: Waits, run: Run) -> None:
        super().__init__(target, waits)
        self._run = run

    def stands(self, seconds: float, round_trip: float) -> None:
        self._run.good(seconds, (seconds, round_trip))

    def failed(self, fault: Exception) -> None:
        self._run.failed(fault)
