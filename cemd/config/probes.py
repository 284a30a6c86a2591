"""Probes: what is measured (`probes/*.yaml`). Parameters belong to the kind and are checked by it."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any
from zoneinfo import ZoneInfo

from pydantic import Field, StringConstraints, field_validator

from cemd.config.base import FileModel, Name, Seconds

TimeOfDay = Annotated[str, StringConstraints(pattern=r"^([01]\d|2[0-3]):[0-5]\d$|^24:00$")]


class Weekday(StrEnum):
    MONDAY = "monday"
    TUESDAY = "tuesday"
    WEDNESDAY = "wednesday"
    THURSDAY = "thursday"
    FRIDAY = "friday"
    SATURDAY = "saturday"
    SUNDAY = "sunday"


class Active(FileModel):
    """When a probe runs; outside it is blind, so its series are `unknown`: neither healthy nor down nor silent."""

    days: tuple[Weekday, ...] = tuple(Weekday)
    """Days on which the time begins; default: every day."""
    begin: TimeOfDay = "00:00"
    """Wall-clock time of `zone` from which on it runs, such as `08:00`."""
    end: TimeOfDay = "24:00"
    """Wall-clock time until which it runs; one that is not after `begin` lies on the next day."""
    zone: str
    """Of the IANA data base, such as Europe/Berlin or UTC."""

    @field_validator("zone")
    @classmethod
    def _known_zone(cls, zone: str) -> str:
        try:
            ZoneInfo(zone)
        except (OSError, KeyError, ValueError) as exc:
            raise ValueError(f"zone {zone!r} is unknown; use a name such as Europe/Berlin or UTC") from exc
        return zone

    def holds(self, wall: float) -> bool:
        """Whether the probe runs at this wall-clock time (seconds since 1970)."""
        there = datetime.fromtimestamp(wall, ZoneInfo(self.zone))
        minute = there.hour * 60 + there.minute
        begin, end = _minutes(self.begin), _minutes(self.end)
        today, yesterday = (_DAYS[(there.weekday() - back) % 7] in self.days for back in (0, 1))
        if begin < end:
            return today and begin <= minute < end
        return (today and minute >= begin) or (yesterday and minute < end)


_DAYS = tuple(Weekday)


def _minutes(time: str) -> int:
    hours, minutes = time.split(":")
    return int(hours) * 60 + int(minutes)


class Probe(FileModel):
    """Measures one thing about a service, at a site or a touchpoint, from a vantage point."""

    name: Name
    uid: Name | None = None
    """Identity of its series; default: the name. Give it once, then the name may change freely."""
    renamed_from: Name | None = None
    """The former name: its series, baselines and incidents go on under the new one."""
    kind: str
    """How it measures: a word of the table in `cemd/monitor/probes`; `cemd explain KIND` tells its parameters."""
    service: Name
    """The service that its figures speak about."""
    site: Name | None = None
    """Where the service is measured; left out: everywhere."""
    touchpoint: Name | None = None
    """Where customers meet what is measured."""
    vantages: tuple[Name, ...] = ()
    """The vantage points that run it, each on its own; default: this machine's own prober."""
    every_seconds: Seconds
    """From one run to the next; the first falls on a phase that the uid decides."""
    timeout_seconds: Seconds
    """A run that takes longer has timed out; must be shorter than `every_seconds`."""
    moment_of_truth: bool = False
    """True: shed last when the prober is under pressure."""
    active: Active | None = None
    """Times at which it runs; default: always."""
    labels: dict[Name, str] = {}
    """Carried by its series into metrics; from small sets, never a customer."""
    params: dict[str, Any] = Field(default={}, description="Of the kind; `cemd explain KIND` prints them.")

    def identity(self) -> str:
        """The uid that series are kept under."""
        return self.uid or self.renamed_from or self.name


class ProbesFile(FileModel):
    values: dict[str, str] = Field(
        default={}, description="Texts that `{name}` in this file's probe parameters stands for; never secrets."
    )
    probes: list[Probe] = []
