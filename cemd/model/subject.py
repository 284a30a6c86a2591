"""What a finding, an incident or an impact is about."""

from __future__ import annotations

from enum import StrEnum

import msgspec


class SubjectKind(StrEnum):
    SERIES = "series"
    INDICATOR = "indicator"
    SERVICE = "service"
    TOUCHPOINT = "touchpoint"
    JOURNEY = "journey"
    SITE = "site"
    VANTAGE = "vantage"


class Subject(msgspec.Struct, frozen=True, kw_only=True, order=True):
    """A service (perhaps at a site), a touchpoint, a journey, an indicator, a series or a vantage point, by name."""

    kind: SubjectKind
    name: str
    site: str = ""  # "" means everywhere

    def __str__(self) -> str:
        kind = "vantage point" if self.kind is SubjectKind.VANTAGE else self.kind
        return f"{kind} {self.name}" + (f" at {self.site}" if self.site else "")
