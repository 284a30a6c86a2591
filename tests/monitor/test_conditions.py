"""Conditions on JSON: a small language that evaluates nothing."""

from __future__ import annotations

from typing import Any

import pytest
from cemd.monitor.protocols.conditions import MISSING, decode_json, parse_condition, parse_path
from hypothesis import given
from hypothesis import strategies as st

DOCUMENT = {"state": "active", "a": {"b": [{"c": 1}, {"c": True}]}, "odd name": 3, "n": None}
DOCUMENT |= {"words": "rock and roll", "quoted": "it's", "this and that": [{"<=": 1}]}


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("$", DOCUMENT),
        ("$.state", "active"),
        ("$.a.b[0].c", 1),
        ("$['odd name']", 3),
        ("$.n", None),
        ("$.a.b[9]", MISSING),
        ("$.state.x", MISSING),
        ("$.a[0]", MISSING),
    ],
)
def test_paths(path: str, found: Any) -> None:
    assert parse_path(path).find(DOCUMENT) is found or parse_path(path).find(DOCUMENT) == found


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        ("$.state == 'active'", True),
        ("$.state != 'active'", False),
        ("$.a.b[0].c >= 1", True),
        ("$.a.b[0].c == true", False),
        ("$.a.b[1].c == true", True),
        ("$.n == null", True),
        ("$.nowhere == null", False),
        ("$.nowhere != 'x'", False),
        ("$.state > 3", False),
        ("$.state == 'active' and $.a.b[0].c < 2", True),
        ("$.state == 'active' and $.a.b[0].c > 2", False),
        ("$['odd name'] == 3", True),
        ("$['odd name'] > 3 and $.state == 'active'", False),
        ("$.words == 'rock and roll'", True),
        ("$.words == \"rock and roll\" and $['this and that'][0]['<='] >= 1", True),
        ("$.words == 'rock' and $.state == 'active'", False),
        ('$.quoted == "it\'s" and $.n == null', True),
    ],
)
def test_conditions(text: str, holds: bool) -> None:
    assert parse_condition(text).holds(DOCUMENT) is holds


@pytest.mark.parametrize(
    "text", ["", "state", "$.a ==", "$.a == x", "$.a = 1", "__import__('os')", "$.a == 'x' or 1", "$.a == 'it's'"]
)
def test_what_is_no_condition_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"condition|path|neither|double quotes"):
        parse_condition(text)


@given(st.binary(max_size=200))
def test_no_bytes_make_the_reader_raise(body: bytes) -> None:
    parse_condition("$.a.b == 1").holds(decode_json(body))


def test_nesting_without_end_is_no_document() -> None:
    assert decode_json(b"[" * 200_000) is MISSING
