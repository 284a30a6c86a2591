"""A good set loads as written; each bad one is refused with its exact message."""

# ruff: noqa: E501 -- a message stands on one line, as it is printed
from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from cemd.config.load import load, load_settings
from cemd.config.params import Kinds
from cemd.config.topology import Topology
from cemd.errors import ConfigError

from tests.config.kinds import FILES, KINDS, Mail, edited, write


class Letter(Mail):
    password_file: str | None = None
    token_file: str | None = None


def messages(root: Path, kinds: Kinds = KINDS) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load(root, kinds)
    return list(map(str, caught.value.faults))


def test_good_set_loads_without_a_warning(tmp_path: Path) -> None:
    loaded = load(write(tmp_path), KINDS)
    assert loaded.warnings == ()
    assert loaded.files == tuple(sorted(FILES, key=list(FILES).index))
    assert [probe.name for probe in loaded.configuration.probes] == ["core-east", "shop"]
    assert loaded.configuration.settings.operator.zone == "Europe/Berlin"
    assert loaded.configuration.grouping.confirm_sources == 2


@pytest.mark.parametrize(
    ("needed", "seen"),
    [(1, ""), (2, ""), (3, "2 probes alone watch it and `confirm_sources` is 3")],
)
def test_customers_whom_nobody_tells_without_a_person_are_said(tmp_path: Path, needed: int, seen: str) -> None:
    files = edited("rules/improve/grouping.yaml", "confirm_sources: 2", f"confirm_sources: {needed}")
    warnings = load(write(tmp_path, **files), KINDS).warnings
    if not seen:
        assert warnings == ()
        return
    (warning,) = warnings
    assert warning.startswith("rules/report/")
    assert 'of a problem of service "broadband" no customer hears until a person confirms it' in warning
    assert seen in warning


def test_a_probe_from_two_vantage_points_and_pushed_data_may_confirm(tmp_path: Path) -> None:
    alone = edited("rules/improve/grouping.yaml", "confirm_sources: 2", "confirm_sources: 3")
    twice = edited("probes/core.yaml", "site: east\n", "site: east\n            vantages: [home, west]\n")
    west = edited("config/cemd.yaml", "intake:", "vantages: [{name: west}]\n        intake:")
    assert load(write(tmp_path / "twice", **alone, **twice, **west), KINDS).warnings == ()
    pushed = edited("rules/analyze/shop.yaml", "of: {kind: walk,", 'of: {source: "http:counters",')
    found = load(write(tmp_path / "pushed", **alone, **pushed), KINDS).warnings
    assert [one for one in found if "no customer hears" in one] == []


def test_missing_file_of_customers_is_warned_of_until_it_is_there(tmp_path: Path) -> None:
    files = edited(CEMD, "intake:", "customers: {file: people.csv}\n        intake:")
    fact = f"there is no file {(tmp_path / 'people.csv').resolve()}, so nobody can be told"
    warned = f"config/cemd.yaml:2:19: customers: {fact}; write it, or correct the name, which counts from the root"
    assert load(write(tmp_path, **files), KINDS).warnings == (warned,)
    (tmp_path / "people.csv").write_text("", encoding="utf-8")
    assert load(tmp_path, KINDS).warnings == ()


def test_channel_whose_secret_is_not_there_is_warned_of_until_it_is(tmp_path: Path) -> None:
    secret = tmp_path / "secrets" / "mail"
    kinds = replace(KINDS, channel_params={"mail": Letter})
    params = f"params: {{host: 127.0.0.1, password_file: {secret}, token_file: a-credential}}"
    files = edited(CHANNELS, "to: customers, params: {host: 127.0.0.1}", f"to: customers, {params}")
    (warning,) = load(write(tmp_path, **files), kinds).warnings
    assert warning.startswith("config/channels.yaml:2:")
    assert f'channel "mail": password_file: there is no file {secret}, so nothing can be sent; write it' in warning
    secret.parent.mkdir()
    secret.write_text("hush", encoding="utf-8")
    assert load(tmp_path, kinds).warnings == ()


def test_probe_that_no_indicator_looks_at_is_warned_of(tmp_path: Path) -> None:
    files = edited("rules/analyze/shop.yaml", "kind: walk", "kind: ping")
    (warning,) = load(write(tmp_path, **files), KINDS).warnings
    assert warning == (
        'probes/core.yaml:10:5: probe "shop": no indicator looks at what it measures, so it has no score and no objective;'
        " write one under rules/analyze, or remove the probe"
    )


