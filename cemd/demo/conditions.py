"""What is broken at this moment: the fault model that every system of DemoTelco asks before it answers.

Faults are labelled and truth is kept here. An outage shuts the doors of a system; latency, errors and wrong answers
may be limited to requests that name a site or an application (headers `x-site`, `x-application`).
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from enum import StrEnum

import msgspec


class Mode(StrEnum):
    OUTAGE = "outage"  # nobody listens any more
    LATENCY = "latency"  # `amount` seconds more
    ERRORS = "errors"  # `amount` of all requests fail, 0..1
    WRONG = "wrong"  # answers in time, and wrongly


class Fault(msgspec.Struct, frozen=True, kw_only=True):
    """One labelled fault. `site` and `application` limit it to requests that name them."""

    name: str
    service: str
    mode: Mode
    amount: float = 1.0
    site: str = ""
    application: str = ""
    begins_after_seconds: float = 0.0
    lasts_seconds: float = 40.0

    def hits(self, headers: Mapping[str, str]) -> bool:
        return self.site in ("", headers.get("x-site", "")) and self.application in (
            "",
            headers.get("x-application", ""),
        )


class Conditions:
    """The faults under way, by name."""

    def __init__(self, seed: int = 0) -> None:
        self._faults: dict[str, Fault] = {}
        self._chance = random.Random(seed)

    def begin(self, fault: Fault) -> None:
        self._faults[fault.name] = fault

    def end(self, name: str) -> Fault | None:
        return self._faults.pop(name, None)

    def is_out(self, service: str) -> bool:
        """True when an outage without limits is under way: the doors are shut."""
        return any(not (fault.site or fault.application) for fault in self._of(service, Mode.OUTAGE))

    def delay_seconds(self, service: str, headers: Mapping[str, str]) -> float:
        return sum(fault.amount for fault in self._of(service, Mode.LATENCY) if fault.hits(headers))

    def is_failing(self, service: str, headers: Mapping[str, str]) -> bool:
        """True when this request fails: by an error ratio, or by an outage limited to where it comes from."""
        errors = [fault.amount for fault in self._of(service, Mode.ERRORS) if fault.hits(headers)]
        out = any(fault.hits(headers) for fault in self._of(service, Mode.OUTAGE))
        return out or any(self._chance.random() < amount for amount in errors)

    def is_wrong(self, service: str, headers: Mapping[str, str]) -> bool:
        return any(fault.hits(headers) for fault in self._of(service, Mode.WRONG))

    def _of(self, service: str, mode: Mode) -> list[Fault]:
        return [fault for fault in self._faults.values() if fault.service == service and fault.mode is mode]
