"""The command line on the state of a stopped cemd, as a person would use it."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import numpy as np
import pytest
from cemd.cli import main
from cemd.commands.explain import unconcerned
from cemd.config.configuration import hash_of
from cemd.config.load import load
from cemd.daemon.explain import waits_for
from cemd.daemon.kinds import kinds
from cemd.daemon.reload import settings_to_start_with, way_back
from cemd.loop.core import Core
from cemd.model.entry import Batch, ConfigEpoch, SeriesAdded, Tick
from cemd.model.measurement import SUCCESS, Attempt, SeriesKey
from cemd.model.notice import Communication, CommunicationState, MessageClass, Mode
from cemd.monitor.intake.samples import FIELDS, parse_push
from cemd.report.customers import HEADER
from cemd.report.state import SENDING, Switches
from cemd.store.base import StateChange
from cemd.store.sqlite import open_store
from click.testing import CliRunner, Result
from msgspec.structs import replace

from tests.store.house import row

FILES = {
    "config/cemd.yaml": "tick_seconds: 1.0\ntargets: {loopback: true}\n",
    "config/catalogue/services.yaml": """
services:
  - {name: web, title: Portal, function: portal, domain: it, platform: nginx, sold: true}
""",
    "probes/web.yaml": """
probes:
  - {name: web-a, kind: tcp, service: web, every_seconds: 10, timeout_seconds: 2, params: {host: 127.0.0.1, port: 9}}
  - {name: web-b, kind: tcp, service: web, every_seconds: 10, timeout_seconds: 2, params: {host: 127.0.0.1, port: 9}}
""",
    "rules/analyze/web.yaml": """
indicators:
  - name: web-up
    of: {service: web, metric: success}
    summary: ratio
    window_seconds: 60
    dimension: reliability
    score: {worst: 0.5, best: 1.0}
    objective: {at_least: 0.9, for_seconds: 20, clear_for_seconds: 20}
    source: test
""",
}
NOW = 1_790_000_000.0


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Files, and the state of a daemon that saw an outage."""
    for name, text in FILES.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    _live_through_an_outage(tmp_path)
    return tmp_path


def _live_through_an_outage(root: Path) -> None:
    document = load(root, kinds()).configuration.document()
    store = open_store(root / "state", ballast_megabytes=0)
    try:
        core = Core(store, lambda _entry, _effects: None)
        core.start(version="test", wall=NOW, monotonic=0.0)
        store.state.save_epoch(hash_of(document), "start", NOW, document)
        keys = [SeriesKey(probe=name, metric=SUCCESS) for name in ("web-a", "web-b")]
        ids, new = store.series.resolve("prober:home", keys, 100)
        epoch = ConfigEpoch(hash=hash_of(document), author="start", document=document)
        core.process([epoch, SeriesAdded(series=tuple(new))], wall=NOW, monotonic=0.0)
        for turn in range(1, 40):
            at = NOW + turn * 10.0
            batch = Batch(
                source="prober:home",
                number=turn,
                series=np.array(ids, np.int64),
                at=np.array([at, at]),
                value=np.full(2, 1.0 if turn < 25 else 0.0),
                outcome=np.zeros(2, np.uint8),
            )
            core.process([batch, Tick()], wall=at, monotonic=turn * 10.0)
        store.keys.numbers(["C-1"])
        refused = Attempt(
            probe="web-a", at=NOW + 260.0, seconds=0.001, outcome="failed", reason="connection_refused", vantage="home"
        )
        late = Attempt(
            probe="web-b",
            at=NOW + 9_000.0,
            seconds=2.0,
            outcome="timed_out",
            reason="no_answer_in_time",
            vantage="home",
        )
        elsewhere = Attempt(
            probe="web-a", at=NOW + 270.0, seconds=1.0, outcome="failed", reason="from-elsewhere", vantage="south"
        )
        store.evidence.add([refused, late, elsewhere])
    finally:
        store.close()


def cemd(*words: str | Path) -> Result:
    return CliRunner().invoke(main, [str(word) for word in words])