@pytest.mark.parametrize(
    ("selector", "window", "warned"),
    [
        ("kind: walk", 180, False),
        ("kind: walk", 179, True),
        ("probe: shop", 120, True),
        ("service: broadband", 60, False),
    ],
    ids=["three runs", "not quite three", "of one probe", "pushed data may match too"],
)
def test_window_that_cannot_hold_enough_runs_is_warned_of(
    tmp_path: Path, selector: str, window: int, warned: bool
) -> None:
    files = edited("rules/analyze/shop.yaml", "kind: walk", selector)
    files = {name: text.replace("window_seconds: 300", f"window_seconds: {window}") for name, text in files.items()}
    found = load(write(tmp_path, **files), KINDS).warnings
    assert [f"window_seconds ({window}) holds" in one and "min_samples (3)" in one for one in found] == [True] * warned


def test_metric_that_a_kind_never_gives_is_refused(tmp_path: Path) -> None:
    kinds = replace(KINDS, metrics={"ping": frozenset({"success", "loss_ratio"}), "walk": None})
    files = edited("rules/analyze/core.yaml", "metric: loss_ratio", "metric: los_ratio")
    (fault,) = messages(write(tmp_path, **files), kinds)
    assert fault == (
        'rules/analyze/core.yaml:3:30: indicator "loss": a probe of kind "ping" gives no metric "los_ratio"'
        ' (did you mean "loss_ratio"?); `cemd explain ping` says what it gives'
    )


def test_metric_that_is_misspelt_is_refused_where_the_probe_is_named_by_its_uid(tmp_path: Path) -> None:
    kinds = replace(KINDS, metrics={"ping": frozenset({"success", "loss_ratio"}), "walk": None})
    files = edited("probes/core.yaml", "name: core-east", "name: core-east\n            uid: core-1")
    files |= edited("rules/analyze/core.yaml", "kind: ping, metric: loss_ratio", "probe: core-1, metric: los_ratio")
    (fault,) = messages(write(tmp_path, **files), kinds)
    assert 'a probe of kind "ping" gives no metric "los_ratio" (did you mean "loss_ratio"?)' in fault


def test_values_are_put_into_params_and_become_numbers_where_numbers_are_meant(tmp_path: Path) -> None:
    ping, walk = load(write(tmp_path), KINDS).configuration.probes
    assert ping.params == {"target": "192.0.2.1", "packets": 5}
    assert walk.params["steps"] == [{"get": "/orders/{order}"}], "a kind with values at run time keeps unknown ones"


def test_same_files_give_the_same_bytes(tmp_path: Path) -> None:
    one = load(write(tmp_path / "one"), KINDS).configuration
    other = load(write(tmp_path / "other"), KINDS).configuration
    assert one.document() == other.document()
    assert type(one).from_document(one.document()) == one


def test_only_settings_are_needed(tmp_path: Path) -> None:
    (tmp_path / "config").mkdir()
    (tmp_path / "config/cemd.yaml").write_text("# all defaults\n", encoding="utf-8")
    assert load(tmp_path, KINDS).configuration.settings.listen.host == "127.0.0.1"


def test_settings_are_read_while_other_files_have_faults(tmp_path: Path) -> None:
    write(tmp_path, **edited(PROBES, "every_seconds: 30", "every_seconds: often"))
    assert load_settings(tmp_path).operator.name == "Example Telecom"
    (tmp_path / CEMD).write_text("operator: {nam: x}\n", encoding="utf-8")
    with pytest.raises(ConfigError, match="unknown key"):
        load_settings(tmp_path)
    (tmp_path / CEMD).unlink()
    assert load_settings(tmp_path).operator.name == "Operator"


def test_empty_root_says_so(tmp_path: Path) -> None:
    assert messages(tmp_path) == [
        (
            f"config/cemd.yaml: no configuration below {tmp_path.resolve()}; create it, or name with --root the folder that"
            " holds config/, probes/ and rules/"
        )
    ]


