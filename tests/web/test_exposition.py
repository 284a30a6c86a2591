"""Series as text: exact lines, escaping, gaps, and what stays when nothing changed."""

from __future__ import annotations

import gzip
import math
import subprocess
from itertools import pairwise

import numpy as np
import pytest
from aiohttp import web
from cemd.model.identity import series_id
from cemd.model.measurement import Series, SeriesKey
from cemd.web import exposition
from cemd.web.exposition import Block, SeriesText, family, label_name, labels_of
from cemd.web.scrape import Exposition, wants_openmetrics
from cemd.web.server import WRITE_BYTES, write_in_portions
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Counter
from prometheus_client.openmetrics.parser import text_string_to_metric_families as read_openmetrics
from prometheus_client.parser import text_string_to_metric_families as read_text

from tests.conftest import program
from tests.turns import turns_beside
from tests.web.scene import rich_views

HOSTILE = 'a"b\\c\nd{e}=f,g # TYPE x counter'


def named(*keys: SeriesKey) -> tuple[Series, ...]:
    return tuple(
        Series(id=series_id(key.identity(), serial), key=key, source="prober:home") for serial, key in enumerate(keys)
    )


def read_values(text: bytes) -> dict[str, float]:
    return {
        sample.labels["probe"]: sample.value
        for metric in read_text(text.decode())
        if metric.name == "cemd_series_value"
        for sample in metric.samples
    }


@given(st.lists(st.floats(), min_size=1, max_size=50))
def test_every_value_reads_back_as_it_was_and_unknown_has_no_line(values: list[float]) -> None:
    block = Block.of([f'm{{probe="{place}"}}'.encode() for place in range(len(values))])
    text = block.text(np.array(values, np.float64)).decode()
    samples = {int(one.labels["probe"]): one.value for metric in read_text(text) for one in metric.samples}
    assert samples == {place: value for place, value in enumerate(values) if not math.isnan(value)}


@given(st.text(), st.text(), st.lists(st.tuples(st.text(min_size=1), st.text(min_size=1)), max_size=4))
def test_names_survive_the_text_whatever_they_hold(probe: str, target: str, labels: list[tuple[str, str]]) -> None:
    key = SeriesKey(probe=probe, metric="success", target=target, labels=tuple(labels))
    text = f"m{{{labels_of(key)}}} 1.0\n".encode()
    (metric,) = read_text(text.decode())
    (sample,) = metric.samples
    clean = probe.encode("utf-8", "replace").decode()
    assert sample.labels["probe"] == clean
    assert len(sample.labels) == 3 + bool(target) + len(labels)


@given(st.lists(st.text(alphabet="%bn {}\\", max_size=9).map(str.encode), min_size=1, max_size=9))
def test_a_name_may_hold_what_a_format_string_means(names: list[bytes]) -> None:
    block = Block.of(names)
    assert block.names() == names
    assert block.text(np.full(len(names), 2.0)) == b"".join(name + b" 2.0\n" for name in names)


def test_label_names_are_made_valid_and_never_hide_our_own() -> None:
    assert label_name("round-trip") == "round_trip"
    assert label_name("9lives") == "label_9lives"
    assert label_name("probe") == "label_probe"
    assert label_name("__name__") == "label_name__"
    assert label_name("a.b", {"a_b": ""}) == "a_b_"


def test_series_of_two_sources_with_one_name_are_told_apart() -> None:
    key = SeriesKey(probe="p", metric="m")
    lines = SeriesText("cemd_series_value", "x")
    lines.name(named(key, key), 1)
    text = b"".join(lines.render(np.array([1.0, 2.0]))).decode()
    assert len({line for line in text.splitlines() if not line.startswith("#")}) == 2
    assert 'series="' in text


def test_only_blocks_with_a_changed_value_are_rendered_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exposition, "BLOCK", 10)
    lines = SeriesText("m", "x")
    lines.name(named(*(SeriesKey(probe=f"p{place}", metric="m") for place in range(35))), 1)
    values = np.arange(35.0)
    values[3] = np.nan
    first = lines.render(values)
    changed = values.copy()
    changed[12] = 99.0
    second = lines.render(changed)
    assert [a is b for a, b in zip(first[1:], second[1:], strict=True)] == [True, False, True, True]
    assert b'm{probe="p12",metric="m",vantage="home"} 99.0' in second[2]


