"""What a kind of probe is: parameters, one measuring coroutine, and a result with an outcome and a reason.

A kind is made from its parameters and the tools of the prober, and measures until a deadline. A target that does not
answer is a result; `ProbeUnavailable` says that this host could not look, which is blind and never down. `success` and
`duration_seconds` are added by `measure`, so no kind can forget them.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from importlib import import_module
from typing import Annotated, Any, ClassVar, Protocol, TypeAlias, overload, runtime_checkable

import msgspec
from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from cemd.errors import ProbeUnavailable
from cemd.kit.logs import HIDDEN
from cemd.kit.secrets import read_secret_text
from cemd.model.measurement import SUCCESS
from cemd.model.quality import Outcome

DURATION = "duration_seconds"
COMMON_METRICS = frozenset({SUCCESS, DURATION})
"""What `measure` adds to the figures of every kind."""


class Reason(StrEnum):
    """Why an attempt ended as it did; a closed list, the same word in log, metric, evidence and test."""

    ANSWERED = "answered"
    ANSWERED_WITH_WARNING = "answered_with_warning"
    # failed
    NAME_NOT_FOUND = "name_not_found"
    REFUSED = "connection_refused"
    UNREACHABLE = "unreachable"
    CLOSED_EARLY = "closed_early"
    TLS_FAILED = "tls_failed"
    TLS_NOT_OFFERED = "tls_not_offered"
    CERTIFICATE_INVALID = "certificate_invalid"
    PROTOCOL_BROKEN = "protocol_broken"
    NOT_AUTHENTICATED = "not_authenticated"
    STATUS_UNEXPECTED = "status_unexpected"
    ANSWER_UNEXPECTED = "answer_unexpected"
    ANSWER_TOO_LARGE = "answer_too_large"
    LOGIN_REFUSED = "login_refused"
    SIGNATURE_INVALID = "signature_invalid"
    ANSWERS_DIFFER = "answers_differ"
    SERVER_UNSYNCHRONISED = "server_unsynchronised"
    STATE_NOT_REACHED = "state_not_reached"
    PLUGIN_CRITICAL = "plugin_critical"
    PLUGIN_WARNING = "plugin_warning"
    # timed out
    NO_ANSWER = "no_answer_in_time"
    # blind
    NAME_NO_ANSWER = "resolver_no_answer"
    NOT_PERMITTED = "not_permitted"
    NO_ROUTE = "no_route"
    WAY_OUT_LOST = "way_out_lost"
    NO_TRUST = "no_trust_anchors"
    NO_RESOURCES = "no_resources"
    TARGET_NOT_ALLOWED = "target_not_allowed"
    SOURCE_MISSING = "source_address_missing"
    VRF_MISSING = "vrf_missing"
    CLOCK_STEPPED = "clock_stepped"
    CLOCK_UNSYNCHRONISED = "clock_unsynchronised"
    FILE_UNREADABLE = "file_unreadable"
    LIBRARY_MISSING = "library_missing"
    PLUGIN_UNKNOWN = "plugin_unknown"
    PLUGIN_MISSING = "plugin_missing"
    BUDGET_SPENT = "budget_spent"
    CLEANUP_OUTSTANDING = "cleanup_outstanding"
    PROBER_BUSY = "prober_busy"
    SHED = "shed"
    NOT_ACTIVE = "not_active_now"
    INTERNAL = "internal_fault"


Way: TypeAlias = tuple[str | int, ...]
"""Keys and places that lead from a kind's parameters to one of them."""


class ProbeParams(BaseModel):
    """Parameters of a kind: strict, frozen, no unknown key; each field's docstring becomes its help."""

    model_config = ConfigDict(
        strict=True,
        frozen=True,
        extra="forbid",
        use_attribute_docstrings=True,
        allow_inf_nan=False,
        hide_input_in_errors=True,
    )

    def hosts(self) -> tuple[tuple[Way, str], ...]:
        """(way to the parameter, host) of every place that packets go to, as far as the parameters name it.

        `cemd check` holds them against `targets` of the settings; the prober does so again with the addresses.
        """
        return ()

    def least_seconds(self) -> float:
        """What an attempt takes even where every answer comes at once; the probe's timeout must be longer."""
        return 0.0


Text = Annotated[str, StringConstraints(min_length=1, max_length=4096)]
Host = Annotated[str, StringConstraints(pattern=r"^[^\s/@?#\[\]]{1,253}$")]
Port = Annotated[int, Field(ge=1, le=65_535)]


class IpVersion(StrEnum):
    """Which of a name's addresses are tried. IPv4 and IPv6 fail apart, so give each its own probe."""

    ANY = "any"
    V4 = "4"
    V6 = "6"


class Reading(msgspec.Struct, frozen=True, kw_only=True):
    """One value of an attempt. `metric` carries its unit; `labels` are sorted by name."""

    metric: str
    value: float
    labels: tuple[tuple[str, str], ...] = ()