def test_cycle_of_services_is_condensed_and_warned(tmp_path: Path) -> None:
    files = edited("config/catalogue/all.yaml", "platform: router}", "platform: router, depends_on: [broadband]}")
    loaded = load(write(tmp_path, **files), KINDS)
    assert loaded.warnings == ("services broadband, core depend on each other in a circle; they count as one.",)
    assert Topology(loaded.configuration).same_component("core", "broadband")


def test_file_that_is_not_read_is_warned_of(tmp_path: Path) -> None:
    write(tmp_path)
    (tmp_path / "probes/more.yml").write_text("probes: []\n", encoding="utf-8")
    (warning,) = load(tmp_path, KINDS).warnings
    assert warning.startswith("probes/more.yml: this file is not read; only config/cemd.yaml, ")


def test_every_fault_of_every_file_is_told_at_once(tmp_path: Path) -> None:
    files = edited("config/cemd.yaml", "zone: Europe/Berlin", "zone: Mars/Olympus")
    files |= edited("probes/core.yaml", "timeout_seconds: 4", "timeout_seconds: 40")
    files |= edited("rules/analyze/core.yaml", "metric: loss_ratio}", "metric: loss_ratio")
    assert [message.split(":")[0] for message in messages(write(tmp_path, **files))] == [
        "config/cemd.yaml",
        "probes/core.yaml",
        "rules/analyze/core.yaml",
    ]


CEMD, CHANNELS, CATALOGUE = "config/cemd.yaml", "config/channels.yaml", "config/catalogue/all.yaml"
PROBES, ANALYZE, IMPROVE, REPORT = (
    "probes/core.yaml",
    "rules/analyze/core.yaml",
    "rules/improve/grouping.yaml",
    "rules/report/customers.yaml",
)