def test_series_that_appear_later_are_added_to_the_last_block() -> None:
    keys = [SeriesKey(probe=f"p{place}", metric="m") for place in range(3)]
    lines = SeriesText("cemd_series_value", "x")
    lines.name(named(*keys[:2]), 1)
    lines.render(np.array([1.0, 2.0]))
    lines.name(named(*keys), 2)
    assert read_values(b"".join(lines.render(np.array([1.0, 2.0, 3.0])))) == {"p0": 1.0, "p1": 2.0, "p2": 3.0}


def test_a_family_without_values_is_not_there() -> None:
    assert family("m", "x", [({}, None), ({"a": "b"}, float("nan"))]) == b""


@pytest.fixture
def registry() -> CollectorRegistry:
    registry = CollectorRegistry()
    Counter("cemd_loop_ticks", "Ticks.", registry=registry).inc(3)
    return registry


@pytest.mark.parametrize("band", [False, True], ids=["plain", "band"])
def test_the_body_reads_in_both_formats_with_the_daemons_own_metrics(registry: CollectorRegistry, band: bool) -> None:
    body = Exposition(registry)
    text = b"".join(body.body(rich_views(), band=band, strict=False)).decode()
    strict = b"".join(body.body(rich_views(), band=band, strict=True)).decode()
    families = {one.name: one for one in read_text(text)}
    assert families["cemd_loop_ticks"].samples[0].value == 3
    of_openmetrics = {one.name for one in read_openmetrics(strict)}  # type: ignore[no-untyped-call]
    assert of_openmetrics == {name for name in families if not name.endswith("_created")}
    assert strict.endswith("# EOF\n")
    assert ("cemd_series_low" in families) == band
    scores = {one.labels["journey"]: one.value for one in families["cemd_journey_score"].samples}
    assert scores["top-up-balance"] == 34.0
    assert "travel-abroad" not in scores, "unknown is absent, not 0"
    down = {one.labels["quality"]: one.value for one in families["cemd_incidents_open"].samples}
    assert down == {"healthy": 0, "at_risk": 1, "degraded": 0, "down": 1, "unknown": 0}


def test_gzip_is_one_member_that_is_kept_per_view(registry: CollectorRegistry) -> None:
    body, views = Exposition(registry), rich_views()
    plain = b"".join(body.body(views, band=False, strict=False))
    packed = body.packed(views, band=False, strict=False)
    assert gzip.decompress(b"".join(packed)) == plain
    again = body.packed(views, band=False, strict=False)
    assert all(one is other for one, other in zip(packed[:-2], again[:-2], strict=True))


def test_before_the_first_view_the_daemons_own_metrics_are_there(registry: CollectorRegistry) -> None:
    text = b"".join(Exposition(registry).body(None, band=False, strict=False))
    assert b"cemd_loop_ticks_total 3.0" in text


@pytest.mark.parametrize(
    ("accept", "strict"),
    [
        ("", False),
        ("*/*", False),
        ("text/plain", False),
        ("application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.3,*/*;q=0.2", True),
        ("application/openmetrics-text;q=0.1,text/plain;q=0.3", False),
        ("application/openmetrics-text;q=nonsense", False),
    ],
)
def test_the_format_is_the_one_that_the_scraper_prefers(accept: str, strict: bool) -> None:
    assert wants_openmetrics(accept) is strict


@pytest.mark.needs("promtool")
def test_promtool_finds_nothing_wrong(registry: CollectorRegistry) -> None:
    views = rich_views()
    key = SeriesKey(probe=HOSTILE, metric="m", labels=(("bad-name", HOSTILE),))
    body = Exposition(registry)
    lines = SeriesText("cemd_series_other", "Hostile names.")
    lines.name(named(key), 1)
    text = b"".join([*body.body(views, band=True, strict=False), *lines.render(np.array([np.inf]))])
    tool = program("promtool")
    assert tool
    checked = subprocess.run([tool, "check", "metrics"], input=text, capture_output=True, check=False, timeout=60)
    assert checked.returncode == 0, checked.stderr.decode() + checked.stdout.decode()


async def test_page_that_is_taken_as_quickly_as_it_is_written_lets_others_have_their_turn() -> None:
    class Ready(web.StreamResponse):
        """Its reader takes everything at once."""

        async def write(self, data: bytes | bytearray | memoryview) -> None:
            written.append((len(data), turns.count))

    written: list[tuple[int, int]] = []
    with turns_beside() as turns:
        await write_in_portions(Ready(), [b"x" * 1_000] * 5_000)
    assert sum(size for size, _ in written) == 5_000_000
    assert all(after > before for (_, before), (_, after) in pairwise(written))
    assert max(size for size, _ in written) < 2 * WRITE_BYTES
