"""Fixtures for every test: missing components are said loudly, and fail where CI=true; so is what is forbidden here."""

from __future__ import annotations

import asyncio
import os
import secrets
import shutil
import subprocess
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

from tests.forbidden import forbidden, lacking, told_at_the_end

pytest_plugins = ["pytester"]

# A loaded machine is no fault: no example is failed for the time that it took.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")

PROGRAMS: dict[str, tuple[str, ...]] = {
    # component: programs, any of which will do
    "alertmanager": ("prometheus-alertmanager", "alertmanager"),
    "check_plugins": ("/usr/lib/nagios/plugins/check_dummy",),
    "chromium": ("chromium",),
    "chronyd": ("chronyd",),
    "dovecot": ("dovecot",),
    "slapd": ("slapd",),
    "sshd": ("sshd",),
    "dnsmasq": ("dnsmasq",),
    "freediameter": ("freeDiameterd",),
    "freeradius": ("freeradius", "radiusd"),
    "kamailio": ("kamailio",),
    "mosquitto": ("mosquitto",),
    "named": ("named",),
    "nginx": ("nginx",),
    "openssl": ("openssl",),
    "promtool": ("promtool",),
    "sipp": ("sipp",),
    "snmpd": ("snmpd",),
    "systemd-analyze": ("systemd-analyze",),
}
SBIN = os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin", "/sbin"))


def program(component: str) -> str | None:
    """Path of the program that serves this component, None where it is not installed."""
    return next((path for name in PROGRAMS[component] if (path := shutil.which(name, path=SBIN))), None)


def pytest_sessionstart() -> None:
    """No loop but those of the tests: else the first asynchronous test makes one that nobody closes."""
    asyncio.set_event_loop(None)


def pytest_runtest_setup(item: pytest.Item) -> None:
    for marker in item.iter_markers("needs"):
        for component in marker.args:
            if program(component) is None:
                lacking(f"component {component!r} is not installed ({' or '.join(PROGRAMS[component])} not found)")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """The last words of a run: what this machine let nobody test."""
    skipped = terminalreporter.stats.get("skipped", [])
    if lines := told_at_the_end([str(one.longrepr[2]) for one in skipped if isinstance(one.longrepr, tuple)]):
        terminalreporter.section("NOT TESTED, for this machine forbids it", sep="!", red=True, bold=True)
        for line in lines:
            terminalreporter.write_line(line, red=True)


@pytest.fixture
def namespace() -> Iterator[str]:
    """A network namespace whose only interface is loopback."""
    name = f"cemd-{secrets.token_hex(4)}"
    try:
        subprocess.run(["ip", "netns", "add", name], check=True, capture_output=True, text=True, timeout=10)
    except OSError as exc:
        lacking(f"program `ip` (package iproute2) cannot be run ({exc})")
    except subprocess.CalledProcessError as exc:
        said = f"`ip netns add`: {exc.stderr.strip()}"
        if "not permitted" in said or "denied" in said:
            forbidden(f"network namespaces, in which VRFs and ways out are tested ({said})")
        lacking(f"network namespaces cannot be made ({said})")
    try:
        subprocess.run(["ip", "-n", name, "link", "set", "lo", "up"], check=True, timeout=10)
        yield name
    finally:
        subprocess.run(["ip", "netns", "del", name], check=False, timeout=10)
