"""Which service a series measures, and the words by which people find it.

A series does not name its service; the indicators that look at it do. A probe belongs to one service, so what an
indicator tells of one of its series holds for all of them. Made once a version of the series and configuration.
"""

from __future__ import annotations

from cemd.model.view import Views


class Places:
    """Service by row, "" where no indicator tells; and the search."""

    def __init__(self, views: Views) -> None:
        columns, seen = views.series, views.analyze
        self.made_of = (columns.version, views.epoch)
        titles = {one.name: one.title for one in seen.services}
        by_series = {series: one.service for one in seen.indicators for series in one.series}
        by_probe = {one.key.probe: by_series[one.id] for one in columns.series if one.id in by_series}
        self._services = [by_probe.get(one.key.probe, "") for one in columns.series]
        self._words = [
            f"{one.key.identity()} {service} {titles.get(service, '')}".lower()
            for one, service in zip(columns.series, self._services, strict=True)
        ]

    def service(self, row: int) -> str:
        return self._services[row]

    def search(self, text: str) -> list[int]:
        """Rows whose names, service or its title hold all words of `text`, in row order."""
        words = text.lower().split()
        rows = list(range(len(self._words)))
        for word in words:
            rows = [row for row in rows if word in self._words[row]]
        return rows
