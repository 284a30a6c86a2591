"""What probes measure, against what indicators look at: who is never judged, and what can never be known.

Only a metric that a kind never gives is refused: pushed data, and how many values a run gives, are not known
beforehand. But an operator should learn the rest from `cemd check`, not from an indicator that stays unknown.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence

from cemd.config.params import Kinds
from cemd.config.probes import Probe
from cemd.config.rules import Indicator, Selector
from cemd.config.selectors import Selectors
from cemd.config.source import Item, Items, did_you_mean
from cemd.config.topology import Topology
from cemd.errors import Fault

MOST_NAMED = 5
"""Probes that are named one by one; of more, the number is enough."""


def unjudged(items: Items, topology: Topology) -> Iterator[str]:
    """Probes that no indicator looks at: baselines watch them, but no score and no objective speaks for them.

    Says nothing where there are no indicators at all: then nothing is meant to be judged.
    """
    lookers = Lookers([one.value for one in items.indicators], topology)
    alone = [one for one in items.probes if items.indicators and not lookers.at(one.value)]
    for probe in alone[:MOST_NAMED]:
        fact = "no indicator looks at what it measures, so it has no score and no objective"
        yield f"{probe.place}: {probe.label}: {fact}; write one under rules/analyze, or remove the probe"
    if len(alone) > MOST_NAMED:
        yield f"{len(alone) - MOST_NAMED} more probes have no indicator that looks at what they measure"


def misspelt(items: Items, kinds: Kinds) -> Iterator[Fault]:
    """Indicators of a metric that the kind of probe they look at never gives."""
    kind_of = {name: one.value.kind for one in items.probes for name in (one.value.identity(), one.value.name)}
    for item in items.indicators:
        of = item.value.of
        kind = of.kind or kind_of.get(of.probe or "")
        known = kinds.metrics.get(kind or "")
        if known is not None and of.metric not in known:
            fact = f'a probe of kind "{kind}" gives no metric "{of.metric}"{did_you_mean(of.metric, sorted(known))}'
            yield item.fault(("of", "metric"), fact, f"`cemd explain {kind}` says what it gives")


def never_known(items: Items, topology: Topology) -> Iterator[str]:
    """Indicators of probes whose window holds fewer runs than `min_samples`: they neither open nor end anything."""
    runs_at = topology.configuration.settings.runs_at
    # of the others pushed data may match as well
    asked = [one for one in items.indicators if one.value.of.probe is not None or one.value.of.kind is not None]
    lookers = Lookers([one.value for one in asked], topology)
    runs: list[dict[tuple[str, str | None, str | None], float]] = [defaultdict(float) for _ in asked]
    for item in items.probes:
        probe = item.value
        for which in lookers.places(probe):
            place = (probe.service, probe.site, probe.touchpoint)
            window = asked[which].value.window_seconds
            runs[which][place] += len(runs_at(probe.vantages)) * window / probe.every_seconds
    for indicator, by_place in zip(asked, runs, strict=True):
        for (service, _, _), held in by_place.items():
            if held < indicator.value.min_samples:
                yield _too_short(indicator, service, held)
                break


def _too_short(indicator: Item[Indicator], service: str, held: float) -> str:
    rule = indicator.value
    fact = (
        f'window_seconds ({rule.window_seconds:g}) holds {held:.3g} runs of the probes of service "{service}",'
        f" fewer than min_samples ({rule.min_samples}), so it may stay unknown"
    )
    return f"{indicator.place}: {indicator.label}: {fact}; look back longer, or measure more often"


class Lookers:
    """Indicators, by the probes that they can look at. Read-only after it is made."""

    def __init__(self, indicators: Sequence[Indicator], topology: Topology) -> None:
        self._indicators = indicators
        self._topology = topology
        self._selectors = Selectors([indicator.of for indicator in indicators])

    def places(self, probe: Probe) -> list[int]:
        """Where in the sequence those stand that can look at a metric of this probe, ascending."""
        names = (probe.name, probe.identity())
        return [
            place
            for place in self._selectors.candidates(probes=names, service=probe.service, kind=probe.kind)
            if looks_at(self._indicators[place].of, probe, self._topology)
        ]

    def at(self, probe: Probe) -> list[Indicator]:
        """Those that can look at a metric of this probe, in their order."""
        return [self._indicators[place] for place in self.places(probe)]


def looks_at(of: Selector, probe: Probe, topology: Topology) -> bool:
    """Whether an indicator can look at a metric of this probe; which metrics a kind gives is known once it measured."""
    return of.source is None and of.fits(
        probes=(probe.name, probe.identity()),
        kind=probe.kind,
        service=probe.service,
        touchpoint=probe.touchpoint or "",
        sites=topology.around(probe.site) if of.site is not None and probe.site is not None else (),
        source="",
    )