BAD: dict[str, tuple[str, str, str, str]] = {
    # name: file, text, what replaces it, the message
    "unknown-key": (
        PROBES,
        "    every_seconds: 30",
        "    evry_seconds: 30\n            every_seconds: 30",
        (
            'probes/core.yaml:7:5: probe "core-east": unknown key "evry_seconds" (did you mean "every_seconds"?); '
            "correct or remove it"
        ),
    ),
    "unknown-section": (
        PROBES,
        "values: {core",
        "probe: []\n        values: {core",
        'probes/core.yaml:1:1: unknown key "probe" (did you mean "probes"?); known here: values, probes',
    ),
    "unknown-key-far-from-any": (
        CEMD,
        "name: Example Telecom, ",
        "qqq: 1, ",
        'config/cemd.yaml:1:12: operator: unknown key "qqq"; known here: jurisdiction, language, name, zone',
    ),
    "number-as-text": (
        PROBES,
        "every_seconds: 30",
        'every_seconds: "30"',
        'probes/core.yaml:7:20: probe "core-east": every_seconds is a text; write a number without quotes',
    ),
    "number-with-unit": (
        PROBES,
        "every_seconds: 30",
        "every_seconds: 30s",
        (
            'probes/core.yaml:7:20: probe "core-east": every_seconds is a text; write a number and nothing else: no unit, no'
            " words"
        ),
    ),
    "yes-is-a-text": (
        CATALOGUE,
        "sold: true",
        "sold: yes",
        'config/catalogue/all.yaml:2:79: service "broadband": sold is a text; write `true` or `false` without quotes',
    ),
    "list-expected": (
        CATALOGUE,
        "depends_on: [core]}\n          - {name: core",
        "depends_on: core}\n          - {name: core",
        'config/catalogue/all.yaml:2:97: service "broadband": depends_on is a text; write a list',
    ),
    "section-is-no-list": (
        IMPROVE,
        "playbooks:\n          - {name: look-again}",
        "playbooks: {name: look-again}",
        "rules/improve/grouping.yaml:2:12: playbooks is not a list; begin each entry with `- name: …`",
    ),
    "entry-is-a-text": (
        IMPROVE,
        "{name: look-again}",
        "look-again",
        "rules/improve/grouping.yaml:3:5: playbook number 1 is a text; write a mapping of keys to values",
    ),
    "word-of-no-list": (
        CATALOGUE,
        "access, domain: network",
        "access, domain: netwrk",
        (
            'config/catalogue/all.yaml:2:49: service "broadband": domain is none of the words permitted here '
            "(did you mean \"network\"?); write 'network', 'it', 'bss' or 'partner'"
        ),
    ),
    "name-in-capitals": (
        IMPROVE,
        "look-again",
        "Look Again",
        (
            'rules/improve/grouping.yaml:3:12: playbook "Look Again": name is not a name; use lower-case letters, digits, '
            '".", "_" and "-", at most 63 of them'
        ),
    ),
    "out-of-range": (
        ANALYZE,
        "window_seconds: 300",
        "window_seconds: 0",
        'rules/analyze/core.yaml:5:21: indicator "loss": window_seconds is out of range; write a number above 0',
    ),
    "empty-list": (
        REPORT,
        "bases: [contract]",
        "bases: []",
        'rules/report/customers.yaml:4:12: policy "faults": bases is empty; give at least 1',
    ),
    "journey-without-owner": (
        CATALOGUE,
        "            owner: sales-operations\n",
        "",
        (
            'config/catalogue/all.yaml:12:5: journey "order": key "owner" is missing; '
            "add `owner: …` (Who answers for it; alerts and reports can be routed by owner)"
        ),
    ),
    "process-without-domain": (
        CATALOGUE,
        ", domain: selling-and-billing",
        "",
        (
            'config/catalogue/all.yaml:10:5: process "order-handling": key "domain" is missing; '
            "add `domain: …` (Part of the business that it belongs to, such as selling-and-billing)"
        ),
    ),
    "missing-in-a-step": (
        CATALOGUE,
        "touchpoint: portal, needs",
        "needs",
        (
            'config/catalogue/all.yaml:18:9: journey "order": steps[0]: key "touchpoint" is missing; '
            "add `touchpoint: …` (Where it happens)"
        ),
    ),
    "unknown-service": (
        PROBES,
        "service: broadband\n            site",
        "service: brodband\n            site",
        (
            'probes/core.yaml:5:14: probe "core-east": service "brodband" does not exist (did you mean "broadband"?); '
            "define it under `services:` or correct the name"
        ),
    ),
    "unknown-site": (
        PROBES,
        "site: east",
        "site: mars",
        (
            'probes/core.yaml:6:11: probe "core-east": site "mars" does not exist; '
            "define it under `sites:` or correct the name"
        ),
    ),
    "unknown-touchpoint-of-a-step": (
        CATALOGUE,
        "touchpoint: portal",
        "touchpoint: portl",
        (
            'config/catalogue/all.yaml:18:36: journey "order": touchpoint "portl" does not exist (did you mean "portal"?); '
            "define it under `touchpoints:` or correct the name"
        ),
    ),
    "unknown-need-of-a-step": (
        CATALOGUE,
        "needs: [broadband]",
        "needs: [tv]",
        (
            'config/catalogue/all.yaml:18:52: journey "order": service "tv" does not exist; '
            "define it under `services:` or correct the name"
        ),
    ),
    "unknown-dependency": (
        CATALOGUE,
        "depends_on: [core]}\n          - {name: core",
        "depends_on: [cor]}\n          - {name: core",
        (
            'config/catalogue/all.yaml:2:98: service "broadband": service "cor" does not exist (did you mean "core"?); '
            "define it under `services:` or correct the name"
        ),
    ),
    "unknown-parent": (
        CATALOGUE,
        "parent: north",
        "parent: south",
        (
            'config/catalogue/all.yaml:6:26: site "east": site "south" does not exist (did you mean "north"?); '
            "define it under `sites:` or correct the name"
        ),
    ),
    "unknown-process": (
        CATALOGUE,
        "process: order-handling",
        "process: ordering",
        (
            'config/catalogue/all.yaml:15:14: journey "order": process "ordering" does not exist '
            '(did you mean "order-handling"?); define it under `processes:` or correct the name'
        ),
    ),
    "unknown-channel": (
        REPORT,
        "channels: [mail]",
        "channels: [post]",
        (
            'rules/report/customers.yaml:5:16: policy "faults": channel "post" does not exist; '
            "define it under `channels:` or correct the name"
        ),
    ),
    "unknown-service-of-a-policy": (
        REPORT,
        "services: [broadband]",
        "services: [tv]",
        (
            'rules/report/customers.yaml:3:16: policy "faults": service "tv" does not exist; '
            "define it under `services:` or correct the name"
        ),
    ),
    "policy-for-a-service-that-is-not-sold": (
        REPORT,
        "services: [broadband]",
        "services: [core]",
        (
            'rules/report/customers.yaml:3:16: policy "faults": service "core" is not sold, so no customer has it; '
            "name sold services; what they stand on is included"
        ),
    ),
    "unknown-channel-of-a-route": (
        CHANNELS,
        "channel: noc",
        "channel: nocc",
        (
            'config/channels.yaml:5:26: route "all": channel "nocc" does not exist (did you mean "noc"?); '
            "define it under `channels:` or correct the name"
        ),
    ),
    "route-of-an-owner-of-nothing": (
        CHANNELS,
        "channel: noc",
        "channel: noc, owners: [sales]",
        ('config/channels.yaml:5:40: route "all": no journey has this owner; name the `owner:` of a journey'),
    ),
    "policy-through-a-staff-channel": (
        REPORT,
        "channels: [mail]",
        "channels: [noc]",
        (
            'rules/report/customers.yaml:5:16: policy "faults": channel "noc" is for staff, not for customers; '
            "name a channel with `to: customers`"
        ),
    ),
    "route-to-customers": (
        CHANNELS,
        "channel: noc",
        "channel: mail",
        (
            'config/channels.yaml:5:26: route "all": channel "mail" is for customers, not for staff; '
            "name a channel with `to: staff`"
        ),
    ),
    "unknown-kind": (
        PROBES,
        "kind: ping",
        "kind: pinng",
        'probes/core.yaml:4:11: probe "core-east": unknown kind (did you mean "ping"?); use one of ping, walk',
    ),
    "unknown-parameter": (
        PROBES,
        'packets: "{packets}"',
        "pakets: 5",
        (
            'probes/core.yaml:9:37: probe "core-east": params: unknown key "pakets" (did you mean "packets"?); '
            "correct or remove it"
        ),
    ),
    "parameter-of-a-wrong-type": (
        PROBES,
        'packets: "{packets}"',
        'packets: "many"',
        (
            'probes/core.yaml:9:46: probe "core-east": params.packets is a text; write a whole number and nothing else:'
            " no unit, no words"
        ),
    ),
    "missing-parameter": (
        PROBES,
        'target: "{core_host}", ',
        "",
        (
            'probes/core.yaml:9:13: probe "core-east": params: key "target" is missing; '
            "add `target: …` (Address or name to reach)"
        ),
    ),
    "unknown-value": (
        PROBES,
        'target: "{core_host}"',
        'target: "{cor_host}"',
        (
            'probes/core.yaml:9:22: probe "core-east": {cor_host} is no value of this file (did you mean "core_host"?); '
            "add `cor_host: …` under `values:` at the top of the file"
        ),
    ),
    "value-that-is-no-text": (
        PROBES,
        'packets: "5"',
        "packets: 5",
        "probes/core.yaml:1:41: values: packets is a whole number; write a text in quotes",
    ),
    "kind's-own-check": (
        PROBES,
        'steps: [{get: "/orders/{order}"}]',
        "steps: []",
        'probes/core.yaml:16:13: probe "shop": params: there are no steps; write at least one',
    ),
    "duplicate-name": (
        CATALOGUE,
        "- {name: core,",
        "- {name: broadband,",
        (
            'config/catalogue/all.yaml:3:12: duplicate service "broadband", first at config/catalogue/all.yaml:2:12; '
            "rename or remove one of them"
        ),
    ),
    "duplicate-key": (
        PROBES,
        "site: east",
        "kind: ping",
        'probes/core.yaml:6:5: duplicate key "kind", first at line 4; remove one, or join their contents',
    ),
    "duplicate-uid": (
        PROBES,
        "            kind: walk",
        "            uid: core-east\n            kind: walk",
        (
            'probes/core.yaml:11:10: probe "shop": uid "core-east" already belongs to probe "core-east" at '
            "probes/core.yaml:3:5; give each probe a uid of its own"
        ),
    ),
    "duplicate-step": (
        CATALOGUE,
        "needs: [broadband]}",
        "needs: [broadband]}\n              - {name: choose, touchpoint: portal}",
        (
            'config/catalogue/all.yaml:19:16: journey "order": duplicate step "choose", first as number 1; '
            "rename one of them"
        ),
    ),
    "renamed-from-one-that-exists": (
        CATALOGUE,
        "{name: core,",
        "{name: core, renamed_from: broadband,",
        (
            'config/catalogue/all.yaml:3:32: service "core": renamed_from "broadband" is the name of a service that still '
            "exists; remove renamed_from, or the entry with the old name"
        ),
    ),
    "slower-than-its-interval": (
        PROBES,
        "timeout_seconds: 4",
        "timeout_seconds: 45",
        (
            'probes/core.yaml:8:22: probe "core-east": timeout_seconds (45) is not below every_seconds (30); '
            "make the timeout shorter or the interval longer"
        ),
    ),
    "objective-without-bound": (
        ANALYZE,
        "{at_most: 0.02, warn_at: 0.01}",
        "{for_seconds: 5}",
        (
            'rules/analyze/core.yaml:8:16: indicator "loss": the objective has neither at_least nor at_most; '
            "give exactly one of them"
        ),
    ),
    "objective-with-both-bounds": (
        ANALYZE,
        "{at_most: 0.02, warn_at: 0.01}",
        "{at_most: 0.02, at_least: 0.01}",
        (
            'rules/analyze/core.yaml:8:16: indicator "loss": the objective has at_least and at_most; '
            "give exactly one of them"
        ),
    ),
    "warning-on-the-bad-side": (
        ANALYZE,
        "warn_at: 0.01",
        "warn_at: 0.03",
        (
            'rules/analyze/core.yaml:8:41: indicator "loss": warn_at (0.03) is not on the good side of at_most (0.02); '
            "make it smaller than at_most"
        ),
    ),
    "down-on-the-good-side": (
        ANALYZE,
        "warn_at: 0.01",
        "down_at: 0.01",
        (
            'rules/analyze/core.yaml:8:41: indicator "loss": down_at (0.01) is on the good side of at_most (0.02); '
            "make it larger than at_most"
        ),
    ),
    "score-without-a-span": (
        ANALYZE,
        "{worst: 0.1, best: 0}",
        "{worst: 0.1, best: 0.1}",
        'rules/analyze/core.yaml:7:31: indicator "loss": worst and best are the same (0.1); let them differ',
    ),
    "selector-of-an-unknown-kind": (
        ANALYZE,
        "kind: ping",
        "kind: pig",
        (
            'rules/analyze/core.yaml:3:16: indicator "loss": unknown kind of probe (did you mean "ping"?); '
            "use one of ping, walk"
        ),
    ),
    "selector-of-an-unknown-probe": (
        ANALYZE,
        "kind: ping",
        "probe: core-west",
        (
            'rules/analyze/core.yaml:3:17: indicator "loss": probe "core-west" does not exist (did you mean "core-east"?); '
            "define it under `probes:` or correct the name"
        ),
    ),
    "selector-that-nothing-matches": (
        ANALYZE,
        "kind: ping, ",
        "kind: ping, touchpoint: portal, ",
        (
            'rules/analyze/core.yaml:3:9: indicator "loss": no probe can give a series that matches all of these words; '
            "correct the words, or add such a probe"
        ),
    ),
    "selector-of-an-unknown-source": (
        ANALYZE,
        "kind: ping",
        "source: http:counter",
        (
            'rules/analyze/core.yaml:3:18: indicator "loss": no pushed source has this name '
            '(did you mean "http:counters"?); name one of `intake` in config/cemd.yaml: `mqtt:NAME`, `http:NAME`'
        ),
    ),
    "live-without-ceiling": (
        REPORT,
        "bases: [contract]",
        "mode: live\n            bases: [contract]",
        (
            'rules/report/customers.yaml:4:11: policy "faults": mode live needs a ceiling; '
            "add `ceiling:`, the largest audience told without a person"
        ),
    ),
    "hold-beyond-the-deadline": (
        REPORT,
        "bases: [contract]",
        "hold_seconds: 600\n            decide_by_seconds: 600\n            bases: [contract]",
        (
            'rules/report/customers.yaml:4:19: policy "faults": hold_seconds (600) is not below decide_by_seconds (600); '
            "hold shorter or decide later"
        ),
    ),
    "quiet-hours-of-no-clock": (
        REPORT,
        "bases: [contract]",
        'quiet_hours: {start: "25:00", end: "07:00"}\n            bases: [contract]',
        (
            'rules/report/customers.yaml:4:26: policy "faults": quiet_hours.start has the wrong form; '
            "write it as ^([01][0-9]|2[0-3]):[0-5][0-9]$"
        ),
    ),
    "language-of-no-tag": (
        REPORT,
        "              en:",
        "              English:",
        (
            'rules/report/customers.yaml:7:7: policy "faults": texts.English: the key has the wrong form; '
            "write it as ^[a-z]{2}(-[A-Z]{2})?$"
        ),
    ),
    "unknown-zone": (
        CATALOGUE,
        "zone: Europe/Berlin",
        "zone: ../../etc/passwd",
        (
            'config/catalogue/all.yaml:5:25: site "north": unknown time zone "../../etc/passwd"; '
            "use a name of the IANA data base, such as Europe/Berlin or UTC"
        ),
    ),
    "zone-with-a-slip": (
        CATALOGUE,
        "zone: Europe/Berlin",
        "zone: Europe/Berln",
        (
            'config/catalogue/all.yaml:5:25: site "north": unknown time zone "Europe/Berln" '
            '(did you mean "Europe/Berlin"?); use a name of the IANA data base, such as Europe/Berlin or UTC'
        ),
    ),
    "site-within-itself": (
        CATALOGUE,
        "parent: north",
        "parent: east",
        'config/catalogue/all.yaml:6:26: site "east": the site lies within itself; correct the parents',
    ),
    "open-to-the-world-without-a-token": (
        CEMD,
        "intake:",
        "listen: {host: 0.0.0.0}\n        intake:",
        (
            "config/cemd.yaml:2:16: listen: listen.host is not loopback and push_token_file is missing; "
            "name a file with a token as listen.push_token_file, or listen on 127.0.0.1"
        ),
    ),
    "duplicate-source": (
        CEMD,
        "[counters]",
        "[counters, counters]",
        'config/cemd.yaml:3:20: intake: duplicate source "counters"; remove one of them',
    ),
    "weights-without-own-profile": (
        ANALYZE,
        "indicators:",
        "rater: {weights: {reliability: 1}}\n        indicators:",
        (
            "rules/analyze/core.yaml:1:18: rater: weights are given, but the profile is servqual_1990; "
            "write `profile: own`, or remove the weights"
        ),
    ),
    "secret-as-a-parameter": (
        PROBES,
        "take: {token:",
        'headers: {Authorization: "hush-hush"}, take: {token:',
        (
            'probes/core.yaml:16:74: probe "shop": "Authorization" holds a secret as a value; '
            "write it into a file that only cemd can read, and name that file as `Authorization_file`"
        ),
    ),
    "secret-as-a-value": (
        PROBES,
        "values: {core",
        "values: {shop_password: hush-hush, core",
        (
            'probes/core.yaml:1:25: values: "shop_password" holds a secret as a value; '
            "write it into a file that only cemd can read, and name that file as `shop_password_file`"
        ),
    ),
    "secret-in-a-url": (
        PROBES,
        'get: "/orders/{order}"',
        'get: "http://shop:hush-hush@pos/{order}"',
        (
            'probes/core.yaml:16:28: probe "shop": the URL holds a password; '
            "write it into a file that only cemd can read, and name that file with a key that ends in `_file`"
        ),
    ),
    "text-that-cannot-be-rendered": (
        REPORT,
        "A fault since {{ since }}.",
        "Dear {{ customer }}.",
        (
            'rules/report/customers.yaml:9:16: policy "faults": texts.en.first: line 1: nobody is named in a text; '
            "use only what `cemd explain policy` names"
        ),
    ),
    "subject-of-two-lines": (
        REPORT,
        "first_subject: Fault",
        'first_subject: "Fault\\nBcc: x"',
        (
            'rules/report/customers.yaml:8:24: policy "faults": texts.en.first_subject is not one line; '
            "write it on one line, in quotes"
        ),
    ),
    "not-yaml": (
        REPORT,
        "en:\n",
        "en: x: y\n",
        (
            "rules/report/customers.yaml:7:12: this is not YAML: mapping values are not allowed in this context; "
            "give every key a line of its own, and put a text that holds a colon in quotes"
        ),
    ),
    "alternatives-nobody-uses": (
        CATALOGUE,
        "owner: sales-operations",
        "owner: sales-operations\n            alternatives: {core: []}",
        (
            'config/catalogue/all.yaml:17:26: journey "order": touchpoint "core" does not exist; '
            "define it under `touchpoints:` or correct the name"
        ),
    ),
}


