"""The demo's copy of the shipped files: the same files, with ports filled in and times made short, and nothing else.

Each change is one line's, says so in a comment at its end, and is one of the substitutions below; `diff -r` between
the repository and the scratch folder shows them all. A minute of production lasts four seconds here.
"""

from __future__ import annotations

import importlib.resources
import re
import shutil
import stat
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from cemd.demo.operator import SHIPPED_PORTS
from cemd.errors import CemdError

MINUTE_SECONDS = 4.0
SHORT = 60.0 / MINUTE_SECONDS
HOLD_SECONDS = 15
STABLE_SECONDS = 15
FOLDERS = ("config", "probes", "rules")
SECRET = "whsec_ZGVtby1zZWNyZXQtb2YtRGVtb1RlbGNv"  # noqa: S105 -- signs messages to the demo's own sink

SHORTENED = (
    f"a minute of probes and indicators lasts {MINUTE_SECONDS:g} s",
    f"customers are told after {HOLD_SECONDS} s (else 5 min)",
    f"the all-clear leaves after {STABLE_SECONDS} stable seconds (else 10 min)",
    "quiet hours are left out",
    "the policy is live, not in shadow",
)
"""What the banner says."""


def shipped_root() -> Path:
    """The folder that holds the shipped `config/`, `probes/` and `rules/`: the repository, else the installed copy.

    Raises:
        CemdError: they are in neither place.
    """
    package = Path(str(importlib.resources.files("cemd")))
    for root in (package.parent, package / "shipped"):
        if all((root / folder).is_dir() for folder in FOLDERS):
            return root
    raise CemdError(f"the files of config/, probes/ and rules/ are not beside {package}; run the demo from a clone.")


def write_copy(root: Path, ports: Mapping[str, int], *, shipped: Path | None = None) -> None:
    """Writes the demo's copy of the shipped files below `root`.

    Args:
        root: The scratch folder.
        ports: Port of each of DemoTelco's doors.
        shipped: Where the files are taken from; default: as `shipped_root` finds them.
    """
    source = shipped or shipped_root()
    for folder in FOLDERS:
        for path in sorted((source / folder).rglob("*")):
            target = root / path.relative_to(source)
            if path.suffix == ".yaml":
                target.parent.mkdir(parents=True, exist_ok=True)
                lines = path.read_text(encoding="utf-8").splitlines()
                changed = [rewritten(line, folder, ports, root) for line in lines]
                target.write_text("\n".join(changed) + "\n", encoding="utf-8")
            elif path.is_file() and folder == "probes" and not path.name.endswith(".pyc"):
                _plugin(path, target)
    (root / "config" / "noc.secret").write_text(SECRET, encoding="ascii")


def rewritten(line: str, folder: str, ports: Mapping[str, int], root: Path) -> str:
    """One line of a file of `folder` as the demo has it."""
    changed = _ports(line, ports)
    for pattern, value in _SHORTER[folder]:
        changed = pattern.sub(value, changed)
    changed = changed.replace("/usr/local/lib/cemd/plugins", str(root / "probes" / "plugins"))
    changed = changed.replace("/etc/cemd/noc.secret", "config/noc.secret")
    if changed == line:
        return line
    code, comment = _split(line)
    if not code.strip():
        return changed  # a comment that was made to count
    new_code, _ = _split(changed)
    if not new_code.strip():
        return f"    # demo: without {code.strip()}"
    return f"{new_code.rstrip()} # demo; else{_essence(code, new_code)}{'; ' + comment if comment else ''}"


def _ports(line: str, ports: Mapping[str, int]) -> str:
    numbers = {str(number): str(ports[name]) for name, number in SHIPPED_PORTS.items()}
    return re.sub(r"\b174[0-9]{2}\b", lambda found: numbers.get(found[0], found[0]), line)


def _split(line: str) -> tuple[str, str]:
    """(code, comment without its mark)."""
    code, mark, comment = line.partition(" #") if not line.startswith("#") else ("", "#", line[1:])
    return code, comment.strip() if mark else ""


def _essence(before: str, after: str) -> str:
    """The words of the shipped line that were changed."""
    words = zip(before.split(), after.split(), strict=False)
    return " " + " ".join(old.strip("{},") for old, new in words if old != new)


def _shorter(least: float) -> Callable[[re.Match[str]], str]:
    def value(found: re.Match[str]) -> str:
        return f"{found[1]}{max(least, float(found[2]) / SHORT):g}"

    return value


def _timeout(found: re.Match[str]) -> str:
    """Timeouts stay below the shortest interval of the demo, those of slow probes below theirs."""
    return f"{found[1]}{3 if float(found[2]) > 5 else 1.8:g}"


_NUMBER = r"([0-9.]+)"
_SHORTER: dict[str, tuple[tuple[re.Pattern[str], str | Callable[[re.Match[str]], str]], ...]] = {
    "config": (
        (re.compile(r"^(tick_seconds: )[0-9.]+"), r"\g<1>1"),
        (re.compile(r"^# (customers:|  file:)"), r"\1"),
        (re.compile(r"^#(  -|    kind:|    to:|    params:|routes:)"), r"\1"),
    ),
    "probes": (
        (re.compile(rf"^(    every_seconds: ){_NUMBER}"), _shorter(2)),
        (re.compile(rf"^(    timeout_seconds: ){_NUMBER}"), _timeout),
        (re.compile(rf"^( +within_seconds: ){_NUMBER}"), r"\g<1>2"),
        (re.compile(r"(per_hour: )120"), r"\g<1>1800"),
    ),
    "rules": (
        (re.compile(rf"^(    window_seconds: ){_NUMBER}"), _shorter(12)),  # of indicators; the cap keeps its day
        (re.compile(rf"(\bfor_seconds: ){_NUMBER}"), _shorter(4)),
        (re.compile(rf"(\bclear_for_seconds: ){_NUMBER}"), _shorter(4)),
        (re.compile(rf"(\bjoin_within_seconds: ){_NUMBER}"), _shorter(60)),
        (re.compile(rf"(\bhold_seconds: ){_NUMBER}"), rf"\g<1>{HOLD_SECONDS}"),
        (re.compile(rf"(\bdecide_by_seconds: ){_NUMBER}"), _shorter(60)),
        (re.compile(rf"(\bstable_seconds: ){_NUMBER}"), rf"\g<1>{STABLE_SECONDS}"),
        (re.compile(rf"(\brelapse_within_seconds: ){_NUMBER}"), _shorter(60)),
        (re.compile(r"\bmode: shadow"), "mode: live"),
        (re.compile(r"^    quiet_hours: .*"), ""),
    ),
}


def _plugin(path: Path, target: Path) -> None:
    """A plugin runs with the interpreter of the demo, because the system may have none of this name."""
    target.parent.mkdir(parents=True, exist_ok=True)
    text = path.read_text(encoding="utf-8")
    target.write_text(text.replace("#!/usr/bin/env python3", f"#!{sys.executable}", 1), encoding="utf-8")
    shutil.copymode(path, target)
    target.chmod(target.stat().st_mode | stat.S_IXUSR)
