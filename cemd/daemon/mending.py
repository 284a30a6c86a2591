"""What a person has to mend while the daemon goes on: a refused reload, a vantage point that is not heard, a channel
that does not work, pushes in vain.

None of it makes cemd unready: it works, with what it had before. But whoever changed a file believes that the change
holds, whoever is on shift that staff are told, and whoever pushes that somebody looks; so it stands on the page and in
`cemd status` until it is mended, and not only in the log of the moment in which it happened.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

from cemd.errors import ConfigError
from cemd.kit.words import counted
from cemd.model.finding import Finding
from cemd.model.identity import Instant
from cemd.model.notice import Alert
from cemd.model.subject import SubjectKind
from cemd.model.view import Views
from cemd.monitor.intake import Complaint
from cemd.report.channels.health import Failing
from cemd.web.house import ToMend

MOST_FAULTS_SHOWN = 5
"""Of one refused reload, by place; `cemd check` prints all of them."""
RELOAD = "The last reload was refused; what was in effect before it still is"
REMEDY = "mend it, then reload"
CHANNEL = "A channel does not work: nobody is told by it"
_TRIED_AGAIN = "mend it there, or in config/channels.yaml and reload; what is still true is tried again by itself"
REFUSED = "Pushed data is refused"
UNHEARD = "A vantage point is not heard: what only it would see is not known"
UNJUDGED = "Pushed data is kept, but nobody judges it"


def of_views(views: Views | None, failing: Sequence[Failing], home: str) -> Iterator[ToMend]:
    """What the core says: vantage points that are not heard, and staff who were not told."""
    if views is not None:
        yield from of_vantages(views.analyze.findings, home)
        yield from of_alerts(views.report.alerts, failing)


def of_vantages(findings: Iterable[Finding], home: str) -> Iterator[ToMend]:
    """Vantage points that are not heard; `home` is that of the daemon's own prober."""
    for one in findings:
        name = one.subject.name
        if one.subject.kind is SubjectKind.VANTAGE:
            runs = "`cemd run`, or a unit of its own," if name == home else f"`cemd agent --vantage {name}`"
            yield ToMend(
                what=UNHEARD,
                place=f"vantage point {name}",
                fact=one.evidence.note,
                remedy=f"see that its prober runs ({runs} starts it) and reaches this daemon, or take it from the"
                f" probes and reload; `cemd explain {one.id}`",
                since=one.evidence.since,
            )


def of_pushed(complaint: Complaint) -> ToMend:
    """What a door says of its senders."""
    return ToMend(
        what=UNJUDGED if complaint.kept else REFUSED,
        place=complaint.source,
        fact=complaint.fact if complaint.times == 1 else f"{complaint.fact} ({complaint.times:,} times)",
        remedy=complaint.remedy,
        since=complaint.since,
    )


def of_channel(failing: Failing) -> ToMend:
    """What a channel says of whom it cannot reach."""
    fact = failing.why.removeprefix(f"channel {failing.channel!r}: ").rstrip(".")
    return ToMend(
        what=CHANNEL,
        place=f"channel {failing.channel}",
        fact=f"the last message did not leave: {fact}",
        remedy=_TRIED_AGAIN,
        since=failing.since,
    )


def of_alerts(alerts: Iterable[Alert], failing: Sequence[Failing]) -> Iterator[ToMend]:
    """Staff who were not told, by channel: what a start has not tried again yet is known from the rows alone."""
    said = {one.channel for one in failing}
    untold: dict[str, list[Alert]] = {}
    for alert in alerts:
        if alert.failure and alert.channel not in said:
            untold.setdefault(alert.channel, []).append(alert)
    for channel, kept in untold.items():
        why = kept[-1].failure.removeprefix(f"channel {channel!r}: ").rstrip(".")
        yield ToMend(
            what=CHANNEL,
            place=f"channel {channel}",
            fact=f"staff were not told of {', '.join(one.incident for one in kept[:3])}: {why}",
            remedy=_TRIED_AGAIN,
            since=min(one.starts_at for one in kept),
        )


class Mending:
    """Written by the event loop, read by whoever shows it, the thread of the exposition too. `others` answers what the
    edges have to say."""

    def __init__(self, others: Callable[[], Iterable[ToMend]] = tuple) -> None:
        self._reload: tuple[ToMend, ...] = ()
        self.others = others

    @property
    def reload_refused(self) -> bool:
        return bool(self._reload)

    def refuse_reload(self, why: Exception, at: Instant) -> None:
        """The newest reload changed nothing. What was wrong with one before it is wrong no more, or said again."""
        if not isinstance(why, ConfigError):
            self._reload = (ToMend(what=RELOAD, place="reload", fact=str(why).rstrip("."), remedy=REMEDY, since=at),)
            return
        shown = why.faults[:MOST_FAULTS_SHOWN]
        told = [ToMend(what=RELOAD, place=one.place, fact=one.fact, remedy=one.remedy, since=at) for one in shown]
        if more := len(why.faults) - len(shown):
            fact = f"{counted(more, 'other fault')} of the files"
            told.append(ToMend(what=RELOAD, place="reload", fact=fact, remedy="`cemd check` prints all", since=at))
        self._reload = tuple(told)

    def take_reload(self) -> None:
        """A reload was taken: what is in effect is what the files say."""
        self._reload = ()

    def all(self) -> tuple[ToMend, ...]:
        """Everything that is to mend now, the configuration first."""
        return (*self._reload, *self.others())
