"""What Prometheus's own file says of the exporter: which targets each module has, how often, how long it waits.

Targets stand in the file itself (`static_configs`) or in files that it names (`file_sd_configs`); who else tells
Prometheus of targets tells it alone, and that is said. `relabel_configs` are worked through as Prometheus does, since
they may choose a target's module, or leave a target out.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from glob import iglob
from pathlib import Path
from typing import Any

import yaml

from cemd.commands.blackbox.relabel import relabelled, said_by
from cemd.errors import CemdError
from cemd.kit.words import counted

_PATH = "/probe"
"""Where the exporter is asked."""
_USUAL_MODULE = "http_2xx"
"""The one that the exporter takes where none is named."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A target of one module, as one job has it; "" where the job has none that is known here. `interval` and `timeout`
    as they are written there, "" where nowhere."""

    module: str
    target: str
    interval: str
    timeout: str
    labels: tuple[str, ...]
    """Names of the labels that its series have beside it."""


@dataclass(slots=True)
class Asked:
    """Targets, and what could not be taken over."""

    targets: list[Target] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def of(self, module: str) -> list[Target]:
        return [one for one in self.targets if one.module == module]


def targets_of(file: Path) -> Asked:
    """Targets of every job that asks the exporter.

    Raises:
        CemdError: a file cannot be read, or a rule of relabelling is none.
    """
    document = mapping_of(file)
    general = document.get("global") or {}
    asked = Asked()
    jobs = [(file, job) for job in document.get("scrape_configs") or []]
    for other in _files(file, document.get("scrape_config_files") or [], "scrape_config_files", asked):
        jobs += [(other, job) for job in mapping_of(other).get("scrape_configs") or []]
    for place, job in jobs:
        try:
            if _asks_exporter(job):
                _take(place, {**_of_all(general), **job}, asked)
        except (AttributeError, TypeError, ValueError) as exc:
            words = f"job {_name(job)}: it holds a value of another type than is due; correct the file."
            raise CemdError(f"{place}: {words}") from exc
    return asked


def _of_all(general: dict[str, Any]) -> dict[str, Any]:
    """What holds for every job that says nothing else."""
    return {key: general[key] for key in ("scrape_interval", "scrape_timeout") if general.get(key) is not None}


def _name(job: Any) -> str:
    return str(job.get("job_name", "without a name")) if isinstance(job, dict) else "without a name"


def _asks_exporter(job: dict[str, Any]) -> bool:
    chosen = (rule.get("target_label") == "__param_module" for rule in job.get("relabel_configs") or [])
    return bool((job.get("params") or {}).get("module")) or job.get("metrics_path") == _PATH or any(chosen)


def _take(file: Path, job: dict[str, Any], asked: Asked) -> None:
    """Adds the targets of a job."""
    rules = job.get("relabel_configs") or []
    params = {str(key): [str(one) for one in held] for key, held in (job.get("params") or {}).items()}
    _say_of(job, params, asked)
    common = {f"__param_{key}": held[0] for key, held in params.items() if held}
    common |= {"job": _name(job), "__metrics_path__": str(job.get("metrics_path", "/metrics"))}
    common |= {"__scheme__": str(job.get("scheme", "http"))}
    for word in ("interval", "timeout"):
        if job.get(f"scrape_{word}") is not None:
            common[f"__scrape_{word}__"] = str(job[f"scrape_{word}"])
    left_out = found = 0
    for group in _groups(file, job, asked):
        own = {str(name): str(value) for name, value in (group.get("labels") or {}).items()}
        labels = tuple(sorted(name for name in own.keys() - said_by(rules) if not name.startswith("__")))
        for address in group.get("targets") or []:
            before = {**common, "__address__": str(address), **own}
            after = relabelled(before, rules, f"{file}: job {_name(job)}")
            if after is None or not after.get("__address__"):
                left_out += 1
                continue
            found += 1
            asked.targets.append(_target(after, after.get("__param_target") or str(address), labels))
    if not found:
        asked.targets.append(_target(common, "", ()))
    if left_out:
        words = f"{counted(left_out, 'target')} left out by its relabel_configs, as there"
        asked.notes.append(f"job {_name(job)}: {words}.")


def _target(labels: dict[str, str], target: str, own: tuple[str, ...]) -> Target:
    return Target(
        module=labels.get("__param_module", _USUAL_MODULE),
        target=target,
        interval=labels.get("__scrape_interval__", ""),
        timeout=labels.get("__scrape_timeout__", ""),
        labels=own,
    )


def _say_of(job: dict[str, Any], params: dict[str, list[str]], asked: Asked) -> None:
    if len(params.get("module", ())) > 1:
        first = params["module"][0]
        asked.notes.append(f"job {_name(job)}: of its modules {first} alone is taken, as the exporter does.")
    if more := sorted(params.keys() - {"module", "target", "debug"}):
        words = "give the probe a `Host` in `headers`" if more == ["hostname"] else "say it in the probe's `params`"
        asked.notes.append(f"job {_name(job)}: params {', '.join(more)}: not carried over; {words}.")


def _groups(file: Path, job: dict[str, Any], asked: Asked) -> Iterator[dict[str, Any]]:
    """Targets with their labels, from the file itself and from files that it names."""
    params = job.get("params") or {}
    known = job.get("static_configs") or []
    if not known and params.get("target"):
        known = [{"targets": list(params["target"])}]
    yield from known
    for config in job.get("file_sd_configs") or []:
        for found in _files(file, config.get("files") or [], f"job {_name(job)}: file_sd_configs", asked):
            yield from _document(found) or []
    others = [key for key in job if key.endswith("_sd_configs") and key != "file_sd_configs"]
    for key in others:
        remedy = "write them into a file, and name it in file_sd_configs, or into the probes"
        asked.notes.append(f"job {_name(job)}: targets of {key} are told to Prometheus alone; {remedy}.")


def _files(file: Path, patterns: list[Any], where: str, asked: Asked) -> Iterator[Path]:
    """Files that patterns name, which count from the folder of the file that they stand in."""
    for pattern in patterns:
        found = sorted(iglob(str(pattern), root_dir=file.parent))  # noqa: PTH207 -- it takes whole paths as well
        if not found:
            fact = f"there is no file {file.parent / str(pattern)}"
            asked.notes.append(f"{where}: {fact}; put it there, or correct the name.")
        for name in found:
            yield file.parent / name


def mapping_of(file: Path) -> dict[str, Any]:
    """What a file of YAML holds.

    Raises:
        CemdError: it cannot be read, or holds no mapping.
    """
    document = _document(file)
    if not isinstance(document, dict):
        raise CemdError(f"{file}: holds no mapping; give a configuration of blackbox_exporter, or of Prometheus.")
    return document


def _document(file: Path) -> Any:
    try:
        return yaml.safe_load(file.read_text())
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as exc:
        raise CemdError(f"{file}: cannot be read as YAML ({type(exc).__name__}); correct it.") from exc
