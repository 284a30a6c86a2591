"""The shipped files and the demo's copy of them: loadable, harmless as they are, and changed only where it is said."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from cemd.config.configuration import Configuration
from cemd.config.entries import is_loopback
from cemd.config.load import load
from cemd.config.topology import Topology
from cemd.daemon.kinds import kinds
from cemd.demo.files import FOLDERS, MINUTE_SECONDS, SHORTENED, shipped_root, write_copy
from cemd.demo.operator import DOORS, NAME, NEEDS, SHIPPED_PORTS, SITES, SOLD, ZONE, dependents, sold_on
from cemd.model.notice import Mode
from cemd.model.quality import Dimension

PORTS = {name: number + 10_000 for name, number in SHIPPED_PORTS.items()}


@pytest.fixture(scope="module")
def shipped() -> Configuration:
    return load(shipped_root(), kinds()).configuration


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    write_copy(tmp_path, PORTS)
    return tmp_path


def test_the_shipped_files_load_without_a_warning() -> None:
    assert load(shipped_root(), kinds()).warnings == ()


def test_the_shipped_files_send_nothing_to_anybody(shipped: Configuration) -> None:
    assert {policy.mode for policy in shipped.policies} == {Mode.SHADOW}
    assert [channel.name for channel in shipped.channels if channel.to == "staff"] == []
    assert shipped.routes == []
    assert all(is_loopback(channel.params["host"]) for channel in shipped.channels)
    assert is_loopback(shipped.settings.listen.host)
    assert shipped.settings.customers is None


def test_a_policy_that_is_made_live_has_a_ceiling_a_basis_and_texts(shipped: Configuration) -> None:
    for policy in shipped.policies:
        assert policy.ceiling
        assert policy.bases == ["contract"]
        assert policy.texts.keys() == {"en", "de"}
        assert (policy.hold_seconds, policy.stable_seconds) == (300, 600)


def test_the_catalogue_says_what_demotelco_really_is(shipped: Configuration) -> None:
    assert {one.name: tuple(sorted(one.depends_on)) for one in shipped.services} == {
        name: tuple(sorted(needs)) for name, needs in NEEDS.items()
    }
    assert tuple(one.name for one in shipped.services if one.sold) == tuple(one for one in NEEDS if one in SOLD)
    assert {one.name: (one.parent or "", one.zone) for one in shipped.sites} == SITES
    assert (shipped.settings.operator.name, shipped.settings.operator.zone) == (NAME, ZONE)


def test_the_graph_of_the_daemon_and_the_truth_agree_on_whom_a_fault_hurts(shipped: Configuration) -> None:
    topology = Topology(shipped)
    for name in NEEDS:
        assert set(topology.dependents(name)) == set(dependents(name))
        assert set(topology.sold(name)) == set(sold_on(name))


def test_every_kind_of_probe_and_every_dimension_appears(shipped: Configuration) -> None:
    assert {probe.kind for probe in shipped.probes} == {"icmp", "tcp", "dns", "http", "transaction", "command"}
    assert {indicator.dimension for indicator in shipped.indicators} == set(Dimension)
    assert any((indicator.of.source or "").startswith("mqtt:") for indicator in shipped.indicators)
    assert all(indicator.source for indicator in shipped.indicators)


def test_four_customer_domains_hold_eleven_processes(shipped: Configuration) -> None:
    domains = {process.domain for process in shipped.processes}
    assert (len(shipped.processes), len(domains)) == (11, 4)
    assert len({journey.macro_journey for journey in shipped.journeys}) == 4
    assert sum(step.moment_of_truth for journey in shipped.journeys for step in journey.steps) >= 8


def test_every_service_of_demotelco_is_measured(shipped: Configuration) -> None:
    assert {probe.service for probe in shipped.probes} == set(NEEDS)


@pytest.mark.parametrize("service", ["hlr", "core-network", "dns-resolver", "payment-gateway", "charging", "crm"])
def test_what_much_stands_on_is_confirmed_by_two_probes_of_its_own(shipped: Configuration, service: str) -> None:
    assert sum(probe.service == service for probe in shipped.probes) >= 2
    assert shipped.grouping.confirm_sources == 2


def test_the_copy_loads_and_is_live_short_and_without_quiet_hours(copied: Path) -> None:
    configuration = load(copied, kinds()).configuration
    (policy,) = configuration.policies
    assert (policy.mode, policy.quiet_hours) == (Mode.LIVE, None)
    assert (policy.hold_seconds, policy.stable_seconds) == (15, 15)
    assert configuration.grouping.stable_seconds == 15
    assert {probe.every_seconds for probe in configuration.probes} == {2, 4}
    assert configuration.settings.customers is not None
    assert [route.channel for route in configuration.routes] == ["noc-webhook"]


def test_the_copy_differs_only_in_lines_that_say_so(copied: Path, shipped: Configuration) -> None:
    said = re.compile(r"# demo[;:]")
    for folder in FOLDERS:
        for path in sorted((shipped_root() / folder).rglob("*.yaml")):
            ours = path.read_text().splitlines()
            theirs = (copied / path.relative_to(shipped_root())).read_text().splitlines()
            assert len(ours) == len(theirs)
            for before, after in zip(ours, theirs, strict=True):
                uncommented = before.startswith("#") and before.lstrip("# ").split()[:1] == after.split()[:1]
                assert before == after or said.search(after) or uncommented or before.startswith("#"), after
    assert load(copied, kinds()).configuration.services == shipped.services
    assert load(copied, kinds()).configuration.journeys == shipped.journeys


def test_every_port_of_demotelco_is_filled_in(copied: Path) -> None:
    text = "".join(path.read_text() for folder in FOLDERS for path in (copied / folder).rglob("*.yaml"))
    code = "".join(line.split(" #")[0] + "\n" for line in text.splitlines())
    assert re.findall(r"\b174\d\d\b", code) == []
    assert set(map(int, re.findall(r"\b274\d\d\b", code))) == set(PORTS.values())
    assert len({door.shipped for door in DOORS}) == len(DOORS)


def test_the_plugin_of_the_copy_can_be_run(copied: Path) -> None:
    plugin = copied / "probes" / "plugins" / "check_bill_run"
    assert plugin.stat().st_mode & 0o100
    assert Path(plugin.read_text().splitlines()[0].removeprefix("#!")).exists()


def test_the_banner_says_what_is_shorter() -> None:
    words = " ".join(SHORTENED)
    assert all(said in words for said in (f"{MINUTE_SECONDS:g} s", "15 s", "quiet hours", "live"))
