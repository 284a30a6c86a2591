"""`cemd probe` and `cemd import blackbox`, as an operator calls them."""

from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from cemd.cli import main
from cemd.commands.probing import told
from cemd.monitor.probes.base import Attempt
from cemd.monitor.probes.base import Result as ProbeResult
from click.testing import CliRunner, Result

EXAMPLE = """
modules:
  http_2xx:
    prober: http
  http_post_2xx: {prober: http, http: {method: POST}}
  tcp_connect: {prober: tcp}
  pop3s_banner:
    prober: tcp
    tcp:
      query_response: [{expect: "^+OK"}]
      tls: true
      tls_config: {insecure_skip_verify: false}
  grpc: {prober: grpc, grpc: {tls: true, preferred_ip_protocol: ip4}}
  grpc_plain: {prober: grpc, grpc: {tls: false, service: service1}}
  ssh_banner:
    prober: tcp
    tcp: {query_response: [{expect: "^SSH-2.0-"}, {send: SSH-2.0-blackbox-ssh-check}]}
  irc_banner:
    prober: tcp
    tcp:
      query_response:
        - send: "NICK prober"
        - {expect: "PING :([^ ]+)", send: "PONG ${1}"}
        - expect: "^:[^ ]+ 001"
  icmp: {prober: icmp}
  icmp_ttl5: {prober: icmp, timeout: 5s, icmp: {ttl: 5}}
"""
"""All modules of the example that comes with blackbox_exporter 0.23."""

RICH = """
modules:
  shop:
    prober: http
    timeout: 1m30s
    http:
      valid_status_codes: [200, 204]
      valid_http_versions: [HTTP/2.0]
      fail_if_body_not_matches_regexp: [welcome, "order [0-9]+"]
      fail_if_body_matches_regexp: [error, "(?i)maintenance"]
      fail_if_header_not_matches: [{header: X-Node, regexp: "^east"}]
      fail_if_header_matches: [{header: Server, regexp: dev, allow_missing: true}]
      basic_auth: {username: u, password: p}
      oauth2: {client_id: probe, client_secret: s3cret, token_url: "https://id.example/token", scopes: [a, b]}
      tls_config: {ca_file: /ca.pem, cert_file: /c.pem, key_file: /k.pem, insecure_skip_verify: true}
      body_size_limit: 2MB
      unheard_of: 1
  resolver:
    prober: dns
    dns: {query_name: www.example.net, query_type: A, valid_rcodes: [NOERROR, NXDOMAIN], transport_protocol: tcp,
          validate_answer_rrs: {fail_if_not_matches_regexp: [x]}}
"""
LATER = """
modules:
  portal:
    prober: http
    http:
      valid_http_versions: [HTTP/1.1, HTTP/2.0]
      preferred_ip_protocol: ip4
      http_headers:
        Accept-Language: {values: [de-DE, en-GB]}
        X-Key: {files: [/etc/cemd/portal.key]}
        X-Pin: {secrets: [s3cret]}
      proxy_url: "http://192.0.2.1:3128"
      skip_resolve_phase_with_proxy: true
      proxy_connect_header: {Proxy-Authorization: [Bearer s3cret]}
      accept_any_response: true
      body_file: /etc/cemd/body
      fail_if_body_json_not_matches_cel: "body.state == 'up'"
      oauth2:
        client_id: probe
        client_secret_file: /etc/cemd/portal.secret
        token_url: "https://id.example/token"
        endpoint_params: {grant_type: client_credentials, audience: orders, realm: x}
  mail-in:
    prober: tcp
    tcp:
      query_response: [{expect: "OK.*STARTTLS"}, {send: "a STARTTLS"}, {expect: OK}, {starttls: true},
                       {send: "a CAPABILITY"}, {expect: IMAP4rev1}]
      tls_config: {server_name: mail.example.net}
  mail-out:
    prober: tcp
    tcp: {query_response: [{expect: "^220"}, {send: "EHLO probe\\r"}, {expect: "^250-STARTTLS"},
                           {send: "STARTTLS\\r"}, {expect: "^220", starttls: true}, {send: "QUIT\\r"}]}
  database:
    prober: tcp
    tcp: {query_response: [{send: !!binary AAAACATSFi8=}, {expect_bytes: S}, {starttls: true}]}
  queue:
    prober: tcp
    tcp: {tls: true, query_response: [{send: "HELO\\r"}, {expect: AMQP}]}
  own-words:
    prober: tcp
    tcp: {query_response: [{send: !!binary AP8=}, {expect_bytes: !!binary KwD/}, {send: secure}, {starttls: true}]}
  greeting:
    prober: tcp
    tcp: {query_response: [{expect: "^SSH-([^ ]+)", labels: [{name: version, value: "${1}"}]}]}
  local: {prober: unix, unix: {query_response: [{send: PING}]}}
  chat: {prober: websocket}
"""
"""What configurations of later versions hold, in words of our own."""
PROMETHEUS = """
scrape_configs:
  - job_name: shop
    metrics_path: /probe
    params: {module: [shop]}
    static_configs: [{targets: ["https://a.example/", "https://b.example/"]}]
  - job_name: dns
    params: {module: [resolver]}
    static_configs: [{targets: ["192.0.2.53:5353"]}]
"""


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
    missing = call("probe", "page", "--root", root)
    assert missing.exit_code == 1
    assert "near it are shop-page" in missing.output


