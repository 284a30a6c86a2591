"""`cemd detect`: one score a row at the same relative path; faulty files are told and cost the others nothing."""

from __future__ import annotations

import csv
import json
import tempfile
from pathlib import Path

import numpy as np
import pytest
from cemd.cli import main
from cemd.commands.series_files import Oddities, read_blocks
from click.testing import CliRunner, Result
from hypothesis import given, settings
from hypothesis import strategies as st


def write(path: Path, values: list[str], *, head: str = "timestamp,value", every: int = 3600) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    times = np.datetime64("2026-03-01 00:00:00") + np.arange(len(values)) * np.timedelta64(every, "s")
    lines = [f"{str(at).replace('T', ' ')},{value}" for at, value in zip(times, values, strict=True)]
    path.write_text("\n".join([head, *lines, ""]))


def usual(count: int = 120, seed: int = 1) -> list[str]:
    return [f"{value:.3f}" for value in np.random.default_rng(seed).normal(10, 1, count)]


def scores(path: Path) -> list[tuple[str, float]]:
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    return [(row["timestamp"], float(row["anomaly_score"])) for row in rows]


def detect(source: Path, target: Path, *more: str) -> Result:
    return CliRunner().invoke(main, ["detect", "--input", str(source), "--output", str(target), *more])


@pytest.mark.parametrize("tier", ["deep", "bank"])
def test_every_row_has_a_score_at_the_same_relative_path(tmp_path: Path, tier: str) -> None:
    write(tmp_path / "in" / "cells" / "a.csv", usual())
    write(tmp_path / "in" / "b.csv", usual(90, seed=2))
    result = detect(tmp_path / "in", tmp_path / "out", "--tier", tier)
    assert result.exit_code == 0, result.output
    for name, count in (("cells/a.csv", 120), ("b.csv", 90)):
        found = scores(tmp_path / "out" / name)
        assert len(found) == count
        assert found[0][0] == "2026-03-01 00:00:00", "as it was written"
        assert all(np.isfinite(score) and score >= 0 for _, score in found)


def test_what_breaks_out_scores_one_or_more_and_gated_only_where_it_opens(tmp_path: Path) -> None:
    values = usual()
    values[110:] = ["60"] * 10
    write(tmp_path / "in" / "a.csv", values)
    detect(tmp_path / "in", tmp_path / "severe")
    result = detect(tmp_path / "in", tmp_path / "gated", "--gate")
    assert max(score for _, score in scores(tmp_path / "severe" / "a.csv")[110:]) >= 1.0
    gated = [number for number, (_, score) in enumerate(scores(tmp_path / "gated" / "a.csv")) if score > 0]
    assert next(number for number in gated if number >= 100) in (110, 111)
    assert len([number for number in gated if number >= 100]) <= 2
    assert ": 1 alarm, " in result.output


def test_a_file_is_scored_the_same_alone_and_in_company(tmp_path: Path) -> None:
    write(tmp_path / "alone" / "a.csv", usual())
    write(tmp_path / "both" / "a.csv", usual())
    write(tmp_path / "both" / "longer.csv", usual(200, seed=3))
    detect(tmp_path / "alone", tmp_path / "out1")
    detect(tmp_path / "both", tmp_path / "out2")
    assert (tmp_path / "out1" / "a.csv").read_bytes() == (tmp_path / "out2" / "a.csv").read_bytes()


def test_missing_values_score_nothing_and_times_may_have_zones(tmp_path: Path) -> None:
    values = usual()
    values[50], values[51] = "", "NaN"
    write(tmp_path / "in" / "a.csv", values)
    (tmp_path / "in" / "b.csv").write_text(
        'value,note,timestamp\n1,"a, b",2026-03-01T00:00:00Z\n2,,2026-03-01T01:00:00+01:00\n3,,1772323200\n'
    )
    result = detect(tmp_path / "in", tmp_path / "out", "--json")
    document = json.loads(result.output)
    assert (document["ok"], document["files"], document["rows"], document["missing_values"]) == (True, 2, 123, 2)
    assert [score for _, score in scores(tmp_path / "out" / "a.csv")[50:52]] == [0.0, 0.0]
    assert [at for at, _ in scores(tmp_path / "out" / "b.csv")][2] == "1772323200"


