"""Places: what lies around a site, in whatever order the sites stand, and of names that nobody knows."""

from __future__ import annotations

import pytest
from cemd.config.catalogue import Site
from cemd.config.configuration import Configuration
from cemd.config.topology import Topology

PLACES = {"cell": "town", "town": "east", "east": None, "shop": "town", "lost": "gone", "egg": "hen", "hen": "egg"}


@pytest.mark.parametrize(
    ("site", "around"),
    [
        ("cell", ("cell", "town", "east")),
        ("east", ("east",)),
        ("lost", ("lost", "gone")),
        ("egg", ("egg", "hen")),
        ("hen", ("hen", "egg")),
        ("unheard-of", ("unheard-of",)),
    ],
)
def test_around_a_site_is_all_that_it_lies_in_innermost_first(site: str, around: tuple[str, ...]) -> None:
    sites = [Site(name=name, parent=parent) for name, parent in PLACES.items()]
    topology = Topology(Configuration(sites=sites))
    assert topology.around(site) == around
    assert topology.overlap("east", site) == ("east" in around)