def test_example_of_blackbox_exporter_imports_whole(tmp_path: Path) -> None:
    (tmp_path / "blackbox.yml").write_text(EXAMPLE)
    root = root_with(tmp_path / "root", "probes: []\n")
    done = call("import", "blackbox", tmp_path / "blackbox.yml", "--write", root / "probes" / "p.yaml")
    assert done.exit_code == 0, done.output
    refused = call("check", "--root", root)  # where `tcp_connect` connects to, the operator alone knows
    assert refused.exit_code == 1
    assert 'probe "tcp_connect": params.port is a text' in refused.output
    assert "1 fault;" in refused.output
    text = (root / "probes" / "p.yaml").read_text()
    (root / "probes" / "p.yaml").write_text(text.replace("tcp_connect_port: fill in", 'tcp_connect_port: "8443"'))
    assert call("check", "--root", root).exit_code == 0, call("check", "--root", root).output
    written = yaml.safe_load((root / "probes" / "p.yaml").read_text())
    assert [probe["name"] for probe in written["probes"]] == list(yaml.safe_load(EXAMPLE)["modules"])
    by_name = {probe["name"]: probe["params"] for probe in written["probes"]}
    assert by_name["icmp_ttl5"]["hop_limit"] == 5
    assert by_name["grpc_plain"]["url"].endswith("/grpc.health.v1.Health/Check")
    assert by_name["grpc_plain"]["body_hex"] == "000000000a0a08" + b"service1".hex()
    assert [turn.get("send") for turn in by_name["irc_banner"]["dialogue"]][2] == "PONG {heard}\n"
    ports = {name: port for name, port in written["values"].items() if name.endswith("_port")}
    assert ports == {
        "tcp_connect_port": "8443", "pop3s_banner_port": "995", "ssh_banner_port": "22", "irc_banner_port": "6667"
    }  # fmt: skip
    written_as, version, unknown, note = done.output.splitlines()  # the last: POP3's pattern is not what was meant
    assert "IPv6" in version
    assert "tcp_connect: which port it connects to stands nowhere; fill it in" in unknown
    assert "p.yaml: 10 probes. Fill in the values at its head." in written_as
    assert 'must know the service "imported"' in written_as
    assert r"^\+OK" in note


@pytest.mark.parametrize(
    ("name", "tcp", "port"),
    [
        ("login", "{query_response: [{expect: '^SSH-2.0-'}]}", "22"),
        ("mail-out", "{query_response: [{expect: '^220 '}, {send: EHLO probe}]}", "25"),
        ("smtp_tls", "{tls: true}", "465"),
        ("imaps", "{tls: true}", "993"),
        ("sftp", "{}", "22"),
        ("circuit", "{}", "fill in"),
        ("tls_connect", "{tls: true}", "fill in"),
    ],
)
def test_usual_port_of_the_protocol_is_filled_in_or_asked_for(name: str, tcp: str, port: str, tmp_path: Path) -> None:
    (tmp_path / "blackbox.yml").write_text(f"modules: {{{name}: {{prober: tcp, tcp: {tcp}}}}}\n")
    found = json.loads(call("import", "blackbox", tmp_path / "blackbox.yml", "--json").output)
    assert [value for value in found["values"].values() if value != "target.example.net"] == [port]
    assert any("stands nowhere" in note for note in found["notes"]) == (port == "fill in")