@pytest.mark.parametrize(("file", "old", "new", "message"), BAD.values(), ids=BAD.keys())
def test_bad_file_is_refused_with_its_message(tmp_path: Path, file: str, old: str, new: str, message: str) -> None:
    found = messages(write(tmp_path, **edited(file, old, new)))
    assert message in found
    assert "hush-hush" not in "".join(found), "a secret never stands in a message"


def test_name_of_a_file_is_no_secret(tmp_path: Path) -> None:
    text = 'take: {token: "$.token"}'
    files = edited(
        PROBES, text, f"{text}, headers: {{header_files: {{Authorization: /run/secret}}}}, password_file: /p"
    )
    assert load(write(tmp_path, **files), KINDS).warnings == ()


def test_part_that_exists_once_is_refused_in_a_second_file(tmp_path: Path) -> None:
    write(tmp_path)
    (tmp_path / "rules/improve/more.yaml").write_text("grouping: {confirm_sources: 3}\n", encoding="utf-8")
    assert messages(tmp_path) == [
        (
            "rules/improve/more.yaml:1:1: grouping is set twice, first at rules/improve/grouping.yaml:1:11; "
            "keep one of them"
        )
    ]


def test_reference_to_an_entry_that_is_not_valid_is_no_second_fault(tmp_path: Path) -> None:
    (only,) = messages(write(tmp_path, **edited(CATALOGUE, "transport, domain: network", "transport, domain: net")))
    assert "domain is none of the words" in only


