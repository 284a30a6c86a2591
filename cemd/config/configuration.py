"""The whole accepted configuration as one frozen object with a canonical JSON form and a hash: an epoch."""

from __future__ import annotations

import hashlib
import json

from cemd.config.base import FileModel
from cemd.config.catalogue import Journey, Process, Service, Site, Touchpoint
from cemd.config.channels import Channel, Route
from cemd.config.detection import Drift, Forecast, Multivariate
from cemd.config.maintenance import Maintenance
from cemd.config.probes import Probe
from cemd.config.rules import Cei, Detector, Grouping, Indicator, Policy, Rater, RecheckPlaybook
from cemd.config.settings import Settings


class Configuration(FileModel):
    """Everything that the files say, checked as a whole. The core knows no file: it gets this in a `ConfigEpoch`."""

    settings: Settings = Settings()
    services: list[Service] = []
    sites: list[Site] = []
    touchpoints: list[Touchpoint] = []
    processes: list[Process] = []
    journeys: list[Journey] = []
    probes: list[Probe] = []
    indicators: list[Indicator] = []
    detector: Detector = Detector()
    forecast: Forecast = Forecast()
    drift: Drift = Drift()
    multivariate: Multivariate = Multivariate()
    rater: Rater = Rater()
    cei: Cei = Cei()
    grouping: Grouping = Grouping()
    playbooks: list[RecheckPlaybook] = []
    policies: list[Policy] = []
    channels: list[Channel] = []
    routes: list[Route] = []
    maintenance: list[Maintenance] = []

    def document(self) -> bytes:
        """Canonical JSON: sorted keys, no spaces, defaults written out; equal configurations give equal bytes."""
        return json.dumps(
            self.model_dump(mode="json"), sort_keys=True, separators=(",", ":"), ensure_ascii=False
        ).encode()

    @staticmethod
    def from_document(document: bytes) -> Configuration:
        """The configuration that `document` wrote.

        Raises:
            pydantic.ValidationError: the document is not one of this version.
        """
        return Configuration.model_validate_json(document)


def hash_of(document: bytes) -> str:
    """Name of an epoch: the first 16 hexadecimal digits of the document's SHA-256."""
    return hashlib.sha256(document).hexdigest()[:16]
