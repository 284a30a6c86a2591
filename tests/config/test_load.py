"""A good set loads as written; each bad one is refused with its exact message."""

# ruff: noqa: E501 -- a message stands on one line, as it is printed
from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from cemd.config.base import FileModel
from cemd.config.load import load, load_settings
from cemd.config.params import Kinds
from cemd.config.topology import Topology
from cemd.errors import ConfigError
from pydantic import Field

from tests.config.bad_files import BAD, CATALOGUE, CEMD, CHANNELS, PROBES
from tests.config.kinds import FILES, KINDS, Mail, Walk, edited, write


class Letter(Mail):
    password_file: str | None = None
    token_file: str | None = None


class Login(FileModel):
    client_secret_file: str


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


class Stroll(Walk):
    ca_file: str | None = None
    header_files: dict[str, str] = Field(default_factory=dict)
    login: Login | None = None


STROLLS = replace(KINDS, probe_params={**KINDS.probe_params, "walk": Stroll})


def strolling(params: str, *, more: str = "") -> dict[str, str]:
    """The good set with these parameters of the probe that strolls."""
    return edited("probes/core.yaml", "params: {steps:", f"{more}params: {{{params}, steps:")


@pytest.mark.parametrize(
    ("params", "key", "name"),
    [
        ("ca_file: nope.pem", "ca_file", "nope.pem"),
        ("password_file: /nonexistent/tok", "password_file", "/nonexistent/tok"),
        ("header_files: {X-Key: keys/shop}", "header_files.X-Key", "keys/shop"),
        ("login: {client_secret_file: ./shop}", "login.client_secret_file", "shop"),
    ],
)
def test_probe_whose_file_is_not_there_is_warned_of_until_it_is(
    tmp_path: Path, params: str, key: str, name: str
) -> None:
    (warning,) = load(write(tmp_path, **strolling(params)), STROLLS).warnings
    fact = f'probe "shop": {key}: there is no file {tmp_path / name}, so vantage point "home" will be blind there; '
    assert warning.startswith("probes/core.yaml:")
    assert warning.partition(": ")[2] == f"{fact}write it, or correct the name, which counts from the root"
    if name.startswith("/"):
        return
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).mkdir()
    (warning,) = load(tmp_path, STROLLS).warnings
    assert f"{key}: {tmp_path / name} is a folder, so" in warning
    (tmp_path / name).rmdir()
    (tmp_path / name).touch(mode=0)
    assert load(tmp_path, STROLLS).warnings == (), "it is there, and who may read it is the prober's affair"


def test_file_of_a_probe_may_be_a_credential_or_lie_at_another_site(tmp_path: Path) -> None:
    assert load(write(tmp_path / "credential", **strolling("password_file: shop")), STROLLS).warnings == ()
    west = edited("config/cemd.yaml", "intake:", "vantages: [{name: west}]\n        intake:")
    away = strolling("ca_file: nope.pem", more="vantages: [west]\n            ")
    assert load(write(tmp_path / "away", **away, **west), STROLLS).warnings == ()


def test_file_that_several_probes_lack_is_said_once(tmp_path: Path) -> None:
    files = strolling("ca_file: nope.pem, password_file: ./nope.pem")
    ((name, content),) = files.items()
    text = content.rstrip(" ")
    entry = text[text.index("          - name: shop") :]
    more = "".join(entry.replace("shop", f"shop-{n}", 1) for n in (2, 3))
    (warning,) = load(write(tmp_path, **{name: f"{text}{more}"}), STROLLS).warnings
    assert f"there is no file {tmp_path / 'nope.pem'} (2 more probes name it), so" in warning


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


@pytest.mark.parametrize(("file", "old", "new", "message"), BAD.values(), ids=BAD.keys())
def test_bad_file_is_refused_with_its_message(tmp_path: Path, file: str, old: str, new: str, message: str) -> None:
    found = messages(write(tmp_path, **edited(file, old, new)))
    assert message in found
    assert "hush-hush" not in "".join(found), "a secret never stands in a message"


def test_name_of_a_file_is_no_secret(tmp_path: Path) -> None:
    text = 'take: {token: "$.token"}'
    files = edited(
        PROBES,
        text,
        f"{text}, headers: {{header_files: {{Authorization: /run/secret}}}}, password_file: {tmp_path}/{CEMD}",
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
