"""The JSON Schema of a scenario file, from the models that check it."""

from __future__ import annotations

from typing import Any

from cemd.config.schema import DIALECT
from cemd.demo.world.scenario import Scenario


def scenario_schema() -> dict[str, Any]:
    """As `cemd schema` prints it under `scenario`."""
    return {"$schema": DIALECT, **Scenario.model_json_schema()}