def test_what_later_versions_of_blackbox_exporter_know_is_carried_over_or_said(tmp_path: Path) -> None:
    (tmp_path / "blackbox.yml").write_text(LATER)
    found = json.loads(call("import", "blackbox", tmp_path / "blackbox.yml", "--json").output)
    by_name = {probe["name"]: probe["params"] for probe in found["probes"]}
    assert list(by_name) == ["portal", "mail-in", "mail-out", "database", "queue", "own-words", "greeting"]
    portal = by_name["portal"]
    assert portal["headers"] == {"Accept-Language": "de-DE"}
    assert portal["header_files"] == {"X-Key": "/etc/cemd/portal.key"}
    assert portal["oauth2"]["audience"] == "orders"
    assert (by_name["mail-in"]["tls"], by_name["mail-in"]["tls_name"]) == ("imap", "mail.example.net")
    assert [turn.get("send") for turn in by_name["mail-in"]["dialogue"]] == ["a CAPABILITY\n", None]
    assert (by_name["mail-out"]["tls"], by_name["mail-out"]["dialogue"]) == ("smtp", [{"send": "QUIT\r\n"}])
    assert by_name["database"]["tls"] == "postgres"
    assert "dialogue" not in by_name["database"]
    assert by_name["own-words"]["dialogue"] == [
        {"send_hex": "00ff0a"}, {"expect": "\\+\\x00\\xff"}, {"send": "secure\n"}
    ]  # fmt: skip
    assert found["values"]["queue_port"] == "5671"
    said = "\n".join(found["notes"])
    for words in (
        "of the values of Accept-Language the first alone", "the secret of X-Pin", "proxy_connect_header",
        "accept_any_response", "body_file", "fail_if_body_json_not_matches_cel", "realm is not carried over",
        "mail-in: what is said before starttls is left to `tls: imap`", "own-words: tcp.query_response: starttls",
        "labels is not carried over", "local: prober unix is not carried over", "chat: prober websocket",
        "IPv6 address was asked first",
    ):  # fmt: skip
        assert words in said
    for silent in ("valid_http_versions", "skip_resolve", "grant_type"):
        assert silent not in said
    assert "s3cret" not in json.dumps(found)


def test_what_was_carried_over_is_right_once_its_values_are_filled_in(tmp_path: Path) -> None:
    (tmp_path / "blackbox.yml").write_text(LATER)
    root = root_with(tmp_path / "root", "probes: []\n")
    assert call("import", "blackbox", tmp_path / "blackbox.yml", "--write", root / "probes" / "p.yaml").exit_code == 0
    text = (root / "probes" / "p.yaml").read_text().replace("_port: fill in", '_port: "9"')
    (root / "probes" / "p.yaml").write_text(text)
    checked = call("check", "--root", root)
    assert checked.exit_code == 0, checked.output


def test_what_is_not_carried_over_is_said_and_targets_come_from_prometheus(tmp_path: Path) -> None:
    (tmp_path / "blackbox.yml").write_text(RICH)
    (tmp_path / "prometheus.yml").write_text(PROMETHEUS)
    words = ("import", "blackbox", tmp_path / "blackbox.yml", "--prometheus", tmp_path / "prometheus.yml", "--json")
    found = json.loads(call(*words).output)
    shop, other, resolver = found["probes"]
    assert (shop["params"]["url"], other["params"]["url"]) == ("https://a.example/", "https://b.example/")
    assert (shop["timeout_seconds"], other["name"]) == (30.0, "shop-2")
    assert shop["params"]["max_body_bytes"] == 2 * 1024**2
    assert shop["params"]["status"] == [200, 204]
    assert shop["params"]["require_http2"] is True
    assert shop["params"]["oauth2"]["scope"] == "a b"
    assert (resolver["params"]["server"], resolver["params"]["port"]) == ("192.0.2.53", 5353)
    said = "\n".join(found["notes"])
    for words_ in (
        "timeout of 90 s is cut", "basic_auth", "oauth2.client_secret", "insecure_skip_verify", "unheard_of",
        "valid_rcodes", "validate_answer_rrs",
    ):  # fmt: skip
        assert words_ in said
    assert "s3cret" not in json.dumps(found)