def test_check_counts_what_the_files_hold(root: Path) -> None:
    result = cemd("check", "--root", root, "--json")
    assert result.exit_code == 0
    assert json.loads(result.output)["counts"]["probes"] == 2


def test_check_says_that_it_does_not_read_the_customers(root: Path) -> None:
    assert "customers check" not in cemd("check", "--root", root).output
    with (root / "config/cemd.yaml").open("a", encoding="utf-8") as file:
        file.write("customers: {file: people.csv}\n")
    (root / "people.csv").write_text("name,town\n", encoding="utf-8")
    assert f"`cemd customers check {root / 'people.csv'}` does" in cemd("check", "--root", root).output


def test_check_prints_every_fault_with_its_place_and_fails(root: Path) -> None:
    (root / "probes/web.yaml").write_text("probes:\n  - {name: X, kind: tcp}\n")
    result = cemd("check", "--root", root)
    assert result.exit_code == 1
    assert "probes/web.yaml:2:" in result.output


def test_check_names_files_that_are_not_read_beside_the_faults_that_they_make(root: Path) -> None:
    (root / "probes/web.yaml").rename(root / "probes/web.yml")
    rules = root / "rules/analyze/web.yaml"
    rules.write_text(rules.read_text().replace("of: {service: web,", "of: {probe: web-a,").replace("0.9,", "90,"))
    said = cemd("check", "--root", root).stderr
    assert "warning: probes/web.yml: this file is not read; only " in said
    assert 'probe "web-a" does not exist' in said
    assert "at_least (90) lies outside 0 to 1, between which a ratio lies; write 0.9 for 90 %" in said


def test_explain_an_incident_tells_the_chain(root: Path) -> None:
    store = open_store(root / "state", ballast_megabytes=0)
    incident = next(iter(store.state.rows("incident")))[0]
    store.close()
    chain = json.loads(cemd("explain", incident, "--root", root, "--json").output)
    assert [one["id"] for one in chain["incidents"]] == [incident]
    assert {one["subject"]["name"] for one in chain["findings"]} == {"web"}
    told = cemd("explain", incident, "--root", root).output
    assert "cause: web" in told
    assert "web-up" in told
    assert "success by web-a from home" in told
    assert {one["metric"] for one in chain["series"].values()} == {"success"}
    assert "web-a from home: failed, connection_refused after 0.001 s" in told
    assert "web-b from home: timed_out" not in told  # a word for people
    assert "web-b from home: timed out, no_answer_in_time after 2.000 s" in told  # it still fails: evidence goes on
    assert "from-elsewhere" not in told


def told(state: CommunicationState) -> Communication:
    return Communication(
        id="com-1", trace="trc-1", incidents=("inc-1",), policy="p", mode=Mode.LIVE, services=("web",), sites=(),
        places={}, message_class=MessageClass.SERVICE, cause_key="web", state=state, opened_at=0.0, hold_until=60.0,
        decide_by=1200.0,
    )  # fmt: skip


def test_what_holds_says_what_it_waits_for() -> None:
    unconfirmed = waits_for(told(CommunicationState.HOLDING), Switches(), confirmed=False)
    assert "for a confirmation" in unconfirmed
    assert "1970-01-01 00:20:00 UTC" in unconfirmed
    confirmed = waits_for(told(CommunicationState.HOLDING), Switches(), confirmed=True)
    assert confirmed.endswith("hold-down at 1970-01-01 00:01:00 UTC")


def test_what_was_decided_before_an_absence_says_until_when_it_waits() -> None:
    telling = replace(told(CommunicationState.TELLING), decided_at=60.0)
    assert waits_for(telling, Switches(), confirmed=True) == ""
    put_off = waits_for(replace(telling, hold_until=900.0), Switches(), confirmed=True)
    assert "until 1970-01-01 00:15:00 UTC: nobody watched for a while" in put_off