@pytest.mark.parametrize("text", ["nan", "NaN", "inf", "-inf", "Infinity", "1e999"])
def test_what_is_no_number_counts_as_missing_and_is_told(tmp_path: Path, text: str) -> None:
    values = usual()
    values[50], values[51], values[52] = text, "", text
    write(tmp_path / "in" / "a.csv", values)
    values[50] = values[52] = ""
    write(tmp_path / "empty" / "a.csv", values)
    result = detect(tmp_path / "in", tmp_path / "out")
    assert result.exit_code == 0
    assert "a.csv:52: 2 rows are nan or inf; counted as missing: they score 0 and teach nothing;" in result.output
    assert "nan or inf" not in detect(tmp_path / "empty", tmp_path / "out2").output
    assert (tmp_path / "out" / "a.csv").read_bytes() == (tmp_path / "out2" / "a.csv").read_bytes()


@pytest.mark.parametrize("tier", ["deep", "bank"])
def test_value_beyond_what_the_daemon_takes_counts_as_its_bound_and_is_told(tmp_path: Path, tier: str) -> None:
    values = usual()
    values[100], values[101] = "1e300", "-1e19"
    write(tmp_path / "in" / "a.csv", values)
    write(tmp_path / "in" / "all.csv", [f"{value}e307" for value in usual()])
    values[100], values[101] = "1e18", "-1e18"
    write(tmp_path / "bound" / "a.csv", values)
    result = detect(tmp_path / "in", tmp_path / "out", "--tier", tier)
    assert result.exit_code == 0
    assert (
        "a.csv:102: 2 rows are beyond 1e+18 or -1e+18; scored as if that stood there; write a larger unit"
        in result.output
    )
    assert "Warning" not in result.output
    assert "nan or inf" not in result.output
    detect(tmp_path / "bound", tmp_path / "out2", "--tier", tier)
    assert (tmp_path / "out" / "a.csv").read_bytes() == (tmp_path / "out2" / "a.csv").read_bytes()


@pytest.mark.parametrize(
    "last",
    [
        "2026-03-06 0",
        "2026-03-06 00:00:00",
        "2026-03-06 00:00:00,1e",
        "2026-03-06 00:00:00,-",
        "2026-03",
        "\0\0\0",
        '"',
    ],
    ids=["in the time", "before the value", "in the value", "at the sign", "a time of its own", "zeros", "quote"],
)
def test_last_line_that_breaks_off_costs_itself_alone(tmp_path: Path, last: str) -> None:
    write(tmp_path / "in" / "a.csv", usual())
    whole = (tmp_path / "in" / "a.csv").read_text()
    detect(tmp_path / "in", tmp_path / "whole")
    (tmp_path / "in" / "a.csv").write_text(whole + last)
    result = detect(tmp_path / "in", tmp_path / "out")
    assert result.exit_code == 0
    assert (
        "a.csv:122: the last line breaks off; it is passed over, and all before it are scored; run this"
        in result.output
    )
    assert (tmp_path / "out" / "a.csv").read_bytes() == (tmp_path / "whole" / "a.csv").read_bytes()
    (tmp_path / "in" / "a.csv").write_text(whole + last + "\n")
    assert detect(tmp_path / "in", tmp_path / "out").exit_code == 1, "a whole line that cannot be read is a fault"


@given(place=st.integers(0, 4_000))
@settings(max_examples=60, deadline=None)
def test_file_that_is_cut_anywhere_behind_its_heading_is_read_to_its_last_whole_line(place: int) -> None:
    whole = b"timestamp,value,wo\n" + b"".join(
        f"2026-03-01 {hour:02}:{minute:02}:00,{hour}.5,süd\n".encode()
        for hour in range(24)
        for minute in range(0, 60, 10)
    )
    cut = whole[: len("timestamp,value,wo\n") + place]
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "a.csv"
        file.write_bytes(cut)
        odd = Oddities(file)
        read = [stamp for block in read_blocks(file, odd) for stamp in block.stamp]
    lines = cut.count(b"\n") - 1
    assert len(read) in {lines, lines + 1}, "the last line may hold all that is asked"
    if len(read) == lines and not cut.endswith(b"\n"):
        assert odd.cut_line == lines + 2