@pytest.mark.parametrize("name", sorted(FILES))
def test_reference_into_a_file_that_cannot_be_read_is_no_second_fault(tmp_path: Path, name: str) -> None:
    write(tmp_path)
    (tmp_path / name).write_text("a: [1,\n")
    (only,) = messages(tmp_path)
    assert only.startswith(f"{name}:2:1: this is not YAML")


def test_faulty_values_are_the_only_fault_of_what_they_fill(tmp_path: Path) -> None:
    (only,) = messages(write(tmp_path, **edited(PROBES, 'values: {core_host: 192.0.2.1, packets: "5"}', "values: [x]")))
    assert only == "probes/core.yaml:1:9: values is a list; write a mapping of keys to values"


def test_unreadable_file_is_a_fault(tmp_path: Path) -> None:
    write(tmp_path)
    (tmp_path / "probes/folder.yaml").mkdir()
    assert messages(tmp_path) == [
        "probes/folder.yaml: cannot be read: is a directory; make it a file that cemd may read"
    ]


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        (
            "services: [kore], begins_at: '2026-03-02T01:00:00+01:00', ends_at: '2026-03-02T02:00:00+01:00'",
            (
                'config/maintenance.yaml:2:30: maintenance window "patch": service "kore" does not exist (did you mean "core"?); '
                "define it under `services:` or correct the name"
            ),
        ),
        (
            "services: [core], begins_at: '2026-03-02 1 am', ends_at: '2026-03-02T02:00:00+01:00'",
            (
                'config/maintenance.yaml:2:48: maintenance window "patch": begins_at is no instant with its offset from UTC; '
                "write it as 2026-03-02T01:00:00+01:00"
            ),
        ),
        (
            "services: [core], begins_at: '2026-03-02T01:00:00', ends_at: '2026-03-02T02:00:00+01:00'",
            (
                'config/maintenance.yaml:2:48: maintenance window "patch": begins_at is no instant with its offset from UTC; '
                "write it as 2026-03-02T01:00:00+01:00"
            ),
        ),
        (
            "services: [core], begins_at: '2026-03-02T03:00:00+01:00', ends_at: '2026-03-02T02:00:00+01:00'",
            (
                'config/maintenance.yaml:2:86: maintenance window "patch": the window ends before it begins; '
                "exchange begins_at and ends_at"
            ),
        ),
    ],
    ids=["unknown-service", "no-instant", "no-offset", "reversed"],
)
def test_planned_work_that_cannot_be_is_refused(tmp_path: Path, entry: str, message: str) -> None:
    write(tmp_path)
    (tmp_path / "config/maintenance.yaml").write_text(f"maintenance:\n  - {{name: patch, {entry}}}\n", encoding="utf-8")
    assert messages(tmp_path) == [message]
