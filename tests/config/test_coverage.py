"""Which touchpoints are watched from both sides, network and IT."""

from __future__ import annotations

import pytest
from cemd.config.catalogue import Domain, Service, Touchpoint, TouchpointChannel
from cemd.config.configuration import Configuration
from cemd.config.coverage import coverage_of
from cemd.config.probes import Probe
from cemd.config.topology import Topology


def service(name: str, domain: Domain, *needs: str) -> Service:
    return Service(name=name, function="f", domain=domain, platform="p", depends_on=list(needs))


def topology(*watched: str) -> Topology:
    services = [
        service("top-up", Domain.BSS, "billing", "core", "bank"),
        service("billing", Domain.BSS),
        service("core", Domain.NETWORK),
        service("bank", Domain.PARTNER),
    ]
    points = [
        Touchpoint(name="app", channel=TouchpointChannel.APP, offers=["top-up"]),
        Touchpoint(name="ussd", channel=TouchpointChannel.USSD, depends_on=["core"]),
    ]
    probes = [
        Probe(name=f"probe-{name}", kind="tcp", service=name, every_seconds=30.0, timeout_seconds=5.0)
        for name in watched
    ]
    return Topology(Configuration(services=services, touchpoints=points, probes=probes))


@pytest.mark.parametrize(
    ("watched", "ratio", "lacking"),
    [
        ((), 0.0, {"app": ("network", "it"), "ussd": ("network", "it")}),
        (("core",), 0.0, {"app": ("it",), "ussd": ("it",)}),
        (("core", "billing"), 0.5, {"ussd": ("it",)}),
        (("bank", "billing"), 0.0, {"app": ("network",), "ussd": ("network", "it")}),
    ],
    ids=["nothing", "network", "both", "a partner is no side"],
)
def test_a_touchpoint_is_watched_by_what_is_below_it(
    watched: tuple[str, ...], ratio: float, lacking: dict[str, tuple[str, ...]]
) -> None:
    coverage = coverage_of(topology(*watched))
    assert (coverage.ratio, coverage.lacking) == (ratio, lacking)


def test_a_touchpoint_is_watched_by_a_probe_that_stands_at_it() -> None:
    """A shop's line is no part of what the shop sells, but the shop is seen through it."""
    known = topology("billing").configuration
    line = Probe(name="line", kind="tcp", service="core", touchpoint="app", every_seconds=30.0, timeout_seconds=5.0)
    coverage = coverage_of(Topology(known.model_copy(update={"probes": [*known.probes, line]})))
    assert (coverage.ratio, coverage.lacking) == (0.5, {"ussd": ("it",)})
    elsewhere = line.model_copy(update={"touchpoint": None, "service": "bank"})
    assert coverage_of(Topology(known.model_copy(update={"probes": [*known.probes, elsewhere]}))).ratio == 0.0


def test_without_touchpoints_there_is_no_figure() -> None:
    assert coverage_of(Topology(Configuration())).ratio is None
