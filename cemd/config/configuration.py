"""The whole accepted configuration as one frozen object with a canonical JSON form and a hash: an epoch."""

from __future__ import annotations

import hashlib
import json
from typing import Any, get_args, get_origin

import msgspec
from pydantic import BaseModel

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
        """Canonical JSON: sorted keys, no spaces, defaults written out; equal configurations give equal bytes.

        Written a part at a time, as it is read.
        """
        parts = ((name, getattr(self, name)) for name in sorted(Configuration.model_fields))
        texts = (
            f'"{name}":[{",".join(map(_canonical, part))}]'
            if isinstance(part, list)
            else f'"{name}":{_canonical(part)}'
            for name, part in parts
        )
        return f"{{{','.join(texts)}}}".encode()

    @staticmethod
    def from_document(document: bytes) -> Configuration:
        """The configuration that `document` wrote, read a part at a time: as a whole, fifty thousand probes would hold
        the interpreter for half a second.

        Raises:
            pydantic.ValidationError: the document is not one of this version.
        """
        try:
            parts = msgspec.json.decode(document, type=dict[str, msgspec.Raw])
            lists = {name: _texts(parts[name]) for name in _MODELS if name in parts}
        except msgspec.DecodeError:
            return Configuration.model_validate_json(document)  # says what is wrong with it
        values: dict[str, Any] = {
            name: [_MODELS[name].model_validate_json(entry) for entry in lists[name]]
            if name in lists
            else _part(name, text)
            for name, text in parts.items()
        }
        return Configuration(**values)


_MODELS: dict[str, type[BaseModel]] = {
    name: get_args(info.annotation)[0]
    for name, info in Configuration.model_fields.items()
    if get_origin(info.annotation) is list
}
"""Sections that are lists, with the model of an entry."""


class Pieces(msgspec.Struct, frozen=True, kw_only=True):
    """A configuration beside another one, `before`: of each entry of `lists` its text, or the place that an equal entry
    has in the same list of `before`; the other sections as texts."""

    lists: dict[str, list[int | bytes]]
    rest: dict[str, bytes]


def pieces_of(document: bytes, before: bytes) -> Pieces:
    """What the configuration of a document is made of, beside the one of `before`: both as `document` wrote them."""
    known, parts = (msgspec.json.decode(one, type=dict[str, msgspec.Raw]) for one in (before, document))
    lists: dict[str, list[int | bytes]] = {}
    for name in [name for name in _MODELS if name in parts]:
        places = {text: place for place, text in enumerate(_texts(known[name]))} if name in known else {}
        lists[name] = [places.get(text, text) for text in _texts(parts[name])]
    return Pieces(lists=lists, rest={name: bytes(text) for name, text in parts.items() if name not in lists})


def from_pieces(pieces: Pieces, before: Configuration) -> Configuration:
    """The configuration that `from_document` would read; it shares with `before` what is as it was. Takes as long as
    what changed is long.

    Raises:
        pydantic.ValidationError: the pieces are not of this version.
    """
    values: dict[str, Any] = {}
    for name, entries in pieces.lists.items():
        here, model = getattr(before, name), _MODELS[name]
        values[name] = [
            here[entry] if isinstance(entry, int) else model.model_validate_json(entry) for entry in entries
        ]
    values |= {name: _part(name, text) for name, text in pieces.rest.items()}
    return Configuration(**values)


def _canonical(part: BaseModel) -> str:
    return json.dumps(part.model_dump(mode="json"), sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def _part(name: str, text: msgspec.Raw | bytes) -> Any:
    """A section that is no list; what is not known is left for the whole to refuse."""
    field = Configuration.model_fields.get(name)
    return field.annotation.model_validate_json(bytes(text)) if field and field.annotation else None


def _texts(section: msgspec.Raw) -> list[bytes]:
    return [bytes(entry) for entry in msgspec.json.decode(section, type=list[msgspec.Raw])]


def hash_of(document: bytes) -> str:
    """Name of an epoch: the first 16 hexadecimal digits of the document's SHA-256."""
    return hashlib.sha256(document).hexdigest()[:16]
