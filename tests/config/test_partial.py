"""Whoever mends an entry learns at once all that is wrong with it, and nothing that only follows from it."""

from __future__ import annotations

from pathlib import Path

import pytest
from cemd.config.load import load
from cemd.errors import ConfigError

from tests.config.kinds import KINDS, edited, write


def faults(root: Path, **changed: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load(write(root, **changed), KINDS)
    return [fault.fact for fault in caught.value.faults]


PROBE = """\
            service: broadband
            site: east
            every_seconds: 30
            timeout_seconds: 4
            params: {target: "{core_host}", packets: "{packets}"}
"""


def test_a_probe_tells_its_faults_of_all_kinds_together(tmp_path: Path) -> None:
    wrong = """\
            service: broadbnad
            site: east
            every_seconds: 30
            timeout_seconds: 40
            moment_of_truth: often
            params: {target: 5, packets: 1000, pakets: 1, password: x}
"""
    assert faults(tmp_path, **edited("probes/core.yaml", PROBE, wrong)) == [
        'probe "core-east": service "broadbnad" does not exist (did you mean "broadband"?)',
        'probe "core-east": timeout_seconds (40) is not below every_seconds (30)',
        'probe "core-east": moment_of_truth is a text',
        'probe "core-east": params.target is a whole number',
        'probe "core-east": params.packets is out of range',
        'probe "core-east": params: unknown key "pakets" (did you mean "packets"?)',
        'probe "core-east": params: unknown key "password"',
        'probe "core-east": "password" holds a secret as a value',
    ]


def test_what_needs_the_wrong_part_is_not_judged(tmp_path: Path) -> None:
    """Of a pace that is no number nothing follows, and a missing service is not one that does not exist."""
    wrong = PROBE.replace("every_seconds: 30", "every_seconds: often").replace("service: broadband", "labels: {}")
    found = faults(tmp_path, **edited("probes/core.yaml", PROBE, wrong))
    assert sorted(found) == [
        'probe "core-east": every_seconds is a text',
        'probe "core-east": key "service" is missing',
    ]


def test_a_kinds_own_check_of_the_whole_is_asked_where_it_needs_nothing_that_is_wrong(tmp_path: Path) -> None:
    steps = """params: {steps: [{get: "/orders/{order}"}], take: {token: "$.token"}}"""
    both = faults(tmp_path / "a", **edited("probes/core.yaml", steps, "params: {steps: [], port: often}"))
    assert sorted(both) == [
        'probe "shop": params.port is a text',
        'probe "shop": params: there are no steps',
    ]
    one = faults(tmp_path / "b", **edited("probes/core.yaml", steps, "params: {steps: often, port: 80}"))
    assert one == ['probe "shop": params.steps is a text']


def test_secrets_are_named_whatever_else_is_wrong(tmp_path: Path) -> None:
    wrong = PROBE.replace('{target: "{core_host}"', '{token: abc, target: "{core_host}"')
    for place, other in enumerate((("kind: ping", "kind: pong"), ("kind: ping", "kind: 3"))):
        changed = edited("probes/core.yaml", PROBE, wrong)
        changed = {name: text.replace(*other) for name, text in changed.items()}
        found = faults(tmp_path / str(place), **changed)
        assert 'probe "core-east": "token" holds a secret as a value' in found
        assert len(found) == 2


def test_an_indicator_tells_its_reference_its_score_and_its_window_together(tmp_path: Path) -> None:
    before = """\
            of: {kind: ping, metric: loss_ratio}
            summary: mean
            window_seconds: 300
            dimension: reliability
            score: {worst: 0.1, best: 0}
"""
    after = """\
            of: {probe: core-west, metric: loss_ratio}
            summary: mean
            window_seconds: 0
            dimension: reliability
            score: {worst: 0, best: 0}
"""
    assert faults(tmp_path, **edited("rules/analyze/core.yaml", before, after)) == [
        'indicator "loss": probe "core-west" does not exist (did you mean "core-east"?)',
        'indicator "loss": window_seconds is out of range',
        'indicator "loss": worst and best are the same (0)',
    ]
