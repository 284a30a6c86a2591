"""What comes in, as a query or a body: read leniently (`23.0` is a whole number), but unknown keys are refused."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class Asked(BaseModel):
    """What comes in: a query or a body."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, hide_input_in_errors=True)


class Nothing(Asked):
    """No parameters."""


class Page(Asked):
    q: str = Field("", max_length=200)
    """Words that must all occur in the names; upper and lower case are alike."""
    limit: int = Field(200, ge=1, le=5000)
    offset: int = Field(0, ge=0, le=100_000_000)


class IncidentsAsked(Page):
    open: bool | None = None
    """true: only open ones; false: only those that are over."""


class Span(Asked):
    since: float | None = Field(None, ge=0, le=1e11, allow_inf_nan=False)
    """Seconds since 1970; without it, an hour before `until`."""
    until: float | None = Field(None, ge=0, le=1e11, allow_inf_nan=False)
    """Seconds since 1970; without it, the instant of the view."""
    points: int = Field(1000, ge=10, le=10_000)
    """Most points in the answer; the lowest and the highest of each stretch are kept."""


class CommandAsked(Asked):
    actor: str = Field(min_length=1, max_length=80, pattern=r"^[^\x00-\x1f\x7f]+$")
    """Who asks: a name of staff, never of a customer."""
    note: str = Field("", max_length=500)
