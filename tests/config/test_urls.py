"""URLs in parameters of every kind: absolute ones of http or https, refused at load with place and remedy."""

from __future__ import annotations

from pathlib import Path

import pytest
from cemd.config.load import load
from cemd.daemon.kinds import kinds
from cemd.errors import ConfigError
from cemd.kit.urls import absolute_template

from tests.config.test_targets import SERVICES

PROBE = "probes:\n  - {name: p, kind: %s, service: web, every_seconds: 9, timeout_seconds: 2, params: {\n%s}}\n"
CHANNEL = "channels:\n  - {name: c, kind: %s, to: staff, params: {\n%s}}\n"
NONE = "is no absolute http or https URL"
WRITE = "write it whole, as https://host/path"
STEP = "steps: [{name: order, http: {%s}}]"
NO_HOST = f"https:///orders {NONE}: it names no host; {WRITE}"


@pytest.mark.parametrize(
    ("file", "text", "column", "said"),
    [
        ("probes/p.yaml", PROBE % ("http", 'url: "ftp://shop/"'), 6,
         f"params.url: ftp://shop/ {NONE}; {WRITE}"),
        ("probes/p.yaml", PROBE % ("http", "url: shop.example"), 6,
         f"params.url: shop.example {NONE}; {WRITE}"),
        ("probes/p.yaml", PROBE % ("transaction", STEP % 'post: "gopher://pos/{run}"'), 36,
         f"params.steps[0].http.post: gopher://pos/{{run}} {NONE}; {WRITE}"),
        ("probes/p.yaml", PROBE % ("transaction", STEP % "get: /orders"), 35,
         f"params.steps[0].http.get: /orders {NONE}; {WRITE}"),
        ("probes/p.yaml", PROBE % ("transaction", STEP % 'get: "https:///orders"'), 35,
         f"params.steps[0].http.get: {NO_HOST}"),
        ("probes/p.yaml", PROBE % ("transaction", STEP % 'get: "{run}"'), 35,
         f"params.steps[0].http.get: {{run}} {NONE}; {WRITE}"),
        ("probes/p.yaml", PROBE % ("transaction", STEP % 'get: "https://pos:99999/"'), 35,
         "params.steps[0].http.get: https://pos:99999/ has a port that is no number up to 65535; correct it"),
        ("probes/p.yaml", PROBE % ("transaction", STEP % 'get: "https://user:{pin}@pos/"'), 35,
         "params.steps[0].http.get: a URL must not hold user and password; send them by `bearer` or `headers`"),
        ("probes/p.yaml", PROBE % ("transaction", STEP % 'get: "https://{pin}@pos/"'), 35,
         "params.steps[0].http.get: a URL must not hold user and password; send them by `bearer` or `headers`"),
        ("config/channels.yaml", CHANNEL % ("alertmanager", 'url: "https:///orders"'), 6, f"params.url: {NO_HOST}"),
        ("config/channels.yaml", CHANNEL % ("webhook", 'url: "https:///orders", secret_file: /etc/x'), 6,
         f"params.url: {NO_HOST}"),
    ],
    ids=["scheme", "none", "step-scheme", "step-path", "step-host", "step-value", "step-port", "step-password",
         "step-user", "alerts", "webhook"],
)  # fmt: skip
def test_url_that_can_never_be_asked_is_refused_at_load(
    tmp_path: Path, file: str, text: str, column: int, said: str
) -> None:
    for name, content in {"config/cemd.yaml": "{}\n", "config/catalogue/s.yaml": SERVICES, file: text}.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    with pytest.raises(ConfigError) as refused:
        load(tmp_path, kinds())
    label = 'probe "p"' if file.startswith("probes") else 'channel "c"'
    assert str(refused.value) == f"{file}:3:{column}: {label}: {said}"


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:8080/orders/{order}?run={run}", "https://{shard}.shop.example/", "http://pos:{port}/x"]
)
def test_values_may_stand_within_a_url(url: str) -> None:
    assert absolute_template(url) == url
