"""Effects: what leaves `step`. Rows are committed in one transaction with `applied_seq`; only then is anything sent."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import chain

from cemd.model.entry import NoticeOutcomes
from cemd.model.finding import Finding
from cemd.model.notice import Alert, NoticeRows, Phase
from cemd.model.rows import RowChange


@dataclass(frozen=True, slots=True, kw_only=True)
class Recheck:
    """Run this probe (uid) now: feedback from improve to monitor. Never waited for; coalesced by probe."""

    probe: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkDue:
    """Notices wait for this channel: its edge should ask with a DispatchRequest."""

    channel: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfigChanged:
    """A configuration epoch took effect: the prober and the edges take their part of it."""

    hash: str
    summary: tuple[str, ...] = ()


@dataclass(slots=True)
class Effects:
    """Collected during one `step`. The first block is written; the second is carried out after the commit."""

    rows: list[RowChange] = field(default_factory=list)
    notices: list[NoticeRows] = field(default_factory=list)  # inserted in flight, then sent
    again: list[NoticeRows] = field(default_factory=list)  # rows that are due become in flight once more, then sent
    outcomes: list[NoticeOutcomes] = field(default_factory=list)  # conditional updates of outbox rows
    orphaned: list[str] = field(default_factory=list)  # communications whose in-flight rows become unknown (start)

    alerts: list[Alert] = field(default_factory=list)  # rows are in `rows`; the edge sends them
    resends: list[NoticeRows] = field(default_factory=list)  # class safety, at a start: in flight already, sent again
    withdrawn: list[tuple[str, Phase, int]] = field(default_factory=list)  # not to be sent any more, if not yet sent
    stopped: bool | None = None  # kill switch: True stops everything at the edge at once
    rechecks: list[Recheck] = field(default_factory=list)
    due: list[WorkDue] = field(default_factory=list)
    config: ConfigChanged | None = None
    findings: tuple[Finding, ...] = ()  # what arose, for those who compare rule sets; nothing is done with them

    def must_commit(self) -> bool:
        """True when state.db has to change before anything else happens."""
        return bool(self.rows or self.notices or self.again or self.outcomes or self.orphaned)

    def handed_over(self) -> Iterator[NoticeRows]:
        """All notices that leave now."""
        return chain(self.notices, self.again, self.resends)
