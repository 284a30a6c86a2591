#!/usr/bin/env python3
"""From a fresh clone to a running cemd, with nothing but Python 3.11 and git.

    python3 start.py demo          a small operator on this machine, broken and mended before your eyes
    python3 start.py run           the daemon, on the files of config/ probes/ rules/
    python3 start.py test          the tests, two at once (arguments go to pytest; -n 0: one at a time)
    python3 start.py check         what every change must pass: ruff, mypy, import floors
    python3 start.py ANYTHING      any other command of cemd; `python3 start.py --help` lists them

Makes `.venv` beside this file and installs cemd there; the system's Python is never touched. A second start takes what
is there, unless pyproject.toml or requirements.lock changed. Only the standard library is used here.
"""

# ruff: noqa: S603, S606 -- to start programs by their path is all that this file does
from __future__ import annotations

import fcntl
import hashlib
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, NoReturn

ROOT = Path(__file__).resolve().parent
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
STAMP = VENV / "cemd-start.json"
LOCKS = (ROOT / "requirements.lock", ROOT / "requirements-dev.lock")
OLDEST = (3, 11)
EXTRAS = "demo,chat,radius,sip,diameter"  # what `cemd demo`, staff chat and some kinds of probes need; small
WORKERS = 2
ALONE = ("-s", "--capture=no", "--pdb", "--trace")  # a person wants to see or to speak with one process
CHECKS = (
    ("ruff", ("-m", "ruff", "check", ".")),
    ("format", ("-m", "ruff", "format", "--check", ".")),
    ("types", ("-m", "mypy")),
    ("floors", ("-c", "from importlinter.cli import lint_imports_command; lint_imports_command()")),
)


class Unable(Exception):  # noqa: N818 -- a sentence for the person at the keyboard
    """Something that only a person can mend; the message says what."""


def main(arguments: list[str]) -> NoReturn:
    if not arguments or (arguments[0] in ("-h", "--help") and not STAMP.exists()):
        print(__doc__)
        sys.exit()
    if sys.version_info < OLDEST:
        use_newer_python(arguments)
    command, *rest = arguments
    try:
        prepare(for_tests=command in ("test", "check"))
    except Unable as exc:
        sys.exit(f"start: {exc}")
    if command == "check":
        sys.exit(check())
    if command == "test":
        os.chdir(ROOT)
        go_on([str(PYTHON), "-m", "pytest", *side_by_side(rest), *rest])
    go_on([str(PYTHON), "-m", "cemd", *arguments])


def side_by_side(arguments: list[str]) -> list[str]:
    """Options for pytest: two files at once where there are two processors; what a person says wins (`-n 0`)."""
    if len(os.sched_getaffinity(0)) < WORKERS or any(one in ALONE or one.startswith("no:xdist") for one in arguments):
        return []
    # a file stays together, since its fixtures may take minutes; in their order, so that no such file comes last
    return ["-n", str(WORKERS), "--dist", "loadfile", "--no-loadscope-reorder"]


def go_on(command: list[str]) -> NoReturn:
    """Becomes the command: signals and exit code are its own."""
    sys.stdout.flush()
    os.execv(command[0], command)


def use_newer_python(arguments: list[str]) -> None:
    """Goes on in a newer Python of this machine, if there is one."""
    for minor in range(20, OLDEST[1] - 1, -1):
        if newer := shutil.which(f"python3.{minor}"):
            go_on([newer, str(ROOT / "start.py"), *arguments])
    have = ".".join(map(str, sys.version_info[:2]))
    sys.exit(f"start: cemd needs Python 3.11 or newer, this is {have}; install python3.11 and start again.")


def prepare(*, for_tests: bool) -> None:
    """Makes `.venv` hold cemd as pyproject.toml says; quick when it already does.

    Raises:
        Unable: no virtual environment or no pip can be had here, or the packages cannot be installed.
    """
    import tomllib  # not at the top: an older Python must get as far as to say that it is too old

    with (ROOT / "pyproject.toml").open("rb") as project:
        take_turn(project.fileno())
        content = tomllib.load(project)
        wanted = fingerprint(content)
        stamp = read_stamp()
        if PYTHON.exists() and stamp.get("fingerprint") == wanted and (stamp.get("tests") or not for_tests):
            return
        pip = ensure_pip()
        install(pip, requirements_for_tests(content) if for_tests or stamp.get("tests") else [])
        compile_bytecode()
        STAMP.write_text(json.dumps({"fingerprint": wanted, "tests": for_tests or bool(stamp.get("tests"))}))


