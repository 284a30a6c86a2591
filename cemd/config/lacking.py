"""Files that probes name and that are not there: the probe would be blind at each run, and nobody would know before.

Only this machine's own prober is spoken of: what lies at an agent's site is not known here. No file is opened.
"""

from __future__ import annotations

import stat
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from pydantic import BaseModel

from cemd.config.probes import Probe
from cemd.config.settings import Settings
from cemd.config.source import Item, Items
from cemd.config.yaml import Path as Keys

_NO_SECRETS = frozenset({"ca_file", "host_key_file"})
"""Keys of files that hold no secret, so that a bare name is never that of a credential of the service manager."""


def lacking(root: Path, items: Items) -> Iterator[str]:
    """Probes of the home vantage point whose files are not there; of those that name the same file, the first.

    Says nothing of a bare name that may be a credential, which only the service manager hands over, nor of a file that
    this user may not look at: the prober can be another user.
    """
    settings = items.settings[0].value if items.settings else Settings()
    lacks = cache(_lacks)
    found: dict[Path, list[tuple[Item[Probe], Keys]]] = {}
    for probe in items.probes:
        if probe.params is None or settings.vantage not in settings.runs_at(probe.value.vantages):
            continue
        for keys, name in _files(probe.params, ("params",)):
            if ("/" in name or keys[-1] in _NO_SECRETS) and lacks(root / name):
                found.setdefault(root / name, []).append((probe, keys))
    for path, namers in found.items():
        (probe, keys), others = namers[0], len({id(one) for one, _ in namers}) - 1
        at = probe.fault(keys, "", "")
        more = f" ({others} more probes name it)" if others > 1 else " (one more probe names it)" if others else ""
        key = ".".join(map(str, keys[1:]))
        fact = f'{key}: {lacks(path)}{more}, so vantage point "{settings.vantage}" will be blind there'
        remedy = "write it, or correct the name, which counts from the root"
        yield f"{at.file}:{at.line}:{at.column}: {probe.label}: {fact}; {remedy}"


def _files(model: BaseModel, within: Keys) -> Iterator[tuple[Keys, str]]:
    """Where parameters name a file (`*_file`, and each value of `*_files`), and the name as it stands there."""
    for key in sorted(model.model_fields_set):
        value = getattr(model, key, None)
        if key.endswith("_file") and isinstance(value, str):
            yield (*within, key), value
        elif key.endswith("_files") and isinstance(value, dict):
            yield from (((*within, key, name), path) for name, path in value.items() if isinstance(path, str))
        elif isinstance(value, BaseModel):
            yield from _files(value, (*within, key))
        elif isinstance(value, (list, tuple)):
            for place, part in enumerate(value):
                if isinstance(part, BaseModel):
                    yield from _files(part, (*within, key, place))


def _lacks(path: Path) -> str:
    """What is wrong with the place of a file, as a fact; "" where nothing is, or this user may not look."""
    try:
        return f"{path} is a folder" if stat.S_ISDIR(path.stat().st_mode) else ""
    except (FileNotFoundError, NotADirectoryError):
        return f"there is no file {path}"
    except (OSError, ValueError):  # a folder that this user may not look into, or a name that no file can have
        return ""
