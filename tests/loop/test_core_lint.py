"""What is forbidden in the core, checked in its source: await, clocks, chance, `hash()`, the order of sets, unstable
sorts, pickle. The same entries must give the same decisions in every process and on every machine."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "cemd"
EDGES = {
    # the asynchronous or file-reading parts of the wings, which are not part of `step`
    "loop/sequencer.py",
    "report/edge.py",
    "report/customers.py",
}
EDGE_FOLDERS = ("report/channels/",)
FOLDERS = ("model", "loop", "analyze", "improve", "report")
FORBIDDEN_MODULES = {
    "asyncio",
    "datetime.datetime.now",
    "pickle",
    "random",
    "secrets",
    "socket",
    "threading",
    "time",
    "uuid",
}
UNSTABLE = {"sort", "argsort"}


def core_files() -> list[Path]:
    files = [path for folder in FOLDERS for path in sorted((PACKAGE / folder).rglob("*.py"))]
    return [
        path
        for path in files
        if (name := path.relative_to(PACKAGE).as_posix()) not in EDGES and not name.startswith(EDGE_FOLDERS)
    ]


def _name(node: ast.expr) -> str:
    match node:
        case ast.Name(id=name):
            return name
        case ast.Attribute(value=value, attr=attr):
            return f"{_name(value)}.{attr}"
        case _:
            return ""


def _is_set(node: ast.expr) -> bool:
    return isinstance(node, ast.Set | ast.SetComp) or (
        isinstance(node, ast.Call) and _name(node.func) in {"set", "frozenset"}
    )


def faults_in(tree: ast.AST) -> list[str]:
    """Each forbidden thing with its line."""
    faults = []
    for node in ast.walk(tree):
        line = getattr(node, "lineno", 0)
        match node:
            case ast.Await() | ast.AsyncFunctionDef() | ast.AsyncFor() | ast.AsyncWith():
                faults.append(f"{line}: asynchronous code")
            case ast.Import(names=names):
                faults += [f"{line}: import {n.name}" for n in names if n.name.split(".")[0] in FORBIDDEN_MODULES]
            case ast.ImportFrom(module=str(module)) if module.split(".")[0] in FORBIDDEN_MODULES:
                faults.append(f"{line}: from {module}")
            case ast.Call(func=func) if _name(func) == "hash":
                faults.append(f"{line}: hash() differs between processes")
            case ast.Call(func=func) if _name(func).endswith((".now", ".today", ".utcnow")):
                faults.append(f"{line}: a clock")
            case ast.Call(func=func) if _name(func).startswith(("np.random", "numpy.random")):
                faults.append(f"{line}: chance")
            case ast.Call(func=ast.Attribute(attr=attr), args=args, keywords=keywords) if attr in UNSTABLE:
                stable = any(
                    k.arg == "kind" and isinstance(k.value, ast.Constant) and k.value.value == "stable"
                    for k in keywords
                ) or any(k.arg == "stable" for k in keywords)
                plain_list = attr == "sort" and not args and any(k.arg in {"key", "reverse"} for k in keywords)
                if not stable and not plain_list:
                    faults.append(f"{line}: unstable {attr}; say kind='stable'")
            case ast.For(iter=iterated) | ast.comprehension(iter=iterated) if _is_set(iterated):
                faults.append(f"{getattr(iterated, 'lineno', 0)}: iterates over a set; use a dict or sorted()")
            case _:
                pass
    return faults


@pytest.mark.parametrize("path", core_files(), ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_core_has_nothing_that_could_decide_differently_twice(path: Path) -> None:
    assert faults_in(ast.parse(path.read_text())) == []


@pytest.mark.parametrize(
    "source",
    [
        "async def f(): await g()",
        "import random",
        "from time import monotonic",
        "x = hash('a')",
        "import datetime as d\nnow = d.datetime.now()",
        "np.random.default_rng()",
        "order = values.argsort()",
        "for name in {'a', 'b'}: pass",
        "[n for n in set(names)]",
        "import pickle",
    ],
)
def test_the_lint_sees_what_is_forbidden(source: str) -> None:
    assert faults_in(ast.parse(source)) != []