def test_what_is_stopped_or_held_says_who_can_let_it_go_on() -> None:
    stopped, held = Switches(killed=True, killed_by="nina"), Switches(held=True, released=("com-2",))
    telling = told(CommunicationState.TELLING)
    assert "nina stopped all messages" in waits_for(telling, stopped, confirmed=True)
    assert "cemd resume-sending" in waits_for(telling, stopped, confirmed=True)
    dated = replace(stopped, killed_at=60.0)
    assert "nina stopped all messages to customers at 1970-01-01 00:01:00 UTC" in waits_for(
        telling, dated, confirmed=True
    )
    assert "held after a restore" in waits_for(telling, held, confirmed=True)
    assert waits_for(replace(telling, id="com-2"), held, confirmed=True) == ""
    assert waits_for(replace(telling, mode=Mode.SHADOW), stopped, confirmed=True) == ""
    assert waits_for(replace(telling, state=CommunicationState.ENDED), stopped, confirmed=True) == ""
    assert "for a person to release" in waits_for(told(CommunicationState.HELD), Switches(), confirmed=True)


def test_notices_say_first_who_stopped_all_of_them(root: Path) -> None:
    store = open_store(root / "state", ballast_megabytes=0)
    stopped = msgspec.json.encode(Switches(killed=True, killed_by="nina"))
    store.state.commit(StateChange(applied_seq=10**6, at=NOW, rows=[row("switch", SENDING, stopped)]))
    store.close()
    assert cemd("notices", "--root", root).output.startswith("nina stopped all messages to customers")


def test_explain_a_kind_prints_its_parameters(root: Path) -> None:
    assert "payload_bytes" in cemd("explain", "icmp", "--root", root).output


def test_explain_what_nobody_knows_says_what_could_be_asked(root: Path) -> None:
    result = cemd("explain", "inc-000000000000", "--root", root)
    assert result.exit_code == 1
    assert "the page and `cemd notices` show ids" in result.output


def test_explain_a_word_that_is_none_names_the_words_that_are_and_needs_no_state(tmp_path: Path) -> None:
    result = cemd("explain", "polici", "--root", tmp_path)
    assert result.exit_code == 1
    assert 'did you mean "policy"?' in result.output
    assert "state.db" not in result.output


def test_explain_without_a_word_lists_every_word_with_its_place() -> None:
    said = cemd("explain").output
    for word, place in (("policy", "rules/report/*.yaml"), ("grouping", "rules/improve/*.yaml"), ("icmp", "probes/")):
        head = said.index(place)
        assert f"\n  {word} " in said[head : said.index("\n\n", head)]
    words = [one["word"] for one in json.loads(cemd("explain", "--json").output)]
    assert [word for word in words if cemd("explain", word).exit_code != 0] == []
    assert "customers" in words


def test_explain_takes_the_words_as_they_stand_in_the_files() -> None:
    for section, word in (("services", "service"), ("policies", "policy"), ("routes", "route"), ("intake", "settings")):
        assert cemd("explain", section).output == cemd("explain", word).output
    assert "kind of probe" in cemd("explain", "http").output


def test_what_may_be_pushed_is_explained_and_its_example_is_taken() -> None:
    said = cemd("explain", "push").output
    example = next(line for line in said.splitlines() if line.startswith('  {"metric"'))
    pushed = parse_push(example.encode(), source="mqtt:telemetry", now=NOW)
    assert (len(pushed), pushed.refused.total()) == (1, 0)
    assert [name for name in FIELDS if f"\n  {name} " not in said] == []
    assert cemd("explain", "measurements").output == said


def test_help_names_every_command_with_a_whole_sentence() -> None:
    for group in ([], ["config"], ["customers"], ["import"], ["bench"]):
        said = cemd(*group, "--help").output
        assert "..." not in said.partition("Commands:")[2], group
    assert list(main.commands)[:3] == ["demo", "run", "agent"]


def test_help_of_explain_leads_to_customers_and_to_who_is_told() -> None:
    said = cemd("explain", "--help").output
    assert [word for word in ("policy", "grouping", "customers") if word not in said] == []
    assert cemd("explain", "--customer", "C-1").exit_code == 2


def test_the_customer_file_is_explained_with_its_columns_and_the_way_to_a_person() -> None:
    said = cemd("explain", "customers").output
    assert [name for name in HEADER if f"\n  {name} " not in said] == []
    assert [word for word in ("customers check", "explain policy", "confirm_sources") if word not in said] == []
    assert "explain customers" in cemd("customers", "check", "--help").output


