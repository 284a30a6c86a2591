"""Reads every file below a root and checks the whole set: all of it becomes one `Configuration`, or nothing does.

Each entry is validated by itself, so that one bad entry hides no fault of the others; references are then checked
among everything that could be read. Files are read in the order of their names, so equal files give equal bytes.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, get_args

import msgspec
from pydantic import BaseModel, TypeAdapter, ValidationError

from cemd.config.catalogue import CatalogueFile
from cemd.config.channels import ChannelsFile
from cemd.config.check import cautions, contradictions, duplicates, of_parts
from cemd.config.configuration import Configuration
from cemd.config.detection import Drift, Forecast, Multivariate
from cemd.config.lacking import lacking
from cemd.config.maintenance import MaintenanceFile
from cemd.config.params import Kinds, checked, secrets
from cemd.config.partial import keys_of, part_of, unasked
from cemd.config.probes import ProbesFile
from cemd.config.references import dangling
from cemd.config.rules import AnalyzeFile, Cei, Detector, Grouping, ImproveFile, Rater, ReportFile
from cemd.config.settings import Settings, SettingsFile
from cemd.config.source import NOUNS, Item, Items, Source, did_you_mean
from cemd.config.topology import Topology
from cemd.config.words import faults_of
from cemd.config.yaml import Document, parse
from cemd.errors import ConfigError, Fault

__all__ = ["PATTERNS", "Kinds", "Loaded", "load", "load_settings", "unread"]

PATTERNS: tuple[tuple[str, type[BaseModel]], ...] = (
    ("config/cemd.yaml", SettingsFile),
    ("config/channels.yaml", ChannelsFile),
    ("config/maintenance.yaml", MaintenanceFile),
    ("config/catalogue/*.yaml", CatalogueFile),
    ("probes/*.yaml", ProbesFile),
    ("rules/analyze/*.yaml", AnalyzeFile),
    ("rules/improve/*.yaml", ImproveFile),
    ("rules/report/*.yaml", ReportFile),
)
"""Which files are read, and the model of each."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """What a set of files says."""

    configuration: Configuration
    warnings: tuple[str, ...]
    files: tuple[str, ...]
    """Paths below the root, as read."""


def load(root: Path, kinds: Kinds, *, rules: Path | None = None) -> Loaded:
    """Reads and checks the configuration below `root`.

    Args:
        root: The folder that holds `config/`, `probes/` and `rules/`.
        kinds: Models of the parameters of probes and channels.
        rules: Another folder in the place of `rules/` below the root.

    Raises:
        ConfigError: with every fault that was found, in the order of files and lines.
    """
    reader = _Reader(kinds)
    files = tuple(_files(root, rules))
    if not files:
        raise ConfigError([Fault("config/cemd.yaml", 0, 0, f"no configuration below {root.resolve()}", _NO_ROOT)])
    for name, model in files:
        reader.read(root, name, model)
    items = reader.items
    topology = Topology(_configuration(items))
    faults = [*reader.faults, *contradictions(items, kinds), *duplicates(items), *dangling(items, kinds, topology)]
    faults += of_parts(items, kinds)
    if faults:
        raise ConfigError(list(dict.fromkeys(faults)))
    absent = (*_nobody(root, items), *_mute(root, items), *lacking(root, items))
    warnings = (*cautions(items, topology), *absent, *unread(root))
    return Loaded(topology.configuration, warnings, tuple(name for name, _ in files))


_NO_ROOT = "create it, or name with --root the folder that holds config/, probes/ and rules/"


def load_settings(root: Path) -> Settings:
    """The daemon's settings alone: other files may have faults. Without `config/cemd.yaml` all defaults.

    Raises:
        ConfigError: the settings themselves have faults.
    """
    name, model = PATTERNS[0]
    if not (root / name).exists():
        return Settings()
    reader = _Reader(Kinds())
    reader.read(root, name, model)
    if reader.faults:
        raise ConfigError(reader.faults)
    return reader.items.settings[0].value


def fingerprint(root: Path) -> str:
    """Names the files below `root` as they are, byte for byte: another one as soon as any of them changes."""
    digest = hashlib.sha256()
    for name, _ in _files(root):
        try:
            content = (root / name).read_bytes()
        except OSError as exc:
            content = str(exc.errno).encode()  # a file that cannot be read is a fault that `load` tells
        digest.update(f"{name}\0{len(content)}\0".encode() + content)
    return digest.hexdigest()[:16]


def _files(root: Path, rules: Path | None = None) -> Iterator[tuple[str, type[BaseModel]]]:
    for pattern, model in PATTERNS:
        if rules is not None and pattern.startswith("rules/"):
            for path in sorted(rules.resolve().glob(pattern.removeprefix("rules/"))):
                yield path.as_posix(), model  # whole: joined to the root it stays what it is
            continue
        for path in sorted(root.glob(pattern)):
            yield path.relative_to(root).as_posix(), model


def _nobody(root: Path, items: Items) -> Iterator[str]:
    """Says that the file of customers is not there: the daemon starts without it, and then nobody can be told."""
    for item in items.settings:
        source = item.value.customers
        if source is not None and not (root / source.file).is_file():
            place = item.fault(("customers", "file"), "", "")
            where = f"{place.file}:{place.line}:{place.column}"
            fact = f"there is no file {(root / source.file).resolve()}, so nobody can be told"
            yield f"{where}: customers: {fact}; write it, or correct the name, which counts from the root"


def _mute(root: Path, items: Items) -> Iterator[str]:
    """Channels whose secret is not there. Nothing else shows it before the first message that cannot leave, which for
    staff is the night on which it counts. A bare name may be a credential that only the service manager hands over."""
    for channel in items.channels:
        for key, name in sorted(channel.value.params.items()):
            if not key.endswith("_file") or not isinstance(name, str) or "/" not in name:
                continue
            fact = _unreadable(root / name)
            if fact:
                place = channel.fault(("params", key), "", "")
                where = f"{place.file}:{place.line}:{place.column}"
                remedy = "write it, or correct the name, before a message has to leave"
                yield f'{where}: channel "{channel.value.name}": {key}: {fact}, so nothing can be sent; {remedy}'


def _unreadable(path: Path) -> str:
    """Why the file cannot be used, as a fact; "" where it can."""
    try:
        if not path.exists():
            return f"there is no file {path}"
    except OSError:  # a folder that this user may not look into
        return f"{path} cannot be read by the user who looks"
    return "" if os.access(path, os.R_OK) else f"{path} cannot be read by the user who looks"


def unread(root: Path) -> Iterator[str]:
    """Files that look meant but are not read, so that what they define is missing; `examples` folders are not meant."""
    read = {name for name, _ in _files(root)}
    for folder in ("config", "probes", "rules"):
        for path in sorted(root.glob(f"{folder}/**/*.y*ml")):
            name = path.relative_to(root).as_posix()
            if name not in read and "examples" not in path.relative_to(root).parts:
                yield f"{name}: this file is not read; only {', '.join(pattern for pattern, _ in PATTERNS)} are"


def _configuration(items: Items) -> Configuration:
    """What is valid so far, as a whole."""
    parts: dict[str, Any] = {section: [item.value for item in getattr(items, section)] for section in NOUNS}
    for section in ("settings", *_SINGLE):
        if found := getattr(items, section):
            parts[section] = found[0].value
    return Configuration(**parts)


class _Reader:
    """Takes files one by one; collects items and faults."""

    def __init__(self, kinds: Kinds) -> None:
        self.kinds = kinds
        self.items = Items()
        self.faults: list[Fault] = []

    def read(self, root: Path, name: str, model: type[BaseModel]) -> None:
        document = self._parsed(root, name)
        if document is None:
            self._leave_out(model)
            return
        source = Source(name, document)
        if not isinstance(document.tree, dict):
            self._leave_out(model)
            known = ", ".join(f"`{key}:`" for key in model.model_fields)
            self.faults.append(source.at_value((), "the file is no mapping of keys to values", f"begin with {known}"))
        elif model is SettingsFile:
            self._settings(source, document.tree)
        else:
            self._sections(source, document, model)

    def _parsed(self, root: Path, name: str) -> Document | None:
        try:
            return parse((root / name).read_bytes(), name)
        except ConfigError as exc:
            self.faults.extend(exc.faults)
        except OSError as exc:
            fact = f"cannot be read: {(exc.strerror or 'unknown reason').lower()}"
            self.faults.append(Fault(name, 0, 0, fact, "make it a file that cemd may read"))
        return None

    def _leave_out(self, model: type[BaseModel]) -> None:
        self.items.unread |= {"settings"} if model is SettingsFile else set(model.model_fields)

    def _sections(self, source: Source, document: Document, model: type[BaseModel]) -> None:
        assert isinstance(document.tree, dict)  # noqa: S101 -- checked by the caller; for the type checker
        values = self._values(source) if model is ProbesFile and "values" in document.tree else {}
        for section, content in document.tree.items():
            if section == "values" and model is ProbesFile:
                continue
            if section not in model.model_fields:
                known = list(model.model_fields)
                fact = f'unknown key "{section[:64]}"{did_you_mean(section, known)}'
                self.faults.append(source.at_key((section,), fact, f"known here: {', '.join(known)}"))
            elif section in _SINGLE:
                self._whole(source, (section,), _SINGLE[section], section)
            elif isinstance(content, list):
                item_model = get_args(model.model_fields[section].annotation)[0]
                for place in range(len(content)):
                    self._entry(source, (section, place), item_model, values)
            elif content is not None:
                remedy = "begin each entry with `- name: …`"
                self.faults.append(source.at_value((section,), f"{section} is not a list", remedy))

    def _settings(self, source: Source, tree: dict[str, Any]) -> None:
        """The daemon's settings; parts that are valid are checked further even where others are not."""
        if (value := self._validated(source, (), Settings)) is None:
            valid = {key: part for key, part in tree.items() if _is_valid(Settings, {key: part})}
            value = Settings.model_validate_json(msgspec.json.encode(valid))
        self.items.settings.append(Item(value, source, ()))

    def _whole(self, source: Source, path: tuple[str, ...], model: type[BaseModel], section: str) -> None:
        """A part that exists once."""
        if (value := self._validated(source, path, model)) is not None:
            getattr(self.items, section).append(Item(value, source, path))

    def _values(self, source: Source) -> dict[str, str] | None:
        values = self._validated(source, ("values",), dict[str, str])
        if values is None:
            return None
        item = Item(values, source, ("values",))
        self.faults.extend(secrets(values, item, ()))
        return dict(values)

    def _entry(
        self, source: Source, path: tuple[str, int], model: type[BaseModel], values: dict[str, str] | None
    ) -> None:
        section = path[0]
        self._take_name(source, path)
        value = self._validated(source, path, model)
        if value is None:
            self._part(source, path, model, values)
            return
        item = Item(value, source, path)
        if section in ("probes", "channels"):
            params, item = self._with_params(item, section, values)
            if params is not value.params:
                item = replace(item, value=value.model_copy(update={"params": params}))
        getattr(self.items, section).append(item)

    def _with_params(
        self, item: Item[Any], section: str, values: dict[str, str] | None
    ) -> tuple[dict[str, Any], Item[Any]]:
        models = self.kinds.probe_params if section == "probes" else self.kinds.channel_params
        params, model_of_kind, faults = checked(item.value.params, item, models, values)
        self.faults.extend(faults)
        return params, replace(item, params=model_of_kind)

    def _part(
        self, source: Source, path: tuple[str, int], model: type[BaseModel], values: dict[str, str] | None
    ) -> None:
        """An entry that is not valid, which has been said: what is right of it may hold more faults."""
        section = path[0]
        entry = source.at(path)
        if not isinstance(entry, dict):
            return
        wrong = _wrong_keys(model, entry)
        item: Item[Any] = Item(part_of(model, entry, wrong), source, path)
        if (more := unasked(item.value)) is not None:
            self.faults.extend(faults_of(more, source, path, model))
        if section in ("probes", "channels"):
            params = entry.get("params")
            if hasattr(item.value, "kind") and hasattr(item.value, "params"):
                _, item = self._with_params(item, section, values)
            elif isinstance(params, dict):
                self.faults.extend(secrets(params, item, ("params",)))
        self.items.parts.setdefault(section, []).append(item)

    def _take_name(self, source: Source, path: tuple[str, int]) -> None:
        """Remembers the name, even of an entry that is not valid; a second one is a fault."""
        section, place = path
        entries = source.document.tree[section] if isinstance(source.document.tree, dict) else None
        entry = entries[place] if isinstance(entries, list) else None
        name = entry.get("name") if isinstance(entry, dict) else None
        if not isinstance(name, str):
            return
        item = Item(name, source, (*path, "name"))
        first = self.items.names.setdefault(section, {}).setdefault(name, item)
        if first is not item:
            fact = f'duplicate {NOUNS[section]} "{name[:64]}", first at {first.place}'
            self.faults.append(source.at_value(item.path, fact, "rename or remove one of them"))

    def _validated(self, source: Source, path: tuple[str | int, ...], model: Any) -> Any:
        """The part at `path` as `model`, or None after its faults were taken."""
        try:
            return _adapter(model).validate_json(msgspec.json.encode(source.at(path)), strict=True)
        except ValidationError as exc:
            self.faults.extend(faults_of(exc, source, path, model))
            return None


_SINGLE: dict[str, type[BaseModel]] = {
    "detector": Detector,
    "forecast": Forecast,
    "drift": Drift,
    "multivariate": Multivariate,
    "rater": Rater,
    "cei": Cei,
    "grouping": Grouping,
}


@cache
def _adapter(model: Any) -> TypeAdapter[Any]:
    return TypeAdapter(model)


def _wrong_keys(model: type[BaseModel], entry: dict[str, Any]) -> frozenset[str]:
    try:
        model.model_validate_json(msgspec.json.encode(entry), strict=True)
    except ValidationError as exc:
        return keys_of(exc)
    return frozenset()


def _is_valid(model: type[BaseModel], tree: dict[str, Any]) -> bool:
    try:
        model.model_validate_json(msgspec.json.encode(tree))
    except ValidationError:
        return False
    return True
