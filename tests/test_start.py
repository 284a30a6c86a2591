"""start.py: prepares once, prepares anew when the project changed, and says what only a person can mend."""

from __future__ import annotations

import contextlib
import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parent.parent


def loaded() -> ModuleType:
    spec = importlib.util.spec_from_file_location("start", ROOT / "start.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The script as a module, with a root of its own and pip replaced by a record of what it was asked."""
    module = loaded()
    (tmp_path / "pyproject.toml").write_text('[dependency-groups]\ndev = ["pytest>=9"]\n', encoding="utf-8")
    venv = tmp_path / ".venv"
    (venv / "bin").mkdir(parents=True)
    (venv / "bin/python").symlink_to(sys.executable)
    monkeypatch.setattr(module, "ROOT", tmp_path)
    monkeypatch.setattr(module, "VENV", venv)
    monkeypatch.setattr(module, "PYTHON", venv / "bin/python")
    monkeypatch.setattr(module, "STAMP", venv / "stamp.json")
    monkeypatch.setattr(module, "LOCKS", ())
    asked: list[list[str]] = []
    monkeypatch.setattr(module, "watched", asked.append)
    monkeypatch.setattr(module, "ensure_pip", lambda: ["pip"])
    module.__dict__["asked"] = asked
    return module


def test_second_start_installs_nothing(start: ModuleType) -> None:
    start.prepare(for_tests=False)
    start.prepare(for_tests=False)
    assert len(start.asked) == 1
    assert "pytest>=9" not in start.asked[0]


def test_tests_add_their_packages_once(start: ModuleType) -> None:
    start.prepare(for_tests=False)
    start.prepare(for_tests=True)
    start.prepare(for_tests=True)
    start.prepare(for_tests=False)
    assert ["pytest>=9" in command for command in start.asked] == [False, True]


def test_changed_project_is_installed_anew(start: ModuleType, tmp_path: Path) -> None:
    start.prepare(for_tests=True)
    (tmp_path / "pyproject.toml").write_text('[dependency-groups]\ndev = ["pytest>=10"]\n', encoding="utf-8")
    start.prepare(for_tests=False)
    assert ["pytest>=10" in command for command in start.asked] == [False, True]


def test_settings_of_tools_install_nothing(start: ModuleType, tmp_path: Path) -> None:
    start.prepare(for_tests=True)
    with (tmp_path / "pyproject.toml").open("a", encoding="utf-8") as project:
        project.write("[tool.ruff]\nline-length = 120\n")
    start.prepare(for_tests=True)
    assert len(start.asked) == 1


def test_failed_installation_leaves_no_stamp(start: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(start, "watched", lambda *_: ["no route to host"])
    with pytest.raises(start.Unable, match="see to the network, start again"):
        start.prepare(for_tests=False)
    assert not start.STAMP.exists()


def test_python_without_any_pip_is_told_with_the_remedy(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    start = loaded()
    monkeypatch.setattr(start, "VENV", tmp_path)
    monkeypatch.setattr(start, "works", lambda *_: False)
    monkeypatch.setattr(start, "make_venv", lambda **_: None)
    monkeypatch.setattr(start, "pip_wheel", lambda: None)
    with pytest.raises(start.Unable, match="apt install python3-venv"):
        start.ensure_pip()


TWO = ["-n", "2", "--dist", "loadfile", "--no-loadscope-reorder"]


@pytest.mark.parametrize(
    ("processors", "arguments", "wanted"),
    [
        ({0, 1}, [], TWO),
        ({0, 1, 2, 3}, ["tests/config", "-x"], TWO),
        ({0}, [], []),
        ({0, 1}, ["tests/config", "--pdb"], []),
        ({0, 1}, ["-s"], []),
        ({0, 1}, ["-p", "no:xdist"], []),
    ],
)
def test_tests_run_two_at_once_where_that_helps(
    start: ModuleType, monkeypatch: pytest.MonkeyPatch, processors: set[int], arguments: list[str], wanted: list[str]
) -> None:
    ran: list[list[str]] = []
    monkeypatch.setattr(start, "go_on", ran.append)
    monkeypatch.setattr(start, "prepare", lambda **_: None)
    monkeypatch.setattr(start.os, "sched_getaffinity", lambda _: processors)
    monkeypatch.chdir(start.ROOT)
    start.STAMP.touch()
    with contextlib.suppress(SystemExit):
        start.main(["test", *arguments])
    assert ran[0] == [str(start.PYTHON), "-m", "pytest", *wanted, *arguments]
