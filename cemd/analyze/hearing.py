"""What customers get done while something else says that all is not well: pushed shares of success since then.

A probe that says "failed" may be wrong itself, and one that says "slow" or "lost" is one voice. Whoever pushes what
became of customers' own attempts (steps of journeys, orders, calls) counts the others: not what the window holds from
before, but what came since. What is usual, and how many stand behind a share, `crowds` has learnt; what it means is for
improve, which knows how many of those who are counted are at the finding's place.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from cemd.analyze.crowds import Crowds
from cemd.analyze.findings import Moment, OpenFindings, anew
from cemd.analyze.indicators.indicators import Indicators, window_seconds
from cemd.analyze.indicators.instances import MEANS, instance_key
from cemd.analyze.indicators.windows import Count
from cemd.config.rules import Indicator
from cemd.model.finding import Condition, Evidence, Finding, FindingPhase, Heard
from cemd.model.measurement import SUCCEEDS, SUCCESS

CLEARLY = 3.0
"""Standard deviations beyond which a difference is none by chance."""
LEAST_FAIL = 0.005
"""Where next to nothing ever failed, one that does is no sign yet."""
APART_SECONDS = 15.0
"""A finding is not stated anew more often than this, however often something is pushed."""
SETTLED_SHARE = 0.5
"""What is older than this part of the window is counted for good: nothing comes so late."""
CONFIRMS_SECONDS = 1800.0
"""So long it is heard who agrees; whether a probe is wrong itself, as long as it says that nothing works."""


class Ear:
    """Hears at one tick."""

    def __init__(self, held: OpenFindings, indicators: Indicators, crowds: Crowds, moment: Moment) -> None:
        self._held, self._indicators, self._crowds, self._moment = held, indicators, crowds, moment
        self._counted: dict[tuple[int, float], Count] = {}  # since an instant
        self._said: dict[tuple[object, ...], Heard] = {}
        self._usual: dict[tuple[int, float], Heard | None] = {}

    def with_heard(self, findings: Sequence[Finding]) -> list[Finding]:
        """What turned at this tick; where an objective broke, with what is heard of it."""
        return [self._hold(one, self._heard(one)) if self._listens_to(one) else one for one in findings]

    def heard_since(self) -> list[Finding]:
        """What is open longer, stated anew where more was heard of it; once good samples came among the bad ones (not
        everything fails) it says so."""
        said: list[Finding] = []
        for one in self._held.of(Condition.OBJECTIVE_BROKEN):
            if one.evidence.heard and self._moment.at - one.at >= APART_SECONDS and self._still_listens_to(one):
                now = self._hold(anew(one, self._moment), self._heard(one))
                said.extend([now] if _counts(now) != _counts(one) else ())
        return said

    def _listens_to(self, finding: Finding) -> bool:
        """What is usual must be known from before it began: who could not be heard then is not heard later."""
        number = self._indicators.number.get(_key(finding))
        if finding.condition is not Condition.OBJECTIVE_BROKEN or number is None:
            return False
        indicator = self._indicators.instances[number].indicator
        is_voice = indicator.of.source is not None and _is_share(indicator)
        begins = finding.phase is FindingPhase.BEGAN and not is_voice
        return begins or (finding.phase is FindingPhase.CHANGED and bool(finding.evidence.heard))

    def _still_listens_to(self, finding: Finding) -> bool:
        if self._moment.at - finding.began_at <= CONFIRMS_SECONDS:
            return True
        number = self._indicators.number.get(_key(finding))
        if finding.evidence.mixed or number is None:
            return False
        of = self._indicators.instances[number].indicator.of
        return of.source is None and of.metric == SUCCESS

    def _heard(self, finding: Finding) -> Evidence:
        number, evidence = self._indicators.number.get(_key(finding)), finding.evidence
        if number is None:  # not measured any more, and about to end
            return evidence
        since = evidence.since or finding.began_at
        voices = evidence.heard or self._voices_of(number, since)
        heard = tuple(self._hear(one, since) for one in voices)
        mixed = evidence.mixed or self._indicators.is_mixed(number)
        return msgspec.structs.replace(evidence, heard=heard, mixed=mixed)

    def _voices_of(self, number: int, since: float) -> tuple[Heard, ...]:
        """Who can be heard of an instance, and what was usual until `since`: what others push of the same service and
        of what stands on it, at the same touchpoint and at a place that may be the same, and is known long enough."""
        indicators = self._indicators
        mine, topology = indicators.instances[number], indicators.topology
        services = dict.fromkeys((mine.service, *topology.dependents(mine.service)))
        found = []
        for place in (one for service in services for one in indicators.pushed_of(service)):
            other = indicators.instances[place]
            if not _is_share(other.indicator) or other.indicator.of.source == mine.indicator.of.source:
                continue
            here = other.touchpoint in ("", mine.touchpoint or other.touchpoint)
            if here and topology.overlap(other.site, mine.site) and (voice := self._voice(place, since)) is not None:
                found.append(voice)
        return tuple(found)

    def _voice(self, place: int, since: float) -> Heard | None:
        """What was usual of an instance until an instant; None: it is not known long enough. Asked once a tick, however
        many findings hear it."""
        key = (place, since)
        if key not in self._usual:
            self._usual[key] = _voice(place, since, self._indicators, self._crowds, self._moment.at)
        return self._usual[key]

    def _hear(self, voice: Heard, since: float) -> Heard:
        """The voice with what it says since an instant; as it was where nobody looks at it any more. Of thousands of
        findings that broke at one instant all hear the same: one object."""
        number = self._indicators.number.get(instance_key(voice.indicator, voice.service, voice.site, voice.touchpoint))
        if number is None:
            return voice
        key = (number, since, voice.usual, voice.worth, voice.per_second, voice.settled_at, voice.settled)
        if (said := self._said.get(key)) is not None:
            return said
        windows, now, settled_at = self._indicators.windows, self._moment.at, max(since, voice.settled_at)
        if (number, since) not in self._counted:
            self._counted[number, since] = windows.parted(number, since, now)[1]
        count, total = self._counted[number, since]
        border = max(settled_at, now - SETTLED_SHARE * window_seconds(self._indicators, number))
        settling, later = windows.parted_since(number, settled_at, border, now)
        settled = (voice.settled[0] + settling[0], voice.settled[1] + settling[1])
        in_all = settled[0] + later[0]
        said = msgspec.structs.replace(
            voice,
            value=total / count if count else None,
            attempts=voice.worth * count,
            in_all=(settled[1] + later[1]) / in_all if in_all else None,
            attempts_in_all=voice.worth * in_all,
            settled_at=border,
            settled=settled,
        )
        self._said[key] = said
        return said

    def _hold(self, finding: Finding, evidence: Evidence) -> Finding:
        return self._held.put(_key(finding), msgspec.structs.replace(finding, evidence=evidence))


def _counts(finding: Finding) -> tuple[object, ...]:
    """What it says by now."""
    return (finding.evidence.mixed, *((one.value, one.attempts) for one in finding.evidence.heard))


def _key(finding: Finding) -> str:
    """Of the indicator instance that a finding is about."""
    return instance_key(finding.indicator, finding.subject.name, finding.subject.site, finding.touchpoint)


def _voice(place: int, since: float, indicators: Indicators, crowds: Crowds, now: float) -> Heard | None:
    """What was usual of an instance until an instant; None: it is not known long enough."""
    known = [one for row in indicators.series_of(place).tolist() if (one := crowds.usual(row)) is not None]
    if not known:
        return None
    instance = indicators.instances[place]
    usual, worth = (sum(one[part] for one in known) / len(known) for part in (0, 1))
    before, _ = indicators.windows.parted(place, since, now)
    seconds = max(window_seconds(indicators, place) - (now - since), APART_SECONDS)
    return Heard(
        indicator=instance.indicator.name,
        service=instance.service,
        site=instance.site,
        touchpoint=instance.touchpoint,
        usual=_lately(usual, worth, before),
        worth=worth,
        per_second=worth * before[0] / seconds,
    )


def _lately(usual: float, worth: float, before: Count) -> float:
    """The share that succeeded as a rule; where it was clearly lower just before, that: what failed already has nothing
    to do with what begins."""
    count, total = before
    if not count:
        return usual
    fails = max(1.0 - usual, LEAST_FAIL)
    by_chance = CLEARLY * math.sqrt(fails * (1.0 - min(fails, 0.5)) / (worth * count))
    return total / count if usual - total / count > by_chance else usual


def rows_heard(indicators: Indicators) -> NDArray[np.intp]:
    """Rows of the table that may be heard: pushed shares of success that an indicator averages."""
    shares = [one for one in indicators.pushed() if _is_share(indicators.instances[one].indicator)]
    return np.array([row for one in shares for row in indicators.series_of(one).tolist()], np.intp)


def _is_share(indicator: Indicator) -> bool:
    return indicator.of.metric.endswith(SUCCEEDS) and indicator.summary in MEANS
