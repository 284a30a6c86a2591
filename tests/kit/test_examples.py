"""Examples in docstrings of kit and monitor are run as they stand."""

from __future__ import annotations

import doctest
import importlib
import pkgutil

import cemd.kit
import cemd.monitor
import pytest

MODULES = [
    found.name
    for package in (cemd.kit, cemd.monitor)
    for found in pkgutil.walk_packages(package.__path__, f"{package.__name__}.")
]


@pytest.mark.parametrize("name", MODULES)
def test_examples_hold(name: str) -> None:
    assert doctest.testmod(importlib.import_module(name)).failed == 0
