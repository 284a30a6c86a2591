"""What the documents name exists, and their examples load."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from cemd.cli import main
from cemd.config.load import load
from cemd.daemon.kinds import kinds
from click import Group
from click.testing import CliRunner

ROOT = Path(__file__).resolve().parent.parent
DOCUMENTS = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "docs/architecture.md")
EXAMPLE = re.compile(r"^```yaml\n# (mine/\S+)\n(.*?)^```", re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_file_that_a_document_names_exists(name: str) -> None:
    text = (ROOT / name).read_text(encoding="utf-8")
    quoted = re.findall(r"`((?:cemd|tests|docs|systemd|\.ci)/[\w./-]*)`", text)
    linked = re.findall(r"\]\(([\w./-]+)\)", text)
    missing = [path for path in (*quoted, *linked) if not (ROOT / path).exists()]
    assert missing == []


@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_command_that_a_document_names_exists(name: str) -> None:
    text = (ROOT / name).read_text(encoding="utf-8")
    commands = set(re.findall(r"\bcemd ([a-z]+)(?: |`|$)", text)) - {"watches", "knows", "needs", "is", "keeps"}
    assert isinstance(main, Group)
    known = set(main.commands)
    named = {word for word in commands if f"`cemd {word}" in text or f"\ncemd {word}" in text}
    assert named <= known


def test_readme_has_the_length_of_a_readme() -> None:
    assert 100 <= len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 150


def test_first_probe_of_the_readme_loads(tmp_path: Path) -> None:
    examples = EXAMPLE.findall((ROOT / "README.md").read_text(encoding="utf-8"))
    assert len(examples) == 4
    for name, text in examples:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    loaded = load(tmp_path / "mine", kinds())
    assert loaded.warnings == ()
    assert [probe.name for probe in loaded.configuration.probes] == ["shop-page"]
    said = CliRunner().invoke(main, ["check", "--root", str(tmp_path / "mine")])
    assert said.exit_code == 0, said.output
