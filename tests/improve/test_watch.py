"""Who watches what is found by the words of selectors: it costs probes plus indicators, and not their product."""

from __future__ import annotations

from typing import Any

import pytest
from cemd.analyze.indicators.indicators import Indicators
from cemd.analyze.series import SeriesTable
from cemd.config.catalogue import Domain, Service
from cemd.config.configuration import Configuration
from cemd.config.judged import looks_at
from cemd.config.probes import Probe
from cemd.config.rules import Indicator, Objective, Score, Selector, Summary
from cemd.config.topology import Topology
from cemd.improve.watch import Watch
from cemd.model.identity import series_id
from cemd.model.measurement import SUCCESS, Series, SeriesKey
from cemd.model.quality import Dimension

SERVICES, PROBES = 60, 600


def indicator(name: str, **of: Any) -> Indicator:
    return Indicator(
        name=name,
        of=Selector(metric=SUCCESS, **of),
        summary=Summary.RATIO,
        window_seconds=60.0,
        dimension=Dimension.RELIABILITY,
        score=Score(worst=0.5, best=1.0),
        objective=Objective(at_least=0.9, for_seconds=20.0),
        source="test",
    )


@pytest.fixture
def topology() -> Topology:
    services = [f"s{number}" for number in range(SERVICES)]
    return Topology(
        Configuration(
            services=[Service(name=name, function="f", domain=Domain.IT, platform="p") for name in services],
            probes=[
                Probe(
                    name=f"p{number}",
                    kind="tcp" if number % 3 else "dns",
                    service=services[number % SERVICES],
                    every_seconds=10.0,
                    timeout_seconds=1.0,
                )
                for number in range(PROBES)
            ],
            indicators=[
                *(indicator(f"of-{name}", service=name) for name in services),
                *(indicator(f"tcp-{name}", service=name, kind="tcp") for name in services[:9]),
                indicator("one", probe="p7"),
                indicator("dns", kind="dns"),
            ],
        )
    )


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """One entry for each time that a selector is asked whether it fits."""
    found: list[str] = []
    fits = Selector.fits

    def counted(self: Selector, **words: Any) -> bool:
        found.append(words["service"])
        return fits(self, **words)

    monkeypatch.setattr(Selector, "fits", counted)
    return found


def test_watch_asks_few_selectors_and_finds_all_that_look(topology: Topology, asked: list[str]) -> None:
    watch = Watch(topology)
    watch.fingerprints()
    assert len(asked) < 3 * PROBES
    for service in topology.services:
        strict = topology.configuration.indicators
        watched = [
            probe.identity()
            for probe in topology.probes_of(service)
            if any(looks_at(one.of, probe, topology) for one in strict)
        ]
        assert [one.probe for one in watch.lookouts(service, "")] == watched


def test_new_series_ask_few_selectors_and_open_every_window_that_looks_at_them(
    topology: Topology, asked: list[str]
) -> None:
    table, indicators = SeriesTable(), Indicators(topology)
    table.place_all(topology)
    keys = [SeriesKey(probe=f"p{number}", metric=SUCCESS) for number in range(PROBES)]
    rows = table.add([Series(id=series_id(key.probe, n), key=key, source="prober:home") for n, key in enumerate(keys)])
    indicators.add_series(table, rows)
    assert len(asked) < 3 * PROBES
    probes = {probe.identity(): probe for probe in topology.configuration.probes}
    pairs = {
        (row, one.name)
        for row, key in enumerate(keys)
        for one in topology.configuration.indicators
        if looks_at(one.of, probes[key.probe], topology)
    }
    found = {
        (int(row), instance.indicator.name)
        for number, instance in enumerate(indicators.instances)
        for row in indicators.series_of(number)
    }
    assert found == pairs


def test_a_place_is_kept_where_the_probe_is_the_same_and_made_anew_where_it_changed(topology: Topology) -> None:
    table = SeriesTable()
    table.place_all(topology)
    keys = [SeriesKey(probe=f"p{number}", metric=SUCCESS) for number in range(3)]
    table.add([Series(id=series_id(key.probe, n), key=key, source="prober:home") for n, key in enumerate(keys)])
    before = list(table.places)
    old = topology.configuration
    probes = [old.probes[0].model_copy(update={"service": "s9"}), old.probes[1], *old.probes[3:]]
    table.place_all(Topology(old.model_copy(update={"probes": probes})))
    changed, same, gone = table.places
    assert changed is not None
    assert changed.service == "s9"
    assert same is before[1]
    assert gone is None, "its probe has left the set"
    assert table.columns["placed"].tolist() == [True, True, False]