def test_a_rollback_is_pinned_and_told(root: Path) -> None:
    first = json.loads(cemd("config", "history", "--root", root, "--json").output)[0]["hash"]
    (root / "config/cemd.yaml").write_text("tick_seconds: 2.0\ntargets: {loopback: true}\n")
    assert "tick_seconds" in cemd("config", "diff", first, "--root", root).output
    assert cemd("config", "diff", "--root", root).output == cemd("config", "diff", first, "--root", root).output
    result = cemd("config", "rollback", first[:8], "--root", root)
    assert result.exit_code == 0, result.output
    assert "takes effect at the next start" in result.output
    again = json.loads(cemd("config", "rollback", first, "--root", root, "--json").output)
    assert again == {"epoch": first, "daemon": "absent"}


def test_an_unknown_epoch_is_refused(root: Path) -> None:
    result = cemd("config", "rollback", "ffff", "--root", root)
    assert result.exit_code == 1
    assert "config history" in result.output


def test_a_customer_who_was_told_nothing_and_one_who_is_unknown(root: Path) -> None:
    assert "told nothing" in cemd("customers", "show", "C-1", "--root", root).output
    assert cemd("customers", "show", "C-2", "--root", root).exit_code == 1


def test_a_customer_whom_a_communication_does_not_concern_is_told_apart_from_one_not_decided_about() -> None:
    communication = {"id": "com-1", "services": ["web"], "sites": ["east"], "decisions": []}
    assert unconcerned(communication) == "com-1 has decided nothing about anybody so far."
    assert "does not concern this customer" in unconcerned({**communication, "decisions": [{}]})
    assert "has web at east" in unconcerned({**communication, "decisions": [{}]})


def test_a_backup_is_put_back_elsewhere(root: Path, tmp_path: Path) -> None:
    target, state = tmp_path / "copy", tmp_path / "other"
    assert cemd("backup", target, "--root", root, "--with-master-key").exit_code == 0
    assert cemd("backup", target, "--root", root).exit_code == 1  # it exists already
    result = cemd("restore", target, "--root", root, "--state", state)
    assert result.exit_code == 0, result.output
    assert "held" in result.output
    assert cemd("restore", target, "--root", root, "--state", state).exit_code == 1  # it would overwrite


def test_every_command_explains_itself() -> None:
    for name, command in main.commands.items():
        assert command.help, name
        assert cemd(name, "--help").exit_code == 0


def test_a_folder_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file")
    result = cemd("schema", "--write", tmp_path / "taken" / "schemas")
    assert result.exit_code == 1
    assert "choose a folder" in result.output


def test_schemas_are_written_one_file_a_kind(tmp_path: Path) -> None:
    assert cemd("schema", "--write", tmp_path).exit_code == 0
    documents = [json.loads(path.read_text()) for path in tmp_path.glob("*.json")]
    assert len(documents) >= 6
    assert all(document["$schema"].startswith("https://json-schema.org/") for document in documents)


def test_missing_package_is_one_sentence_with_its_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(_root: Path, _kinds: object) -> None:
        raise ModuleNotFoundError("No module named 'pcodec'", name="pcodec")

    monkeypatch.setattr("cemd.config.load.load", absent)
    result = CliRunner().invoke(main, ["check"])
    assert result.exit_code == 1
    assert "package pcodec is not installed" in result.output
    assert "start.py" in result.output
    assert "Traceback" not in result.output


def test_a_rollback_over_faulty_files_is_the_way_back_that_a_start_names(root: Path) -> None:
    epoch = json.loads(cemd("config", "history", "--root", root, "--json").output)[0]["hash"]
    (root / "probes/web.yaml").write_text("probes:\n  - {name: X, kind: tcp}\n")
    assert [f"`cemd config rollback {epoch}`" in line for line in way_back(root, None)] == [True]
    assert list(way_back(root / "elsewhere", None)) == []
    assert cemd("config", "rollback", epoch, "--root", root).exit_code == 0
    assert settings_to_start_with(root, kinds(), None).tick_seconds == 1.0
