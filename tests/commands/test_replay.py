"""`cemd replay` on real state directories: the log, exactly; what is older, from sealed samples."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cemd.cli import main
from cemd.config.configuration import Configuration, hash_of
from cemd.config.load import load
from cemd.daemon.kinds import kinds
from cemd.loop.core import Core
from cemd.loop.replay import usual_warm_up
from cemd.model.effect import Effects
from cemd.model.entry import Batch, ConfigEpoch, Entry, SeriesAdded, Tick
from cemd.model.finding import FindingPhase
from cemd.model.measurement import SUCCESS, SeriesKey
from cemd.store.sqlite import SqliteStore, open_store
from click.testing import CliRunner, Result

from tests.commands.test_commands import FILES, NOW

RULES = FILES["rules/analyze/web.yaml"].replace("at_least: 0.9", "at_least: 0.4")
STRICT = RULES.replace("at_least: 0.4", "at_least: 0.9").replace("web-up", "web-strict")
LAX = RULES.replace("at_least: 0.4", "at_least: 0.05")
SECONDS = 3600
OUTAGE = range(1500, 1800)
HICCUP = range(2700, 3000)  # every third round fails


class Life:
    """A daemon's state after an hour: an outage, and later some failures that break no objective of the time."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.said: list[tuple[str, str, float]] = []
        for name, text in {**FILES, "rules/analyze/web.yaml": RULES}.items():
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)

    def live(self, *, snapshot_at: int = 0, forget_to: int = 0, trim: bool = False) -> None:
        document = load(self.root, kinds()).configuration.document()
        store = open_store(self.root / "state", ballast_megabytes=0)
        try:
            core = Core(store, self._hear)
            core.start(version="test", wall=NOW, monotonic=0.0)
            store.state.save_epoch(hash_of(document), "start", NOW, document)
            ids, new = store.series.resolve(
                "prober:home", [SeriesKey(probe=name, metric=SUCCESS) for name in ("web-a", "web-b")], 100
            )
            epoch = ConfigEpoch(hash=hash_of(document), author="start", document=document)
            core.process([epoch, SeriesAdded(series=tuple(new))], wall=NOW, monotonic=0.0)
            for second in range(10, SECONDS, 10):
                self._measure(core, ids, second)
                if second == snapshot_at:
                    core.save_snapshot()
                if second == forget_to:
                    forgotten = store.log.last_seq() - 2
            if forget_to:
                store.log.trim(forgotten)
            if trim:
                _forget_the_log(core, store)
        finally:
            store.close()

    def _measure(self, core: Core, ids: object, second: int) -> None:
        at = NOW + second
        failed = second in OUTAGE or (second in HICCUP and second % 30 == 0)
        batch = Batch(
            source="prober:home",
            number=second,
            series=np.array(ids, np.int64),
            at=np.array([at, at]),
            value=np.full(2, 0.0 if failed else 1.0),
            outcome=np.zeros(2, np.uint8),
        )
        core.process([batch, Tick()], wall=at, monotonic=float(second))

    def _hear(self, _: Entry, effects: Effects) -> None:
        self.said += [(one.id, one.condition, one.at) for one in effects.findings if one.phase is FindingPhase.BEGAN]

    def rules(self, text: str) -> Path:
        folder = self.root / "other"
        (folder / "analyze").mkdir(parents=True, exist_ok=True)
        (folder / "analyze/web.yaml").write_text(text)
        return folder


def _at(instant: float) -> str:
    return f"{datetime.fromtimestamp(instant, UTC):%Y-%m-%d %H:%M:%S} UTC"


def _forget_the_log(core: Core, store: SqliteStore) -> None:
    """As after days: everything is sealed, and two snapshots let the log be short."""
    store.history.seal_all()
    core.save_snapshot()
    core.save_snapshot()
    assert list(store.log.read(0)) == []


def cemd(*words: str | Path) -> Result:
    return CliRunner().invoke(main, [str(word) for word in words])


