"""Whatever the files hold, loading ends in a configuration or in faults; the repository's own files load."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from cemd.config.load import PATTERNS, load
from cemd.config.schema import FILES as SCHEMA_FILES
from cemd.config.schema import schemas
from cemd.config.yaml import parse
from cemd.errors import ConfigError, Fault
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.config.kinds import FILES, KINDS, edited, write

WORDS = st.sampled_from(
    ["services", "probes", "name", "kind", "ping", "walk", "params", "steps", "broadband", "values", "of", "score"]
)
TREES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | WORDS | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS | st.text(max_size=3), inner, max_size=4),
    max_leaves=12,
)


def faults_of(root: Path) -> tuple[Fault, ...]:
    """What is wrong below `root`; nothing when it loads. Any other exception is a crash."""
    try:
        load(root, KINDS)
    except ConfigError as exc:
        return exc.faults
    return ()


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(name=st.sampled_from(sorted(FILES)), data=st.binary(max_size=100) | TREES.map(lambda t: json.dumps(t).encode()))
def test_no_content_of_a_file_crashes_the_loader(tmp_path: Path, name: str, data: bytes) -> None:
    write(tmp_path)
    (tmp_path / name).write_bytes(data)
    assert all(str(fault).startswith(("config/", "probes/", "rules/")) for fault in faults_of(tmp_path))


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(data=st.data())
def test_no_wrong_part_of_a_file_crashes_the_loader(tmp_path: Path, data: st.DataObject) -> None:
    """One value anywhere in a good file is replaced by anything."""
    write(tmp_path)
    name = data.draw(st.sampled_from(sorted(FILES)))
    document = parse((tmp_path / name).read_bytes(), name)
    path = data.draw(st.sampled_from(sorted(document.values, key=str)))
    tree: Any = document.tree
    if not path:
        return
    for part in path[:-1]:
        tree = tree[part]
    tree[path[-1]] = data.draw(TREES)
    (tmp_path / name).write_text(json.dumps(document.tree), encoding="utf-8")
    assert all(str(fault).startswith(("config/", "probes/", "rules/")) for fault in faults_of(tmp_path))


def schema_of(name: str) -> str:
    """The word of the schema for a file of the good set."""
    models = {pattern.split("*")[0]: model for pattern, model in PATTERNS}
    model = next(model for prefix, model in models.items() if name.startswith(prefix))
    return next(word for word, known in SCHEMA_FILES.items() if known is model)


@pytest.mark.parametrize("word", SCHEMA_FILES)
def test_schema_is_valid_json_schema(word: str) -> None:
    jsonschema.Draft202012Validator.check_schema(schemas(KINDS)[word])


@pytest.mark.parametrize("name", FILES)
def test_schema_accepts_every_file_of_the_good_set(tmp_path: Path, name: str) -> None:
    tree = parse((write(tmp_path) / name).read_bytes(), name).tree
    jsonschema.Draft202012Validator(schemas(KINDS)[schema_of(name)]).validate(tree)


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("probes/core.yaml", "kind: ping", "kind: pinng"),
        ("probes/core.yaml", 'packets: "{packets}"', 'packets: "many"'),
        ("probes/core.yaml", 'target: "{core_host}", ', ""),
        ("probes/core.yaml", 'target: "{core_host}", ', "tarrget: x, "),
        ("probes/core.yaml", "every_seconds: 30", "evry_seconds: 30"),
        ("config/channels.yaml", "to: staff, params: {host: 127.0.0.1}", "to: staff"),
        ("config/catalogue/all.yaml", "transport, domain: network", "transport, domain: netwrk"),
        ("rules/analyze/core.yaml", "summary: mean", "summary: meen"),
        ("rules/report/customers.yaml", "bases: [contract]", "bases: []"),
        ("config/cemd.yaml", "http: [counters]", "htp: [counters]"),
    ],
)
def test_schema_refuses_what_the_loader_refuses(tmp_path: Path, name: str, old: str, new: str) -> None:
    root = write(tmp_path, **edited(name, old, new))
    with pytest.raises(ConfigError):
        load(root, KINDS)
    tree = parse((root / name).read_bytes(), name).tree
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.Draft202012Validator(schemas(KINDS)[schema_of(name)]).validate(tree)
