"""Planned work that was announced (`config/maintenance.yaml`): what it touches is no incident while its window is."""

from __future__ import annotations

from datetime import datetime

from pydantic import Field

from cemd.config.base import FileModel, Name


class Maintenance(FileModel):
    """A window of planned work. What is hurt within it opens no incident and uses up no error budget; what is still
    hurt by what is measured after its end, does."""

    name: Name
    title: str = ""
    """What is done, for people; default: the name."""
    services: list[Name] = Field(min_length=1)
    """What is worked on; what stands on it is expected to suffer too."""
    sites: list[Name] = []
    """Where, with everything inside; empty: everywhere."""
    begins_at: str
    """When the window begins, ISO 8601 with its offset from UTC: 2026-03-02T01:00:00+01:00."""
    ends_at: str
    """When it ends, in the same form."""

    def begins(self) -> float:
        """Seconds since 1970."""
        return datetime.fromisoformat(self.begins_at).timestamp()

    def ends(self) -> float:
        """Seconds since 1970."""
        return datetime.fromisoformat(self.ends_at).timestamp()


class MaintenanceFile(FileModel):
    maintenance: list[Maintenance] = []
