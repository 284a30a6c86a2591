"""`cemd replay` on real state directories: the log, exactly; what is older, from sealed samples."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cemd.cli import main
from cemd.config.configuration import hash_of
from cemd.config.load import load
from cemd.daemon.kinds import kinds
from cemd.loop.core import Core
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

    def live(self, *, snapshot_at: int = 0, trim: bool = False) -> None:
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
    found = replayed(life, "--warm-up-hours", "0.3", since=1260)
    assert not found["exact"]
    broken = [pair for pair in found["same"] if pair["after"]["condition"] == "objective_broken"]
    truly = next(at for _, condition, at in life.said if condition == "objective_broken")
    assert [abs(float(pair["after"]["began_at"]) - truly) <= 10.0 for pair in broken] == [True]
    strict = replayed(life, "--warm-up-hours", "0.3", "--rules", life.rules(STRICT), since=1260)
    assert any(float(one["began_at"]) > NOW + HICCUP.start for one in strict["came"])


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