def replayed(life: Life, *words: str | Path, since: int = 60, until: int = SECONDS) -> Any:
    result = cemd("replay", "--from", str(NOW + since), "--to", str(NOW + until), "--root", life.root, "--json", *words)
    assert result.exit_code == 0, result.output
    return json.loads(result.output)


@pytest.fixture(scope="module")
def life(tmp_path_factory: pytest.TempPathFactory) -> Life:
    life = Life(tmp_path_factory.mktemp("life"))
    life.live()
    return life


def test_the_same_rules_find_the_same_to_the_id(life: Life) -> None:
    found = replayed(life)
    assert found["exact"]
    assert (found["came"], found["gone"]) == ([], [])
    assert {(pair["after"]["id"], pair["after"]["began_at"]) for pair in found["same"]} == {
        (name, at) for name, _, at in life.said
    }
    assert [pair["before"] for pair in found["same"]] == [pair["after"] for pair in found["same"]]
    assert len(found["incidents"]["before"]) == 1


def test_stricter_rules_find_what_was_not_found(life: Life) -> None:
    found = replayed(life, "--rules", life.rules(STRICT))
    came = [one for one in found["came"] if one["condition"] == "objective_broken"]
    assert {one["indicator"] for one in came} == {"web-strict"}
    assert any(float(one["began_at"]) > NOW + HICCUP.start for one in came)
    assert {one["indicator"] for one in found["gone"] if one["condition"] == "objective_broken"} == {"web-up"}


def test_laxer_rules_come_later_and_are_told_so(life: Life) -> None:
    words = ("replay", "--from", str(NOW + 60), "--to", str(NOW + SECONDS), "--rules", life.rules(LAX))
    result = cemd(*words, "--root", life.root)
    assert result.exit_code == 0, result.output
    assert "exact, from the log." in result.output
    assert "s later" in result.output


def test_it_writes_nothing(life: Life) -> None:
    before = {path.name: path.read_bytes() for path in (life.root / "state").glob("*.db")}
    replayed(life, "--rules", life.rules(STRICT))
    assert {path.name: path.read_bytes() for path in (life.root / "state").glob("*.db")} == before


def test_a_time_after_the_newest_snapshot_begins_from_it(tmp_path: Path) -> None:
    life = Life(tmp_path)
    life.live(snapshot_at=1200)
    found = replayed(life, since=1260)
    assert found["exact"]
    assert {pair["after"]["id"] for pair in found["same"]} == {name for name, _, at in life.said if at > NOW + 1200}


def test_what_is_older_than_the_log_is_found_from_samples(tmp_path: Path) -> None:
    life = Life(tmp_path)
    life.live(trim=True)
    found = replayed(life, "--warm-up", "18m", since=1260)
    assert not found["exact"]
    broken = [pair for pair in found["same"] if pair["after"]["condition"] == "objective_broken"]
    truly = next(at for _, condition, at in life.said if condition == "objective_broken")
    assert [abs(float(pair["after"]["began_at"]) - truly) <= 10.0 for pair in broken] == [True]
    strict = replayed(life, "--warm-up", "18m", "--rules", life.rules(STRICT), since=1260)
    assert any(float(one["began_at"]) > NOW + HICCUP.start for one in strict["came"])


def test_it_says_what_is_lived_through_and_begins_at_the_first_sample(tmp_path: Path) -> None:
    life = Life(tmp_path)
    life.live(trim=True)
    words = ("replay", "--from", str(NOW + 2400), "--to", str(NOW + SECONDS), "--root", tmp_path)
    day, none = cemd(*words, "--warm-up", "1d"), cemd(*words, "--warm-up", "0s")
    learns = "baselines and windows learn in 39.8 min before"
    assert (
        f"as it was: the log does not reach back to --from: from samples, from {_at(NOW + 10)} on; {learns}"
        in day.stderr
    )
    assert f"with the rules: the log does not reach back to --from: from samples, from {_at(NOW + 10)}" in day.stderr
    assert learns in day.stdout
    assert f"from samples, from {_at(NOW + 2400)} on; nothing is learnt before." in none.stderr
    whole = json.loads(cemd(*words, "--warm-up", "1d", "--json").stdout)
    assert whole["begins_at"] == NOW + 10
    assert cemd(*words, "--json").stderr == ""


