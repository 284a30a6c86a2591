"""The files of the repository itself: they load without a warning and fit the published schemas."""

from __future__ import annotations

from pathlib import Path

import jsonschema
import pytest
import yaml
from cemd.config.load import PATTERNS, load
from cemd.config.reference import MODELS as PARTS
from cemd.config.reference import explained
from cemd.config.schema import FILES as MODELS
from cemd.config.schema import schemas
from cemd.config.yaml import parse
from cemd.daemon.kinds import kinds

ROOT = Path(__file__).resolve().parents[2]
FILES = [
    (path.relative_to(ROOT).as_posix(), next(word for word, known in MODELS.items() if known is model))
    for pattern, model in PATTERNS
    for path in sorted(ROOT.glob(pattern))
]


def test_every_folder_has_an_example() -> None:
    assert {word for _, word in FILES} == set(MODELS)


def test_all_files_load_without_a_warning() -> None:
    loaded = load(ROOT, kinds())
    assert loaded.warnings == ()
    assert loaded.files == tuple(name for name, _ in FILES)


EXAMPLES = sorted((ROOT / "probes" / "examples").glob("*.yaml"))


def test_examples_of_probes_load_beside_the_services_that_they_name(tmp_path: Path) -> None:
    for path in EXAMPLES:
        target = tmp_path / "probes" / path.name
        target.parent.mkdir(exist_ok=True)
        target.write_text(path.read_text(encoding="utf-8"), encoding="utf-8")
    names = {probe["service"] for path in EXAMPLES for probe in yaml.safe_load(path.read_text())["probes"]}
    services = [{"name": name, "function": "f", "domain": "it", "platform": "p"} for name in sorted(names)]
    catalogue = tmp_path / "config/catalogue/services.yaml"
    catalogue.parent.mkdir(parents=True)
    catalogue.write_text(yaml.safe_dump({"services": services}), encoding="utf-8")
    kinds_of_examples = {probe.kind for probe in load(tmp_path, kinds()).configuration.probes}
    assert {path.stem for path in EXAMPLES} <= kinds_of_examples, "an example is named after its kind"


def test_every_kind_of_probe_has_an_example_and_an_explanation() -> None:
    tables = kinds()
    used = {probe.kind for probe in load(ROOT, tables).configuration.probes} | {path.stem for path in EXAMPLES}
    assert set(tables.probe_params) <= used
    for word in (*tables.probe_params, *tables.channel_params):
        text = explained(word, tables)
        assert text is not None
        assert len(text.splitlines()) > 4


@pytest.mark.parametrize(("name", "word"), FILES, ids=[name for name, _ in FILES])
def test_file_fits_its_schema(name: str, word: str) -> None:
    tree = parse((ROOT / name).read_bytes(), name).tree
    jsonschema.Draft202012Validator(schemas(kinds())[word]).validate(tree)


def test_every_key_says_what_it_means() -> None:
    known = kinds()
    models = [(word, model) for word, (model, _place) in PARTS.items()]
    models += [*known.probe_params.items(), *known.channel_params.items()]
    silent = [
        f"{word}: {key}"
        for word, schema in ((word, model.model_json_schema()) for word, model in models)
        for part in (schema, *schema.get("$defs", {}).values())
        for key, about in part.get("properties", {}).items()
        if key != "name" and not about.get("description")
    ]
    assert silent == []
