"""What probes measure, against what indicators look at: who is never judged, and what can never be known.

Only a metric that a kind never gives is refused: pushed data, and how many values a run gives, are not known
beforehand. But an operator should learn the rest from `cemd check`, not from an indicator that stays unknown.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from cemd.config.params import Kinds
from cemd.config.probes import Probe
from cemd.config.rules import Indicator, Selector
from cemd.config.source import Item, Items, did_you_mean
from cemd.config.topology import Topology
from cemd.errors import Fault

MOST_NAMED = 5
"""Probes that are named one by one; of more, the number is enough."""


def unjudged(items: Items, topology: Topology) -> Iterator[str]:
    """Probes that no indicator looks at: baselines watch them, but no score and no objective speaks for them.

    Says nothing where there are no indicators at all: then nothing is meant to be judged.
    """
    rules = [one.value.of for one in items.indicators]
    alone = [one for one in items.probes if rules and not any(looks_at(of, one.value, topology) for of in rules)]
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
    for indicator in items.indicators:
        rule = indicator.value
        if rule.of.probe is None and rule.of.kind is None:
            continue  # pushed data may match as well
        runs: dict[tuple[str, str | None, str | None], float] = defaultdict(float)
        for item in items.probes:
            probe = item.value
            if looks_at(rule.of, probe, topology):
                place = (probe.service, probe.site, probe.touchpoint)
                runs[place] += len(runs_at(probe.vantages)) * rule.window_seconds / probe.every_seconds
        for (service, _, _), held in runs.items():
            if held < rule.min_samples:
                yield _too_short(indicator, service, held)
                break


def _too_short(indicator: Item[Indicator], service: str, held: float) -> str:
    rule = indicator.value
    fact = (
        f'window_seconds ({rule.window_seconds:g}) holds {held:.3g} runs of the probes of service "{service}",'
        f" fewer than min_samples ({rule.min_samples}), so it may stay unknown"
    )
    return f"{indicator.place}: {indicator.label}: {fact}; look back longer, or measure more often"


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