def test_it_says_that_it_lives_through_the_log(life: Life) -> None:
    result = cemd("replay", "--from", str(NOW + 60), "--to", str(NOW + SECONDS), "--root", life.root)
    assert f"as it was: from the log, from {_at(NOW)} on." in result.stderr


@pytest.mark.parametrize(
    ("asked_seconds", "rules", "seconds"),
    [
        (1200, {}, 4 * 3600),
        (0, {"window_seconds": 7200}, 7200 + 60),
        (60, {"every_seconds": 60.0}, 2 * 60 * 60),
        (1200, {"budget": {"promised": 0.99}}, 86_400),
        (30 * 86_400, {}, 86_400),
    ],
)
def test_warm_up_is_as_long_as_the_rules_look_back_and_in_proportion_to_the_time(
    asked_seconds: float, rules: dict[str, Any], seconds: float
) -> None:
    objective = {"at_least": 0.9, **{key: rules[key] for key in rules if key == "budget"}}
    indicator = {
        "name": "up",
        "of": {"metric": "success"},
        "summary": "ratio",
        "window_seconds": rules.get("window_seconds", 60.0),
        "dimension": "reliability",
        "score": {"worst": 0.5, "best": 1},
        "objective": objective,
        "source": "test",
    }
    probe = {"name": "p", "kind": "tcp", "service": "s", "every_seconds": rules.get("every_seconds", 5.0)}
    probe |= {"timeout_seconds": 1.0, "params": {}}
    configuration = Configuration.model_validate({"indicators": [indicator], "probes": [probe]}, strict=False)
    assert usual_warm_up(asked_seconds, configuration) == seconds


def test_log_that_reaches_back_further_than_the_warm_up_keeps_its_own_times(tmp_path: Path) -> None:
    """A snapshot after `--from`, and a log that does not begin with the first entry ever."""
    life = Life(tmp_path)
    life.live(forget_to=600, snapshot_at=3000)
    found = replayed(life, "--warm-up", "0s", since=1200)
    assert not found["exact"]
    assert found["begins_at"] == NOW + 600
    truly = next(at for _, condition, at in life.said if condition == "objective_broken")
    [broken] = [pair["after"] for pair in found["same"] if pair["after"]["condition"] == "objective_broken"]
    assert broken["began_at"] == truly


@pytest.mark.parametrize("text", ["6", "soon", "-1h", "1e3s", "400d"])
def test_warm_up_that_is_no_length_of_time_is_refused(life: Life, text: str) -> None:
    result = cemd("replay", "--from", str(NOW + 60), "--to", str(NOW + 120), "--root", life.root, f"--warm-up={text}")
    assert result.exit_code == 1
    assert f"--warm-up {text} is no length of time up to a year; write 90m, 6h or 1d" in result.output


@pytest.mark.parametrize(
    ("since", "until", "said"),
    [
        ("yesterday", "now", "is no time; write"),
        ("2026-01-02", "2026-01-01", "is not before --to"),
        ("99999999999", "999999999999", "is no time"),
        ("2001-01-01", "2026-01-01T00:00+02:00", "longer than a year"),
    ],
)
def test_times_that_make_no_sense_are_refused(life: Life, since: str, until: str, said: str) -> None:
    result = cemd("replay", "--from", since, "--to", until, "--root", life.root)
    assert result.exit_code == 1
    assert said in result.output


def test_faulty_rules_and_an_empty_state_are_told(life: Life, tmp_path: Path) -> None:
    faulty = cemd("replay", "--from", "-6h", "--root", life.root, "--rules", life.rules("indicators: [{name: X}]\n"))
    assert faulty.exit_code == 1
    assert "analyze/web.yaml:1:" in faulty.output
    nowhere = cemd("replay", "--from", "-6h", "--root", life.root, "--state", tmp_path)
    assert "there is no such file" in nowhere.output
    none = cemd("replay", "--from", "-6h", "--root", life.root, "--rules", tmp_path)
    assert "no rules are in this folder" in none.output
