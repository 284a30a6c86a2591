"""Findings: what turned at a tick, said with evidence; and the list of all that are open, in order of their beginning.

A finding's id and trace come from what it is about and the entry that made it, so that a replay gives the same ones.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from cemd.analyze.series import Place
from cemd.model.finding import Condition, Evidence, Finding, FindingPhase
from cemd.model.identity import Instant, record_id
from cemd.model.quality import Quality
from cemd.model.subject import Subject, SubjectKind

MOST_SERIES = 20
"""Series that evidence names; the indicator's window knows the rest."""


class Moment(msgspec.Struct, frozen=True):
    """Which entry speaks: time, seq and configuration epoch."""

    at: Instant
    seq: int
    epoch: str


class Said(msgspec.Struct, frozen=True, kw_only=True):
    """What is found: everything of a finding but its identity and phase."""

    quality: Quality
    subject: Subject
    indicator: str = ""
    probe: str = ""
    touchpoint: str = ""
    evidence: Evidence

    @classmethod
    def of_place(cls, place: Place, metric: str, quality: Quality, evidence: Evidence) -> Said:
        """Of the service that is measured at this place."""
        subject = Subject(kind=SubjectKind.SERVICE, name=place.service, site=place.site)
        probe, touchpoint = place.probe, place.touchpoint
        return cls(
            quality=quality, subject=subject, indicator=metric, probe=probe, touchpoint=touchpoint, evidence=evidence
        )


def key_of(place: tuple[str, str]) -> str:
    """Key of a touchpoint's finding; those of series are numbers."""
    return f"{SubjectKind.TOUCHPOINT}\x1f{place[0]}\x1f{place[1]}"


def place_of(key: str) -> tuple[str, str] | None:
    """The touchpoint and site of a key, None where it is not one of theirs."""
    kind, _, rest = key.partition("\x1f")
    name, _, site = rest.partition("\x1f")
    return (name, site) if kind == SubjectKind.TOUCHPOINT else None


class OpenFindings:
    """Open findings by condition and key (of the indicator instance, series or feed)."""

    def __init__(self) -> None:
        self._open: dict[str, Finding] = {}
        self._keys: dict[Condition, dict[str, None]] = {}  # of the same, by condition: asked for at every tick
        self._ended: dict[str, str] = {}  # key of what has ended by id, until somebody asked

    def __len__(self) -> int:
        return len(self._open)

    def __iter__(self) -> Iterator[Finding]:
        return iter(tuple(self._open.values()))

    def of(self, condition: Condition) -> list[Finding]:
        """Open findings of one condition."""
        return [self._open[f"{condition}\x1f{key}"] for key in self._keys.get(condition, ())]

    def get(self, condition: Condition, key: str) -> Finding | None:
        return self._open.get(f"{condition}\x1f{key}")

    def named(self, finding: str) -> tuple[str, Finding] | None:
        """Key and finding of an id, None where it is not open."""
        for name, one in self._open.items():
            if one.id == finding:
                return name.partition("\x1f")[2], one
        return None

    def take_ended(self) -> dict[str, str]:
        """Key of every finding that ended since this was asked last, by its id."""
        ended, self._ended = self._ended, {}
        return ended

    def put(self, key: str, finding: Finding) -> Finding:
        """Replaces an open finding by how it is said now."""
        self._open[f"{finding.condition}\x1f{key}"] = finding
        self._keys.setdefault(finding.condition, {})[key] = None
        return finding

    def keys(self, condition: Condition) -> list[str]:
        """Keys of the open findings of one condition."""
        return list(self._keys.get(condition, ()))

    def begin(self, condition: Condition, key: str, said: Said, moment: Moment) -> Finding:
        trace = record_id("trc", condition, key, moment.seq)
        finding = Finding(
            id=record_id("fnd", condition, key, moment.seq),
            trace=trace,
            condition=condition,
            phase=FindingPhase.BEGAN,
            quality=said.quality,
            subject=said.subject,
            indicator=said.indicator,
            probe=said.probe,
            touchpoint=said.touchpoint,
            began_at=moment.at,
            at=moment.at,
            seq=moment.seq,
            epoch=moment.epoch,
            evidence=said.evidence,
        )
        return self.put(key, finding)

    def change(
        self, condition: Condition, key: str, moment: Moment, *, quality: Quality, evidence: Evidence
    ) -> Finding:
        """Another quality, with new evidence; what it is about stays.

        Raises:
            KeyError: no such finding is open.
        """
        name = f"{condition}\x1f{key}"
        self._open[name] = msgspec.structs.replace(
            self._open[name],
            phase=FindingPhase.CHANGED,
            quality=quality,
            evidence=evidence,
            at=moment.at,
            seq=moment.seq,
            epoch=moment.epoch,
        )
        return self._open[name]

    def end(self, condition: Condition, key: str, moment: Moment, evidence: Evidence | None = None) -> Finding:
        """Raises KeyError when no such finding is open."""
        finding = self._open.pop(f"{condition}\x1f{key}")
        del self._keys[condition][key]
        self._ended[finding.id] = key
        return msgspec.structs.replace(
            finding,
            phase=FindingPhase.ENDED,
            at=moment.at,
            seq=moment.seq,
            epoch=moment.epoch,
            evidence=evidence or finding.evidence,
        )

    def retire(self, condition: Condition, key: str, moment: Moment) -> Finding:
        """Ends what is not measured any more."""
        found = self.get(condition, key)
        note = "not measured any more: configuration changed"
        evidence = msgspec.structs.replace(found.evidence if found else Evidence(), until=moment.at, note=note)
        return self.end(condition, key, moment, evidence)

    def state_anew(self, moment: Moment) -> list[Finding]:
        """After a start: every open finding, nothing changed."""
        return [anew(one, moment) for one in self._open.values()]

    def dump(self) -> bytes:
        return msgspec.msgpack.encode(self._open)

    def load(self, body: bytes) -> None:
        self._open = msgspec.msgpack.decode(body, type=dict[str, Finding])
        self._keys, self._ended = {}, {}
        for name, finding in self._open.items():
            self._keys.setdefault(finding.condition, {})[name.partition("\x1f")[2]] = None


def anew(finding: Finding, moment: Moment) -> Finding:
    """The finding as it is stated once more: nothing changed."""
    return msgspec.structs.replace(finding, phase=FindingPhase.OPEN, at=moment.at, seq=moment.seq, epoch=moment.epoch)