def take_turn(file: int) -> None:
    """A second start waits here until the first has made `.venv`."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        say("another start is making .venv here: waiting for it")
        fcntl.flock(file, fcntl.LOCK_EX)


def fingerprint(project: dict[str, Any]) -> str:
    """Changes when what is installed would change; settings of tools do not count."""
    needed = [project.get(table) for table in ("build-system", "project", "dependency-groups")]
    locks = b"".join(lock.read_bytes() for lock in LOCKS if lock.exists())
    parts = (json.dumps(needed).encode(), locks, sys.version.encode(), str(ROOT).encode())
    return hashlib.sha256(b"\0".join(parts)).hexdigest()


def read_stamp() -> dict[str, object]:
    try:
        stamp = json.loads(STAMP.read_text())
    except (OSError, ValueError):
        return {}
    return stamp if isinstance(stamp, dict) else {}


def ensure_pip() -> list[str]:
    """A command that runs pip for `.venv`, which is made when it is missing or broken.

    Debian splits ensurepip off into python3-venv; then a pip found elsewhere serves: the system's own, Debian's wheel,
    or that wheel fetched without root.
    """
    own = [str(PYTHON), "-m", "pip"]
    if PYTHON.exists() and works([*own, "--version"]):
        return own
    say(f"making {VENV} (your system's Python stays as it is)")
    complete = importlib.util.find_spec("ensurepip") is not None
    if not PYTHON.exists() or not works([str(PYTHON), "-c", ""]):
        make_venv(with_pip=complete)
    if works([*own, "--version"]):
        return own
    if complete and works([str(PYTHON), "-m", "ensurepip"]) and works([*own, "--version"]):
        return own
    elsewhere = [sys.executable, "-m", "pip", "--python", str(PYTHON)]
    if works([*elsewhere, "--version"]):
        return elsewhere
    if wheel := pip_wheel():
        seed = [str(PYTHON), f"{wheel}/pip", "install", "--quiet", "--no-index", str(wheel)]
        if works(seed) and works([*own, "--version"]):
            return own
    raise Unable(
        "this Python has no pip, and none could be fetched; install python3-venv (on Debian: apt install python3-venv) "
        "or see to the network, start again."
    )


def make_venv(*, with_pip: bool) -> None:
    options = [] if with_pip else ["--without-pip"]
    made = subprocess.run(
        [sys.executable, "-m", "venv", "--clear", *options, str(VENV)], capture_output=True, text=True, check=False
    )
    if made.returncode and with_pip:
        make_venv(with_pip=False)
    elif made.returncode:
        said = (made.stderr or made.stdout).strip().splitlines() or ["no reason given"]
        raise Unable(f"no virtual environment can be made in {VENV} ({said[-1]}); install python3-venv, start again.")


def pip_wheel() -> Path | None:
    """Debian's wheel of pip: installed, or fetched and unpacked without root."""
    found = sorted(Path("/usr/share/python-wheels").glob("pip-*.whl"))
    if found:
        return found[-1]
    if not (shutil.which("apt-get") and shutil.which("dpkg-deb")):
        return None
    say("this Python has no pip: fetching Debian's")
    folder = Path(tempfile.mkdtemp(prefix="pip-", dir=VENV))
    fetch = ["apt-get", "download", "-o", "APT::Sandbox::User=root", "python3-pip-whl"]
    if not works(fetch, folder):
        return None
    for package in folder.glob("*.deb"):
        works(["dpkg-deb", "-x", str(package), str(folder)])
    wheels = sorted(folder.glob("usr/share/python-wheels/pip-*.whl"))
    return wheels[-1] if wheels else None


def requirements_for_tests(project: dict[str, Any]) -> list[str]:
    """The group `dev`; read here because older pips know no groups."""
    return [part for part in project["dependency-groups"]["dev"] if isinstance(part, str)]


def install(pip: list[str], more: list[str]) -> None:
    say("installing cemd and what it needs; the first time takes a minute or two")
    target = ["install", "--disable-pip-version-check", "--editable", f"{ROOT}[{EXTRAS}]", *more]
    locked = [word for lock in LOCKS if lock.exists() for word in ("--constraint", str(lock))]
    said = watched([*pip, *target, *locked])
    if said is not None and locked:
        say("the locked versions do not fit this machine: trying the newest that pyproject.toml allows")
        said = watched([*pip, *target])
    if said is not None:
        print("\n".join(said[-15:]), file=sys.stderr)
        raise Unable("the packages cannot be installed (above is what pip said); see to the network, start again.")


def watched(command: list[str]) -> list[str] | None:
    """Runs a long command and shows that it lives.

    Returns:
        None when it went well, else what it said.
    """
    began, told, lines = time.monotonic(), 0.0, []
    terminal = sys.stderr.isatty()
    environment = {**os.environ, "PIP_USER": "0", "PIP_NO_INPUT": "1", "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace", env=environment
    ) as process:
        for line in process.stdout or ():
            lines.append(line.rstrip())
            seconds = time.monotonic() - began
            if terminal:
                print(f"\r\033[K  {seconds:3.0f} s  {line.strip()[:100]}", end="", file=sys.stderr, flush=True)
            elif seconds - told >= 15:
                told = seconds
                fetched = sum(one.startswith("Collecting ") for one in lines)
                say(f"{seconds:.0f} s, {fetched} packages looked up so far")
    if terminal:
        print("\r\033[K", end="", file=sys.stderr, flush=True)
    if process.returncode:
        return lines or [f"{command[0]} ended with {process.returncode}"]
    say(f"installed in {time.monotonic() - began:.0f} s")
    return None


def compile_bytecode() -> None:
    """Without it every start takes three times as long."""
    works([str(PYTHON), "-m", "compileall", "-q", "-j", "0", str(ROOT / "cemd")])


def check() -> int:
    """Runs every check, also after one failed."""
    os.chdir(ROOT)
    failed = []
    for name, words in CHECKS:
        say(f"{name} …")
        if subprocess.run([str(PYTHON), *words], check=False).returncode:
            failed.append(name)
    say(f"not good: {', '.join(failed)}." if failed else "all checks are good.")
    return 1 if failed else 0


def works(command: list[str], folder: Path | None = None) -> bool:
    """True when a command can be started and ends well."""
    try:
        return subprocess.run(command, cwd=folder, capture_output=True, check=False).returncode == 0
    except OSError:
        return False


def say(text: str) -> None:
    print(f"start: {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:
        sys.exit(1)
