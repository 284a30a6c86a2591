"""One JSON Schema (2020-12) for each kind of file, from the same models that check it, so that editors complete it.

Parameters depend on `kind`: an `if`/`then` for each kind of the tables. Where a number or a patterned text is expected
in a probe's parameters, a whole `{name}` placeholder is accepted too, as the loader does.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from cemd.config.catalogue import CatalogueFile
from cemd.config.channels import ChannelsFile
from cemd.config.maintenance import MaintenanceFile
from cemd.config.params import Kinds
from cemd.config.probes import ProbesFile
from cemd.config.rules import AnalyzeFile, ImproveFile, ReportFile
from cemd.config.settings import SettingsFile

DIALECT = "https://json-schema.org/draft/2020-12/schema"
FILES: Mapping[str, type[BaseModel]] = {
    "cemd": SettingsFile,
    "channels": ChannelsFile,
    "maintenance": MaintenanceFile,
    "catalogue": CatalogueFile,
    "probes": ProbesFile,
    "analyze": AnalyzeFile,
    "improve": ImproveFile,
    "report": ReportFile,
}
"""Kind of file -> model: `config/cemd.yaml`, `config/channels.yaml`, `config/maintenance.yaml`, `config/catalogue/*`,
`probes/*`, `rules/*/*`."""

_PLACEHOLDER = {"type": "string", "pattern": r"^\{[a-z][a-z0-9_]*\}$"}
Schema = dict[str, Any]


def schemas(kinds: Kinds) -> dict[str, Schema]:
    """The schema of every kind of file, by the kind's word."""
    made = {word: {"$schema": DIALECT, **model.model_json_schema()} for word, model in FILES.items()}
    _with_kinds(made["probes"], "Probe", kinds.probe_params, placeholders=True)
    _with_kinds(made["channels"], "Channel", kinds.channel_params, placeholders=False)
    for schema in made.values():
        schema["additionalProperties"] = False
    return made


def write_schemas(found: Mapping[str, Schema], folder: Path) -> list[Path]:
    """Writes one file a kind of file into `folder`, which is made where it is missing; the files written.

    Raises:
        OSError: the folder cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{name.replace('/', '-')}.schema.json" for name in found]
    for path, document in zip(paths, found.values(), strict=True):
        path.write_text(json.dumps(document, indent=2) + "\n")
    return paths


def _with_kinds(schema: Schema, entry: str, models: Mapping[str, type[BaseModel]], *, placeholders: bool) -> None:
    """Ties `params` of an entry to its `kind`."""
    target = schema["$defs"][entry]
    if not models:
        return
    target["properties"]["kind"] = {**target["properties"]["kind"], "enum": sorted(models)}
    target["allOf"] = []
    for kind, model in sorted(models.items()):
        params = model.model_json_schema(ref_template=f"#/$defs/{kind}.{{model}}")
        inner = params.pop("$defs", {})
        if placeholders:
            params, inner = _open_to_placeholders(params), _open_to_placeholders(inner)
        schema["$defs"] |= {f"{kind}.{name}": part for name, part in inner.items()}
        schema["$defs"][f"{kind}.params"] = params
        then: Schema = {"properties": {"params": {"$ref": f"#/$defs/{kind}.params"}}}
        if params.get("required"):
            then["required"] = ["params"]
        target["allOf"].append({"if": {"properties": {"kind": {"const": kind}}, "required": ["kind"]}, "then": then})


def _open_to_placeholders(schema: Any) -> Any:
    """The schema with `{name}` accepted for numbers and for texts of a certain form."""
    match schema:
        case list():
            return [_open_to_placeholders(part) for part in schema]
        case {"type": "integer" | "number", **_rest} | {"type": "string", "pattern": _, **_rest}:
            about = {key: schema[key] for key in ("title", "description", "default") if key in schema}
            form = {key: part for key, part in schema.items() if key not in about}
            return {**about, "anyOf": [form, _PLACEHOLDER]}
        case dict():
            return {key: _open_to_placeholders(part) for key, part in schema.items()}
        case _:
            return schema
