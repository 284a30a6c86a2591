"""Writes requirements.lock and requirements-dev.lock: the versions that this environment was tested with.

Run it in `.venv` after an upgrade that passed every check: `.venv/bin/python .ci/lock.py`. The first file holds what a
deployment installs (cemd with its extras, but for `compiled`), the second what only developers need.
"""

from __future__ import annotations

import tomllib
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent
NOT_HERE = ("compiled",)  # an extra that start.py leaves out: numba brings all of LLVM
NOT_LOCKED = ("cemd", "pip", "setuptools")  # the machine brings them; sqlite-utils names pip as a need
TOP = "# Versions that were tested together; made by .ci/lock.py, not by hand.\n"


def closure(requirements: list[str]) -> dict[str, str]:
    """Name -> version of the requirements and of all that they need here."""
    found: dict[str, str] = {}
    queue = [(Requirement(text), frozenset[str]()) for text in requirements]
    seen: set[tuple[str, frozenset[str]]] = set()
    for wanted, parent_extras in queue:  # grows while it is walked
        extras = parent_extras or {""}
        if wanted.marker and not any(wanted.marker.evaluate({"extra": extra}) for extra in extras):
            continue
        name = canonicalize_name(wanted.name)
        own = frozenset(wanted.extras)
        if (name, own) in seen:
            continue
        seen.add((name, own))
        try:
            package = distribution(name)
        except PackageNotFoundError:
            raise SystemExit(f"{name} is not installed here; run `python3 start.py check` first.") from None
        if name not in NOT_LOCKED:
            found[name] = package.version
        queue.extend((Requirement(text), own) for text in package.requires or ())
    return found


def main() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    options = project["project"]["optional-dependencies"]
    extras = [one for name, extra in options.items() if name not in NOT_HERE for one in extra]
    deployed = closure([*project["project"]["dependencies"], *extras])
    developed = closure([*project["dependency-groups"]["dev"], *project["build-system"]["requires"]])
    for name, packages in (
        ("requirements.lock", deployed),
        ("requirements-dev.lock", {key: value for key, value in developed.items() if key not in deployed}),
    ):
        lines = [f"{package}=={version}\n" for package, version in sorted(packages.items())]
        (ROOT / name).write_text(TOP + "".join(lines), encoding="utf-8")
        print(f"{name}: {len(lines)} packages")


if __name__ == "__main__":
    main()