class Values(Sequence[Reading]):
    """Readings without labels, as two tuples of equal length: what the hot paths use, since a reading each would cost
    more than the rest of a measurement. `metrics` is one constant tuple of the kind: it is looked up as a whole."""

    __slots__ = ("metrics", "values")

    def __init__(self, metrics: tuple[str, ...], values: tuple[float, ...]) -> None:
        self.metrics = metrics
        self.values = values

    def __len__(self) -> int:
        return len(self.values)

    def __iter__(self) -> Iterator[Reading]:
        for metric, value in zip(self.metrics, self.values, strict=True):
            yield Reading(metric=metric, value=value)

    @overload
    def __getitem__(self, place: int) -> Reading: ...
    @overload
    def __getitem__(self, place: slice) -> Sequence[Reading]: ...
    def __getitem__(self, place: int | slice) -> Reading | Sequence[Reading]:
        return tuple(self)[place]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and tuple(self) == tuple(other)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"Values({dict(zip(self.metrics, self.values, strict=True))})"


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """What an attempt found. `detail` is one redacted sentence of evidence, at most `DETAIL_CHARACTERS` long."""

    outcome: Outcome
    reason: Reason
    readings: Sequence[Reading] = ()
    detail: str = ""
    seconds: float = 0.0


class Blind(ProbeUnavailable):
    """We could not look, with the reason of the closed list."""

    def __init__(self, reason: Reason, message: str) -> None:
        self.reason = reason
        super().__init__(message)


class Missed(Exception):  # noqa: N818 -- a finding about the target, not an error of ours
    """The target did not do what it should: ends an attempt from deep inside a kind as a result."""

    def __init__(
        self, reason: Reason, detail: str, *, outcome: Outcome = Outcome.FAILED, readings: Sequence[Reading] = ()
    ) -> None:
        self.reason = reason
        self.detail = detail
        self.outcome = outcome
        self.readings = readings
        super().__init__(detail)


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """What a kind is told about one run. Times are those of the event loop."""

    probe: str
    deadline: float
    run: str
    """Unique id of this run, fit for references in foreign systems."""
    log: Any

    def remaining(self) -> float:
        """Seconds until the deadline, never below zero."""
        return max(0.0, self.deadline - asyncio.get_running_loop().time())


class Kind(Protocol):
    """One way to measure. Made once a probe; `run` is called again and again, never twice at once."""

    word: ClassVar[str]
    Params: ClassVar[type[ProbeParams]]
    metrics: ClassVar[frozenset[str] | None]
    """Every figure that it may give beside success and duration; None: not known beforehand."""

    @property
    def target(self) -> str:
        """What is measured, as series are labelled with; no secret, no query, no user."""

    @property
    def group(self) -> str:
        """Targets of one group share a bulkhead: usually host and port."""

    async def run(self, attempt: Attempt) -> Result:
        """Measures once, within the deadline; cancellation leaves nothing open.

        Raises:
            ProbeUnavailable: this host cannot look.
            Missed: the target failed (an ordinary result, told this way from deep inside).
        """


Done: TypeAlias = Callable[[Result], None]
Cancel: TypeAlias = Callable[[], None]


@runtime_checkable
class Launching(Protocol):
    """A kind that can also measure without a task of its own, which costs less than half. Optional beside `run`."""

    def launch(self, deadline: float, done: Done) -> Cancel | None:
        """Begins to measure and returns at once; `done` is called once, within the deadline, maybe before this returns.

        What it answers gives up the attempt, after which `done` is not called. None: nothing was begun, since this
        attempt needs `run` (a name must be looked up first, say).

        Raises: as `Kind.run`.
        """


@dataclass(slots=True)
class Secrets:
    """Texts that must never leave the prober: taken out of every detail, also where no pattern would know them."""

    texts: list[str] = field(default_factory=list)

    def hide(self, text: str) -> str:
        for secret in self.texts:
            if len(secret) >= 4:
                text = text.replace(secret, HIDDEN)
        return text


def read_secret(path: str) -> str:
    """The content of a secret's file without the line end.

    Raises:
        Blind: the file cannot be read, so the probe cannot look.
    """
    try:
        return read_secret_text(path)
    except (OSError, UnicodeDecodeError) as exc:
        raise Blind(Reason.FILE_UNREADABLE, f"secret file {path} cannot be read ({type(exc).__name__}).") from exc


def library(module: str, extra: str) -> Any:
    """A module of a package that only some kinds need; loaded at its first use.

    Raises:
        Blind: it is not installed on this host.
    """
    try:
        return import_module(module)
    except ImportError as exc:
        words = f"the package of {module.partition('.')[0]} is not installed here; install cemd[{extra}]."
        raise Blind(Reason.LIBRARY_MISSING, words) from exc


async def load_libraries(modules: Iterable[str]) -> None:
    """Loads modules in a thread: others of the loop have their turn meanwhile, and no run pays for it. One that is not
    installed is said by each run."""
    for module in modules:
        if module not in sys.modules:
            with contextlib.suppress(ImportError):
                await asyncio.to_thread(import_module, module)
