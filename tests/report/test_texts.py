"""Texts: what they may use, that their cost is bounded, and which language is spoken."""

from __future__ import annotations

import pytest
from cemd.report.texts import check_template, choose_language, render

VALUES = {"service": "Mobile data", "site": "", "since": "12:00 CET", "operator": "DemoTelco"}


@pytest.mark.parametrize(
    "text",
    ["plain", "{{ service }}", "{% if site %}in {{ site }}{% else %}everywhere{% endif %}", "{{ service | upper }}",
     '{{ "here" if site else "there" }}'],
    ids=["plain", "name", "condition", "filter", "choice"],
)  # fmt: skip
def test_simple_texts_are_fine(text: str) -> None:
    assert check_template(text) is None
    assert render(text, VALUES)


@pytest.mark.parametrize(
    ("text", "fact"),
    [
        ("{{ customer }}", "cannot be used"),
        ("{{ service.__class__ }}", "may not use getattr"),
        ('{{ "a" * 10**9 }}', "may not use"),
        ("{% for a in service %}x{% endfor %}", "may not use for"),
        ("{{ range(10**9) }}", "may not use call"),
        ("{% set x = 1 %}", "may not use assign"),
        ("{{ service | pprint }}", "pprint"),
        ("{{ service", "line 1"),
        ("{% include 'x' %}", "may not use include"),
        ("x" * 5000, "more than 4000"),
        ("{{ service[0] }}", "may not use getitem"),
        ("{{ service ~ service }}", "may not use concat"),
    ],
    ids=["name", "attribute", "power", "loop", "call", "set", "filter", "open", "include", "long", "item", "concat"],
)
def test_whatever_else_is_refused_with_its_place(text: str, fact: str) -> None:
    found = check_template(text)
    assert found is not None
    assert fact in found
    with pytest.raises(ValueError, match="correct it"):
        render(text, VALUES)


@pytest.mark.parametrize(
    ("wanted", "operator", "spoken"),
    [("de", "en", "de"), ("de-AT", "en", "de"), ("fr", "en", "en"), ("fr", "it", "de")],
    ids=["own", "without region", "operator", "first"],
)
def test_language_falls_back_from_customer_to_operator_to_the_first(wanted: str, operator: str, spoken: str) -> None:
    offered = {"de": 1, "en": 2} if operator == "it" else {"en": 1, "de": 2}
    assert choose_language(wanted, offered, operator) == spoken