def test_last_line_without_an_end_that_can_be_read_is_read(tmp_path: Path) -> None:
    write(tmp_path / "in" / "a.csv", usual())
    whole = (tmp_path / "in" / "a.csv").read_text()
    (tmp_path / "in" / "a.csv").write_text(whole.rstrip("\n"))
    result = detect(tmp_path / "in", tmp_path / "out")
    assert len(scores(tmp_path / "out" / "a.csv")) == 120
    assert "breaks off" not in result.output


def test_times_that_go_back_are_told_and_every_row_has_its_score_in_the_order_of_the_file(tmp_path: Path) -> None:
    write(tmp_path / "in" / "a.csv", usual())
    lines = (tmp_path / "in" / "a.csv").read_text().splitlines()
    lines[60:63] = lines[62], lines[60], lines[61]
    (tmp_path / "in" / "a.csv").write_text("\n".join([*lines, ""]))
    result = detect(tmp_path / "in", tmp_path / "out")
    assert result.exit_code == 0
    assert "a.csv:62: 2 rows are before the newest time so far; scored in the order of the file; sort" in result.output
    found = scores(tmp_path / "out" / "a.csv")
    assert [at for at, _ in found] == [line.split(",")[0] for line in lines[1:]]
    (notice,) = json.loads(detect(tmp_path / "in", tmp_path / "out", "--json").output)["notices"]
    assert notice["line"] == 62
    assert notice["remedy"].startswith("sort the file by time")


def test_many_odd_files_are_not_told_one_by_one(tmp_path: Path) -> None:
    for number in range(23):
        write(tmp_path / "in" / f"{number}.csv", ["1", "nan"])
    result = detect(tmp_path / "in", tmp_path / "out")
    assert result.output.count("one row is nan or inf") == 20
    assert "3 more such notices; --json lists them all." in result.output


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("time,value\n1,2\n", 'bad.csv:1: no column "timestamp"; begin the file with a line "timestamp,value"'),
        ("", 'bad.csv:1: no column "timestamp"; begin the file with a line "timestamp,value"'),
        ("timestamp,value\n2026-03-01 00:00:00,ten\n", 'bad.csv:2: "ten" is no number; write a number'),
        ("timestamp,value\n\nyesterday,1\n", 'bad.csv:3: "yesterday" is no time; write 2026-03-01 12:00:00'),
        ("timestamp,value\n2026-03-01 00:00:00\n", "bad.csv:2: 1 column; give at least 2, as the heading says"),
    ],
    ids=["no timestamp", "empty", "no number", "no time", "too short"],
)
def test_a_faulty_file_is_told_by_line_and_the_others_are_scored(tmp_path: Path, text: str, told: str) -> None:
    write(tmp_path / "in" / "good.csv", usual(40))
    (tmp_path / "in" / "bad.csv").write_text(text)
    result = detect(tmp_path / "in", tmp_path / "out")
    assert result.exit_code == 1
    assert told in result.output
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["good.csv"]


def test_a_folder_is_no_series_whatever_its_name_and_capitals_make_no_difference(tmp_path: Path) -> None:
    write(tmp_path / "in" / "cells.csv" / "Upper.CSV", usual(40))
    (tmp_path / "in" / "gone.csv").symlink_to(tmp_path / "nowhere")
    result = detect(tmp_path / "in", tmp_path / "out")
    assert len(scores(tmp_path / "out" / "cells.csv" / "Upper.CSV")) == 40
    assert "gone.csv:1: cannot be read (No such file" in result.output
    assert "cells.csv:1:" not in result.output


def test_a_folder_without_series_and_a_target_that_is_the_source_are_refused(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    assert "holds no CSV; give a folder" in detect(tmp_path / "in", tmp_path / "out").output
    write(tmp_path / "in" / "a.csv", usual(40))
    result = detect(tmp_path / "in", tmp_path / "in")
    assert result.exit_code == 1
    assert "is the input as well" in result.output
