"""What all models of files share: strict, frozen, no unknown keys, and field docstrings that become the JSON Schema."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints


class FileModel(BaseModel):
    """A part of a file. Values are never coerced: "30" is not 30, and `yes` is a text."""

    model_config = ConfigDict(
        strict=True,
        frozen=True,
        extra="forbid",
        use_attribute_docstrings=True,
        allow_inf_nan=False,
        hide_input_in_errors=True,
    )


Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9._-]{0,62}$")]
"""Lower-case letters, digits, `.`, `_`, `-`; at most 63 characters: fit for metrics, URLs and file names."""

Seconds = Annotated[float, Field(gt=0, le=31_622_400)]
Ratio = Annotated[float, Field(ge=0, le=1)]
