"""Channels: ways to reach staff and customers (`config/channels.yaml`). Nothing is sent to anyone without one."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from cemd.config.base import FileModel, Name, Seconds


class Channel(FileModel):
    """One way to reach people. Parameters belong to the kind and are checked by it."""

    name: Name
    kind: str
    """Of the table in `cemd/report/channels`: email, webhook, alertmanager, apprise."""
    to: Literal["customers", "staff"]
    """Whom it reaches; a channel is never used for both."""
    depends_on: list[Name] = []
    """Services that this channel stands on: it is not used for their own failure."""
    per_second: Annotated[float, Field(gt=0, le=100_000)] = 50.0
    """Most messages per second that the channel is given."""
    timeout_seconds: Seconds = 20.0
    """So long reaching the transport may take, each step of it, before it is tried again; and so long its answer to a
    message: one that comes later may have taken it, and the notice is `unknown`."""
    params: dict[str, Any] = {}
    """Of the kind; `cemd explain KIND` prints them."""


class Route(FileModel):
    """Which incidents a staff channel is told of. Each route is told separately."""

    name: Name
    channel: Name
    """A channel with `to: staff`."""
    qualities: list[Literal["at_risk", "degraded", "down"]] = ["degraded", "down"]
    """Only incidents of these qualities."""
    services: list[Name] = []
    """Only incidents that touch one of these; empty: all."""
    owners: list[str] = []
    """Only incidents that hurt a journey of one of these owners; empty: all."""
    vantage_points: bool = True
    """Also of vantage points that are not heard, whatever the qualities are; never where `services` or `owners` are
    named."""
    repeat_seconds: Seconds = 14_400.0
    """An incident that goes on is told again after this time."""


class ChannelsFile(FileModel):
    channels: list[Channel] = []
    routes: list[Route] = []
