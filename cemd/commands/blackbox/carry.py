"""Files in, a file out: every module becomes a probe for each of its targets.

A module says how, never where: targets come from Prometheus's own file (`--prometheus`), or stand as a value at the
head of the file that is written. Nothing is dropped in silence: every key of a module is carried over or named.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from cemd.commands.blackbox.module import Module, seconds_of, unknown, word_of
from cemd.commands.blackbox.prometheus import Asked, Target, mapping_of, targets_of
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

USUAL_TIMEOUT = "5s"
KEPT_SECONDS = 0.5
"""The exporter answers so long before Prometheus gives up (its `--timeout-offset`)."""
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
    document = mapping_of(file)
    modules = document.get("modules")
    if "scrape_configs" in document and not modules:
        words = "give that of blackbox_exporter, and this one by --prometheus"
        raise CemdError(f"{file}: no modules, for this is Prometheus's own file; {words}.")
    if not isinstance(modules, dict) or not modules:
        raise CemdError(f"{file}: no modules; give a configuration of blackbox_exporter.")
    asked = targets_of(prometheus) if prometheus else Asked()
    probes: list[dict[str, Any]] = []
    values: dict[str, str] = {}
    notes = [*asked.notes, *_nowhere(asked, modules, file)]
    for name, content in modules.items():
        if (word := _part(name, content).get("prober")) in _NO_KIND:
            notes.append(f"{name}: prober {word} is not carried over: {_NO_KIND[word]}.")
            continue
        known = {one.target: one for one in asked.of(str(name))}
        targets = [one for one in known.values() if one.target] or list(known.values())
        for place, target in enumerate(targets or [None], 1):
            said: list[str] = []
            module = Module(str(name), _part(name, content), said, values, file.parent)
            try:
                if place == 1:
                    _say_of_targets(module, targets, every_seconds)
                probe = _probe(module, target, every_seconds)
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


def _nowhere(asked: Asked, modules: dict[Any, Any], file: Path) -> Iterator[str]:
    """Modules that targets have and that are not there."""
    known = {str(name) for name in modules}
    for name in dict.fromkeys(one.module for one in asked.targets if one.module not in known):
        left_out = ", ".join([one.target for one in asked.of(name) if one.target][:4])
        if left_out:
            fact = f"module {name} is not in {file.name}, so its targets ({left_out}) are left out"
            yield f"{fact}; give the file that has it."


def _probe(module: Module, target: Target | None, every_seconds: float) -> dict[str, Any]:
    prober = module.take("prober")
    how = _PROBERS.get(prober)
    if how is None:
        raise CemdError(f"module {module.name}: prober {prober!r} is not known; known are {', '.join(_PROBERS)}.")
    timeout = _timeout(module, target.timeout if target else "")
    if timeout >= every_seconds:
        module.say(
            f"timeout of {timeout:g} s is cut to {every_seconds / 2:g} s, since it runs every {every_seconds:g} s"
        )
        timeout = every_seconds / 2
    inner = module.part(prober)
    kind, params = how(inner, target.target if target and target.target else unknown(module))
    for prober_word in _PROBERS:
        if isinstance(module.left.get(prober_word), dict):
            module.take(prober_word)
            module.say(f"{prober_word} is left out: the module's prober is {prober}")
    inner.say_left(f"{prober}.")
    module.say_left("")
    return {"kind": kind, "every_seconds": every_seconds, "timeout_seconds": timeout, "params": params}


def _timeout(module: Module, scrape_timeout: str) -> float:
    """The module's own, but never longer than Prometheus waits, less what the exporter keeps of it."""
    own = module.take("timeout")
    seconds = seconds_of(module, own or USUAL_TIMEOUT)
    if not scrape_timeout:
        return seconds
    waits = seconds_of(module, scrape_timeout, "scrape_timeout")
    most = waits - KEPT_SECONDS if waits > KEPT_SECONDS else waits
    return min(seconds, most) if own else most


def _say_of_targets(module: Module, targets: list[Target], every_seconds: float) -> None:
    """What else Prometheus's file says of the targets: how often, and labels."""
    for interval in dict.fromkeys(one.interval for one in targets if one.interval):
        if not _lasts(module, interval, every_seconds):
            module.say(
                f"scrape_interval of {interval} is not carried over: probes run every {every_seconds:g} s; give "
                "--every, or correct `every_seconds`"
            )
    if labels := dict.fromkeys(label for one in targets for label in one.labels):
        module.say(
            f"labels of targets ({', '.join(labels)}) are not carried over: `service`, `site` and `touchpoint` of a "
            "probe say where it belongs"
        )


def _lasts(module: Module, interval: str, seconds: float) -> bool:
    try:
        return seconds_of(module, interval) == seconds
    except CemdError:  # days, or no time at all: another one in any case
        return False
