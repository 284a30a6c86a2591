"""The JSON Schema of a scenario file, from the models that check it."""

from __future__ import annotations

from typing import Any

from cemd.config.schema import DIALECT
from cemd.demo.world.scenario import Scenario


def scenario_schema() -> dict[str, Any]:
    """As `cemd schema` prints it under `scenario`. A file that extends another may leave sections out."""
    schema = Scenario.model_json_schema()
    required = schema.pop("required")
    return {
        "$schema": DIALECT,
        **schema,
        "required": ["name"],
        "anyOf": [{"required": required}, {"required": ["extends"]}],
    }
