"""Of many selectors those are found that fit, and few others."""

from __future__ import annotations

from cemd.config.rules import Selector
from cemd.config.selectors import Selectors
from hypothesis import given
from hypothesis import strategies as st

NAMES = st.sampled_from(["a", "b", "c"])
SELECTORS = st.builds(
    Selector, probe=st.none() | NAMES, kind=st.none() | NAMES, service=st.none() | NAMES, metric=st.just("m")
)


@given(st.lists(SELECTORS, max_size=12), NAMES, NAMES, NAMES, NAMES)
def test_candidates_hold_all_that_fit_in_their_order(
    selectors: list[Selector], name: str, uid: str, service: str, kind: str
) -> None:
    found = Selectors(selectors).candidates(probes=(name, uid), service=service, kind=kind)
    assert found == sorted(set(found))
    fits = [
        place
        for place, one in enumerate(selectors)
        if one.fits(probes=(name, uid), kind=kind, service=service, touchpoint="", sites=(), source="")
    ]
    assert set(fits) <= set(found)


def test_selectors_of_other_services_and_kinds_are_not_even_asked() -> None:
    many = Selectors([Selector(service=f"s{number}", metric="m") for number in range(100)])
    assert many.candidates(probes=("p",), service="s7", kind="tcp") == [7]
