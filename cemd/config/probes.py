"""Probes: what is measured (`probes/*.yaml`). Parameters belong to the kind and are checked by it."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from cemd.config.base import FileModel, Name, Seconds


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