@pytest.mark.parametrize(("general", "own", "said"), [
    ("", "", ""), ("60s", "", ""), ("15s", "1m", ""), ("60s", "15s", "15s"), ("1d", "", "1d"),
])  # fmt: skip
def test_how_often_prometheus_asked_is_said_where_it_is_another_pace(
    tmp_path: Path, general: str, own: str, said: str
) -> None:
    of = {"global": {"scrape_interval": general} if general else None}
    job = {"params": {"module": ["shop"]}, **({"scrape_interval": own} if own else {})}
    other = {"params": {"module": ["elsewhere"]}, "scrape_interval": "7s"}
    (tmp_path / "blackbox.yml").write_text("modules: {shop: {prober: icmp}}")
    (tmp_path / "prometheus.yml").write_text(yaml.safe_dump({**of, "scrape_configs": [job, other]}))
    words = ("import", "blackbox", tmp_path / "blackbox.yml", "--prometheus", tmp_path / "prometheus.yml", "--json")
    notes = [one for one in json.loads(call(*words).output)["notes"] if "scrape_interval" in one]
    told = "is not carried over: probes run every 60 s; give --every, or correct `every_seconds`."
    assert notes == [f"shop: scrape_interval of {one} {told}" for one in (said,) if one]


def test_labels_of_targets_and_a_target_in_clear_where_tls_is_due_are_said_once(tmp_path: Path) -> None:
    statics = [
        {"targets": ["https://a.example/"], "labels": {"region": "east"}},
        {"targets": ["http://b.example/", "c.example"], "labels": {"region": "west", "team": "shop"}},
    ]
    job = {"params": {"module": ["shop"]}, "static_configs": statics}
    (tmp_path / "blackbox.yml").write_text("modules: {shop: {prober: http, http: {fail_if_not_ssl: true}}}")
    (tmp_path / "prometheus.yml").write_text(yaml.safe_dump({"scrape_configs": [job]}))
    words = ("import", "blackbox", tmp_path / "blackbox.yml", "--prometheus", tmp_path / "prometheus.yml", "--json")
    found = json.loads(call(*words).output)
    assert [probe["params"]["url"] for probe in found["probes"]] == [
        "https://a.example/", "https://b.example/", "https://c.example"
    ]  # fmt: skip
    (labels,) = [note for note in found["notes"] if "labels" in note]
    assert labels.startswith("shop: labels of targets (region, team) are not carried over: ")
    (clear,) = [note for note in found["notes"] if "ssl" in note]
    assert clear == "shop: http.fail_if_not_ssl: a target that is not of https:// is asked as https:// from the start."


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("modules: [", "cannot be read as YAML"),
        ("hello", "holds no mapping"),
        ("modules: {}", "no modules"),
        ("modules: {x: {prober: carrier-pigeon}}", "is not known"),
        ("modules: {x: {prober: http, timeout: soon}}", "no time such as 5s"),
        ("modules: {x: {prober: http, http: 7}}", "no mapping"),
        ("modules: {x: 7}", "module x is no mapping"),
        ("modules: {x: {prober: tcp, tcp: {query_response: [7]}}}", "another type than is due"),
        ("modules: {x: {prober: http, http: {http_headers: {A: 7}}}}", "another type than is due"),
        ("modules: {x: {prober: unix}}", "Nothing is left to import"),
    ],
)
def test_file_that_is_none_is_refused_with_its_fault(text: str, words: str, tmp_path: Path) -> None:
    (tmp_path / "blackbox.yml").write_text(text)
    refused = call("import", "blackbox", tmp_path / "blackbox.yml")
    assert refused.exit_code == 1
    assert words in refused.output
