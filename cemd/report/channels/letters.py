"""What one customer reads, made from the rows of many: language, values, times in the reader's zone."""

from __future__ import annotations

import dataclasses

from cemd.model.notice import NoticeRows
from cemd.report.channels.base import Message
from cemd.report.quiet import spoken_time
from cemd.report.texts import choose_language, render


def only(rows: NoticeRows, places: list[int]) -> NoticeRows:
    """Some of the rows."""
    return dataclasses.replace(
        rows,
        customer=rows.customer[places],
        digest=rows.digest[places],
        language=rows.language[places] if len(rows.language) else rows.language,
        zone=rows.zone[places] if len(rows.zone) else rows.zone,
    )


def message_to(address: str, rows: NoticeRows, index: int) -> Message:
    """The message of one row.

    Raises:
        ValueError: a text is not one, or asks for what is not there.
        LookupError: no text in any language.
    """
    wanted = rows.languages[rows.language[index]] if index < len(rows.language) and rows.languages else ""
    language = choose_language(wanted, rows.texts, rows.values.get("operator_language", ""))
    subject, body = rows.texts[language]
    values = _values(rows, index)
    return Message(
        id=rows.notice_id(index),
        to=address,
        subject=render(subject, values),
        body=render(body, values),
        language=language,
        communication=rows.communication,
        phase=rows.phase.name.lower(),
        revision=rows.revision,
        trace=rows.trace,
    )


def _values(rows: NoticeRows, index: int) -> dict[str, str]:
    """What the text to one customer says: times in the customer's zone, which is the site's or the operator's where no
    other is known."""
    place = int(rows.zone[index]) if index < len(rows.zone) else len(rows.zones)
    zone = rows.zones[place] if place < len(rows.zones) else ""
    return {**rows.values, "since": spoken_time(rows.since, zone, "UTC")} if zone else rows.values
