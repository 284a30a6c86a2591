"""A configuration in pieces is the one that its whole document gives, and shares with the other what is as it was."""

from __future__ import annotations

import pytest
from cemd.config.catalogue import Domain, Service
from cemd.config.configuration import Configuration, from_pieces, pieces_of
from cemd.config.probes import Probe
from cemd.config.settings import Settings
from hypothesis import given
from hypothesis import strategies as st

SETS = st.lists(st.tuples(st.integers(0, 5), st.integers(1, 3)), max_size=6, unique_by=lambda pair: pair[0])


def configuration(*probes: tuple[int, int], tick: float = 2.0) -> Configuration:
    return Configuration(
        settings=Settings(tick_seconds=tick),
        services=[Service(name="web", function="portal", domain=Domain.IT, platform="nginx")],
        probes=[
            Probe(
                name=f"p{number}",
                kind="tcp",
                service="web",
                every_seconds=10.0,
                timeout_seconds=1.0,
                params={"host": "ä\n", "port": port},
            )
            for number, port in probes
        ],
    )


@given(SETS, SETS, st.sampled_from([2.0, 3.0]))
def test_pieces_say_what_the_document_says(
    before: list[tuple[int, int]], after: list[tuple[int, int]], tick: float
) -> None:
    one, other = configuration(*before), configuration(*after, tick=tick)
    pieces = pieces_of(other.document(), one.document())
    assert from_pieces(pieces, one) == other
    fresh = [entry for entry in pieces.lists["probes"] if isinstance(entry, bytes)]
    assert len(fresh) == len(set(after) - set(before)), "only what changed travels and is read again"


def test_what_did_not_change_is_the_same_object() -> None:
    one, other = configuration((1, 1), (2, 1)), configuration((3, 1), (2, 1), (1, 2))
    probes = from_pieces(pieces_of(other.document(), one.document()), one).probes
    assert [probe.name for probe in probes] == ["p3", "p2", "p1"]
    assert probes[1] is one.probes[1]


def test_beside_nothing_everything_is_new() -> None:
    one = configuration((1, 1))
    assert from_pieces(pieces_of(one.document(), b"{}"), Configuration()) == one


def test_a_section_that_is_not_known_is_refused_as_in_a_document() -> None:
    with pytest.raises(ValueError, match="sectoins"):
        from_pieces(pieces_of(b'{"sectoins":{}}', b"{}"), Configuration())
