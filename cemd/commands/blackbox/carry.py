"""Files in, a file out: every module becomes a probe for each of its targets.

A module says how, never where: targets come from Prometheus's own file (`--prometheus`), or stand as a value at the
head of the file that is written. Nothing is dropped in silence: every key of a module is carried over or named.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from cemd.commands.blackbox.module import Module, seconds_of, unknown, word_of
from cemd.commands.blackbox.web import grpc, http
from cemd.commands.blackbox.wires import dns, icmp, tcp
from cemd.errors import CemdError

_PROBERS: dict[str, Callable[[Module, str], tuple[str, dict[str, Any]]]] = {
    "http": http,
    "tcp": tcp,
    "icmp": icmp,
    "dns": dns,
    "grpc": grpc,
}

_NO_KIND = {
    "unix": "cemd asks hosts; a plugin can ask a socket of the file system, by a probe of the kind `command`",
    "websocket": "no kind speaks it; `http` with the fields of an upgrade and `status: [101]` sees its first step",
}
"""Probers that no kind stands for, and what to do instead."""


@dataclass(frozen=True, slots=True)
class Imported:
    """Probes as a file of `probes/` holds them, values that their targets stand for, and what was not carried over."""

    probes: list[dict[str, Any]]
    values: dict[str, str]
    notes: list[str]

    def text(self) -> str:
        """The file."""
        head = "".join(f"# {note}\n" for note in self.notes)
        body = {**({"values": self.values} if self.values else {}), "probes": self.probes}
        return head + yaml.safe_dump(body, sort_keys=False, allow_unicode=True, width=120)


def import_modules(file: Path, prometheus: Path | None, *, service: str, every_seconds: float) -> Imported:
    """What the modules of a blackbox_exporter's file are in ours.

    Raises:
        CemdError: a file cannot be read, or is no such file.
    """
    modules = _mapping(file).get("modules")
    if not isinstance(modules, dict) or not modules:
        raise CemdError(f"{file}: no modules; give a configuration of blackbox_exporter.")
    jobs = _jobs(_mapping(prometheus)) if prometheus else {}
    probes: list[dict[str, Any]] = []
    values: dict[str, str] = {}
    notes: list[str] = []
    for name, content in modules.items():
        if (word := _part(name, content).get("prober")) in _NO_KIND:
            notes.append(f"{name}: prober {word} is not carried over: {_NO_KIND[word]}.")
            continue
        for place, target in enumerate(_targets(jobs.get(str(name), [])) or [None], 1):
            said: list[str] = []
            module = Module(str(name), _part(name, content), said, values)
            try:
                if place == 1:
                    _say_of_jobs(module, jobs.get(str(name), []), every_seconds)
                probe = _probe(module, target or unknown(module), every_seconds)
            except (AttributeError, KeyError, TypeError, ValueError) as exc:
                raise CemdError(
                    f"module {name}: it holds a value of another type than is due; correct the file."
                ) from exc
            notes.extend(note for note in said if note not in notes)
            suffix = "" if place == 1 else f"-{place}"
            probes.append({"name": f"{word_of(str(name))}{suffix}", **probe, "service": service})
    if not probes:
        raise CemdError(f"{file}: {' '.join(notes)} Nothing is left to import.")
    order = ("name", "kind", "service", "every_seconds", "timeout_seconds", "params")
    return Imported([{key: probe[key] for key in order} for probe in probes], values, notes)


def _part(name: Any, content: Any) -> dict[str, Any]:
    if content is not None and not isinstance(content, dict):
        raise CemdError(f"module {name} is no mapping; correct the file.")
    return dict(content or {})


def _probe(module: Module, target: str, every_seconds: float) -> dict[str, Any]:
    prober = module.take("prober")
    how = _PROBERS.get(prober)
    if how is None:
        raise CemdError(f"module {module.name}: prober {prober!r} is not known; known are {', '.join(_PROBERS)}.")
    timeout = seconds_of(module, module.take("timeout", "5s"))
    if timeout >= every_seconds:
        module.say(
            f"timeout of {timeout:g} s is cut to {every_seconds / 2:g} s, since it runs every {every_seconds:g} s"
        )
        timeout = every_seconds / 2
    inner = module.part(prober)
    kind, params = how(inner, target)
    for prober_word in _PROBERS:
        if isinstance(module.left.get(prober_word), dict):
            module.take(prober_word)
            module.say(f"{prober_word} is left out: the module's prober is {prober}")
    inner.say_left(f"{prober}.")
    module.say_left("")
    return {"kind": kind, "every_seconds": every_seconds, "timeout_seconds": timeout, "params": params}


def _jobs(document: dict[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """Jobs of each module in Prometheus's file, each with the `scrape_interval` that holds for it, if one is given."""
    found: dict[str, list[dict[str, Any]]] = {}
    general = (document.get("global") or {}).get("scrape_interval")
    for job in document.get("scrape_configs") or []:
        for module in (job.get("params") or {}).get("module") or []:
            found.setdefault(str(module), []).append({"scrape_interval": general, **job})
    return found


def _targets(jobs: list[dict[str, Any]]) -> list[str]:
    """Targets of jobs, as far as they stand there."""
    statics = [static for job in jobs for static in job.get("static_configs") or []]
    return [str(target) for static in statics for target in static.get("targets") or []]


def _say_of_jobs(module: Module, jobs: list[dict[str, Any]], every_seconds: float) -> None:
    """What else Prometheus's file says of the targets: how often, and labels."""
    for interval in dict.fromkeys(str(job["scrape_interval"]) for job in jobs if job["scrape_interval"] is not None):
        if not _lasts(module, interval, every_seconds):
            module.say(
                f"scrape_interval of {interval} is not carried over: probes run every {every_seconds:g} s; give "
                "--every, or correct `every_seconds`"
            )
    statics = [static for job in jobs for static in job.get("static_configs") or []]
    if labels := dict.fromkeys(str(label) for static in statics for label in static.get("labels") or {}):
        module.say(
            f"labels of targets ({', '.join(labels)}) are not carried over: `service`, `site` and `touchpoint` of a "
            "probe say where it belongs"
        )


def _lasts(module: Module, interval: str, seconds: float) -> bool:
    try:
        return seconds_of(module, interval) == seconds
    except CemdError:  # days, or no time at all: another one in any case
        return False


def _mapping(file: Path) -> dict[str, Any]:
    try:
        document = yaml.safe_load(file.read_text())
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as exc:
        raise CemdError(f"{file}: cannot be read as YAML ({type(exc).__name__}); correct it.") from exc
    if not isinstance(document, dict):
        raise CemdError(f"{file}: holds no mapping; give a configuration of blackbox_exporter, or of Prometheus.")
    return document
