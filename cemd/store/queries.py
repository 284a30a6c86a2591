"""The statements of `queries.sql`, by name, so that SQL stands in SQL files and Python in Python files."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import resources
from types import MappingProxyType


def named(text: str) -> Mapping[str, str]:
    """Statements of a text by the name in the `-- name: NAME` line above each."""
    pieces = text.split("-- name: ")[1:]
    return MappingProxyType({piece.split("\n", 1)[0].strip(): piece.split("\n", 1)[1].strip() for piece in pieces})


SQL = named((resources.files("cemd.store") / "queries.sql").read_text(encoding="utf-8"))
