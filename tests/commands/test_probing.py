"""`cemd probe`, as an operator calls it."""

from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cemd.cli import main
from cemd.commands.probing import told
from cemd.monitor.probes.base import Attempt
from cemd.monitor.probes.base import Result as ProbeResult
from click.testing import CliRunner, Result


def call(*words: str | Path) -> Result:
    return CliRunner().invoke(main, [str(word) for word in words])


@pytest.fixture
def port() -> Iterator[int]:
    class Fine(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"fine")

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.HTTPServer(("127.0.0.1", 0), Fine)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server.server_address[1]
    server.shutdown()
    thread.join()
    server.server_close()


def root_with(folder: Path, probes: str) -> Path:
    (folder / "config" / "catalogue").mkdir(parents=True)
    (folder / "probes").mkdir()
    (folder / "config" / "cemd.yaml").write_text("targets: {loopback: true}\n")
    services = "services:\n  - {name: imported, function: selling, domain: it, platform: x, sold: true}\n"
    (folder / "config" / "catalogue" / "s.yaml").write_text(services)
    (folder / "probes" / "p.yaml").write_text(probes)
    return folder


def test_probe_runs_now_and_prints_every_phase(tmp_path: Path, port: int) -> None:
    text = (
        "probes:\n  - {name: shop, kind: http, service: imported, every_seconds: 30, timeout_seconds: 4,"
        f' params: {{url: "http://127.0.0.1:{port}/"}}}}\n'
    )
    root = root_with(tmp_path, text)
    shown = call("probe", "shop", "--root", root)
    assert shown.exit_code == 0, shown.output
    assert "shop (http, http://127.0.0.1" in shown.output
    for metric in ("name_seconds", "connect_seconds", "first_byte_seconds", "response_seconds", "duration_seconds"):
        assert f"\n  {metric} " in shown.output
    found = json.loads(call("probe", "shop", "--root", root, "--json").output)
    assert found["outcome"] == "ok"
    assert {"status_code", "body_bytes", "connect_seconds"} <= {one["metric"] for one in found["readings"]}


def test_files_that_a_probe_names_lie_below_the_root_wherever_the_command_is_given(tmp_path: Path, port: int) -> None:
    text = (
        "probes:\n  - {name: shop, kind: http, service: imported, every_seconds: 30, timeout_seconds: 4,"
        f' params: {{url: "http://127.0.0.1:{port}/", bearer_file: secrets/token}}}}\n'
    )
    root = root_with(tmp_path, text)
    (root / "secrets").mkdir()
    (root / "secrets" / "token").write_text("open-sesame\n")
    here = Path.cwd()
    shown = call("probe", "shop", "--root", root)
    assert shown.exit_code == 0, shown.output
    assert Path.cwd() == here


def test_each_run_has_an_id_of_its_own(tmp_path: Path, port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Foreign systems know orders and sessions by it."""
    from cemd.monitor.probes.http import Http

    runs: list[str] = []
    monkeypatch.setattr(Http, "launch", lambda *_: None)
    run = Http.run

    async def noted(kind: Http, attempt: Attempt) -> ProbeResult:
        runs.append(attempt.run)
        return await run(kind, attempt)

    monkeypatch.setattr(Http, "run", noted)
    text = (
        "probes:\n  - {name: shop, kind: http, service: imported, every_seconds: 30, timeout_seconds: 4,"
        f' params: {{url: "http://127.0.0.1:{port}/"}}}}\n'
    )
    root = root_with(tmp_path, text)
    assert [call("probe", "shop", "--root", root).exit_code for _ in range(2)] == [0, 0]
    assert len(set(runs)) == 2


@pytest.mark.parametrize(
    ("metric", "value", "line"),
    [
        ("response_seconds", 0.0123456, "12.35 ms"),
        ("response_seconds", 1.5, "1.500 s"),
        ("response_seconds", 3_600.25, "3,600.250 s"),
        ("offset_seconds", -2.0, "-2.000 s"),
        ("offset_seconds", -0.002, "-2.00 ms"),
        ("loss_ratio", 0.05, "0.05 (5 %)"),
        ("body_bytes", 4_711.0, "4,711 bytes"),
        ("certificate_expiry_days", 88.25, "88.25 days"),
        ("in_bits_per_second", 12_300_000.0, "12.3 Mbit/s"),
        ("in_bits_per_second", 999.0, "999 bit/s"),
        ("status_code", 200.0, "200"),
        ("success", 1.0, "1"),
    ],
)
def test_figure_has_the_name_that_rules_use_and_a_unit_that_suits_its_size(
    metric: str, value: float, line: str
) -> None:
    head = {"probe": "p", "kind": "sip", "target": "t", "outcome": "ok", "reason": "answered", "seconds": 2.5}
    reading = {"metric": metric, "value": value, "labels": {}}
    first, second = told({**head, "detail": "", "readings": [reading]}).split("\n")
    assert first.endswith("after 2.500 s")
    assert second == f"  {metric}  {line}"


def test_figures_stand_below_one_another() -> None:
    metrics = ("a_code", "a_much_longer_name_seconds")
    readings: list[dict[str, Any]] = [{"metric": metric, "value": 1.0, "labels": {}} for metric in metrics]
    head = {"probe": "p", "kind": "sip", "target": "t", "outcome": "ok", "reason": "answered", "seconds": 2.5}
    lines = told({**head, "detail": "", "readings": readings}).splitlines()[1:]
    assert len({len(line) - len(line.lstrip(" abcdefghijklmnopqrstuvwxyz_")) for line in lines}) == 1


def test_phases_are_told_in_the_order_in_which_they_happen() -> None:
    phases = ("name_seconds", "connect_seconds", "first_byte_seconds", "response_seconds", "tls_seconds")
    readings = [
        {"metric": metric, "value": 0.01, "labels": {"address": address}}
        for address in ("192.0.2.1", "192.0.2.2")
        for metric in ("status_code", *phases)
    ]
    head = {"probe": "p", "kind": "http", "target": "t", "outcome": "ok", "reason": "answered", "seconds": 0.01}
    lines = told({**head, "detail": "", "readings": readings}).splitlines()[1:]
    expected = [
        "status_code",
        "name_seconds",
        "connect_seconds",
        "tls_seconds",
        "first_byte_seconds",
        "response_seconds",
    ]
    assert [line.split()[0] for line in lines] == 2 * expected
    assert [line.rpartition("=")[2] for line in lines] == 6 * ["192.0.2.1"] + 6 * ["192.0.2.2"]


def test_probe_that_fails_says_why_and_one_that_is_not_there_says_what_is_near(tmp_path: Path) -> None:
    text = (
        "probes:\n  - {name: shop-page, kind: tcp, service: imported, every_seconds: 30, timeout_seconds: 4,"
        " params: {host: 127.0.0.1, port: 1}}\n"
    )
    root = root_with(tmp_path, text)
    failed = call("probe", "shop-page", "--root", root)
    assert failed.exit_code == 1
    assert "connection refused" in failed.output
    assert call("probe", "page", "--root", root).exit_code == 1
    for name, words in (("page", "near it are"), ("shpo-page", "near it are"), ("x", "there are")):
        said = call("probe", name, "--root", root).output
        assert f"no probe has the name {name}; {words} shop-page." in said
    (root / "probes" / "p.yaml").write_text("probes: []\n")
    assert "there is none; write one into a file of probes/." in call("probe", "x", "--root", root).output
