"""Numbers with their nouns."""

from __future__ import annotations

import pytest
from cemd.kit.words import counted


@pytest.mark.parametrize(
    ("number", "nouns", "text"),
    [
        (0, ("probe",), "0 probes"),
        (1, ("probe",), "1 probe"),
        (1, ("policy", "policies"), "1 policy"),
        (1200, ("policy", "policies"), "1,200 policies"),
    ],
)
def test_one_is_singular_and_every_other_number_plural(number: int, nouns: tuple[str, ...], text: str) -> None:
    assert counted(number, *nouns) == text
