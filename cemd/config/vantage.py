"""Vantage points: where this operator looks from, and what each must reach to be sure that it can see at all."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StringConstraints, model_validator

from cemd.config.base import FileModel, Name

HostName = Annotated[str, StringConstraints(pattern=r"^[^\s/@?#\[\]]{1,253}$")]


class Reference(FileModel):
    """Something outside that is nearly always there: a peer's router, a public name server, a large site."""

    host: HostName
    """Name or address; an address is best, so that it does not depend on the resolver."""
    port: Annotated[int, Field(ge=1, le=65_535)]
    """Where it takes connections; one that is refused counts as seen."""


class WayOut(FileModel):
    """What a prober watches of its own way out. While every reference is out of reach, what fails is `blind`."""

    references: Annotated[tuple[Reference, ...], Field(max_length=8)] = ()
    """At least two that share nothing but the way out itself; default: none, and nothing is taken for blind."""
    gateway: Literal["auto"] | HostName | None = "auto"
    """First router, asked by an echo: tells where the way is broken. `auto` is that of the default route."""
    resolver_name: HostName | None = None
    """A name that our resolver must know; default: it is not watched."""
    every_seconds: Annotated[float, Field(ge=0.5, le=300)] = 5.0
    """How often it is looked at; after a failed run at once."""
    timeout_seconds: Annotated[float, Field(ge=0.1, le=10)] = 1.0
    """How long an answer may take; a failed run waits as long until it is recorded."""

    @model_validator(mode="after")
    def _enough(self) -> WayOut:
        if len(self.references) == 1:
            raise ValueError("one reference alone cannot tell its own failure from ours; give at least two, or none")
        if self.timeout_seconds >= self.every_seconds:
            raise ValueError(
                f"timeout_seconds ({self.timeout_seconds:g}) must be below every_seconds ({self.every_seconds:g})"
            )
        return self


class Vantage(FileModel):
    """A prober and where it stands. Probes name it in `vantages`; one that has any and is not heard for a minute, or
    for three and a half intervals of the one that runs most often (`silence_intervals`), is missed: on the page, in
    `cemd status` and by staff, never by customers."""

    name: Name
    """The name that its prober runs under: `cemd agent --vantage NAME`."""
    title: str = ""
    """For people: where it stands. Default: the name."""
    way_out: WayOut = WayOut()
    """What it watches of its own way out."""
