"""The journal of a long run: one line a life, written as it ends; a run that was cut short goes on where it was.

A line is the report as `--json` prints it. A life is known when its plan is. What another core lived belongs in another
journal, which is for the person to know: lives are only worth adding up when one core lived them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from cemd.errors import CemdError
from cemd.simulation.outcome import SimulationReport
from cemd.simulation.plan import Plan


class Journal:
    """Reports in a file. None: nothing is kept."""

    def __init__(self, path: Path | None) -> None:
        self.path = path

    def lived(self, plans: Sequence[Plan]) -> list[SimulationReport]:
        """Reports of those plans that were lived before.

        Raises:
            CemdError: a line before the last is no report. The last may be cut off, and is lived again.
        """
        kept = {report.plan: report for report in self._read()}
        return [kept[plan] for plan in plans if plan in kept]

    def add(self, report: SimulationReport) -> None:
        """Keeps one life."""
        if self.path is not None:
            with self.path.open("ab") as file:
                file.write(msgspec.json.encode(report) + b"\n")

    def _read(self) -> Iterator[SimulationReport]:
        if self.path is None or not self.path.exists():
            return
        whole = self.path.read_bytes()
        lines = whole.splitlines()
        for number, line in enumerate(lines, start=1):
            try:
                yield msgspec.json.decode(line, type=SimulationReport)
            except (msgspec.DecodeError, UnicodeDecodeError) as exc:
                if number == len(lines) and not whole.endswith(b"\n"):
                    self.path.write_bytes(whole[: len(whole) - len(line)])
                    return
                raise CemdError(
                    f"{self.path}:{number} is no report of a simulated life ({exc}); name another file with --journal."
                ) from exc
